"""RotNet: predict by which multiple of 90 degrees a clip was turned.

Jing et al., Self-Supervised Spatiotemporal Feature Learning via Video Rotation Prediction, 2018 (3DRotNet),
after Gidaris et al., ICLR 2018. One clip x of a video is turned by each of K angles, all frames alike, and
for the turned clip R_k x, with features f and a two-layer head h:

    L = -1/K Σ_k log softmax(h(f(R_k x)))_k          mean over the batch

All K turned clips of a video are in the batch, so that labels are exactly uniform.

Complexity in the benchmark is K: its C1, C2, C3 are 2, 3, 4 angles and here `levels` 1, 2, 3. Which angles
two and three are is not published; here they are the first of 0, 90, 180, 270.

Author's settings: 16 frames at stride 2, SGD, learning rate 0.1 divided by ten every 24,000 iterations,
momentum 0.9, weight decay 1e-3, 32 videos a batch, 100 epochs. The protocol replaces them, so that all
tasks train alike.

What would give the angle away, and what is done about it: views are turned by exact transposition, last of
all, after the crop and with square frames, so that neither interpolation nor a border tells; the black
corners of the small random rotation and the flip come before and are common to the K views of a clip.

Deviations from the authors' code, each with the option that undoes it where one can:

- Augmentation is the benchmark's (supplement 3.4), which adds colour to theirs; `augmentation=paper` is
  rotation, crop and flip.
- A short video loops; the authors store clips of fixed length.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from vssl_core import UniformClip
from vssl_core.augmentation import (
    Augmentation,
    HorizontalFlip,
    QuarterTurn,
    RandomCrop,
    RotationJitter,
    ViewAugmentation,
)
from vssl_core.interfaces import Backbone, PretextTask, TaskContext, TaskOutput, ViewSampler
from vssl_core.options import Options
from vssl_core.types import ClipSpec
from vssl_plugins.tasks.benchmark_ops import BENCHMARK_OPS

__all__ = ["RotNet", "RotNetOptions"]


class RotNetOptions(Options):
    """Defaults are the authors', but for `augmentation`."""

    num_rotations: int = Field(4, ge=2, le=4)
    """Angles K to tell apart: the first K of 0, 90, 180 and 270 degrees."""
    augmentation: Literal["benchmark", "paper"] = "benchmark"
    """`benchmark`: rotation, crop, colour and flip of supplement 3.4; `paper`: the same without colour."""
    hidden_dim: int = Field(64, gt=0)
    """Width of the head's hidden layer."""


class RotNet(PretextTask):
    """Rotation prediction: by which of K right angles was the clip turned?"""

    api_version = 1
    Options = RotNetOptions
    levels: ClassVar[Mapping[int, Mapping[str, Any]]] = {k - 1: {"num_rotations": k} for k in (2, 3, 4)}
    paper = "https://arxiv.org/abs/1811.11387"

    @classmethod
    def sampler(cls, options: Any, clip: ClipSpec) -> ViewSampler:
        """One clip at a uniform place."""
        del options
        return UniformClip(clip)

    @classmethod
    def augmentation(cls, options: Any, clip: ClipSpec) -> Augmentation:
        """Views `rot_0`, `rot_90`, …: one clip with the same draws, turned by an angle each."""
        del clip
        ops = BENCHMARK_OPS
        if options.augmentation == "paper":
            ops = (RotationJitter(), RandomCrop(), HorizontalFlip())
        return {
            f"rot_{90 * turns}": ViewAugmentation((*ops, QuarterTurn(turns)), frames="clip", draw="clip")
            for turns in range(options.num_rotations)
        }

    def __init__(self, make_backbone: Callable[[], Backbone], options: Any, context: TaskContext) -> None:
        super().__init__(make_backbone, options, context)
        self.view_names = tuple(self.augmentation(options, context.clip))
        self.backbone = make_backbone()
        self.head = nn.Sequential(
            nn.Linear(self.backbone.embed_dim, options.hidden_dim),
            nn.ReLU(),
            nn.Linear(options.hidden_dim, len(self.view_names)),
        )

    def forward(self, views: Mapping[str, Tensor], info: Mapping[str, Tensor]) -> TaskOutput:
        """Cross-entropy of the angle over the K views, (B, 3, T, H, W) each."""
        del info
        clips = [views[name] for name in self.view_names]
        logits_MK = self.head(self.backbone(torch.cat(clips))).float()
        turns_M = torch.arange(len(clips), device=logits_MK.device).repeat_interleave(clips[0].shape[0])
        loss = F.cross_entropy(logits_MK, turns_M)
        right_KB = (logits_MK.detach().argmax(dim=1) == turns_M).float().unflatten(0, (len(clips), -1))
        accuracies = dict(zip(self.view_names, right_KB.mean(dim=1), strict=True))
        return TaskOutput(
            loss=loss,
            losses={"rotation": loss.detach()},
            metrics={"accuracy": right_KB.mean()} | {f"accuracy_{k}": v for k, v in accuracies.items()},
            chance={"accuracy": 1 / len(clips)},
        )
