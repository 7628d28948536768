"""Augmentations as data: a task declares them, the core draws and applies them.

An op says which parameters may be drawn; it holds no pixels, no generator and no code for pixels.
The core draws the parameters once per (seed, epoch, video_id, draw group), holds them fixed over
all frames of a clip, and applies them by the fastest exact path of the machine.

Every op raises ContractError for values that it cannot mean: a probability outside 0 … 1, a range
whose ends are not in order, a scale that would enlarge the crop beyond the frame.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import inf, isfinite
from typing import TypeAlias

from vssl_core.errors import ContractError

__all__ = [
    "Augmentation",
    "CenterCrop",
    "ColorJitter",
    "Crop",
    "Gamma",
    "GaussianBlur",
    "Grayscale",
    "HorizontalFlip",
    "Op",
    "QuarterTurn",
    "RandomCrop",
    "ResizedCrop",
    "RotationJitter",
    "Solarize",
    "TemporalMix",
    "ViewAugmentation",
]

_SMALLEST = 1e-3  # of what must be more than nothing: areas, aspects, sigmas


@dataclass(frozen=True, slots=True)
class RotationJitter:
    """Rotate by U(-degrees, degrees) about the centre, bilinear, black corners; before the crop."""

    degrees: float = 10.0

    def __post_init__(self) -> None:
        _numbers(self, 0, 180, "degrees")


@dataclass(frozen=True, slots=True)
class ResizedCrop:
    """Crop a box of random area (share of the frame) and aspect (log-uniform), resize to the view.

    Ten tries, then the largest centred box whose aspect is in range (Inception style).
    """

    area: tuple[float, float] = (0.3, 1.0)
    aspect: tuple[float, float] = (0.5, 2.0)

    def __post_init__(self) -> None:
        _pairs(self, _SMALLEST, 1, "area")
        _pairs(self, _SMALLEST, 1000, "aspect")


@dataclass(frozen=True, slots=True)
class RandomCrop:
    """A square at a uniform place, whose side is short_side / scale; resized to the view.

    `scale` = 8/7 is the usual "resize to 128, crop 112", done in one resize.
    """

    scale: float = 8 / 7

    def __post_init__(self) -> None:
        _numbers(self, 1, inf, "scale")


@dataclass(frozen=True, slots=True)
class CenterCrop:
    """The centred square of side short_side / scale, resized to the view. Draws nothing."""

    scale: float = 1.0

    def __post_init__(self) -> None:
        _numbers(self, 1, inf, "scale")


@dataclass(frozen=True, slots=True)
class HorizontalFlip:
    """Mirror left and right with probability p."""

    p: float = 0.5

    def __post_init__(self) -> None:
        _numbers(self, 0, 1, "p")


@dataclass(frozen=True, slots=True)
class QuarterTurn:
    """Rotate by turns · 90° counter-clockwise, exactly, without interpolation. Draws nothing."""

    turns: int = 0

    def __post_init__(self) -> None:
        _whole(self, "turns")


@dataclass(frozen=True, slots=True)
class ColorJitter:
    """Brightness, contrast, saturation U(1-x, 1+x) and hue U(-x, x), in random order.

    The whole jitter happens with probability p. Contrast blends with the mean of the whole clip, so
    that it is the same for all its frames. Hue is the exact HSV rotation, in turns. Components of
    strength 0 are left out. Factors are drawn in steps of 1/4096, hue in steps of 1/1536 turn.
    """

    brightness: float = 0.4
    contrast: float = 0.4
    saturation: float = 0.4
    hue: float = 0.1
    p: float = 1.0

    def __post_init__(self) -> None:
        _numbers(self, 0, 1, "brightness", "contrast", "saturation", "p")
        _numbers(self, 0, 0.5, "hue")


@dataclass(frozen=True, slots=True)
class Grayscale:
    """Replace colour by luma (ITU-R 601) with probability p."""

    p: float = 0.2

    def __post_init__(self) -> None:
        _numbers(self, 0, 1, "p")


@dataclass(frozen=True, slots=True)
class Gamma:
    """x → x ** g on [0, 1], g log-uniform in `gamma`, with probability p."""

    gamma: tuple[float, float] = (0.7, 1.5)
    p: float = 0.5

    def __post_init__(self) -> None:
        _pairs(self, _SMALLEST, inf, "gamma")
        _numbers(self, 0, 1, "p")


@dataclass(frozen=True, slots=True)
class GaussianBlur:
    """Gaussian blur, sigma U(sigma) pixels, kernel the odd size nearest `kernel` · crop_size.

    Borders are mirrored without repeating the edge pixel.
    """

    sigma: tuple[float, float] = (0.1, 2.0)
    kernel: float = 0.1
    p: float = 0.5

    def __post_init__(self) -> None:
        _pairs(self, _SMALLEST, inf, "sigma")
        _numbers(self, 0, 1, "kernel", "p")


@dataclass(frozen=True, slots=True)
class Solarize:
    """Invert values at or above `threshold` (0 … 255) with probability p."""

    threshold: int = 128
    p: float = 0.2

    def __post_init__(self) -> None:
        _numbers(self, 0, 255, "threshold")
        _whole(self, "threshold")
        _numbers(self, 0, 1, "p")


@dataclass(frozen=True, slots=True)
class TemporalMix:
    """x_t → (1-λ)·x_t + λ·x_k with one random frame k of the clip and λ = alpha · U(0, 1).

    Keeps the direction of every temporal derivative (TCA of Wang et al., TDL). λ is drawn in steps
    of 1/4096.
    """

    alpha: float = 0.1

    def __post_init__(self) -> None:
        _numbers(self, 0, 1, "alpha")


Crop: TypeAlias = ResizedCrop | RandomCrop | CenterCrop
Op: TypeAlias = (
    RotationJitter
    | Crop
    | HorizontalFlip
    | QuarterTurn
    | ColorJitter
    | Grayscale
    | Gamma
    | GaussianBlur
    | Solarize
    | TemporalMix
)


@dataclass(frozen=True, slots=True)
class ViewAugmentation:
    """How one view is made from one sampled clip.

    Args:
        ops: Applied in this order: at most one RotationJitter, then exactly one crop, then the rest.
        frames: Name of the sampled clip that the view is made from; None: the view's own name.
        draw: Views of one sample with the same draw group share the draws of equal ops at equal
            places. None: the view's own name, so the view draws alone.
        normalize: False gives the view in [0, 1] without mean and standard deviation (a target).

    Raises:
        ContractError: The ops are not in the order above.
    """

    ops: tuple[Op, ...]
    frames: str | None = None
    draw: str | None = None
    normalize: bool = True

    def __post_init__(self) -> None:
        kinds = [
            "turn" if isinstance(op, RotationJitter) else "crop" if isinstance(op, Crop) else "pixel"
            for op in self.ops
        ]
        if kinds != sorted(kinds, key=["turn", "crop", "pixel"].index) or kinds.count("crop") != 1:
            names = ", ".join(type(op).__name__ for op in self.ops) or "nothing"
            raise ContractError(
                "a view's ops must be at most one RotationJitter, exactly one of ResizedCrop, "
                f"RandomCrop and CenterCrop, then the others; got {names}."
            )
        if kinds.count("turn") > 1:
            raise ContractError("a view takes at most one RotationJitter; got several.")


Augmentation: TypeAlias = Mapping[str, ViewAugmentation]


def _numbers(op: object, low: float, high: float, *fields: str) -> None:
    """Raise ContractError unless each field is a finite number in [low, high]."""
    for name in fields:
        value = getattr(op, name)
        if not _inside(value, low, high):
            raise ContractError(
                f"{type(op).__name__}.{name} must be a number {_span(low, high)}; got {value!r}."
            )


def _pairs(op: object, low: float, high: float, *fields: str) -> None:
    """Raise ContractError unless each field is a tuple of two such numbers, the smaller one first."""
    for name in fields:
        value = getattr(op, name)
        pair = isinstance(value, tuple) and len(value) == 2
        if not (pair and all(_inside(end, low, high) for end in value) and value[0] <= value[1]):
            raise ContractError(
                f"{type(op).__name__}.{name} must be a tuple of two numbers {_span(low, high)}, the "
                f"smaller one first; got {value!r}."
            )


def _whole(op: object, name: str) -> None:
    value = getattr(op, name)
    if not isinstance(value, int):
        raise ContractError(f"{type(op).__name__}.{name} must be an int; got {value!r}.")


def _inside(value: object, low: float, high: float) -> bool:
    return isinstance(value, int | float) and isfinite(value) and low <= value <= high


def _span(low: float, high: float) -> str:
    return f"of at least {low:g}" if high == inf else f"from {low:g} to {high:g}"
