"""What the object looks like: an outline filled with a texture, plain or of two colours; its classes.

Colours, the texture's phase, pitch and polarity are drawn per video, so an appearance class is known
by outline and pattern, never by a colour.
"""

from __future__ import annotations

from itertools import product

import cv2
import numpy as np

__all__ = ["APPEARANCES", "Sprite", "draw_sprite"]

CHECKS_PITCH = (4.0, 5.0)  # periods over the object's diameter
STRIPES_PITCH = (2.0, 2.5)
MARGIN = 1.12  # half side of a sprite in object radii: room for soft edges
OVERSAMPLING = 3


class Sprite:
    """One object as premultiplied RGBA images of several sizes, for sharp but unaliased scaling.

    Args:
        finest_RGBA: uint8 (S, S, 4), colours premultiplied by alpha.
    """

    def __init__(self, finest_RGBA: np.ndarray) -> None:
        self._levels = [finest_RGBA]
        while self._levels[-1].shape[0] >= 16:
            half = self._levels[-1].shape[0] // 2
            self._levels.append(cv2.resize(self._levels[-1], (half, half), interpolation=cv2.INTER_AREA))

    def level(self, diameter: float) -> tuple[np.ndarray, float]:
        """The coarsest image whose object is at least `diameter` pixels wide, and its object's diameter."""
        for image in reversed(self._levels):
            if image.shape[0] / MARGIN >= diameter:
                return image, image.shape[0] / MARGIN
        return self._levels[0], self._levels[0].shape[0] / MARGIN


def draw_sprite(
    appearance: int, *, side: int, light: np.ndarray, dark: np.ndarray, rng: np.random.Generator
) -> Sprite:
    """The object of class number `appearance`, `side` pixels wide with its margin, in two colours (3,)."""
    shape, texture = APPEARANCES[appearance].split("_")
    fine = side * OVERSAMPLING
    axis = (np.arange(fine, dtype=np.float32) + 0.5) / fine * 2 * MARGIN - MARGIN  # object radii
    x_HW, y_HW = np.meshgrid(axis, axis)
    alpha_HW = _SHAPES[shape](x_HW, y_HW).astype(np.float32)
    on_HW = _TEXTURES[texture](x_HW, y_HW, rng)
    if rng.random() < 0.5:
        on_HW = ~on_HW
    colour_HWC = np.where(on_HW[..., None], light.astype(np.float32), dark.astype(np.float32))
    rgba = np.dstack([colour_HWC * alpha_HW[..., None], 255 * alpha_HW])
    return Sprite(cv2.resize(rgba, (side, side), interpolation=cv2.INTER_AREA).astype(np.uint8))


def _cross(x_HW: np.ndarray, y_HW: np.ndarray) -> np.ndarray:
    near, far = np.minimum(abs(x_HW), abs(y_HW)), np.maximum(abs(x_HW), abs(y_HW))
    return (near < 0.28) & (far < 1.0)


def _disc(x_HW: np.ndarray, y_HW: np.ndarray) -> np.ndarray:
    return np.hypot(x_HW, y_HW) < 0.85


def _waves(
    x_HW: np.ndarray, y_HW: np.ndarray, pitch: tuple[float, float], rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Cosines along both axes with a random pitch and phase."""
    per_radius, (phase_x, phase_y) = np.pi * rng.uniform(*pitch), 2 * np.pi * rng.random(2)
    return np.cos(per_radius * x_HW + phase_x), np.cos(per_radius * y_HW + phase_y)


def _checks(x_HW: np.ndarray, y_HW: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    wave_x, wave_y = _waves(x_HW, y_HW, CHECKS_PITCH, rng)
    return wave_x * wave_y > 0


def _halves(x_HW: np.ndarray, y_HW: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    del y_HW, rng
    return x_HW > 0


def _plain(x_HW: np.ndarray, y_HW: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    del y_HW, rng
    return np.ones_like(x_HW, dtype=bool)


def _stripes(x_HW: np.ndarray, y_HW: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return _waves(x_HW, y_HW, STRIPES_PITCH, rng)[0] > 0


_SHAPES = {"cross": _cross, "disc": _disc}
_TEXTURES = {"checks": _checks, "halves": _halves, "plain": _plain, "stripes": _stripes}

APPEARANCES = tuple(f"{shape}_{texture}" for shape, texture in product(_SHAPES, _TEXTURES))
"""Class names in the order of the labels (sorted by name)."""
