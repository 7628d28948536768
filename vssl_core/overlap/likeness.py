"""How far two videos are from being the same one: frame by frame, at the best shift in time.

Hashes tell scenes apart, not what happens in them: before one background everything looks alike. So a pair
that may be alike is decided by its pictures. Both are reduced to 16 x 16 grey pixels a frame, one is shifted
in time against the other until they differ least, and its brightness and contrast are fitted. Then

    distance = E_motion / (P_motion + 2) + 10 E_mean / (P_mean + 2)

where `mean` is the picture's mean over time and `motion` what is left of each frame without it, P is the mean
power of the two videos and E that of their difference. The first term does not see the background, the
second does not see what moves; 2 (squared grey levels, as all of these) is about what coding adds. Where one
is a lighter or darker version, pixels that are nearly black or white in either are left out: there the light
has been clipped, and nothing tells what was. Values of copies and of others: `benchmarks/results/overlap.md`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vssl_core.overlap.buckets import LEAST_OVERLAP
from vssl_core.video.fingerprint import nearest, small_frames
from vssl_core.video.scan import scan

__all__ = ["ALIKE", "Alignment", "Detail", "align", "look_closely"]

ALIKE = 0.15
"""Pairs up to this distance are near duplicates."""
_NOISE = 2.0
_MEAN_WEIGHT = 10.0
_SIDE = 16
_MOST_FRAMES = 1500
_CLEAR = (10.0, 245.0)  # grey levels between which nothing was clipped
_LEAST_CLEAR = 0.4  # of the pixels; else all are compared
_SAME_LIGHT = (0.05, 6.0)  # change of contrast and of brightness up to which the light is the same


@dataclass(frozen=True, slots=True)
class Detail:
    """Frames (T, 256) float16 of a video, 16 x 16 grey pixels each, `rate` of them in a second."""

    frames_TP: np.ndarray
    rate: float


@dataclass(frozen=True, slots=True)
class Alignment:
    """How two videos compare where they agree best.

    Args:
        distance: 0 for equal ones.
        offset_seconds: Where in the other one the first one begins; negative where it begins earlier.
    """

    distance: float
    offset_seconds: float


def look_closely(path: str) -> Detail:
    """All frames of a file, or evenly spaced ones of a long one.

    Raises:
        VideoError: It cannot be read.
    """
    table = scan(path)
    seconds = table.seconds()
    duration = float(seconds[-1]) + 1 / float(table.fps)
    rate = min(float(table.fps), _MOST_FRAMES / duration)
    times = np.arange(max(1, round(duration * rate))) / rate
    frames = _shrunk(small_frames(path, table, nearest(seconds, times)), _SIDE)
    return Detail(frames.reshape(len(frames), -1).astype(np.float16), rate)


def _shrunk(frames_THW: np.ndarray, side: int) -> np.ndarray:
    """Square frames made smaller by a whole factor, by the mean."""
    factor = frames_THW.shape[1] // side
    blocks = frames_THW.reshape(len(frames_THW), side, factor, side, factor)
    smaller: np.ndarray = blocks.mean(axis=(2, 4), dtype=np.float32)
    return smaller


def align(one: Detail, other: Detail) -> Alignment:
    """Compare two videos at the shift in time at which they differ least.

    The shorter one must lie in the longer one with at least `LEAST_OVERLAP` of its frames.
    """
    rate = min(one.rate, other.rate)
    left, right = _at(one, rate), _at(other, rate)
    shift = _best_shift(left, right)
    first, start = max(0, -shift), max(0, shift)
    count = min(len(left) - first, len(right) - start)
    distance = _distance(left[first : first + count], right[start : start + count])
    return Alignment(distance, shift / rate)


def _at(video: Detail, rate: float) -> np.ndarray:
    """Its frames at a rate that is not above its own."""
    count = max(1, round(len(video.frames_TP) * rate / video.rate))
    places = np.minimum(np.rint(np.arange(count) * video.rate / rate).astype(int), len(video.frames_TP) - 1)
    frames: np.ndarray = video.frames_TP[places].astype(np.float32)
    return frames


def _best_shift(left_TP: np.ndarray, right_TP: np.ndarray) -> int:
    """The shift of `left` against `right` with the smallest mean squared difference of coarse pictures."""
    left, right = _coarse(left_TP), _coarse(right_TP)
    needed = max(1, int(np.ceil(LEAST_OVERLAP * min(len(left), len(right)))))
    best, least = 0, np.inf
    for shift in range(needed - len(left), len(right) - needed + 1):
        first, start = max(0, -shift), max(0, shift)
        count = min(len(left) - first, len(right) - start)
        difference = (left[first : first + count] - right[start : start + count]).ravel()
        power = float(np.einsum("i,i->", difference, difference)) / count
        if power < least:
            best, least = shift, power
    return best


def _coarse(frames_TP: np.ndarray) -> np.ndarray:
    """8 x 8 pixels a frame, without each frame's brightness."""
    small = _shrunk(frames_TP.reshape(-1, _SIDE, _SIDE), 8).reshape(len(frames_TP), -1)
    found: np.ndarray = small - small.mean(axis=1, keepdims=True)
    return found


def _distance(left_TP: np.ndarray, right_TP: np.ndarray) -> float:
    clear_TP = np.logical_and.reduce([(x > _CLEAR[0]) & (x < _CLEAR[1]) for x in (left_TP, right_TP)])
    if clear_TP.mean() < _LEAST_CLEAR:
        clear_TP[:] = True
    gain, offset = _light(left_TP[clear_TP], right_TP[clear_TP])
    if abs(gain - 1) <= _SAME_LIGHT[0] and abs(gain * 128 + offset - 128) <= _SAME_LIGHT[1]:
        clear_TP[:] = True
        gain, offset = _light(left_TP.ravel(), right_TP.ravel())
    count_P = clear_TP.sum(0)
    means, motions = [], []
    for frames_TP in (left_TP, gain * right_TP + offset):
        mean_P = (frames_TP * clear_TP).sum(0) / np.maximum(count_P, 1)
        motions.append((frames_TP - mean_P) * clear_TP)
        means.append((mean_P - np.average(mean_P, weights=count_P)) * np.sqrt(count_P))
    total = int(count_P.sum())
    return _share(motions[0], motions[1], total) + _MEAN_WEIGHT * _share(means[0], means[1], total)


def _light(left: np.ndarray, right: np.ndarray) -> tuple[float, float]:
    """Contrast and brightness that bring `right` nearest to `left`."""
    means = float(left.mean()), float(right.mean())
    power = float(((right - means[1]) ** 2).mean())
    shared = float(((left - means[0]) * (right - means[1])).mean())
    gain = min(max(shared / power, 0.25), 4.0) if power > 0 else 1.0
    return gain, means[0] - gain * means[1]


def _share(left: np.ndarray, right: np.ndarray, count: int) -> float:
    """Power of the difference in that of the two, both per pixel."""
    power = float((left**2).sum() + (right**2).sum()) / (2 * count)
    return float(((left - right) ** 2).sum()) / count / (power + _NOISE)
