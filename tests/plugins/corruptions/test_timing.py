"""Corruptions of time: which frame stands for which."""

from __future__ import annotations

import numpy as np
import pytest

from vssl_core import Corruption, CorruptionSource, Options, generator
from vssl_plugins.corruptions.timing import FrameDrop, Freeze, Reverse, Shuffle, Static


def source(num_frames: int, *, video: int = 0) -> CorruptionSource:
    def draw(*key: str | int) -> np.random.Generator:
        return generator("timing", video, *key)

    return CorruptionSource(num_frames, 25.0, lambda numbers: numbers, draw)


def shown(cls: type[Corruption], frames: np.ndarray, num_frames: int, *, severity: int = 1, video: int = 0):
    return cls(Options()).frames(frames, source(num_frames, video=video), severity)


@pytest.mark.parametrize(("severity", "rate"), list(enumerate((0.1, 0.25, 0.4, 0.6, 0.8), start=1)))
def test_a_dropped_frame_shows_the_last_that_came(severity: int, rate: float) -> None:
    every = np.arange(4000)
    found = shown(FrameDrop, every, 4000, severity=severity)
    kept = found == every
    assert kept[0]
    assert 1 - kept.mean() == pytest.approx(rate, abs=0.03)
    for frame in range(1, 4000):
        assert found[frame] == (frame if kept[frame] else found[frame - 1])


def test_clips_of_one_video_meet_the_same_gaps_and_another_video_others() -> None:
    every = shown(FrameDrop, np.arange(200), 200, severity=3)
    some = np.array([3, 9, 100, 101, 150])
    np.testing.assert_array_equal(shown(FrameDrop, some, 200, severity=3), every[some])
    assert not np.array_equal(shown(FrameDrop, np.arange(200), 200, severity=3, video=1), every)


@pytest.mark.parametrize(("severity", "share"), list(enumerate((0.1, 0.2, 0.4, 0.6, 0.8), start=1)))
def test_a_freeze_is_one_stretch_of_its_share(severity: int, share: float) -> None:
    starts = set()
    for video in range(20):
        found = shown(Freeze, np.arange(100), 100, severity=severity, video=video)
        frozen = np.flatnonzero(found != np.arange(100))
        assert len(frozen) == 100 * share - 1  # its first frame stands for itself
        assert set(found[frozen]) == {frozen[0] - 1}
        assert np.array_equal(frozen, np.arange(frozen[0], frozen[-1] + 1))
        starts.add(int(frozen[0]))
    assert len(starts) > 5


def test_reverse_and_static() -> None:
    clip = np.array([4, 6, 8, 10])
    assert shown(Reverse, clip, 20).tolist() == [10, 8, 6, 4]
    assert shown(Static, clip, 20).tolist() == [8, 8, 8, 8]
    assert shown(Static, clip[:3], 20).tolist() == [6, 6, 6]


def test_shuffle_shows_each_frame_once_and_every_order_alike() -> None:
    clip = np.array([4, 6, 8])
    found = [tuple(shown(Shuffle, clip, 20, video=video)) for video in range(600)]
    assert {tuple(sorted(order)) for order in found} == {(4, 6, 8)}
    counts = [found.count(order) for order in set(found)]
    assert len(counts) == 6
    assert min(counts) > 60
    assert found[0] == tuple(shown(Shuffle, clip, 20))
