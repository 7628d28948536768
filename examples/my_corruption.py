"""Fog, as a corruption: distance hides, and the whole video lies in the same haze."""

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from pydantic import Field

from vssl_core import Corruption, CorruptionSource, Options


class FogOptions(Options):
    """What can be set with `-o corruption/./my_corruption.py:Fog.OPTION=VALUE`."""

    light: float = Field(0.9, ge=0, le=1)
    """Brightness of the fog."""


class Fog(Corruption):
    """Pictures behind fog that is thicker at the top, and drifts from frame to frame."""

    Options = FogOptions
    severities: ClassVar[Sequence[int]] = (1, 2, 3)
    family = "weather"

    def __init__(self, options: Any) -> None:
        self.options = options

    def pixels(self, frames_N: np.ndarray, source: CorruptionSource, severity: int) -> np.ndarray:
        """The pictures (N, H, W, 3) uint8 of these frames."""
        frames_NHWC = source.read(frames_N) / 255.0
        start = source.generator("start").random()  # of the video; `source.generator(frame)` is of a frame
        height = np.linspace(1.0, 0.5, frames_NHWC.shape[1])[:, None, None]
        drift = 1.0 + 0.1 * np.sin(2 * np.pi * (start + frames_N / 50))[:, None, None, None]
        share = np.clip(0.2 * severity * height * drift, 0, 1)
        worse_NHWC = (1 - share) * frames_NHWC + share * self.options.light
        return np.rint(255 * worse_NHWC).astype(np.uint8)
