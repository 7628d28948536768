"""Corruptions of every picture alike, without anything random.

Constants by severity are those of ImageNet-C (Hendrycks and Dietterich, ICLR 2019; made for pictures of 224
pixels). They apply to frames as the order of the evaluation gives them: of the file's size, or resized.

Axes: N frame, H height, W width.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from scipy.ndimage import gaussian_filter

from vssl_core.corruption import Corruption, CorruptionSource

__all__ = ["Blur", "Brightness"]

_SIGMA = (1.0, 2.0, 3.0, 4.0, 6.0)
_BRIGHTER = (0.1, 0.2, 0.3, 0.4, 0.5)


class Blur(Corruption):
    """A Gaussian blur, its standard deviation 1 to 6 pixels, cut off at four of it; edges are repeated."""

    api_version = 1
    severities: ClassVar[Sequence[int]] = (1, 2, 3, 4, 5)
    family = "blur"
    paper = "https://arxiv.org/abs/1903.12261"

    def __init__(self, options: Any) -> None:
        del options

    def pixels(self, frames_N: np.ndarray, source: CorruptionSource, severity: int) -> np.ndarray:
        """Blurred pictures (N, H, W, 3) uint8."""
        frames_NHWC = source.read(frames_N)
        sigma = (_SIGMA[severity - 1], _SIGMA[severity - 1], 0)
        worse_NHWC = np.empty_like(frames_NHWC)
        for row, frame_HWC in enumerate(frames_NHWC):
            blurred = gaussian_filter(frame_HWC.astype(np.float32), sigma, mode="nearest", truncate=4.0)
            worse_NHWC[row] = np.rint(np.clip(blurred, 0, 255))
        return worse_NHWC


class Brightness(Corruption):
    """The value of HSV raised by 0.1 to 0.5 of its range; hue and saturation stay."""

    api_version = 1
    severities: ClassVar[Sequence[int]] = (1, 2, 3, 4, 5)
    family = "brightness"
    paper = "https://arxiv.org/abs/1903.12261"

    def __init__(self, options: Any) -> None:
        del options

    def pixels(self, frames_N: np.ndarray, source: CorruptionSource, severity: int) -> np.ndarray:
        """Brighter pictures (N, H, W, 3) uint8: colours are multiplied, black becomes grey."""
        frames_NHWC = source.read(frames_N)
        worse_NHWC = np.empty_like(frames_NHWC)
        for row, frame_HWC in enumerate(frames_NHWC):
            clean_HWC = frame_HWC.astype(np.float32) / 255
            value_HW1 = clean_HWC.max(axis=2, keepdims=True)
            raised_HW1 = np.minimum(value_HW1 + _BRIGHTER[severity - 1], 1)
            share_HWC = np.divide(clean_HWC, value_HW1, out=np.ones_like(clean_HWC), where=value_HW1 > 0)
            worse_NHWC[row] = np.rint(255 * share_HWC * raised_HW1)
        return worse_NHWC
