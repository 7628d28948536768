"""The grids are fine enough for the eye and coarse enough for float32 to be exact."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import correlate1d

from vssl_core.augmentation import apply_pixels
from vssl_core.augmentation.arithmetic import (
    FACTOR_UNITS,
    HUE_BIAS,
    HUE_UNITS,
    LUMA,
    LUMA_UNITS,
    ROW_UNITS,
    TAP_UNITS,
    gamma_table,
    gaussian_taps,
    mean_luma,
    towards_luma,
)
from vssl_core.augmentation.drawn import Blurred

EXACT = 2**24  # every integer up to here is a float32


def test_every_intermediate_value_is_a_float32():
    assert 255 * TAP_UNITS <= EXACT  # rows of a blur
    assert 255 * ROW_UNITS * TAP_UNITS <= EXACT  # columns of a blur
    assert 4 * 255 * FACTOR_UNITS <= EXACT  # |factor x| + |(1 - factor) luma| + |offset|, factor 0 … 2
    assert 255 * LUMA_UNITS + LUMA_UNITS // 2 <= EXACT
    assert (5 + 3 + 6) * 255 / HUE_BIAS <= EXACT  # hue, shift and one turn, in sextants times spread
    assert sum(LUMA) == LUMA_UNITS
    assert 2 * HUE_BIAS == 6 / HUE_UNITS  # half of the step of a spread of one


@pytest.mark.parametrize("sigma", [0.1, 0.3, 0.77, 1.0, 2.0, 50.0])
@pytest.mark.parametrize("size", [1, 3, 11, 23])
def test_taps_are_a_whole_kernel_without_outer_zeros(sigma, size):
    taps = gaussian_taps(sigma, size)
    assert taps[0] + 2 * taps[1:].sum() == TAP_UNITS
    assert taps[-1] > 0
    assert (np.diff(taps) <= 0).all()
    ideal = np.exp(-0.5 * (np.arange(size // 2 + 1) / sigma) ** 2)
    ideal /= ideal[0] + 2 * ideal[1:].sum()
    padded = np.pad(taps, (0, len(ideal) - len(taps))) / TAP_UNITS
    assert np.abs(padded[1:] - ideal[1:]).max(initial=0) <= 0.5 / TAP_UNITS


@pytest.mark.parametrize("kind", ["noise", "binary", "primaries"])
@pytest.mark.parametrize(("size", "sigma"), [(11, 0.4), (11, 1.1), (11, 2.0), (23, 3.7)])
def test_blur_is_within_a_quarter_of_a_level_of_the_ideal_one(make_clip, drawn_of, kind, size, sigma):
    clip = make_clip(kind, 3, 112)
    weights = np.exp(-0.5 * (np.arange(-(size // 2), size // 2 + 1) / sigma) ** 2)
    weights /= weights.sum()
    ideal = clip.astype(np.float64)
    for axis in (1, 2):
        ideal = correlate1d(ideal, weights, axis=axis, mode="mirror")
    found = apply_pixels(clip, drawn_of(Blurred(True, sigma, size)))
    assert np.abs(found - ideal).max() <= 0.5 + 0.25


def test_gamma_table_is_the_nearest_level():
    for gamma in (0.2, 1.0, 2.2):
        ideal = 255 * (np.arange(256) / 255) ** gamma
        assert np.abs(gamma_table(gamma) - ideal).max() <= 0.5
    assert (gamma_table(1.0) == np.arange(256)).all()


def test_mean_luma_is_in_sixteenths():
    assert mean_luma(255 * 10, 255 * 10, 255 * 10, 10) == 255 * 16
    assert mean_luma(100, 0, 0, 1) == round(100 * LUMA[0] / LUMA_UNITS * 16)


@pytest.mark.parametrize("factor", [0.0, 0.25, 0.875, 1.0, 1.125, 2.0])
@pytest.mark.parametrize("luma", [0.0, 17.25, 255.0])
def test_luma_is_taken_lower_below_factor_one_only(factor, luma):
    found = towards_luma(round(factor * FACTOR_UNITS), round(luma * 16)) / FACTOR_UNITS
    lower = 10 / 16 if factor < 1 else 0
    assert found == pytest.approx((1 - factor) * (luma - lower), abs=1 / FACTOR_UNITS)
