"""Paces that no length tells, and the frames that belong to them."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from vssl_core import Sampled, generator
from vssl_plugin_pace import PacedClips

ONE = PacedClips(num_frames=16, num_paces=4)
TWO = PacedClips(num_frames=16, num_paces=4, num_clips=2)
FASTEST = 15 * 4 + 1  # frames that the fastest clip spans


def drawn(sampler: PacedClips, n_frames: int, count: int) -> list[Sampled]:
    return [sampler(n_frames, 25.0, generator("pace", n_frames, draw)) for draw in range(count)]


@pytest.mark.parametrize("n_frames", [FASTEST, 200])
def test_a_clip_of_pace_p_takes_every_pth_frame(n_frames: int) -> None:
    for sampled in drawn(TWO, n_frames, 100):
        for clip, pace in enumerate(sampled.info["pace"]):
            assert (np.diff(sampled.frames[f"clip_{clip}"]) == pace + 1).all()


def test_the_start_is_uniform_over_all_places_at_every_pace() -> None:
    some = drawn(ONE, 200, 4000)
    for pace in range(4):
        starts = [s.frames["clip_0"][0] for s in some if s.info["pace"][0] == pace]
        places = 200 - 15 * (pace + 1)
        assert max(starts) < places
        assert stats.kstest(starts, stats.uniform(0, places).cdf).pvalue > 1e-3


@pytest.mark.parametrize("sampler", [ONE, TWO])
def test_the_pace_does_not_depend_on_the_length(sampler: PacedClips) -> None:
    lengths = (1, 10, 40, FASTEST - 1, FASTEST, 300)
    counts = [np.bincount([s.info["pace"][-1] for s in drawn(sampler, n, 800)], minlength=4) for n in lengths]
    assert stats.chi2_contingency(counts).pvalue > 1e-3
    assert stats.chisquare(np.sum(counts, axis=0)).pvalue > 1e-3


def test_two_clips_of_a_video_have_different_paces_and_places_of_their_own() -> None:
    some = drawn(TWO, 300, 1000)
    pairs = {tuple(s.info["pace"].tolist()) for s in some}
    assert pairs == {(a, b) for a in range(4) for b in range(4) if a != b}
    starts = np.array([[s.frames["clip_0"][0], s.frames["clip_1"][0]] for s in some])
    assert abs(np.corrcoef(starts.T)[0, 1]) < 0.1


@pytest.mark.parametrize("n_frames", [1, 2, 10, FASTEST - 1])
def test_a_short_video_is_read_forwards_and_backwards_at_every_pace(n_frames: int) -> None:
    there = list(range(n_frames))
    path = np.array(there + there[-2:0:-1])
    for sampled in drawn(ONE, n_frames, 60):
        steps = np.arange(16) * (sampled.info["pace"][0] + 1)
        ways = [path[(start + steps) % len(path)] for start in range(len(path))]
        assert any(np.array_equal(sampled.frames["clip_0"], way) for way in ways)
