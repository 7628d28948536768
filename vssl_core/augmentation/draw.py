"""Drawing: a view's declared ops and a key → every parameter.

Each op draws from a generator of its own, keyed by (key, place, op). So equal ops at equal places of
views with one key get equal draws, and no op's draw moves another's. No global generator is touched.
"""

from __future__ import annotations

from dataclasses import fields
from math import exp, log, sqrt
from typing import TypeAlias, assert_never

import numpy as np

from vssl_core.augmentation.arithmetic import FACTOR_UNITS, HUE_UNITS, kernel_size, to_units
from vssl_core.augmentation.drawn import (
    Blurred,
    Box,
    Component,
    DrawnView,
    Flipped,
    GammaCurved,
    Greyed,
    Jittered,
    Mixed,
    PixelStep,
    Solarized,
    Turned,
)
from vssl_core.augmentation.ops import (
    CenterCrop,
    ColorJitter,
    Crop,
    Gamma,
    GaussianBlur,
    Grayscale,
    HorizontalFlip,
    Op,
    QuarterTurn,
    ResizedCrop,
    RotationJitter,
    Solarize,
    TemporalMix,
    ViewAugmentation,
)
from vssl_core.errors import ContractError
from vssl_core.seeding import generator

__all__ = ["draw_view"]

_TRIES = 10


def draw_view(
    view: ViewAugmentation,
    *,
    key: tuple[str | int, ...],
    num_frames: int,
    height: int,
    width: int,
    crop_size: int,
) -> DrawnView:
    """Draw the parameters of one view; the same arguments give the same draw on every machine.

    Args:
        view: The declared ops.
        key: What the draw depends on: (…, seed, epoch, video_id, draw group).
        num_frames: Frames of the clip.
        height: Of the frames that the crop is taken from, in pixels.
        width: Of the same.
        crop_size: Side of the finished view in pixels.

    Raises:
        ContractError: A size is below one.
    """
    if min(num_frames, height, width, crop_size) < 1:
        raise ContractError(
            "a view needs at least one frame and one pixel; "
            f"got {num_frames} frames of {height}x{width} for a view of {crop_size}."
        )
    degrees, crop, pixels = 0.0, Box(0, 0, height, width), []
    for place, op in enumerate(view.ops):
        rng = generator(*key, place, _name(op))
        if isinstance(op, RotationJitter):
            degrees = float(rng.uniform(-op.degrees, op.degrees))
        elif isinstance(op, Crop):
            crop = _box(op, rng, height, width)
        else:
            pixels.append(_step(op, rng, num_frames, crop_size))
    return DrawnView(degrees, crop, tuple(pixels))


def _name(op: Op) -> str:
    """The op as text, equal for ops that compare equal: 1 and 1.0 are written alike."""
    values = []
    for field in fields(op):
        value = getattr(op, field.name)
        values.append(tuple(map(float, value)) if isinstance(value, tuple) else float(value))
    return f"{type(op).__name__}{values!r}"


# ---------------------------------------------------------------------------------------------- crops


def _box(op: Crop, rng: np.random.Generator, height: int, width: int) -> Box:
    if isinstance(op, ResizedCrop):
        return _resized_crop(op, rng, height, width)
    side = max(1, round(min(height, width) / op.scale))
    if isinstance(op, CenterCrop):
        return _centred(side, side, height, width)
    return _placed(rng, side, side, height, width)


def _resized_crop(op: ResizedCrop, rng: np.random.Generator, height: int, width: int) -> Box:
    low, high = op.aspect
    for _ in range(_TRIES):
        area = height * width * rng.uniform(*op.area)
        aspect = exp(rng.uniform(log(low), log(high)))
        tall, wide = round(sqrt(area / aspect)), round(sqrt(area * aspect))
        if 0 < tall <= height and 0 < wide <= width:
            return _placed(rng, tall, wide, height, width)
    tall = min(height, max(1, round(width / low)))
    wide = min(width, max(1, round(height * high)))
    return _centred(tall, wide, height, width)


def _placed(rng: np.random.Generator, tall: int, wide: int, height: int, width: int) -> Box:
    top, left = rng.integers(height - tall + 1), rng.integers(width - wide + 1)
    return Box(int(top), int(left), tall, wide)


def _centred(tall: int, wide: int, height: int, width: int) -> Box:
    return Box((height - tall) // 2, (width - wide) // 2, tall, wide)


# --------------------------------------------------------------------------------------------- pixels

PixelOp: TypeAlias = (
    HorizontalFlip | QuarterTurn | ColorJitter | Grayscale | Gamma | GaussianBlur | Solarize | TemporalMix
)


def _step(op: PixelOp, rng: np.random.Generator, num_frames: int, crop_size: int) -> PixelStep:  # noqa: PLR0911
    match op:
        case HorizontalFlip():
            return Flipped(_happens(rng, op.p))
        case QuarterTurn():
            return Turned(op.turns % 4)
        case ColorJitter():
            return _jitter(op, rng)
        case Grayscale():
            return Greyed(_happens(rng, op.p))
        case Gamma():
            low, high = op.gamma
            return GammaCurved(_happens(rng, op.p), exp(rng.uniform(log(low), log(high))))
        case GaussianBlur():
            size = kernel_size(op.kernel, crop_size)
            return Blurred(_happens(rng, op.p), float(rng.uniform(*op.sigma)), size)
        case Solarize():
            return Solarized(_happens(rng, op.p), op.threshold)
        case TemporalMix():
            weight = _on_grid(rng.uniform(0, op.alpha), FACTOR_UNITS)
            return Mixed(int(rng.integers(num_frames)), weight)
        case _:
            assert_never(op)


def _jitter(op: ColorJitter, rng: np.random.Generator) -> Jittered:
    strengths: dict[Component, float] = {
        "brightness": op.brightness,
        "contrast": op.contrast,
        "saturation": op.saturation,
        "hue": op.hue,
    }
    applied = _happens(rng, op.p)
    acting = [name for name, strength in strengths.items() if strength > 0]
    order = tuple(acting[i] for i in rng.permutation(len(acting)))
    factors = {
        name: _on_grid(1 + rng.uniform(-strength, strength), FACTOR_UNITS)
        for name, strength in strengths.items()
        if name != "hue"
    }
    hue = _on_grid(rng.uniform(-op.hue, op.hue), HUE_UNITS)
    return Jittered(applied, order, **factors, hue=hue)


def _happens(rng: np.random.Generator, p: float) -> bool:
    return bool(rng.random() < p)


def _on_grid(value: float, units: int) -> float:
    return to_units(value, units) / units
