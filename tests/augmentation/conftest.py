"""Clips that find faults: noise, edges of full height, smooth, one colour, grey, every primary."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import cv2
import numpy as np
import pytest

from vssl_core.augmentation import DrawnView
from vssl_core.augmentation.drawn import Box, PixelStep

KINDS = ("noise", "binary", "smooth", "flat", "grey", "primaries")


def _make_clip(kind: str, num_frames: int, size: int, seed: int = 0) -> np.ndarray:
    """uint8 (T, S, S, 3)."""
    rng = np.random.default_rng([seed, KINDS.index(kind), num_frames, size])
    shape = (num_frames, size, size, 3)
    match kind:
        case "noise":
            return rng.integers(0, 256, shape, dtype=np.uint8)
        case "binary":
            return (rng.integers(0, 2, shape) * 255).astype(np.uint8)
        case "smooth":
            coarse = rng.integers(0, 256, (num_frames, size // 8 + 2, size // 8 + 2, 3), dtype=np.uint8)
            frames = [cv2.resize(frame, (size, size), interpolation=cv2.INTER_CUBIC) for frame in coarse]
            return np.stack(frames)
        case "flat":
            return np.broadcast_to(rng.integers(0, 256, 3, dtype=np.uint8), shape).copy()
        case "grey":
            return np.repeat(rng.integers(0, 256, (*shape[:3], 1), dtype=np.uint8), 3, axis=3)
        case _:
            corners = np.array([[r, g, b] for r in (0, 255) for g in (0, 255) for b in (0, 255)], np.uint8)
            return corners[rng.integers(0, 8, shape[:3])]


@pytest.fixture(scope="session")
def make_clip() -> Callable[..., np.ndarray]:
    """(kind, num_frames, size, seed=0) → uint8 (T, S, S, 3)."""
    return _make_clip


@pytest.fixture(scope="session")
def clips() -> Callable[[int], Iterator[np.ndarray]]:
    """seed → one clip of each kind, of random length 1 … 4 and random size 7 … 113."""

    def every_kind(seed: int) -> Iterator[np.ndarray]:
        rng = np.random.default_rng(seed)
        for kind in KINDS:
            yield _make_clip(kind, int(rng.integers(1, 5)), int(rng.integers(7, 114)), seed)

    return every_kind


@pytest.fixture(scope="session")
def drawn_of() -> Callable[..., DrawnView]:
    """Steps → a drawn view of just these."""

    def of(*steps: PixelStep) -> DrawnView:
        return DrawnView(0.0, Box(0, 0, 1, 1), steps)

    return of
