"""3D MobileNetV2 1.0x, a small network of the benchmark (2.4 M parameters).

Sandler et al., MobileNetV2: Inverted Residuals and Linear Bottlenecks, CVPR 2018, inflated to clips by
Köpüklü et al., Resource Efficient 3D Convolutional Neural Networks, ICCVW 2019. A block expands its input by
1 x 1 x 1, filters every channel by 3 x 3 x 3 and projects by 1 x 1 x 1 without an activation; where the map
keeps its size and width the input is added.

Initialisation is the reference's: N(0, sqrt(2 / (k^3 · out))) for every convolution.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field, model_validator
from torch import Tensor, nn

from vssl_core.interfaces import Backbone
from vssl_core.options import Options
from vssl_core.types import ClipSpec
from vssl_core.weights import KeyMap
from vssl_plugins.backbones.activations import ReLU6
from vssl_plugins.backbones.checkpointing import run_stages
from vssl_plugins.backbones.clip_shape import Size3d, check_clips
from vssl_plugins.backbones.convolutions import conv3d, start_fan_out
from vssl_plugins.backbones.depthwise import DepthwiseConv3d

__all__ = ["InvertedResidual", "MobileNetV2", "MobileNetV2Options"]

STEM_WIDTH = 32
LAST_WIDTH = 1280
STAGES = (
    # expansion, width, blocks, halve
    (1, 16, 1, False),
    (6, 24, 2, True),
    (6, 32, 3, True),
    (6, 64, 4, True),
    (6, 96, 3, False),
    (6, 160, 3, True),
    (6, 320, 1, False),
)
"""Table 2 of Sandler et al.; strides act on all three axes."""
STRIDE_THW: Size3d = (16, 32, 32)


class MobileNetV2Options(Options):
    """Width of the network; the default is the benchmark's."""

    width: float = Field(1.0, gt=0)
    """Multiplier of all channel counts (1.0 is "1.0x"); the last 1280 never shrink."""
    checkpointing: bool = False
    """Keep the stages' inputs and compute the rest again in the backward pass: less memory, more time."""

    @model_validator(mode="after")
    def _has_channels(self) -> MobileNetV2Options:
        if int(16 * self.width) < 1:
            raise ValueError(f"width {self.width} leaves a stage without channels; use 0.0625 or more")
        return self


def _published_names() -> tuple[tuple[str, str], ...]:
    """The reference's `features.N.conv.M` → ours: stem 0, blocks 1 to 17, last convolution 18."""
    rules = [(r"^features\.0\.", "stem.")]
    place = 1
    for number, (_, _, blocks, _) in enumerate(STAGES, start=1):
        for block in range(blocks):
            rules.append((rf"^features\.{place}\.", f"stage{number}.{block}."))
            place += 1
    rules.append((rf"^features\.{place}\.", "last."))
    first = ("depthwise", "norm2", "", "project", "norm3")
    others = ("expand", "norm1", "", *first)
    for start, names in ((r"^(stage1\.0)", first), (r"^(stage[2-7]\.\d+)", others)):
        rules += [(rf"{start}\.conv\.{m}\.", rf"\1.{name}.") for m, name in enumerate(names) if name]
    return tuple(rules)


KOEPUEKLUE = KeyMap(
    "Köpüklü et al. MobileNetV2",
    recognise=(r"features\.2\.conv\.6\.weight", r"features\.18\.0\.weight"),
    rename=_published_names(),
    drop=(r"classifier\.",),
)


class InvertedResidual(nn.Module):
    """One block: (B, in_planes, T, H, W) → (B, out_planes, T', H', W'), halved (rounded up) if `halve`."""

    def __init__(self, in_planes: int, out_planes: int, *, expansion: int, halve: bool) -> None:
        super().__init__()
        hidden = in_planes * expansion
        self.adds = not halve and in_planes == out_planes
        if expansion != 1:
            self.expand = conv3d(in_planes, hidden, (1, 1, 1))
            self.norm1 = nn.BatchNorm3d(hidden)
            self.relu1 = ReLU6()
        self.depthwise = DepthwiseConv3d(hidden, stride=2 if halve else 1)
        self.norm2 = nn.BatchNorm3d(hidden)
        self.relu2 = ReLU6()
        self.project = conv3d(hidden, out_planes, (1, 1, 1))
        self.norm3 = nn.BatchNorm3d(out_planes)
        self.expands = expansion != 1

    def forward(self, x_BCTHW: Tensor) -> Tensor:
        """(B, in_planes, T, H, W) → (B, out_planes, T', H', W')."""
        y_BCTHW = x_BCTHW
        if self.expands:
            y_BCTHW = self.relu1(self.norm1(self.expand(y_BCTHW)))
        y_BCTHW = self.relu2(self.norm2(self.depthwise(y_BCTHW)))
        y_BCTHW = self.norm3(self.project(y_BCTHW))
        return x_BCTHW + y_BCTHW if self.adds else y_BCTHW


class MobileNetV2(Backbone):
    """3D MobileNetV2: clips (B, 3, T, H, W) → map (B, 1280, ceil(T/16), ceil(H/32), ceil(W/32)).

    2,354,048 parameters and 0.5183 G multiply-accumulates for 16 x 112 x 112 at width 1.0. Every halving
    rounds up, so any clip size works; in train mode one clip of at most 16 x 32 x 32 is refused, because
    BatchNorm would see one value per channel.
    """

    api_version = 1
    Options = MobileNetV2Options
    key_maps = (KOEPUEKLUE,)
    paper = "https://arxiv.org/abs/1904.02422"

    def __init__(self, options: Any, clip: ClipSpec) -> None:
        super().__init__(options, clip)
        self.checkpointing = options.checkpointing
        self.embed_dim = int(LAST_WIDTH * max(options.width, 1.0))
        planes = int(STEM_WIDTH * options.width)
        self.stem = nn.Sequential(
            conv3d(3, planes, (3, 3, 3), stride=(1, 2, 2)), nn.BatchNorm3d(planes), ReLU6()
        )
        for number, (expansion, width, blocks, halve) in enumerate(STAGES, start=1):
            stage = nn.Sequential()
            for block in range(blocks):
                out_planes = int(width * options.width)
                halves = halve and block == 0
                stage.append(InvertedResidual(planes, out_planes, expansion=expansion, halve=halves))
                planes = out_planes
            self.add_module(f"stage{number}", stage)
        self.last = nn.Sequential(
            conv3d(planes, self.embed_dim, (1, 1, 1)), nn.BatchNorm3d(self.embed_dim), ReLU6()
        )
        start_fan_out(self)

    def forward_features(self, video_BCTHW: Tensor) -> Tensor:
        """(B, 3, T, H, W) → (B, D, ceil(T/16), ceil(H/32), ceil(W/32)).

        Raises:
            UsageError: Clips of another shape, or one value per channel in train mode.
        """
        check_clips(video_BCTHW, name="MobileNetV2", stride_THW=STRIDE_THW, training=self.training)
        return run_stages(self.stages().values(), video_BCTHW, checkpointing=self.checkpointing)

    def stages(self) -> Mapping[str, nn.Module]:
        """Stem, the seven stages of the paper's table and the last convolution, in the order of the data."""
        names = ("stem", *(f"stage{number}" for number in range(1, len(STAGES) + 1)), "last")
        return {name: self.get_submodule(name) for name in names}
