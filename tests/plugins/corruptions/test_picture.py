"""Blur and brightness against pictures whose result is known."""

from __future__ import annotations

import colorsys

import numpy as np
import pytest

from vssl_core import CorruptionSource, Options, generator
from vssl_plugins.corruptions.picture import Blur, Brightness


def worse(cls: type, picture_HWC: np.ndarray, severity: int) -> np.ndarray:
    source = CorruptionSource(1, 25.0, lambda numbers: picture_HWC[None], generator)
    return cls(Options()).pixels(np.array([0]), source, severity)[0]


@pytest.mark.parametrize(("severity", "sigma"), list(enumerate((1, 2, 3, 4, 6), start=1)))
def test_a_point_becomes_a_normal_density(severity: int, sigma: float) -> None:
    picture = np.zeros((61, 61, 3), np.uint8)
    picture[28:33, 28:33] = 255
    found = worse(Blur, picture, severity)
    offsets = np.arange(61) - 30
    kernel = np.exp(-(np.subtract.outer(offsets, offsets) ** 2) / (2 * sigma**2))
    kernel /= np.exp(-(np.arange(-60, 61) ** 2) / (2 * sigma**2)).sum()
    line = kernel @ (np.abs(offsets) <= 2)
    assert np.abs(found[:, :, 0] - 255 * np.outer(line, line)).max() < 1
    np.testing.assert_array_equal(found[..., 0], found[..., 2])


def test_blur_leaves_a_plain_picture_as_it_is() -> None:
    plain = np.full((9, 14, 3), 200, np.uint8)
    np.testing.assert_array_equal(worse(Blur, plain, 5), plain)


@pytest.mark.parametrize("severity", [1, 2, 3, 4, 5])
def test_brightness_raises_the_value_of_hsv(severity: int) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (12, 13, 3), dtype=np.uint8)
    picture[0, 0] = 0
    found = worse(Brightness, picture, severity)
    for row, column in np.ndindex(12, 13):
        hue, saturation, value = colorsys.rgb_to_hsv(*(picture[row, column] / 255))
        rgb = colorsys.hsv_to_rgb(hue, saturation, min(1, value + 0.1 * severity))
        assert np.abs(found[row, column] - 255 * np.array(rgb)).max() < 0.51
