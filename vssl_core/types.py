"""Plain values that travel between the parts: no torch, no pixels, no behaviour.

Axes, everywhere in vssl: B batch, C channel, T frame, H height, W width, D embedding, N token or
sample, K class. Times are seconds and say so in their names.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, Literal

import numpy as np

__all__ = ["ClipSpec", "Inventory", "InventoryList", "Sampled", "Split", "VideoInfo", "VideoRecord"]

Split = Literal["train", "validation", "test"]


@dataclass(frozen=True, slots=True)
class VideoRecord:
    """One video of an index: where it is and what is known about it, without pixels.

    Args:
        video_id: Name that does not depend on where the file is stored; unique in its dataset.
        path: The file.
        label: Class index, or None where the video is unlabelled. Pretext tasks never see it.
        group: Source of the video (the film it was cut from, the scene it was rendered from).
            Videos of one group never stand on both sides of a split and are resampled together
            by the bootstrap. None means that the video is a group of its own.
        span_seconds: The part of the file that this video is, [start, end); None for all of it.
    """

    video_id: str
    path: str
    label: int | None = None
    group: str | None = None
    span_seconds: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class InventoryList:
    """One list of a dataset, as its authors published it, and how much of it is on this machine.

    Args:
        name: What the dataset calls it (`val`).
        part: The part that it is here; None where its videos are not used.
        found: Ids of the videos that are here.
        missing: Ids of those that are not.
        published: How many videos it has by its authors, where that is known.
        official: Whether it is the authors' list, by its digest; None where no digest is known.
    """

    name: str
    part: Split | None
    found: tuple[str, ...]
    missing: tuple[str, ...] = ()
    published: int | None = None
    official: bool | None = None


@dataclass(frozen=True, slots=True)
class Inventory:
    """What a dataset has of what it should have. Paths are below the dataset's root.

    Args:
        lists: Its lists, in the order in which they are shown.
        classes: How many classes it has.
        empty_classes: Those of which no video is here.
        unexpected: Videos that no list names.
        duplicated: Id → the videos that could be it; the first one is used.
        unreadable: Videos and folders that cannot be looked at, and empty files.
        notes: Remarks, a sentence each.
        index: The file that holds all this, or empty.
    """

    lists: tuple[InventoryList, ...]
    classes: int = 0
    empty_classes: tuple[str, ...] = ()
    unexpected: tuple[str, ...] = ()
    duplicated: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    unreadable: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    index: str = ""


@dataclass(frozen=True, slots=True)
class VideoInfo:
    """What the decoder found in a file (or in the span of a record).

    Args:
        num_frames: Frames that decoding gives; never the header's claim.
        fps: Average frame rate as a fraction.
        width: Pixels as shown, rotation applied.
        height: Pixels as shown, rotation applied.
        codec: The codec's FFmpeg name.
        rotation: Degrees of the display matrix, 0, 90, 180 or 270.
        rule: How frames are counted: `"pts"` or `"emission"`.
    """

    num_frames: int
    fps: Fraction
    width: int
    height: int
    codec: str
    rotation: int
    rule: Literal["pts", "emission"]


@dataclass(frozen=True, slots=True)
class ClipSpec:
    """Geometry of one clip as the protocol fixes it for every task.

    Args:
        num_frames: Frames in a clip (T).
        frame_stride: Source frames from one sampled frame to the next.
        crop_size: Height and width of a view in pixels.
    """

    num_frames: int
    frame_stride: int
    crop_size: int


@dataclass(frozen=True, slots=True)
class Sampled:
    """Which frames of one video each source clip takes.

    Args:
        frames: Source clip name → int64 array (T,) of frame indices in [0, n_frames). Different
            clips may overlap: every frame is decoded once.
        info: What the labels need (order, speed, rate …): ints, floats or fixed-shape arrays. The
            core stacks them over the batch and hands them to the task's `forward` as tensors.
    """

    frames: Mapping[str, np.ndarray]
    info: Mapping[str, Any] = field(default_factory=dict)
