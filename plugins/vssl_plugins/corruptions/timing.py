"""Corruptions of time: pictures stay as they are, and are shown at another moment.

What is lost on the way of a live video (`frame_drop`, `freeze`) has severities and is drawn for the video, so
that all clips of it meet the same gaps. `shuffle`, `reverse` and `static` take order or motion away from a
clip altogether; they have one severity.

Axes: T frame of a clip.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from vssl_core.corruption import Corruption, CorruptionSource

__all__ = ["FrameDrop", "Freeze", "Reverse", "Shuffle", "Static"]

_DROPPED = (0.1, 0.25, 0.4, 0.6, 0.8)
_FROZEN = (0.1, 0.2, 0.4, 0.6, 0.8)


class FrameDrop(Corruption):
    """Frames are lost at random, 10 to 80 %; the last one that came stays on the screen.

    A frame that is lost shows the last kept one before it; the first of the video is always kept.
    """

    api_version = 1
    severities: ClassVar[Sequence[int]] = (1, 2, 3, 4, 5)
    family = "temporal"

    def __init__(self, options: Any) -> None:
        del options

    def frames(self, frames_T: np.ndarray, source: CorruptionSource, severity: int) -> np.ndarray:
        """The last kept frame at or before each."""
        kept = source.generator("kept").random(source.num_frames) >= _DROPPED[severity - 1]
        kept[0] = True
        last = np.maximum.accumulate(np.where(kept, np.arange(source.num_frames), 0))
        shown_T: np.ndarray = last[frames_T]
        return shown_T


class Freeze(Corruption):
    """The picture stands still once, for 10 to 80 % of the video, from a moment drawn at random."""

    api_version = 1
    severities: ClassVar[Sequence[int]] = (1, 2, 3, 4, 5)
    family = "temporal"

    def __init__(self, options: Any) -> None:
        del options

    def frames(self, frames_T: np.ndarray, source: CorruptionSource, severity: int) -> np.ndarray:
        """The first frame of the freeze for all in it; the others as they are."""
        length = max(1, round(_FROZEN[severity - 1] * source.num_frames))
        start = source.generator("start").integers(source.num_frames - length + 1)
        frozen_T = (frames_T >= start) & (frames_T < start + length)
        return np.where(frozen_T, start, frames_T)


class Shuffle(Corruption):
    """The frames of a clip in an order drawn at random."""

    api_version = 1
    severities: ClassVar[Sequence[int]] = (1,)
    family = "temporal"

    def __init__(self, options: Any) -> None:
        del options

    def frames(self, frames_T: np.ndarray, source: CorruptionSource, severity: int) -> np.ndarray:
        """A permutation, drawn for the clip's first frame and length."""
        del severity
        return source.generator("order", int(frames_T[0]), len(frames_T)).permutation(frames_T)


class Reverse(Corruption):
    """The clip backwards."""

    api_version = 1
    severities: ClassVar[Sequence[int]] = (1,)
    family = "temporal"

    def __init__(self, options: Any) -> None:
        del options

    def frames(self, frames_T: np.ndarray, source: CorruptionSource, severity: int) -> np.ndarray:
        """From the last to the first."""
        del source, severity
        return frames_T[::-1]


class Static(Corruption):
    """The clip's middle frame, all the time: no motion is left."""

    api_version = 1
    severities: ClassVar[Sequence[int]] = (1,)
    family = "temporal"

    def __init__(self, options: Any) -> None:
        del options

    def frames(self, frames_T: np.ndarray, source: CorruptionSource, severity: int) -> np.ndarray:
        """The one in the middle, of two the later."""
        del source, severity
        return np.full_like(frames_T, frames_T[len(frames_T) // 2])
