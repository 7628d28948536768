"""How far two videos are from being the same one: frame by frame, at the best shift in time.

Hashes tell scenes apart, not what happens in them: before one background everything looks alike. So a pair
that may be alike is decided by its pictures. Both are reduced to the 16 x 16 lowest frequencies of every
frame, one is shifted in time against the other until they differ least, and its contrast is fitted. Then

    distance = E_motion / (P_motion + 2) + 10 E_mean / (P_mean + 2)

where `mean` is the picture's mean over time and `motion` what is left of each frame without it, P is the mean
power of the two videos and E that of their difference. The first term does not see the background, the
second does not see what moves; 2 (squared grey levels, as all of these) is about what coding adds. Values of
copies and of others: `benchmarks/results/overlap.md`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vssl_core.overlap.buckets import LEAST_OVERLAP
from vssl_core.video.fingerprint import frequencies, nearest, small_frames
from vssl_core.video.scan import scan

__all__ = ["ALIKE", "Alignment", "Detail", "align", "look_closely"]

ALIKE = 0.15
"""Pairs up to this distance are near duplicates."""
_NOISE = 2.0
_MEAN_WEIGHT = 10.0
_COUNT = 16
_COARSE = np.array([place for place in range(_COUNT**2 - 1) if max(divmod(place + 1, _COUNT)) < 8])
_MOST_FRAMES = 1500


@dataclass(frozen=True, slots=True)
class Detail:
    """Frequencies (T, 255) float16 of a video's frames, `rate` of them in a second."""

    frames_TF: np.ndarray
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
    frames = small_frames(path, table, nearest(seconds, times))
    return Detail(frequencies(frames, _COUNT).astype(np.float16), rate)


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
    count = max(1, round(len(video.frames_TF) * rate / video.rate))
    places = np.minimum(np.rint(np.arange(count) * video.rate / rate).astype(int), len(video.frames_TF) - 1)
    frames: np.ndarray = video.frames_TF[places].astype(np.float32)
    return frames


def _best_shift(left_TF: np.ndarray, right_TF: np.ndarray) -> int:
    """The shift of `left` against `right` with the smallest mean squared difference of coarse pictures."""
    left, right = left_TF[:, _COARSE], right_TF[:, _COARSE]
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


def _distance(left_TF: np.ndarray, right_TF: np.ndarray) -> float:
    power = float((right_TF**2).sum())
    right_TF = right_TF * (float((left_TF * right_TF).sum()) / power if power else 1.0)
    means = left_TF.mean(0), right_TF.mean(0)
    motion = left_TF - means[0], right_TF - means[1]
    return _share(*motion) + _MEAN_WEIGHT * _share(*(mean[None] for mean in means))


def _share(left_TF: np.ndarray, right_TF: np.ndarray) -> float:
    """Power of the difference in that of the two, both per frame."""
    difference = float(((left_TF - right_TF) ** 2).sum(1).mean())
    return difference / (float((left_TF**2).sum(1).mean() + (right_TF**2).sum(1).mean()) / 2 + _NOISE)
