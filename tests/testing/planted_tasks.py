"""A correct small task, and the same with one bug each in what it is shown; `PLANTED` names their checks."""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from vssl_core import Backbone, ClipSpec, Options, PretextTask, Sampled, TaskContext, TaskOutput, UniformClip
from vssl_core.augmentation import Augmentation, ColorJitter, HorizontalFlip, RandomCrop, ViewAugmentation

__all__ = ["OPS", "PLANTED", "Arrow", "Direction", "caught_by"]

OPS = (RandomCrop(), ColorJitter(), HorizontalFlip())
PLANTED: list[tuple[type[PretextTask], str]] = []
"""Tasks and the check that each must fail."""


def caught_by(check: str) -> Callable[[type[PretextTask]], type[PretextTask]]:
    def note(cls: type[PretextTask]) -> type[PretextTask]:
        PLANTED.append((cls, check))
        return cls

    return note


# ------------------------------------------------------------------------- classification: arrow of time


@dataclass(frozen=True)
class Direction:
    clip: ClipSpec

    def __call__(self, n_frames: int, fps: float, generator: np.random.Generator) -> Sampled:
        frames = UniformClip(self.clip)(n_frames, fps, generator).frames["clip"]
        backwards = int(generator.integers(2))
        return Sampled({"clip": frames[::-1] if backwards else frames}, {"backwards": backwards})


class Arrow(PretextTask):
    """Is the clip played backwards?"""

    @classmethod
    def sampler(cls, options: Options, clip: ClipSpec) -> Any:
        return Direction(clip)

    @classmethod
    def augmentation(cls, options: Options, clip: ClipSpec) -> Augmentation:
        return {"clip": ViewAugmentation(OPS)}

    def __init__(self, make_backbone: Callable[[], Backbone], options: Options, context: TaskContext) -> None:
        super().__init__(make_backbone, options, context)
        self.backbone = make_backbone()
        self.head = nn.Sequential(nn.Dropout(0.2), nn.Linear(self.backbone.embed_dim, 2))

    def forward(self, views: Mapping[str, Tensor], info: Mapping[str, Tensor]) -> TaskOutput:
        return self.answer(self.head(self.backbone(self.clip(views, info))), info)

    def clip(self, views: Mapping[str, Tensor], info: Mapping[str, Tensor]) -> Tensor:
        return views["clip"]

    def answer(self, logits_BK: Tensor, info: Mapping[str, Tensor]) -> TaskOutput:
        accuracy = (logits_BK.detach().argmax(dim=1) == info["backwards"]).float().mean()
        loss = self.loss(logits_BK.float(), info["backwards"])
        return TaskOutput(loss, metrics={"accuracy": accuracy}, chance={"accuracy": 0.5})

    def loss(self, logits_BK: Tensor, target_B: Tensor) -> Tensor:
        return F.cross_entropy(logits_BK, target_B)


@caught_by("check_labels_and_file_names_change_nothing")
class ReadsLabel(Arrow):
    def forward(self, views, info):
        output = super().forward(views, info)
        if "label" not in info:
            return output
        return TaskOutput(
            output.loss + 0.1 * info["label"].float().mean() * output.loss, metrics=output.metrics
        )


@caught_by("check_labels_and_file_names_change_nothing")
class ReadsLabelOfEachVideo(Arrow):
    def loss(self, logits_BK, target_B):
        return super().loss(logits_BK, target_B if self.labels is None else self.labels % 2)

    def forward(self, views, info):
        self.labels = info.get("label")
        return super().forward(views, info)


class PeekingDirection(Direction):
    def __call__(self, n_frames, fps, generator):
        record = sys._getframe(1).f_locals.get("record")
        sampled = super().__call__(n_frames, fps, generator)
        shift = sum(map(ord, record.path)) % 5 if record else 0
        return Sampled({"clip": np.minimum(sampled.frames["clip"] + shift, n_frames - 1)}, sampled.info)


@caught_by("check_labels_and_file_names_change_nothing")
class ReadsFileName(Arrow):
    @classmethod
    def sampler(cls, options, clip):
        return PeekingDirection(clip)


@caught_by("check_labels_and_file_names_change_nothing")
class FindsLabel(Arrow):
    def loss(self, logits_BK, target_B):
        frame = sys._getframe()
        while frame and not frame.f_locals.get("records"):
            frame = frame.f_back
        labels = [record.label or 0 for record in frame.f_locals["records"]] if frame else []
        return super().loss(logits_BK, target_B) * (
            1 + 0.01 * sum(i * label for i, label in enumerate(labels))
        )


# ------------------------------------------------------------------------------------------ sampling


class CountingDirection(Direction):
    calls: ClassVar[list[int]] = []

    def __call__(self, n_frames, fps, generator):
        self.calls.append(1)
        sampled = super().__call__(n_frames, fps, generator)
        return Sampled({"clip": (sampled.frames["clip"] + len(self.calls)) % n_frames}, sampled.info)


@caught_by("check_sampler_is_pure")
@caught_by("check_same_generator_same_views")
@caught_by("check_views_do_not_depend_on_the_batch")
class DependsOnTheBatch(Arrow):
    @classmethod
    def sampler(cls, options, clip):
        return CountingDirection(clip)


class GlobalDirection(Direction):
    def __call__(self, n_frames, fps, generator):
        return super().__call__(n_frames, fps, np.random.default_rng(np.random.randint(1 << 30)))


@caught_by("check_sampler_leaves_global_random_state_alone")
@caught_by("check_sampler_is_pure")
class DrawsGlobally(Arrow):
    @classmethod
    def sampler(cls, options, clip):
        return GlobalDirection(clip)


class PythonDirection(Direction):
    def __call__(self, n_frames, fps, generator):
        sampled = super().__call__(n_frames, fps, generator)
        random.seed(0)
        return sampled


@caught_by("check_sampler_leaves_global_random_state_alone")
class SeedsPython(Arrow):
    @classmethod
    def sampler(cls, options, clip):
        return PythonDirection(clip)


class TorchDirection(Direction):
    def __call__(self, n_frames, fps, generator):
        sampled = super().__call__(n_frames, fps, generator)
        return Sampled({"clip": sampled.frames["clip"]}, {"backwards": int(torch.rand(()) < 0.5)})


@caught_by("check_sampler_leaves_global_random_state_alone")
@caught_by("check_same_generator_same_views")
class DrawsWithTorch(Arrow):
    @classmethod
    def sampler(cls, options, clip):
        return TorchDirection(clip)


class ClockDirection(Direction):
    def __call__(self, n_frames, fps, generator):
        return super().__call__(n_frames, fps, np.random.default_rng(int(time.time()) // 3600))


@caught_by("check_sampler_is_pure")
class GoesByTheClock(Arrow):
    @classmethod
    def sampler(cls, options, clip):
        return ClockDirection(clip)


class HashDirection(Direction):
    def __call__(self, n_frames, fps, generator):
        return super().__call__(n_frames, fps, np.random.default_rng(abs(hash(f"video of {n_frames}"))))


@caught_by("check_sampler_is_picklable")
class GoesByHash(Arrow):
    @classmethod
    def sampler(cls, options, clip):
        return HashDirection(clip)


@caught_by("check_sampler_is_picklable")
class Unpicklable(Arrow):
    @classmethod
    def sampler(cls, options, clip):
        sampler = Direction(clip)
        return lambda *arguments: sampler(*arguments)  # noqa: PLW0108


class LongDirection(Direction):
    def __call__(self, n_frames, fps, generator):
        span = self.clip.num_frames * self.clip.frame_stride
        start = int(generator.integers(max(n_frames - span, 1)))
        frames = start + np.arange(self.clip.num_frames) * self.clip.frame_stride
        return Sampled({"clip": frames}, {"backwards": int(generator.integers(2))})


class CutDirection(Direction):
    def __call__(self, n_frames, fps, generator):
        sampled = super().__call__(n_frames, fps, generator)
        return Sampled({"clip": sampled.frames["clip"][:n_frames]}, sampled.info)


@caught_by("check_sampler_works_for_every_length")
class ReadsPastTheEnd(Arrow):
    @classmethod
    def sampler(cls, options, clip):
        return LongDirection(clip)


@caught_by("check_sampler_works_for_every_length")
class CutsShortVideos(Arrow):
    @classmethod
    def sampler(cls, options, clip):
        return CutDirection(clip)


class ReusingDirection(Direction):
    """Gives the same array each time, with other frames in it."""

    frames = np.zeros(8, np.int64)

    def __call__(self, n_frames, fps, generator):
        sampled = super().__call__(n_frames, fps, generator)
        self.frames[:] = sampled.frames["clip"]
        return Sampled({"clip": self.frames}, sampled.info)


@caught_by("check_sampler_is_pure")
class ReusesItsArray(Arrow):
    @classmethod
    def sampler(cls, options, clip):
        return ReusingDirection(clip)


@caught_by("check_views_are_declared")
class AsksForAnotherView(Arrow):
    def clip(self, views, info):
        return views["video"]
