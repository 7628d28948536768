"""Where the object is and how large, over time; and the motion classes.

The state of one frame is (position, size, angle). One law holds for every class: position uniform in
a disc about the frame's centre, logarithm of the size uniform, angle uniform, all independent. Each
class moves the state by a flow that keeps this law: a slide runs along a chord of the disc and starts
again at its other end, a circle turns the disc, growing and shrinking shift the logarithm of the size
and start again. So at every time the state has the same law whatever the class, and a single frame
tells nothing about motion. The classes are four pairs of opposite direction that pass through the
same states, so the order of the frames is needed as well.

Every object slows down in the course of its video, whatever its class. This arrow of time lets clips
be ordered that lie a cycle apart; it keeps the law too, for it only changes how fast a flow runs.

A horizontal flip swaps slide_right with slide_left and the two circles. Lengths are shares of the
frame's side; x points right, y points down.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

__all__ = ["MOTIONS", "SIZE_RANGE", "Track", "draw_track"]

REACH = 0.24  # radius of the disc of positions
SIZE_RANGE = (0.36, 0.75)  # smallest and largest diameter
CYCLE_FRAMES = (28.0, 44.0)  # mean frames of one cycle; log-uniform, equal for all classes
SLOWING = 6.0  # times that an object is slower at the end of its video than at the start
TILT = np.pi / 18  # a slide may be this much off its axis


@dataclass(frozen=True, slots=True)
class Track:
    """The object in each frame: arrays (T,), and how it is turned: radians."""

    x: np.ndarray
    y: np.ndarray
    diameter: np.ndarray
    angle: float


@dataclass(frozen=True, slots=True)
class _Start:
    """The first frame, from the law of single frames, relative to the frame's centre.

    Args:
        x: Place, right.
        y: Place, down.
        size: Place in SIZE_RANGE, 0 … 1.
        tilt: How much a slide is off its axis, radians.
    """

    x: float
    y: float
    size: float
    tilt: float


_Path = tuple[np.ndarray, np.ndarray, np.ndarray]  # x, y and size, each (T,), on the terms of _Start
_Flow = Callable[[_Start, np.ndarray], _Path]  # of the number of cycles passed (T,)


def _slide(start: _Start, cycles_T: np.ndarray, *, heading: float) -> _Path:
    cos, sin = np.cos(heading + start.tilt), np.sin(heading + start.tilt)
    along, across = cos * start.x + sin * start.y, cos * start.y - sin * start.x
    half = np.sqrt(max(REACH**2 - across**2, 1e-12))  # of the chord
    along_T = (along + half + 2 * half * cycles_T) % (2 * half) - half
    return cos * along_T - sin * across, sin * along_T + cos * across, np.full_like(cycles_T, start.size)


def _circle(start: _Start, cycles_T: np.ndarray, *, sign: int) -> _Path:
    cos_T, sin_T = np.cos(2 * np.pi * cycles_T), sign * np.sin(2 * np.pi * cycles_T)
    return (
        cos_T * start.x - sin_T * start.y,
        sin_T * start.x + cos_T * start.y,
        np.full_like(cycles_T, start.size),
    )


def _scale(start: _Start, cycles_T: np.ndarray, *, sign: int) -> _Path:
    still_T = np.ones_like(cycles_T)
    return start.x * still_T, start.y * still_T, (start.size + sign * cycles_T) % 1.0


_FLOWS: dict[str, _Flow] = {
    "circle_clockwise": partial(_circle, sign=1),
    "circle_counterclockwise": partial(_circle, sign=-1),
    "grow": partial(_scale, sign=1),
    "shrink": partial(_scale, sign=-1),
    "slide_down": partial(_slide, heading=np.pi / 2),
    "slide_left": partial(_slide, heading=np.pi),
    "slide_right": partial(_slide, heading=0.0),
    "slide_up": partial(_slide, heading=-np.pi / 2),
}

MOTIONS = tuple(_FLOWS)
"""Class names in the order of the labels (sorted by name)."""


def draw_track(motion: int, *, num_frames: int, rng: np.random.Generator) -> Track:
    """The object in one video of class number `motion`; takes the same draws for every class."""
    radius, bearing = REACH * np.sqrt(rng.random()), 2 * np.pi * rng.random()
    start = _Start(
        x=radius * np.cos(bearing),
        y=radius * np.sin(bearing),
        size=rng.random(),
        tilt=TILT * rng.uniform(-1, 1),
    )
    angle = 2 * np.pi * rng.random()
    shortest, longest = CYCLE_FRAMES
    cycle_frames = shortest * (longest / shortest) ** rng.random()
    x_T, y_T, size_T = _FLOWS[MOTIONS[motion]](start, _slowing_time(num_frames) / cycle_frames)
    smallest, largest = SIZE_RANGE
    return Track(0.5 + x_T, 0.5 + y_T, smallest * (largest / smallest) ** size_T, angle)


def _slowing_time(num_frames: int) -> np.ndarray:
    """How far the object's clock is in each frame (T,): as many frames in all, at a falling rate."""
    rate_T = SLOWING ** (-np.arange(num_frames) / num_frames)
    rate_T /= rate_T.mean()
    return np.cumsum(rate_T) - rate_T[0]
