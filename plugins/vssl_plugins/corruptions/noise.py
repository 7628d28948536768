"""The benchmark's four noises, drawn for every frame and channel value by itself.

With x in [0, 1], the constant c of a severity, clipped to [0, 1] afterwards and rounded to 256 levels:

    gaussian   x + N(0, c²)
    shot       Poisson(x c) / c
    impulse    a share c of the values becomes 0 or 1, half of it each
    speckle    x + x N(0, c²)

The noises are those of ImageNet-C (Hendrycks and Dietterich, ICLR 2019). The benchmark took them from the
video robustness study of its group (Schiappa et al., CVPR 2023), whose shot and speckle are weaker: at
mid-grey shot has a standard deviation of 0.045 at severity 1 there, 0.091 in ImageNet-C. `constants` says
which.

Numbers come from NumPy's Philox generators, one for each (seed, video, noise, severity, frame), so that
machines make the same noise; NumPy may change what its distributions draw with a release.

Axes: N frame, H height, W width.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

import numpy as np

from vssl_core.corruption import Corruption, CorruptionSource
from vssl_core.options import Options

__all__ = ["Constants", "Gaussian", "Impulse", "Noise", "NoiseOptions", "Shot", "Speckle"]

Constants = Literal["video", "imagenet_c"]


class NoiseOptions(Options):
    """How strong."""

    constants: Constants = "video"
    """Those of the video robustness study, or of ImageNet-C. They differ for shot and speckle."""


class Noise(Corruption):
    """Noise of each frame's own, with a constant c for each severity."""

    Options: ClassVar[type[Options]] = NoiseOptions
    severities: ClassVar[Sequence[int]] = (1, 2, 3, 4, 5)
    family = "noise"
    paper = "https://arxiv.org/abs/1903.12261"
    levels_of: ClassVar[Mapping[str, Sequence[float]]]

    def __init__(self, options: Any) -> None:
        self.options = options

    def with_constants(self, constants: Constants) -> Noise:
        """The same noise with other constants."""
        return type(self)(self.options.model_copy(update={"constants": constants}))

    def pixels(self, frames_N: np.ndarray, source: CorruptionSource, severity: int) -> np.ndarray:
        """Noisy pictures (N, H, W, 3) uint8."""
        constant = self.levels_of[self.options.constants][severity - 1]
        frames_NHWC = source.read(frames_N)
        worse_NHWC = np.empty_like(frames_NHWC)
        for row, frame in enumerate(frames_N):
            clean_HWC = frames_NHWC[row].astype(np.float32) / np.float32(255)
            noisy_HWC = self.noisy(clean_HWC, constant, source.generator(frame))
            worse_NHWC[row] = np.rint(255 * np.clip(noisy_HWC, 0, 1))
        return worse_NHWC

    @abstractmethod
    def noisy(self, clean_HWC: np.ndarray, constant: float, draw: np.random.Generator) -> np.ndarray:
        """A picture in [0, 1] with noise, not clipped."""


class Gaussian(Noise):
    """Additive Gaussian noise, as of a sensor in low light: standard deviation 0.08 to 0.38."""

    api_version = 1
    levels_of = dict.fromkeys(("video", "imagenet_c"), (0.08, 0.12, 0.18, 0.26, 0.38))

    def noisy(self, clean_HWC: np.ndarray, constant: float, draw: np.random.Generator) -> np.ndarray:
        """x + N(0, c²)."""
        return clean_HWC + np.float32(constant) * draw.standard_normal(clean_HWC.shape, dtype=np.float32)


class Shot(Noise):
    """Poisson noise, as of counted photons: c of them make white (250 to 15, or 60 to 3)."""

    api_version = 1
    levels_of = {"video": (250, 100, 50, 30, 15), "imagenet_c": (60, 25, 12, 5, 3)}  # noqa: RUF012

    def noisy(self, clean_HWC: np.ndarray, constant: float, draw: np.random.Generator) -> np.ndarray:
        """Poisson(x c) / c."""
        return draw.poisson(clean_HWC * constant) / constant


class Impulse(Noise):
    """Salt and pepper, as of dead cells: a share of 3 to 27 % of the channel values, half of it each."""

    api_version = 1
    levels_of = dict.fromkeys(("video", "imagenet_c"), (0.03, 0.06, 0.09, 0.17, 0.27))

    def noisy(self, clean_HWC: np.ndarray, constant: float, draw: np.random.Generator) -> np.ndarray:
        """0 where a uniform number is below c / 2, 1 where it is above 1 - c / 2, else x."""
        uniform_HWC = draw.random(clean_HWC.shape, dtype=np.float32)
        peppered_HWC = np.where(uniform_HWC < constant / 2, np.float32(0), clean_HWC)
        return np.where(uniform_HWC >= 1 - constant / 2, np.float32(1), peppered_HWC)


class Speckle(Noise):
    """Multiplicative Gaussian noise: standard deviation 0.15 to 0.35 of the value (or to 0.60)."""

    api_version = 1
    levels_of = {  # noqa: RUF012
        "video": (0.15, 0.20, 0.25, 0.30, 0.35),
        "imagenet_c": (0.15, 0.20, 0.35, 0.45, 0.60),
    }

    def noisy(self, clean_HWC: np.ndarray, constant: float, draw: np.random.Generator) -> np.ndarray:
        """x + x N(0, c²)."""
        noise_HWC = draw.standard_normal(clean_HWC.shape, dtype=np.float32)
        return clean_HWC + np.float32(constant) * clean_HWC * noise_HWC
