"""Frame rates as encoders take them."""

from __future__ import annotations

from fractions import Fraction

import pytest

from vssl_core.video.rate import encoder_rate


@pytest.mark.parametrize("encoder", ["mpeg4", "libx264", "ffv1"])
@pytest.mark.parametrize("fps", ["25", "30000/1001", "60000/1001", "2997/100", "1000/3"])
def test_usual_rates_are_exact(fps: str, encoder: str) -> None:
    assert encoder_rate(float(Fraction(fps)), encoder) == Fraction(fps)


@pytest.mark.parametrize("fps", [120000 / 1001, 240000 / 1001, 959.04, 65535.4])
def test_mpeg4_counts_no_more_than_its_16_bits(fps: float) -> None:
    rate = encoder_rate(fps, "mpeg4")
    assert rate.numerator <= 65535
    assert float(rate) == pytest.approx(fps, rel=1e-5)


@pytest.mark.parametrize("encoder", ["mpeg4", "ffv1"])
@pytest.mark.parametrize("fps", [1e-6, 1e6])
def test_rates_that_cannot_be_are_rates_still(fps: float, encoder: str) -> None:
    rate = encoder_rate(fps, encoder)
    assert 0 < rate <= 1_000_000
    assert rate.numerator <= 65535 or encoder != "mpeg4"
