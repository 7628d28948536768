"""RSPNet: which of two clips runs at the same speed, and which are of the same video.

Chen et al., RSPNet: Relative Speed Perception for Unsupervised Video Representation Learning, AAAI 2021.
Of a video come a query q of one window at speed s, and from another window a key k at the same speed and
a key k- at the other one. With unit embeddings of two heads, A for appearance and M for motion, keys by a
momentum encoder with heads of its own, a queue Q of K past keys and temperature τ:

    L_A = CE(q_A·k_A; Q) + CE(q_A·k-_A; Q)         each -log exp(p/τ) / (exp(p/τ) + Σ_Q exp(q_A·Q/τ))
    L_M = mean max(0, γ - (q_M·k_M - q_M·k-_M) / τ)
    L = λ_A · L_A + λ_M · L_M

so that A does not depend on the speed and M does. The queue takes k-_A, after the loss. The momentum encoder
follows before each step.

Author's settings: 16 frames, speeds 1 and 2, SGD, learning rate 0.1 (0.05 for R(2+1)D) per 64 videos on a
cosine, momentum 0.9, weight decay 1e-4, 200 epochs. The protocol replaces them, so that all tasks train
alike. γ = 2 in units of the logits is the code's; with τ = 0.07 it is a margin of 0.14 between cosines.

k and k- are of the same window, start at the same frame and share their augmentation, so that nothing but
the speed tells them apart.

Deviations from the authors' code, each with the option that undoes it where one can:

- Augmentation is the benchmark's (supplement 3.4), with their temporal part, which is the speeds;
  `augmentation=paper` is theirs, `augmentation=paper_plus` their stronger variant.
- Speed is drawn per video; theirs is fast for one half of each batch. Speeds are mixed in every batch.
- Speed 1 takes frames at the protocol's stride, theirs at stride 1.
- A video that is shorter than a window is read forwards and backwards; theirs begins anew, and the cut, which
  comes more often in a fast clip, tells the speed.
- `key_norm=running` keeps the statistics of the batch out of the keys; see `vssl_core.momentum`. Theirs
  shuffles videos between two GPUs or more, which one GPU or a CPU cannot: `key_norm=batch` is that.
- A queue is never longer than the data; a shorter one is announced. One of that length still has an older key
  of the asking video among its negatives for about half of the queries; a longer one would for nearly all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from vssl_core.augmentation import (
    Augmentation,
    ColorJitter,
    GaussianBlur,
    Grayscale,
    HorizontalFlip,
    Op,
    ResizedCrop,
    ViewAugmentation,
)
from vssl_core.interfaces import Backbone, PretextTask, TaskContext, TaskOutput, TrainProgress, ViewSampler
from vssl_core.momentum import FeatureQueue, KeyNorm, MomentumEncoder, contrast_accuracy, queue_size
from vssl_core.options import Options
from vssl_core.sampling import back_and_forth
from vssl_core.types import ClipSpec, Sampled
from vssl_plugins.tasks.benchmark_ops import BENCHMARK_OPS

__all__ = ["RSPNet", "RSPNetOptions", "SpeedTriple", "speed_hinge"]

_CROP = ResizedCrop(area=(0.4, 1.0), aspect=(3 / 4, 4 / 3))
_OPS: dict[str, tuple[Op, ...]] = {
    "benchmark": BENCHMARK_OPS,
    "paper": (_CROP, Grayscale(0.2), ColorJitter(0.4, 0.4, 0.4, 0.4), HorizontalFlip()),
    "paper_plus": (
        _CROP,
        ColorJitter(0.4, 0.4, 0.4, 0.1, p=0.8),
        Grayscale(0.2),
        GaussianBlur(p=0.5),
        HorizontalFlip(),
    ),
}


class RSPNetOptions(Options):
    """Defaults are the authors', but for `augmentation` and `key_norm`."""

    speed: int = Field(2, ge=2, le=8)
    """The other speed: it takes every `speed`-th of the frames that speed 1 could take."""
    queue_size: int = Field(16384, ge=1)
    """Past keys to contrast with, K."""
    momentum: float = Field(0.999, ge=0, le=1)
    """Share of its weights that the momentum encoder keeps at each step."""
    key_norm: KeyNorm = "running"
    """BatchNorm of the momentum encoder: statistics of earlier batches (`running`) or of this (`batch`)."""
    temperature: float = Field(0.07, gt=0)
    """Divisor τ of the cosines, in both losses."""
    margin: float = Field(2.0, gt=0)
    """Margin γ of the speed loss, in units of cosine / τ."""
    appearance_weight: float = Field(1.0, ge=0)
    """Weight λ_A of the loss that does not depend on speed."""
    motion_weight: float = Field(1.0, ge=0)
    """Weight λ_M of the loss of relative speed."""
    output_dim: int = Field(128, gt=0)
    """Size of each of the two embeddings."""
    augmentation: Literal["benchmark", "paper", "paper_plus"] = "benchmark"
    """`benchmark`: rotation, crop, colour and flip of supplement 3.4; `paper`, `paper_plus`: the authors'."""


@dataclass(frozen=True, slots=True)
class SpeedTriple:
    """Clips `query` and `key` at one speed from two windows, and `other` at the other speed from the key's.

    Windows are as long as a fast clip and lie anywhere in the video, independently. Which of the speeds 1
    and `speed` is the query's is a coin toss, `info["fast"]` is 1 for the latter. A video that is too short
    for a window is read forwards, backwards and forwards again, at both speeds alike, and the windows start
    anywhere on that way.
    """

    num_frames: int
    frame_stride: int
    speed: int

    def __call__(self, n_frames: int, fps: float, generator: np.random.Generator) -> Sampled:
        """See `vssl_core.interfaces.ViewSampler`."""
        del fps
        steps_T = np.arange(self.num_frames, dtype=np.int64) * self.frame_stride
        fast = int(generator.integers(2))
        same, other = (self.speed, 1) if fast else (1, self.speed)
        reach = int(steps_T[-1]) * self.speed
        places = n_frames - reach if reach < n_frames else 2 * max(n_frames - 1, 1)
        query, key = generator.integers(places, size=2)
        rows = {"query": query + same * steps_T, "key": key + same * steps_T, "other": key + other * steps_T}
        return Sampled({name: back_and_forth(row, n_frames) for name, row in rows.items()}, {"fast": fast})


class TwoHeads(nn.Module):
    """Two linear heads: features (B, D) → unit vectors (B, 2, E), of appearance and of motion."""

    def __init__(self, embed_dim: int, output_dim: int) -> None:
        super().__init__()
        self.appearance = nn.Linear(embed_dim, output_dim)
        self.motion = nn.Linear(embed_dim, output_dim)

    def forward(self, features_BD: Tensor) -> Tensor:
        """(B, D) → (B, 2, E)."""
        both_B2E = torch.stack([self.appearance(features_BD), self.motion(features_BD)], dim=1)
        return F.normalize(both_B2E.float(), dim=-1)


def speed_hinge(same_B: Tensor, other_B: Tensor, *, margin: float) -> Tensor:
    """Hinge (B,) on how much more like the key of its speed a query is; products are divided by τ before."""
    return (margin - (same_B - other_B)).clamp(min=0)


class RSPNet(PretextTask):
    """Relative speed perception: contrast of speeds in one head, of videos in the other."""

    api_version = 1
    Options = RSPNetOptions
    paper = "https://arxiv.org/abs/2011.07949"

    @classmethod
    def sampler(cls, options: Any, clip: ClipSpec) -> ViewSampler:
        """Three clips of two windows; see `SpeedTriple`."""
        return SpeedTriple(clip.num_frames, clip.frame_stride, options.speed)

    @classmethod
    def augmentation(cls, options: Any, clip: ClipSpec) -> Augmentation:
        """The two keys share their draws."""
        del clip
        ops = _OPS[options.augmentation]
        return {
            "query": ViewAugmentation(ops),
            "key": ViewAugmentation(ops),
            "other": ViewAugmentation(ops, draw="key"),
        }

    def __init__(self, make_backbone: Callable[[], Backbone], options: Any, context: TaskContext) -> None:
        super().__init__(make_backbone, options, context)
        self.temperature = options.temperature
        self.margin = options.margin
        self.weights = {"appearance": options.appearance_weight, "speed": options.motion_weight}
        self.backbone = make_backbone()
        self.heads = TwoHeads(self.backbone.embed_dim, options.output_dim)
        twin = nn.Sequential(make_backbone(), TwoHeads(self.backbone.embed_dim, options.output_dim))
        twin[1].load_state_dict(self.heads.state_dict())
        self.key_encoder = MomentumEncoder(twin, momentum=options.momentum, norm=options.key_norm)
        self.queue = FeatureQueue(queue_size(options.queue_size, context), options.output_dim)
        self._keys: list[Tensor] = []

    def before_step(self, progress: TrainProgress) -> None:
        """Let the momentum encoder follow."""
        del progress
        self.key_encoder.follow(nn.Sequential(self.backbone, self.heads))

    def forward(self, views: Mapping[str, Tensor], info: Mapping[str, Tensor]) -> TaskOutput:
        """Both losses over `query`, `key` and `other`, (B, 3, T, H, W) each; `fast` is not used."""
        del info
        query_B2E = self.heads(self.backbone(views["query"]))
        keys_M2E = self.key_encoder(torch.cat([views["key"], views["other"]]))
        with torch.autocast(query_B2E.device.type, enabled=False):
            key_B2E, other_B2E = keys_M2E.chunk(2)
            same_B2 = (query_B2E * key_B2E).sum(dim=-1) / self.temperature
            other_B2 = (query_B2E * other_B2E).sum(dim=-1) / self.temperature
            queue_BK = self.queue.similarity(query_B2E[:, 0]) / self.temperature
            same_BM = torch.cat([same_B2[:, :1], queue_BK], dim=1)
            other_BM = torch.cat([other_B2[:, :1], queue_BK], dim=1)
            hinge_B = speed_hinge(same_B2[:, 1], other_B2[:, 1], margin=self.margin)
            losses = {
                "appearance": -sum(x.log_softmax(dim=1)[:, 0].mean() for x in (same_BM, other_BM)),
                "speed": hinge_B.mean(),
            }
            loss = sum(self.weights[name] * part for name, part in losses.items())
        if self.training:
            self._keys.append(other_B2E[:, 0])
        pair_B2 = torch.stack([same_B2[:, 1], other_B2[:, 1]], dim=1).detach()
        return TaskOutput(
            loss=loss,
            losses={name: part.detach() for name, part in losses.items()},
            metrics={
                "speed_accuracy": contrast_accuracy(pair_B2),
                "same_speed_accuracy": contrast_accuracy(same_BM.detach()),
                "other_speed_accuracy": contrast_accuracy(other_BM.detach()),
                "hinge_active": (hinge_B > 0).float().mean(),
            },
            chance={
                "speed_accuracy": 0.5,
                "same_speed_accuracy": 1 / same_BM.shape[1],
                "other_speed_accuracy": 1 / same_BM.shape[1],
            },
        )

    def after_step(self, progress: TrainProgress) -> None:
        """Put the step's keys of the other speed in the queue."""
        del progress
        self.queue.push(self._keys)
        self._keys = []
