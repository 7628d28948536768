"""Aggregates over targets equal their definitions, and their intervals cover what they promise."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from vssl_core.aggregates import (
    aggregate,
    interquartile_mean,
    probability_of_improvement,
    rank_intervals,
)
from vssl_core.statistics import seed_interval


def by_seed(scores_SM: np.ndarray) -> dict[int, list[float]]:
    return {seed: row.tolist() for seed, row in enumerate(scores_SM)}


def test_the_interquartile_mean_leaves_out_a_quarter_at_either_end() -> None:
    assert interquartile_mean([0, 1, 2, 3, 4, 5, 6, 1000]) == pytest.approx((2 + 3 + 4 + 5) / 4)
    assert interquartile_mean([5.0]) == 5.0
    assert interquartile_mean([1, 2, 6]) == pytest.approx(3)  # a quarter of three, rounded down, is none
    with pytest.raises(ValueError, match="at least one value"):
        interquartile_mean([])


def test_one_wild_target_does_not_decide() -> None:
    calm = np.tile([50.0, 51, 52, 53, 54, 55], (3, 1)) + np.arange(3)[:, None]
    wild = calm.copy()
    wild[:, 5] *= 100
    assert aggregate(by_seed(wild)) == aggregate(by_seed(calm))
    mean, interval = aggregate(by_seed(calm))
    assert mean == pytest.approx(53.5)
    assert interval is not None
    assert interval.half_width == pytest.approx(4.302653 * 1 / 3**0.5)


def test_improvement_counts_all_pairs_of_runs() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 5, (4, 3)), rng.integers(0, 5, (4, 3))
    pairs = [
        (a[s, m] > b[r, m]) + 0.5 * (a[s, m] == b[r, m]) for s, r, m in product(range(4), range(4), range(3))
    ]
    found = probability_of_improvement(by_seed(a), by_seed(b))
    assert found.value == pytest.approx(np.mean(pairs))
    assert found.seeds == (0, 1, 2, 3)
    other = probability_of_improvement(by_seed(b), by_seed(a))
    assert found.value + other.value == pytest.approx(1)
    without = [
        probability_of_improvement(by_seed(np.delete(a, s, 0)), by_seed(np.delete(b, s, 0))).value
        for s in range(4)
    ]
    pseudo = 4 * found.value - 3 * np.array(without)
    expected = seed_interval(pseudo.tolist())
    assert expected is not None
    assert found.interval is not None
    assert other.interval is not None
    assert (found.interval.mean, found.interval.half_width) == pytest.approx(
        (expected.mean, expected.half_width)
    )
    assert found.interval.half_width == pytest.approx(other.interval.half_width)


def test_no_interval_where_nothing_can_be_said() -> None:
    two = {0: [1.0, 2.0], 1: [2.0, 3.0]}
    assert probability_of_improvement(two, {0: [0.5, 1.5], 1: [1.0, 1.0]}).interval is None
    assert aggregate(two)[1] is None
    above = probability_of_improvement({s: [9.0, 9.0] for s in range(5)}, {s: [1.0, 2.0] for s in range(5)})
    assert (above.value, above.interval) == (1.0, None)


@pytest.mark.parametrize(
    ("a", "b"), [({0: [1.0]}, {1: [1.0]}), ({0: [1.0]}, {0: [1.0, 2.0]}), ({0: []}, {0: []}), ({}, {})]
)
def test_what_cannot_be_compared_is_refused(a: dict, b: dict) -> None:
    with pytest.raises(ValueError, match="expected"):
        probability_of_improvement(a, b)


def test_ranks_are_as_wide_as_what_is_not_known() -> None:
    assert rank_intervals(["a", "b", "c"], []) == {"a": (1, 3), "b": (1, 3), "c": (1, 3)}
    assert rank_intervals("abc", [("a", "b"), ("a", "c"), ("a", "c")]) == {
        "a": (1, 1),
        "b": (2, 3),
        "c": (2, 3),
    }
    assert rank_intervals("abc", [("a", "c")]) == {"a": (1, 2), "b": (1, 3), "c": (2, 3)}
    with pytest.raises(ValueError, match="expected pairs"):
        rank_intervals(["a"], [("a", "b")])


def runs(rng: np.random.Generator, seeds: int, shift: float) -> tuple[np.ndarray, np.ndarray]:
    """Paired runs of two methods on six targets of different levels and spreads, half of it shared."""
    level, spread = np.array([-12.0, -3, 0, 4, 9, 20]), np.array([1.0, 2, 4, 1.5, 3, 2.5])
    shared, *own = (np.sqrt(0.5) * spread * rng.standard_normal((3, seeds, 6))).copy()
    return level + shift * spread + shared + own[0], level + shared + own[1]


@pytest.mark.parametrize("seeds", [3, 5, 10])
@pytest.mark.parametrize("shift", [0.0, 0.5])
def test_intervals_cover(seeds: int, shift: float) -> None:
    rng = np.random.default_rng(seeds)
    a, b = runs(rng, 40_000, shift)
    true_share = ((a - np.roll(b, 1, axis=0)) > 0).mean()  # of different seeds, hence not paired
    true_mean = np.sort(a, axis=1)[:, 1:5].mean()
    share, mean = [], []
    for _ in range(4000):
        a, b = runs(rng, seeds, shift)
        found = probability_of_improvement(by_seed(a), by_seed(b)).interval
        if found is not None:
            share.append(abs(found.mean - true_share) <= found.half_width)
        _, interval = aggregate(by_seed(a))
        assert interval is not None
        mean.append(abs(interval.mean - true_mean) <= interval.half_width)
    assert 0.93 <= np.mean(mean) <= 0.97
    assert np.mean(share) >= 0.93


@pytest.mark.parametrize("seeds", [3, 5, 10])
def test_equal_methods_are_rarely_told_apart(seeds: int) -> None:
    rng = np.random.default_rng(100 + seeds)
    rejected = []
    for _ in range(4000):
        a, b = runs(rng, seeds, 0.0)
        found = probability_of_improvement(by_seed(a), by_seed(b)).interval
        rejected.append(found is not None and abs(found.mean - 0.5) > found.half_width)
    assert np.mean(rejected) <= 0.05
