"""A corruption under test, and little videos in memory for it to make worse.

Axes: N frame, T frame of a clip, H height, W width.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from vssl_core.corruption import Corruption, CorruptionSource
from vssl_core.seeding import generator
from vssl_core.testing.component import Component
from vssl_core.testing.outcome import CheckFailed

__all__ = ["VIDEOS", "CorruptionSubject", "LittleVideo", "clips_of", "frames_of"]


@dataclass(frozen=True)
class LittleVideo:
    """A texture that moves and fades; `number` tells videos of one size apart."""

    num_frames: int
    height: int
    width: int
    number: int = 0

    def __str__(self) -> str:
        return f"a video of {self.num_frames} frames, {self.height} x {self.width} pixels"

    @property
    def pictures(self) -> np.ndarray:
        """All of it (N, H, W, 3) uint8; one array, which nobody may change."""
        return _rendered(self)

    def source(self, cls: type, severity: int, *, seed: int = 0) -> CorruptionSource:
        """As the core shows it to a corruption."""
        words = ("corruption", cls.__name__, severity, seed, f"video {self}-{self.number}")

        def draw(*key: Any) -> np.random.Generator:
            return generator(*words, *(part if isinstance(part, str) else int(part) for part in key))

        return CorruptionSource(self.num_frames, 25.0, lambda frames_N: self.pictures[frames_N], draw)


VIDEOS = (LittleVideo(12, 32, 48), LittleVideo(7, 33, 47), LittleVideo(1, 36, 36))
"""Even and odd sizes, and a single frame."""


@cache
def _rendered(video: LittleVideo) -> np.ndarray:
    draw = generator("little video", video.num_frames, video.height, video.width, video.number)
    coarse = draw.integers(30, 226, (-(-video.height // 6), -(-video.width // 6), 3))
    texture = np.kron(coarse, np.ones((6, 6, 1)))[: video.height, : video.width]
    frames = [np.roll(texture, 2 * t, axis=1) * (1 - 0.02 * t) for t in range(video.num_frames)]
    video_NHWC: np.ndarray = np.stack(frames).round().astype(np.uint8)
    return video_NHWC


class CorruptionSubject(Component):
    """A corruption class with its options."""

    def made(self) -> Corruption:
        """A new one."""
        corruption: Corruption = self.cls(self.options)
        return corruption

    @property
    def severities(self) -> Sequence[int]:
        """As the class states them."""
        return tuple(self.cls.severities)

    @property
    def overrides(self) -> frozenset[str]:
        """Which of `frames` and `pixels` it has itself."""
        return frozenset(
            name for name in ("frames", "pixels") if getattr(self.cls, name) is not getattr(Corruption, name)
        )

    def frames(
        self, corruption: Corruption, frames_T: np.ndarray, video: LittleVideo, severity: int
    ) -> np.ndarray:
        """What `frames` gives, checked to be integers (T,) of the video."""
        shown = np.asarray(corruption.frames(frames_T, video.source(self.cls, severity), severity))
        if shown.shape != frames_T.shape or shown.dtype.kind not in "iu":
            raise CheckFailed(
                f"expected frames to give integers {frames_T.shape}, as many as it is given; got "
                f"{shown.dtype} {shown.shape} at severity {severity}."
            )
        if len(shown) and (shown.min() < 0 or shown.max() >= video.num_frames):
            raise CheckFailed(
                f"expected frames to name frames from 0 to {video.num_frames - 1}; got {shown.min()} to "
                f"{shown.max()} at severity {severity}."
            )
        return shown.astype(np.int64)

    def pixels(
        self,
        corruption: Corruption,
        frames_N: Sequence[int] | np.ndarray,
        video: LittleVideo,
        severity: int,
        *,
        seed: int = 0,
    ) -> np.ndarray:
        """What `pixels` gives, checked to be as many pictures of the video's size."""
        wanted = np.asarray(frames_N, dtype=np.int64)
        source = video.source(self.cls, severity, seed=seed)
        pictures = np.asarray(corruption.pixels(wanted, source, severity))
        expected = (len(wanted), video.height, video.width, 3)
        if pictures.shape != expected or pictures.dtype != np.uint8:
            raise CheckFailed(
                f"expected pixels to give uint8 {expected} of {video}; got {pictures.dtype} "
                f"{pictures.shape} at severity {severity}."
            )
        return pictures

    def shown(self, corruption: Corruption, video: LittleVideo, severity: int) -> np.ndarray:
        """The whole video as one clip, as a classifier would see it."""
        shown_T = self.frames(corruption, np.arange(video.num_frames), video, severity)
        wanted = np.unique(shown_T)
        pictures = self.pixels(corruption, wanted, video, severity)
        return pictures[np.searchsorted(wanted, shown_T)]


def clips_of(num_frames: int) -> Iterator[np.ndarray]:
    """Clips of a video of this length: one frame, all, a stride, one that repeats its end."""
    yield np.array([num_frames - 1])
    yield np.arange(num_frames)
    yield np.arange(0, num_frames, 3)
    yield np.minimum(np.arange(8), num_frames - 1)


def frames_of(video: LittleVideo) -> np.ndarray:
    """Some of its frames, ascending."""
    return np.unique(np.array([0, 1, 3, 4, video.num_frames - 1]).clip(0, video.num_frames - 1))
