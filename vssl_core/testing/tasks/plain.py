"""Samples as lists and numbers, which can be compared and sent to another process."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np

from vssl_core.interfaces import ViewSampler
from vssl_core.seeding import generator
from vssl_core.types import Sampled

__all__ = ["RATES", "PlainSample", "draw", "plain"]

PlainSample: TypeAlias = dict[str, dict[str, Any]]

RATES = (25.0, 30000 / 1001, 12.0, 60.0, 1.0)  # frames per second


def draw(sampler: ViewSampler, number: int) -> Sampled:
    """What the sampler gives for a video whose length and rate the number decides, with a fresh generator."""
    rate = RATES[number % len(RATES)]
    return sampler(1 + 13 * number % 120, rate, generator("check-sampler", number))


def plain(sampled: Sampled) -> PlainSample:
    """As lists."""
    return {
        "frames": {name: np.asarray(frames).tolist() for name, frames in sampled.frames.items()},
        "info": {name: np.asarray(value).tolist() for name, value in sampled.info.items()},
    }
