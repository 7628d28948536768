"""The fixed-point arithmetic that every path shares, so that all of them give the same bits.

Drawn factors lie on a grid. Then every product and sum of an op is a multiple of a small power of two
and below 2**24 such units: float32 holds it exactly, whatever the order of the additions, fused or not,
on a CPU or on a GPU; only the last step rounds (half to even). In units:

    factors, mix weights   1/4096 (`FACTOR_UNITS`)    brightness, contrast, saturation, temporal mix
    hue                    1/1536 turn (`HUE_UNITS`)  256 steps in each of the six sextants
    luma                   1/32768                    ITU-R 601 weights `LUMA`, rounded half up
    blur kernels           1/16384 (`TAP_UNITS`)      rows rounded to quarters of a level in between

The hue rotation is piecewise linear in R, G and B once the sextant is known, so it is exact too:
multiples of 1/256. `HUE_BIAS`, half of such a step, keeps every value clear of a rounding tie; so a
float32 HSV conversion, which is off by some 1e-4, rounds to the same level as the exact form.
"""

from __future__ import annotations

from math import exp
from typing import TypeVar

import numpy as np
from torch import Tensor

__all__ = [
    "FACTOR_UNITS",
    "HUE_BIAS",
    "HUE_UNITS",
    "LUMA",
    "LUMA_UNITS",
    "ROW_UNITS",
    "TAP_UNITS",
    "gamma_table",
    "gaussian_taps",
    "kernel_size",
    "mean_luma",
    "to_units",
    "towards_luma",
]

FACTOR_UNITS = 4096
HUE_UNITS = 1536
HUE_BIAS = 2.0**-9
LUMA = (9798, 19235, 3735)  # of R, G, B; their sum is LUMA_UNITS
LUMA_UNITS = 32768
TAP_UNITS = 16384
ROW_UNITS = 4

_MEAN_UNITS = 16  # of the mean luma of a clip
_TRUNCATION = 10  # of _MEAN_UNITS

Number = TypeVar("Number", int, Tensor)  # one number, or int64 (B,): the same formula, the same bits


def to_units(value: float, units: int) -> int:
    """The integer nearest to value · units."""
    return round(value * units)


def mean_luma(red: Number, green: Number, blue: Number, pixels: int) -> Number:
    """Mean luma in sixteenths of a level, from the sums of R, G and B over `pixels` pixels."""
    total = LUMA[0] * red + LUMA[1] * green + LUMA[2] * blue
    return (_MEAN_UNITS * total + LUMA_UNITS // 2 * pixels) // (LUMA_UNITS * pixels)


def towards_luma(factor: Number, luma: Number) -> Number:
    """(1 - factor) · luma as it is added to factor · x, in `FACTOR_UNITS` of a level.

    torchvision truncates the luma that it blends with. Below factor 1 that could make two levels of
    difference, so luma is taken 10/16 lower there.

    Args:
        factor: In `FACTOR_UNITS`.
        luma: In sixteenths of a level; 0 gives the correction alone.
    """
    rest = FACTOR_UNITS - factor
    return (rest * (luma - _TRUNCATION * (rest > 0)) + _MEAN_UNITS // 2) // _MEAN_UNITS


def gamma_table(gamma: float) -> np.ndarray:
    """uint8 (256,): what each level becomes under x ** gamma on [0, 1]."""
    return np.rint(255 * (np.arange(256) / 255) ** gamma).astype(np.uint8)


def kernel_size(kernel: float, crop_size: int) -> int:
    """The odd size nearest to kernel · crop_size."""
    return int(kernel * crop_size) // 2 * 2 + 1


def gaussian_taps(sigma: float, size: int) -> np.ndarray:
    """int64 (r + 1,): the kernel from its centre outwards, in `TAP_UNITS`, without outer zeros.

    The whole kernel, `taps[0] + 2 * taps[1:].sum()`, is one.
    """
    weights = [exp(-0.5 * (x / sigma) ** 2) for x in range(size // 2 + 1)]
    total = weights[0] + 2 * sum(weights[1:])
    outer = [taps for w in weights[1:] if (taps := round(TAP_UNITS * w / total))]
    return np.array([TAP_UNITS - 2 * sum(outer), *outer], dtype=np.int64)
