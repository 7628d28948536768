"""A small backbone that keeps its contract, and broken ones, each by one bug."""

from __future__ import annotations

import math
import random
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from vssl_core import Backbone, ClipSpec, Options, UsageError


class SmallOptions(Options):
    width: int = 16
    """Channels of the last map."""


class Small(Backbone):
    """Two strided convolutions with BatchNorm and dropout between them."""

    Options = SmallOptions

    def __init__(self, options: Any, clip: ClipSpec) -> None:
        super().__init__(options, clip)
        self.embed_dim = options.width
        self.stem = nn.Sequential(nn.Conv3d(3, 8, 3, stride=2, padding=1), nn.BatchNorm3d(8), nn.ReLU())
        self.dropout = nn.Dropout(0.1)
        self.last = nn.Sequential(
            nn.Conv3d(8, options.width, 3, stride=2, padding=1), nn.BatchNorm3d(options.width), nn.ReLU()
        )

    def forward_features(self, video_BCTHW: Tensor) -> Tensor:
        features: Tensor = self.last(self.dropout(self.stem(video_BCTHW)))
        return features

    def stages(self) -> Mapping[str, nn.Module]:
        return {"stem": self.stem, "last": self.last}


class Attending(Backbone):
    """Tubelets and one attention layer; refuses clips that the tubelets do not divide."""

    def __init__(self, options: Any, clip: ClipSpec) -> None:
        super().__init__(options, clip)
        if clip.crop_size % 32:
            raise UsageError(f"crops must be multiples of 32 pixels; got {clip.crop_size}.")
        self.embed_dim = 12
        self.tubelets = nn.Conv3d(3, 12, (2, 16, 16), stride=(2, 16, 16))
        size = (clip.num_frames // 2, clip.crop_size // 16, clip.crop_size // 16)
        self.positions = nn.Parameter(torch.randn(1, 12, *size) * 0.02)
        self.block = nn.TransformerEncoderLayer(12, 2, 24, batch_first=True)
        self.register_buffer("scale", torch.tensor([[1.5]]), persistent=False)

    def forward_features(self, video_BCTHW: Tensor) -> Tensor:
        tokens_BDTHW = self.tubelets(video_BCTHW) + self.positions
        tokens_BND = tokens_BDTHW.flatten(2).transpose(1, 2) * self.scale
        return self.block(tokens_BND).transpose(1, 2).reshape(tokens_BDTHW.shape)

    def forward(self, video_BCTHW: Tensor) -> Tensor:
        """(B, 3, T, H, W) → (B, D): the largest value of each channel over the map."""
        return self.forward_features(video_BCTHW).amax(dim=(2, 3, 4))

    def stages(self) -> Mapping[str, nn.Module]:
        return {"tubelets": self.tubelets, "block": self.block}


class Parameterless(Backbone):
    """Mean colours over a grid: nothing to learn."""

    def __init__(self, options: Any, clip: ClipSpec) -> None:
        super().__init__(options, clip)
        self.embed_dim = 3
        self.pool = nn.AvgPool3d((2, 8, 8))

    def forward_features(self, video_BCTHW: Tensor) -> Tensor:
        return self.pool(video_BCTHW)

    def stages(self) -> Mapping[str, nn.Module]:
        return {"pool": self.pool}


class Masking(Backbone):
    """Tubelets, their places, and a layer that mixes those which are visible."""

    provides = frozenset({"feature_map", "masked_tokens"})
    token_size = (2, 8, 8)

    def __init__(self, options: Any, clip: ClipSpec) -> None:
        super().__init__(options, clip)
        self.embed_dim = 16
        self.grid = (clip.num_frames // 2, clip.crop_size // 8, clip.crop_size // 8)
        self.embed = nn.Conv3d(3, 16, self.token_size, stride=self.token_size)
        self.places = nn.Parameter(torch.randn(math.prod(self.grid), 16) * 0.02)
        self.mix = nn.TransformerEncoderLayer(16, 2, 32, dropout=0.0, batch_first=True)
        self.mask_token = nn.Parameter(torch.zeros(16))  # of the decoder, which is the task's

    def tokens(self, video_BCTHW: Tensor) -> Tensor:
        return self.embed(video_BCTHW).flatten(2).transpose(1, 2) + self.places

    def forward_features(self, video_BCTHW: Tensor) -> Tensor:
        return self.mix(self.tokens(video_BCTHW)).transpose(1, 2).unflatten(2, self.grid)

    def forward_tokens(self, video_BCTHW: Tensor, visible_BN: Tensor) -> Tensor:
        return self.mix(self.tokens(video_BCTHW).take_along_dim(visible_BN[..., None], dim=1))

    def stages(self) -> Mapping[str, nn.Module]:
        return {"embed": self.embed, "mix": self.mix}


# ------------------------------------------------------------------------------------ what comes out


class WrongWidth(Small):
    def __init__(self, options: Any, clip: ClipSpec) -> None:
        super().__init__(options, clip)
        self.embed_dim = 99


class NoWidth(Small):
    def __init__(self, options: Any, clip: ClipSpec) -> None:
        super().__init__(options, clip)
        self.embed_dim = None


class PoolsItself(Small):
    def forward_features(self, video_BCTHW: Tensor) -> Tensor:
        return super().forward_features(video_BCTHW).mean(dim=(2, 3, 4))


class Sums(Small):
    def forward(self, video_BCTHW: Tensor) -> Tensor:
        return self.forward_features(video_BCTHW).sum(dim=(2, 3, 4))


class OneSizeOnly(Small):
    def __init__(self, options: Any, clip: ClipSpec) -> None:
        super().__init__(options, clip)
        self.positions = nn.Parameter(torch.zeros(options.width, 1, 8, 8))

    def forward_features(self, video_BCTHW: Tensor) -> Tensor:
        return super().forward_features(video_BCTHW) + self.positions


class Squeezes(Small):
    def forward(self, video_BCTHW: Tensor) -> Tensor:
        return self.forward_features(video_BCTHW).mean(dim=(2, 3, 4)).squeeze()


class DividesByContrast(Small):
    def forward_features(self, video_BCTHW: Tensor) -> Tensor:
        contrast = video_BCTHW.std(dim=(1, 2, 3, 4), keepdim=True)
        return super().forward_features(video_BCTHW / contrast)


class SwapsTheAxes(Small):
    def forward_features(self, video_BCTHW: Tensor) -> Tensor:
        return super().forward_features(video_BCTHW).permute(0, 1, 3, 4, 2)


class HalfPrecision(Small):
    def forward_features(self, video_BCTHW: Tensor) -> Tensor:
        return super().forward_features(video_BCTHW).half()


# ------------------------------------------------------------------------------------ what it depends on


class NormsByTheBatch(Small):
    def __init__(self, options: Any, clip: ClipSpec) -> None:
        super().__init__(options, clip)
        self.stem[1] = nn.BatchNorm3d(8, track_running_stats=False)


class CentresTheBatch(Small):
    def forward_features(self, video_BCTHW: Tensor) -> Tensor:
        return super().forward_features(video_BCTHW - 0.05 * video_BCTHW.mean(dim=0, keepdim=True))


class StaysInTrainMode(Small):
    def train(self, mode: bool = True) -> StaysInTrainMode:
        super().train(True)
        return self


class LeaksAlongTheBatch(Small):
    """Rolls over the wrong axis, as temporal shift is easily written."""

    def forward_features(self, video_BCTHW: Tensor) -> Tensor:
        features = super().forward_features(video_BCTHW)
        return torch.cat([features[:, :4].roll(1, dims=0), features[:, 4:]], dim=1)


class DropsInEval(Small):
    def forward_features(self, video_BCTHW: Tensor) -> Tensor:
        return F.dropout(super().forward_features(video_BCTHW), 0.1)


class CountsCalls(Small):
    def __init__(self, options: Any, clip: ClipSpec) -> None:
        super().__init__(options, clip)
        self.register_buffer("calls", torch.zeros(()))

    def forward_features(self, video_BCTHW: Tensor) -> Tensor:
        self.calls += 1
        return super().forward_features(video_BCTHW)


class RemembersTheLastClip(Small):
    last_mean: Tensor | float = 0.0

    def forward_features(self, video_BCTHW: Tensor) -> Tensor:
        features = super().forward_features(video_BCTHW) + self.last_mean
        self.last_mean = features.detach().mean()
        return features


class DropsWithGradients(Small):
    def forward_features(self, video_BCTHW: Tensor) -> Tensor:
        features = super().forward_features(video_BCTHW)
        return F.dropout(features, 0.1) if torch.is_grad_enabled() else features


class SwitchesToEval(Small):
    def forward_features(self, video_BCTHW: Tensor) -> Tensor:
        self.stem.eval()
        return super().forward_features(video_BCTHW)


class FreezesItself(Small):
    def forward_features(self, video_BCTHW: Tensor) -> Tensor:
        self.stem.requires_grad_(self.training)
        return super().forward_features(video_BCTHW)


class ReadsMemoryOrder(Small):
    def forward_features(self, video_BCTHW: Tensor) -> Tensor:
        C, T, H, W = video_BCTHW.shape[1:]
        strides = (C * T * H * W, T * H * W, H * W, W, 1)
        return super().forward_features(video_BCTHW.as_strided(video_BCTHW.shape, strides))


class CentresInPlace(Small):
    def forward_features(self, video_BCTHW: Tensor) -> Tensor:
        video_BCTHW -= 0.1
        return super().forward_features(video_BCTHW)


class ReluInPlace(Small):
    def __init__(self, options: Any, clip: ClipSpec) -> None:
        super().__init__(options, clip)
        self.stem.insert(0, nn.LeakyReLU(inplace=True))


class MeanOfSquares(Small):
    """A variance that loses all its digits in bfloat16."""

    def forward_features(self, video_BCTHW: Tensor) -> Tensor:
        features = super().forward_features(video_BCTHW) + 100.0
        mean, squares = features.mean(dim=1, keepdim=True), features.square().mean(dim=1, keepdim=True)
        return features * (squares - mean.square() + 1e-2).sqrt()


# ------------------------------------------------------------------------------------ weights and state


class CutsTheGradient(Small):
    def forward_features(self, video_BCTHW: Tensor) -> Tensor:
        return self.last(self.stem(video_BCTHW).detach())


class UnusedLayer(Small):
    def __init__(self, options: Any, clip: ClipSpec) -> None:
        super().__init__(options, clip)
        self.head = nn.Linear(options.width, 400)


class DrawsFromTheClock(Small):
    def forward_features(self, video_BCTHW: Tensor) -> Tensor:
        features = super().forward_features(video_BCTHW)
        return features * (1.0 + 0.1 * random.SystemRandom().random()) if self.training else features


class NumpyWeights(Small):
    def __init__(self, options: Any, clip: ClipSpec) -> None:
        super().__init__(options, clip)
        weight = self.stem[0].weight
        weight.data = torch.from_numpy(np.random.standard_normal(weight.shape)).float()


class CountsInstances(Small):
    made = 0

    def __init__(self, options: Any, clip: ClipSpec) -> None:
        super().__init__(options, clip)
        type(self).made += 1
        self.stem[0].weight.data *= 1.0 + 0.1 * self.made


class EmptyWeights(Small):
    def __init__(self, options: Any, clip: ClipSpec) -> None:
        super().__init__(options, clip)
        self.scale = nn.Parameter(torch.empty(options.width, 1, 1, 1))

    def forward_features(self, video_BCTHW: Tensor) -> Tensor:
        return super().forward_features(video_BCTHW) * self.scale


class KeepsTheGraph(Small):
    features: Tensor | None = None

    def forward_features(self, video_BCTHW: Tensor) -> Tensor:
        self.features = super().forward_features(video_BCTHW)
        return self.features


class SeedsItself(Small):
    def __init__(self, options: Any, clip: ClipSpec) -> None:
        torch.manual_seed(0)
        super().__init__(options, clip)


class DrawsPython(Small):
    def __init__(self, options: Any, clip: ClipSpec) -> None:
        super().__init__(options, clip)
        random.random()


class WritesANote(Small):
    def __init__(self, options: Any, clip: ClipSpec) -> None:
        super().__init__(options, clip)
        (Path(tempfile.gettempdir()) / "vssl-planted-note.txt").write_text("built\n")


class SetsAThreadCount(Small):
    def forward_features(self, video_BCTHW: Tensor) -> Tensor:
        torch.set_num_threads(torch.get_num_threads() + 1)
        return super().forward_features(video_BCTHW)


class PlainTensor(Small):
    def __init__(self, options: Any, clip: ClipSpec) -> None:
        super().__init__(options, clip)
        self.scale = torch.rand(1) + 0.5

    def forward_features(self, video_BCTHW: Tensor) -> Tensor:
        return super().forward_features(video_BCTHW) * self.scale


class CountsSteps(Small):
    steps = 0

    def forward_features(self, video_BCTHW: Tensor) -> Tensor:
        self.steps += self.training
        return super().forward_features(video_BCTHW) * (1.0 + self.steps)


class BuildsLate(Small):
    def forward_features(self, video_BCTHW: Tensor) -> Tensor:
        if not hasattr(self, "late"):
            self.late = nn.Conv3d(3, 3, 1)
        return super().forward_features(self.late(video_BCTHW))


class HiddenModule(Small):
    """A closure that keeps the original's stem, also in a copy."""

    def __init__(self, options: Any, clip: ClipSpec) -> None:
        super().__init__(options, clip)
        stem = self.stem

        def first(video_BCTHW: Tensor) -> Tensor:
            return stem(video_BCTHW)

        self.first = first

    def forward_features(self, video_BCTHW: Tensor) -> Tensor:
        return self.last(self.first(video_BCTHW))


class StaysBehind(Small):
    def __init__(self, options: Any, clip: ClipSpec) -> None:
        super().__init__(options, clip)
        self.mean = torch.full((3, 1, 1, 1), 0.4)

    def forward_features(self, video_BCTHW: Tensor) -> Tensor:
        return super().forward_features(video_BCTHW - self.mean)


class MadeOnTheCpu(Small):
    def forward_features(self, video_BCTHW: Tensor) -> Tensor:
        features = super().forward_features(video_BCTHW)
        return features + torch.linspace(0, 1, features.shape[2]).view(-1, 1, 1)


class StagesBackwards(Small):
    def stages(self) -> Mapping[str, nn.Module]:
        return {"last": self.last, "stem": self.stem}


class StagesNeverCalled(Small):
    def __init__(self, options: Any, clip: ClipSpec) -> None:
        super().__init__(options, clip)
        self.blocks = nn.ModuleList([self.stem, self.last])

    def stages(self) -> Mapping[str, nn.Module]:
        return {"blocks": self.blocks}


class StagesOfAnother(Small):
    def stages(self) -> Mapping[str, nn.Module]:
        return {"stem": nn.Sequential(*self.stem), "last": self.last}


class NoStages(Small):
    def stages(self) -> Mapping[str, nn.Module]:
        return {}


class ProvidesLetters(Small):
    provides = frozenset("feature_map")


class SilentOptions(SmallOptions):
    depth: int = 2


class UndescribedOption(Small):
    Options = SilentOptions


class SpoiltByTracing(Small):
    """Refuses to be traced, so that its cost cannot be counted."""

    def forward_features(self, video_BCTHW: Tensor) -> Tensor:
        if torch.jit.is_tracing():
            raise RuntimeError("this network is not for tracing")
        return super().forward_features(video_BCTHW)


class LeaksHiddenTokens(Masking):
    def forward_tokens(self, video_BCTHW: Tensor, visible_BN: Tensor) -> Tensor:
        return self.mix(self.tokens(video_BCTHW)).take_along_dim(visible_BN[..., None], dim=1)


class CountsWidthFirst(Masking):
    def tokens(self, video_BCTHW: Tensor) -> Tensor:
        return self.embed(video_BCTHW).permute(0, 1, 4, 3, 2).flatten(2).transpose(1, 2) + self.places


class SortsTokens(Masking):
    def forward_tokens(self, video_BCTHW: Tensor, visible_BN: Tensor) -> Tensor:
        return super().forward_tokens(video_BCTHW, visible_BN.sort(dim=1).values)


class NoTokenSize(Masking):
    def __init__(self, options: Any, clip: ClipSpec) -> None:
        super().__init__(options, clip)
        self.token_size = 8


PLANTED = {
    NoWidth: "check_embed_dim_is_set",
    WrongWidth: "check_features_are_a_map",
    PoolsItself: "check_features_are_a_map",
    HalfPrecision: "check_features_are_a_map",
    Sums: "check_forward_is_the_mean_of_the_map",
    SwapsTheAxes: "check_map_axes_are_time_height_width",
    OneSizeOnly: "check_clip_sizes",
    Squeezes: "check_a_single_clip_keeps_its_axis",
    DividesByContrast: "check_a_black_clip_gives_finite_features",
    NormsByTheBatch: "check_eval_output_does_not_depend_on_the_batch",
    CentresTheBatch: "check_eval_output_does_not_depend_on_the_batch",
    StaysInTrainMode: "check_eval_output_does_not_depend_on_the_batch",
    LeaksAlongTheBatch: "check_eval_output_does_not_depend_on_the_batch",
    DropsInEval: "check_eval_repeats",
    CountsCalls: "check_eval_repeats",
    RemembersTheLastClip: "check_eval_repeats",
    DropsWithGradients: "check_eval_repeats",
    SwitchesToEval: "check_calls_leave_the_process_alone",
    FreezesItself: "check_calls_leave_the_process_alone",
    ReadsMemoryOrder: "check_channels_last_gives_the_same",
    CentresInPlace: "check_input_is_not_changed",
    ReluInPlace: "check_input_is_not_changed",
    MeanOfSquares: "check_bf16_is_finite",
    CutsTheGradient: "check_gradient_reaches_every_parameter",
    UnusedLayer: "check_gradient_reaches_every_parameter",
    DrawsFromTheClock: "check_training_repeats",
    NumpyWeights: "check_seed_decides_the_weights",
    CountsInstances: "check_seed_decides_the_weights",
    EmptyWeights: "check_seed_decides_the_weights",
    KeepsTheGraph: "check_copies_are_independent",
    SeedsItself: "check_building_leaves_the_process_alone",
    DrawsPython: "check_building_leaves_the_process_alone",
    WritesANote: "check_building_leaves_the_process_alone",
    SetsAThreadCount: "check_calls_leave_the_process_alone",
    PlainTensor: "check_state_dict_is_the_whole_state",
    CountsSteps: "check_state_dict_is_the_whole_state",
    BuildsLate: "check_state_dict_is_the_whole_state",
    HiddenModule: "check_copies_are_independent",
    StaysBehind: "check_everything_moves_with_the_module",
    MadeOnTheCpu: "check_everything_moves_with_the_module",
    StagesBackwards: "check_stages_are_in_order",
    StagesNeverCalled: "check_stages_are_in_order",
    StagesOfAnother: "check_stages_are_in_order",
    NoStages: "check_stages_are_in_order",
    ProvidesLetters: "check_provides_is_a_set_of_words",
    LeaksHiddenTokens: "check_masked_tokens_come_from_their_own_pixels",
    CountsWidthFirst: "check_masked_tokens_come_from_their_own_pixels",
    SortsTokens: "check_masked_tokens_come_from_their_own_pixels",
    NoTokenSize: "check_masked_tokens_come_from_their_own_pixels",
    UndescribedOption: "check_options_are_described",
    SpoiltByTracing: "check_cost_can_be_counted",
}
