"""What the videos of one scene share: two background layers, a palette, a camera and the light."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from vssl_core.seeding import generator

__all__ = ["Scene", "colour", "draw_scene"]

TILE = 4 / 3  # period of the background in sides of the frame
CHROMA = 32.0  # colours are pale: hue must not be the easiest way to know a video again
MIDDLE_LUMA = (105.0, 145.0)  # backgrounds keep between the light and the dark colour of the objects


@dataclass(frozen=True, slots=True)
class Scene:
    """Everything that a group of videos has in common.

    Args:
        tile: Period of the two layers in pixels.
        margin: Pixels of the layers above and to the left of the tile.
        ground: Opaque far layer, uint8 (S, S, 4): a tile and as much of its repetition that a
            frame with any corner in the tile lies inside, with room for the camera's shaking.
        cloud: Near layer of the same size, colours premultiplied by alpha.
        shake: Strength of the camera's shaking, about 1.
        light: Direction and strength of the light's gradient: (2,), relative change over the frame.
        pulse: Relative amplitude and period in frames of the slow change of light.
    """

    tile: int
    margin: int
    ground: np.ndarray
    cloud: np.ndarray
    shake: float
    light: np.ndarray
    pulse: tuple[float, float]


def colour(luma: float, rng: np.random.Generator) -> np.ndarray:
    """A random colour (3,) of about this luma, 0 … 255."""
    hue = rng.normal(size=3)
    hue -= hue @ np.array([0.299, 0.587, 0.114])
    return np.clip(luma + CHROMA * rng.uniform(0.4, 1.0) * hue / np.abs(hue).max(), 0, 255)


def _texture(side: int, rng: np.random.Generator) -> np.ndarray:
    """Oriented noise (side, side), repeating, mean 0 and standard deviation 1."""
    fy, fx = np.meshgrid(np.fft.fftfreq(side) * side, np.fft.rfftfreq(side) * side, indexing="ij")
    angle, stretch, octave = np.pi * rng.random(), rng.uniform(1.0, 3.0), rng.uniform(2.5, 6.0)
    along, across = fx * np.cos(angle) + fy * np.sin(angle), fy * np.cos(angle) - fx * np.sin(angle)
    radius = np.hypot(along, across * stretch)
    gain = radius * np.exp(-((radius / octave) ** 1.2))
    noise = rng.normal(size=gain.shape) + 1j * rng.normal(size=gain.shape)
    texture = np.fft.irfft2(noise * gain, s=(side, side))
    return texture / texture.std()


def _layer(side: int, contrast: float, rng: np.random.Generator) -> np.ndarray:
    """A repeating two-coloured tile (side, side, 3)."""
    luma = rng.uniform(*MIDDLE_LUMA)
    first, second = colour(luma, rng), colour(luma, rng)
    mix_HW = 0.5 + 0.5 * np.tanh(_texture(side, rng))
    tint_HWC = first + mix_HW[..., None] * (second - first)
    return tint_HWC + 7.0 * contrast * _texture(side, rng)[..., None]


@lru_cache(maxsize=8)
def draw_scene(seed: int, number: int, size: int, contrast: float) -> Scene:
    """Scene `number` of this seed for frames of `size` pixels."""
    rng = generator("shapes", seed, "scene", number)
    tile, margin = round(TILE * size), size // 4
    ground = _layer(tile, contrast, rng)
    alpha_HW1 = np.clip(1.5 * _texture(tile, rng) - 0.7, 0, 1)[..., None]
    cloud = _layer(tile, contrast, rng) * alpha_HW1

    def spread(colours_HWC: np.ndarray, alpha_HW1: np.ndarray) -> np.ndarray:
        image = np.clip(np.dstack([colours_HWC, 255 * alpha_HW1]), 0, 255).astype(np.uint8)
        return np.pad(image, ((margin, size + margin), (margin, size + margin), (0, 0)), mode="wrap")

    bearing = 2 * np.pi * rng.random()
    return Scene(
        tile=tile,
        margin=margin,
        ground=spread(ground, np.ones_like(alpha_HW1)),
        cloud=spread(cloud, alpha_HW1),
        shake=rng.uniform(0.5, 1.5),
        light=rng.uniform(0.0, 0.5) * np.array([np.cos(bearing), np.sin(bearing)]),
        pulse=(rng.uniform(0.0, 0.12), rng.uniform(20.0, 60.0)),
    )
