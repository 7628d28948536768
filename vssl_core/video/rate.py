"""Frame rates as encoders take them."""

from __future__ import annotations

from fractions import Fraction

__all__ = ["encoder_rate"]

_LARGEST_DENOMINATOR = 1001
_MOST_TICKS = {"mpeg4": 65535}
"""Encoder → ticks a second that its streams can count (MPEG-4 part 2: 16 bits)."""


def encoder_rate(fps: float, encoder: str) -> Fraction:
    """Frames a second as the nearest fraction that an encoder of FFmpeg accepts.

    A rate of 119.88 is 120000/1001 for most encoders, and 40999/342 for `mpeg4`: slower by 2e-8.
    """
    most = _MOST_TICKS.get(encoder)
    if most is None:
        return max(Fraction(fps).limit_denominator(_LARGEST_DENOMINATOR), Fraction(1, _LARGEST_DENOMINATOR))
    slower = min(Fraction(fps), Fraction(most))
    limit = min(_LARGEST_DENOMINATOR, int(most / slower))
    return max(slower.limit_denominator(limit), Fraction(1, _LARGEST_DENOMINATOR))
