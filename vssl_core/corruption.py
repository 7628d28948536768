"""What the author of a corruption writes: a way to make test videos worse, in degrees.

An evaluator reads them through `EvaluationPart.corrupted`; the pixels come from the file, whatever the
backbone takes. Frame numbers count from the first frame of the video, or of its span.

Axes: N frame of a video, T frame of a clip, H height, W width.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from vssl_core.options import Options

__all__ = ["Corruption", "CorruptionSource"]


@dataclass(frozen=True, slots=True)
class CorruptionSource:
    """One video as a corruption sees it.

    Args:
        num_frames: Frames of the video.
        fps: Frames per second.
        read: Frame numbers (N,) → their pictures (N, H, W, 3) uint8 RGB, of their own or the clip's size.
        generator: Words and numbers → a random generator of the seed, the video, the corruption, its
            severity and them. Draw from `generator(frame)` what belongs to one frame, so that it looks the
            same whichever others are read.
    """

    num_frames: int
    fps: float
    read: Callable[[np.ndarray], np.ndarray]
    generator: Callable[..., np.random.Generator]


class Corruption(ABC):
    """A way to make test videos worse, in degrees. Override `frames`, `pixels` or both."""

    Options: ClassVar[type[Options]] = Options
    severities: ClassVar[Sequence[int]] = (1, 2, 3, 4, 5)
    family: ClassVar[str] = "other"  # `noise`, `temporal`, `codec`, `blur`, … : means are taken within it
    paper: ClassVar[str] = ""

    @abstractmethod
    def __init__(self, options: Any) -> None:
        """Keep the options."""

    @property
    def draws_as(self) -> str:
        """Its word in the key of what it draws; a corruption around another one gives that one's."""
        return type(self).__name__

    def frames(self, frames_T: np.ndarray, source: CorruptionSource, severity: int) -> np.ndarray:
        """Frame numbers (T,) of a clip → those that it shows instead (T,)."""
        del source, severity
        return frames_T

    def pixels(self, frames_N: np.ndarray, source: CorruptionSource, severity: int) -> np.ndarray:
        """The pictures (N, H, W, 3) uint8 of these frames, ascending and each once per video."""
        del severity
        return source.read(frames_N)
