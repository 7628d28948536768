"""A corruption whose pictures go through an encoder afterwards, as in noisy test sets that are files."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from vssl_core.corruption import Corruption, CorruptionSource
from vssl_plugins.corruptions.round_trip import Coding, round_trip

__all__ = ["CODINGS", "Reencoded"]

CODINGS: Mapping[str, Coding] = {"mp4v": Coding("mpeg4", 1.5, {"g": "12", "qmin": "3"})}
"""By the name that users write. `mp4v`: MPEG-4 part 2 at 1.5 bits a pixel, a key frame every 12 frames; about
what OpenCV's `VideoWriter` makes of that code, which the benchmark's noise code calls."""


class Reencoded(Corruption):
    """Another corruption, or none, then a round trip through an encoder.

    Args:
        inner: The corruption; None: the clean video is encoded.
        coding: How.
    """

    def __init__(self, inner: Corruption | None, coding: Coding) -> None:
        self._inner, self._coding = inner, coding
        self.severities = (1,) if inner is None else inner.severities

    @property
    def draws_as(self) -> str:
        """The noise is the same with the round trip and without."""
        return super().draws_as if self._inner is None else self._inner.draws_as

    def frames(self, frames_T: np.ndarray, source: CorruptionSource, severity: int) -> np.ndarray:
        """As the inner one."""
        return frames_T if self._inner is None else self._inner.frames(frames_T, source, severity)

    def pixels(self, frames_N: np.ndarray, source: CorruptionSource, severity: int) -> np.ndarray:
        """Decoded pictures (N, H, W, 3) uint8 of the whole video made worse."""
        if self._inner is None:
            return round_trip(frames_N, source, self._coding)
        inner = self._inner
        return round_trip(
            frames_N, source, self._coding, read=lambda numbers: inner.pixels(numbers, source, severity)
        )
