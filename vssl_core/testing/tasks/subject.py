"""A task under test, built and fed as the core does it, on small clips."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias

import torch
from torch import Tensor

from vssl_core.augmentation.ops import Augmentation
from vssl_core.draws import equal_draws
from vssl_core.interfaces import Backbone, PretextTask, TaskContext, ViewSampler
from vssl_core.protocol import Data
from vssl_core.registry import PluginRef, load
from vssl_core.seeding import key_seed
from vssl_core.testing.component import Component
from vssl_core.testing.subjects import kept
from vssl_core.testing.tasks.backbone import backbone_class
from vssl_core.testing.tasks.videos import moving_videos, reader
from vssl_core.types import ClipSpec, VideoRecord
from vssl_core.video import FrameReader
from vssl_core.views import Key, ViewPipeline, load_batches, to_device

__all__ = ["BATCH", "CLIP", "Batch", "TaskSubject", "load_views", "rows", "subject"]

CLIP = ClipSpec(num_frames=8, frame_stride=2, crop_size=32)
BATCH = 8
NUM_VIDEOS = 20  # no multiple of the batch: a queue of this size then ends a step in its middle

Batch: TypeAlias = tuple[dict[str, Tensor], dict[str, Tensor]]
"""Views (B, 3, T, H, W) and information (B, …), as `forward` takes them."""


@dataclass(frozen=True)
class TaskSubject(Component):
    """A task's class with its options."""

    @property
    def sampler(self) -> ViewSampler:
        """A new sampler for the clips of the checks."""
        made: ViewSampler = self.cls.sampler(self.options, CLIP)
        return made

    @property
    def augmentation(self) -> Augmentation:
        """The declared views."""
        declared: Augmentation = self.cls.augmentation(self.options, CLIP)
        return declared

    @cached_property
    def backbone(self) -> type[Backbone]:
        """Raises CheckSkipped where no backbone provides what the task requires."""
        return backbone_class(frozenset(self.cls.requires), CLIP)

    def new_backbone(self) -> Backbone:
        """A new backbone, always with the same weights."""
        with torch.random.fork_rng(devices=[]), equal_draws(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.manual_seed(key_seed("backbone", 0))
            return self.backbone(self.backbone.Options(), CLIP)

    def task(
        self,
        *,
        seed: int | None = 0,
        batch_size: int = BATCH,
        options: Any = None,
        make_backbone: Callable[[], Backbone] | None = None,
    ) -> PretextTask:
        """A new task whose own parts are drawn from this seed; with None from the state of the generator."""
        context = TaskContext(clip=CLIP, num_videos=NUM_VIDEOS, batch_size=batch_size)
        options = self.options if options is None else options
        make_backbone = make_backbone or self.new_backbone
        if seed is not None:
            torch.manual_seed(key_seed("task", seed))
        with equal_draws(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what a task says of small queues is for users
            made: PretextTask = self.cls(make_backbone, options, context)
        return made

    def pipeline(
        self,
        *,
        frames: FrameReader | None = None,
        sampler: ViewSampler | None = None,
        augmentation: Augmentation | None = None,
        clip: ClipSpec = CLIP,
    ) -> ViewPipeline:
        """The core's way from videos to views, with a new sampler."""
        return ViewPipeline(
            reader=frames or reader(),
            sampler=sampler or self.sampler,
            augmentation=augmentation or self.augmentation,
            clip=clip,
            seed=0,
        )

    def batch(self, *, epoch: int = 0) -> Batch:
        """Views of the moving videos in one epoch."""
        return load_views(self.pipeline(), moving_videos(), epoch=epoch)


@kept
def subject(ref: PluginRef, values: Mapping[str, Any]) -> TaskSubject:
    """Load a task. Raises what `load` raises."""
    return TaskSubject(ref, load(ref), values)


def load_views(
    pipeline: ViewPipeline, records: Sequence[VideoRecord], *, epoch: int = 0, threads: int = 0
) -> Batch:
    """One batch of these videos, as `forward` gets it on a CPU."""
    keys = [Key(epoch, record) for record in records]
    (batch,) = load_batches(pipeline, [keys], threads=threads, prefetch=len(keys))
    return to_device(batch, pipeline, data=Data(), device=torch.device("cpu"))


def rows(batch: Batch, part: slice | Tensor) -> Batch:
    """Some of the videos of a batch, as tensors of their own."""
    views, info = batch
    return {k: v[part].clone() for k, v in views.items()}, {k: v[part].clone() for k, v in info.items()}
