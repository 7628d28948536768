"""From a video to the views that a task sees.

One sample is a pure function of (seed, epoch, video_id): the task's sampler names the frames, they are
decoded once, the declared augmentation is drawn per view and applied. On a CPU everything happens in
uint8 in the loader's threads; for a GPU the threads stop after the crop, and the rest is done there on
the whole batch with the same drawn parameters.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from vssl_core.augmentation import (
    DrawnView,
    apply_geometry,
    apply_pixels,
    apply_pixels_batched,
    draw_view,
    normalize,
)
from vssl_core.augmentation.ops import Augmentation
from vssl_core.errors import ContractError
from vssl_core.interfaces import ViewSampler
from vssl_core.protocol import Data
from vssl_core.seeding import generator, key_digest
from vssl_core.types import ClipSpec, Sampled, VideoInfo, VideoRecord
from vssl_core.video.loader import ordered_map

__all__ = [
    "Batch",
    "ClipReader",
    "Key",
    "Sample",
    "ViewPipeline",
    "collate",
    "epoch_order",
    "load_batches",
    "to_device",
]


class ClipReader(Protocol):
    """What gives frames: a `FrameReader`, or something that reads like one."""

    def info(self, record: VideoRecord) -> VideoInfo:
        """How many frames the video has, and how fast they follow."""

    def read_clips(self, record: VideoRecord, clips: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Name → frame numbers (T,) becomes name → (T, H, W, 3) uint8 RGB."""


@dataclass(frozen=True, slots=True)
class Key:
    """What a sample depends on, besides the seed."""

    epoch: int
    record: VideoRecord


@dataclass(frozen=True, slots=True)
class Sample:
    """One video as its views: uint8 (T, S, S, 3) each, `drawn` where pixels are left to a GPU."""

    views: Mapping[str, np.ndarray]
    drawn: Mapping[str, DrawnView]
    info: Mapping[str, Any]
    num_frames: int


@dataclass(frozen=True, slots=True)
class Batch:
    """Views (B, T, S, S, 3) uint8 on the host, their information, and what they cost to decode."""

    views: Mapping[str, Tensor]
    drawn: Mapping[str, Sequence[DrawnView]]
    info: Mapping[str, Tensor]
    num_frames: int
    keys: Sequence[Key]


def epoch_order(records: Sequence[VideoRecord], *, seed: int, epoch: int) -> list[VideoRecord]:
    """The order of an epoch: by a hash of (seed, epoch, video_id), so that a video which is left out
    does not change the order of the others."""
    return sorted(records, key=lambda record: key_digest("order", seed, epoch, record.video_id))


class ViewPipeline:
    """Makes samples. Safe to call from several threads.

    Args:
        reader: Gives frames.
        sampler: The task's.
        augmentation: The task's.
        clip: Geometry.
        seed: The cell's.
        pixels_here: False leaves everything after the crop to `to_device` (a GPU).
        labels: Puts the label into `info`; only for the supervised control.
    """

    def __init__(
        self,
        *,
        reader: ClipReader,
        sampler: ViewSampler,
        augmentation: Augmentation,
        clip: ClipSpec,
        seed: int,
        pixels_here: bool = True,
        labels: Mapping[str, int] | None = None,
    ) -> None:
        self._reader = reader
        self._sampler = sampler
        self.augmentation = dict(augmentation)
        self._clip = clip
        self._seed = seed
        self._pixels_here = pixels_here
        self._labels = labels

    def __call__(self, key: Key) -> Sample:
        """The views of one video in one epoch.

        Raises:
            ContractError: The sampler named frames that are not there, or no clip for a view.
            VideoError: The video cannot be read.
        """
        record = key.record
        seen = self._reader.info(record)
        sampled = self._sampler(
            seen.num_frames,
            float(seen.fps),
            generator("sampler", self._seed, key.epoch, record.video_id),
        )
        self._check(sampled, seen.num_frames)
        clips = self._reader.read_clips(record, sampled.frames)
        views, drawn = {}, {}
        for name, view in self.augmentation.items():
            frames = clips[view.frames or name]
            drawn[name] = draw_view(
                view,
                key=("view", self._seed, key.epoch, record.video_id, view.draw or name),
                num_frames=len(frames),
                height=frames.shape[1],
                width=frames.shape[2],
                crop_size=self._clip.crop_size,
            )
            cropped = apply_geometry(frames, drawn[name], crop_size=self._clip.crop_size)
            views[name] = apply_pixels(cropped, drawn[name]) if self._pixels_here else cropped
        info = dict(sampled.info)
        if self._labels is not None:
            info["label"] = self._labels[record.video_id]
        wanted = np.unique(np.concatenate([np.asarray(i) for i in sampled.frames.values()]))
        return Sample(views, {} if self._pixels_here else drawn, info, len(wanted))

    def _check(self, sampled: Sampled, num_frames: int) -> None:
        for name, view in self.augmentation.items():
            if (view.frames or name) not in sampled.frames:
                raise ContractError(
                    f"view {name!r} is made from clip {view.frames or name!r}; "
                    f"the sampler gave {sorted(sampled.frames)}."
                )
        for name, indices in sampled.frames.items():
            array = np.asarray(indices)
            if array.ndim != 1 or not len(array) or array.dtype.kind not in "iu":
                raise ContractError(
                    f"the sampler gave clip {name!r} as {array.dtype}{array.shape}; expected int (T,)."
                )
            if array.min() < 0 or array.max() >= num_frames:
                raise ContractError(
                    f"the sampler asked for frames {array.min()} … {array.max()} of clip {name!r}; "
                    f"the video has frames 0 … {num_frames - 1}."
                )


def collate(samples: Sequence[Sample], keys: Sequence[Key]) -> Batch:
    """Stack samples.

    Raises:
        ContractError: Views or information of different videos differ in shape.
    """
    first = samples[0]
    try:
        views = {n: torch.from_numpy(np.stack([s.views[n] for s in samples])) for n in first.views}
        info = {n: _stack_info([s.info[n] for s in samples]) for n in first.info}
    except (ValueError, KeyError) as error:
        raise ContractError(
            f"samples of one batch do not stack: {error}. Every video must give equal shapes."
        ) from error
    drawn = {n: [s.drawn[n] for s in samples] for n in first.drawn}
    return Batch(views, drawn, info, sum(s.num_frames for s in samples), keys)


def _stack_info(values: Sequence[Any]) -> Tensor:
    array = np.stack([np.asarray(value) for value in values])
    kind = np.float32 if array.dtype.kind == "f" else np.int64
    return torch.from_numpy(array.astype(kind))


def load_batches(
    pipeline: ViewPipeline, batches: Iterable[Sequence[Key]], *, threads: int, prefetch: int
) -> Generator[Batch, None, None]:
    """Batches in order, made by threads of this process, `prefetch` samples in advance at most."""
    waiting: deque[Sequence[Key]] = deque()

    def keys() -> Iterator[Key]:
        for batch in batches:
            waiting.append(batch)
            yield from batch

    made: list[Sample] = []
    with closing(ordered_map(pipeline, keys(), threads=threads, prefetch=prefetch)) as samples:
        for sample in samples:
            made.append(sample)
            if len(made) == len(waiting[0]):
                yield collate(made, waiting.popleft())
                made = []


def to_device(
    batch: Batch,
    pipeline: ViewPipeline,
    *,
    data: Data,
    device: torch.device,
    memory_format: torch.memory_format = torch.channels_last_3d,
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Views as floats (B, 3, T, S, S) in this memory format, and their information, on the device.

    They are made in channels-last memory: any other format is a copy.
    """
    views = {}
    for name, video in batch.views.items():
        moved = video.to(device, non_blocking=True)
        if batch.drawn:
            moved = apply_pixels_batched(moved, batch.drawn[name])
        levels = normalize(moved, mean=data.mean, std=data.std, enabled=pipeline.augmentation[name].normalize)
        views[name] = levels.contiguous(memory_format=memory_format)
    return views, {name: value.to(device, non_blocking=True) for name, value in batch.info.items()}
