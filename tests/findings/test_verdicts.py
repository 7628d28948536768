"""Verdicts on simulated runs are right as often as they say, and equal methods are rarely told apart."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest

from vssl_core.findings import (
    Accord,
    Finding,
    Verdict,
    contrast,
    corrected,
    critical_difference,
    improvement,
    iqm_contrast,
    rank_agreement,
    ranking,
    trend,
)
from vssl_core.statistics import minimum_detectable_gap

SEEDS = (3, 5, 10)
TURNS = 2000
TASKS = ("rotnet", "vcop", "prp", "cvrl", "tdl", "rspnet")

Runs = dict[str, dict[int, float]]


def runs(rng: np.random.Generator, seeds: int, means: Mapping[str, float]) -> Runs:
    """Paired runs: half of a seed's deviation is shared by all methods; differences have variance 1."""
    shared = rng.standard_normal(seeds)
    own = np.sqrt(0.5) * rng.standard_normal((len(means), seeds))
    return {
        name: dict(enumerate((mean + shared + own_S).tolist()))
        for (name, mean), own_S in zip(means.items(), own, strict=True)
    }


def one_in_twenty(turns: int) -> float:
    """The largest share that is at most 5 % but for the simulation's own noise (two standard errors)."""
    return 0.05 + 2 * (0.05 * 0.95 / turns) ** 0.5


def two(rng: np.random.Generator, seeds: int, gap: float) -> tuple[Runs, Runs]:
    """Two methods on five targets, paired by seed; the first is better by `gap`."""
    means = {f"{name} t{i}": 10.0 * i + (gap if name == "a" else 0.0) for i in range(5) for name in "ab"}
    found = runs(rng, seeds, means)
    a, b = ({f"t{i}": found[f"{name} t{i}"] for i in range(5)} for name in "ab")
    return a, b


def claims(verdicts: list[Verdict]) -> float:
    """Share of verdicts that claim something."""
    return float(np.mean([verdict is not Verdict.NOT_DETECTABLE for verdict in verdicts]))


def groups(rng: np.random.Generator, seeds: int, gap: float) -> Finding:
    """Two groups of three: the difference of their means has variance 1/3."""
    found = runs(rng, seeds, {task: gap if i < 3 else 0.0 for i, task in enumerate(TASKS)})
    first = {task: found[task] for task in TASKS[:3]}
    return contrast("claim", first, {task: found[task] for task in TASKS[3:]})


# --------------------------------------------------------------------------------- nothing to be found


@pytest.mark.parametrize("seeds", SEEDS)
def test_equal_groups_are_told_apart_one_time_in_twenty(seeds: int) -> None:
    rng = np.random.default_rng(seeds)
    verdicts = [groups(rng, seeds, 0.0).verdict for _ in range(2 * TURNS)]
    assert claims(verdicts) == pytest.approx(0.05, abs=0.01)
    assert verdicts.count(Verdict.YES) == pytest.approx(verdicts.count(Verdict.NO), rel=0.35)


@pytest.mark.parametrize("seeds", SEEDS)
def test_a_family_of_empty_claims_is_believed_one_time_in_twenty(seeds: int) -> None:
    rng = np.random.default_rng(10 + seeds)
    families = [corrected([groups(rng, seeds, 0.0) for _ in range(4)]) for _ in range(TURNS)]
    wrong = [any(f.verdict is not Verdict.NOT_DETECTABLE for f in family) for family in families]
    assert np.mean(wrong) <= one_in_twenty(TURNS)


@pytest.mark.parametrize("seeds", SEEDS)
def test_a_flat_axis_rises_one_time_in_twenty(seeds: int) -> None:
    rng = np.random.default_rng(20 + seeds)
    flat = dict.fromkeys(("10k", "30k", "50k", "100k"), 50.0)
    found = [trend("claim", runs(rng, seeds, flat)) for _ in range(2 * TURNS)]
    assert claims([each.slope.verdict for each in found]) == pytest.approx(0.05, abs=0.01)
    assert claims([each.last_step.verdict for each in found]) == pytest.approx(0.05, abs=0.01)


@pytest.mark.parametrize("seeds", SEEDS)
def test_no_method_is_best_of_equals(seeds: int) -> None:
    rng = np.random.default_rng(30 + seeds)
    equal = dict.fromkeys(TASKS, 50.0)
    found = [ranking(runs(rng, seeds, equal)) for _ in range(TURNS // 2)]
    assert np.mean([each.verdict is Verdict.YES for each in found]) <= 0.05
    assert np.mean([len(set(each.ties.values())) > 1 for each in found]) <= one_in_twenty(TURNS // 2)


@pytest.mark.parametrize("seeds", SEEDS)
@pytest.mark.parametrize("values", [2, 3, 4, 6])
def test_an_order_by_chance_agrees_with_nothing(seeds: int, values: int) -> None:
    rng = np.random.default_rng(40 + seeds)
    paper = {task: float(i) for i, task in enumerate(TASKS[:values])}
    equal = dict.fromkeys(paper, 50.0)
    verdicts = [rank_agreement(runs(rng, seeds, equal), paper).verdict for _ in range(TURNS // 2)]
    wrong = np.mean([verdict is not Accord.CANNOT_TELL for verdict in verdicts])
    assert wrong <= one_in_twenty(TURNS // 2)


@pytest.mark.parametrize("seeds", SEEDS)
def test_equal_methods_improve_on_nothing(seeds: int) -> None:
    rng = np.random.default_rng(50 + seeds)
    pairs = [two(rng, seeds, 0.0) for _ in range(TURNS)]
    assert claims([improvement("claim", a, b).verdict for a, b in pairs]) <= 0.05
    assert claims([iqm_contrast("claim", a, b).verdict for a, b in pairs]) == pytest.approx(0.05, abs=0.015)


@pytest.mark.parametrize("datasets", [5, 10])
def test_critical_differences_of_equal_methods(datasets: int) -> None:
    rng = np.random.default_rng(60 + datasets)
    found = []
    for _ in range(150):
        scores = rng.standard_normal((datasets, 4))
        table = {str(n): dict(zip("abcd", row.tolist(), strict=True)) for n, row in enumerate(scores)}
        found.append(len(set(critical_difference(table).ties.values())) > 1)
    assert np.mean(found) <= 0.05


# ------------------------------------------------------------------------------ something to be found


@pytest.mark.parametrize("seeds", SEEDS)
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_the_detectable_gap_is_found_four_times_in_five_and_a_wide_one_nearly_always(
    seeds: int, sign: float
) -> None:
    gap = minimum_detectable_gap((1 / 3 / seeds) ** 0.5, seeds - 1.0)
    right = Verdict.YES if sign > 0 else Verdict.NO
    for factor, low, high in ((1.0, 0.77, 0.83), (1.6, 0.93, 1.0)):
        rng = np.random.default_rng(seeds)
        verdicts = [groups(rng, seeds, factor * sign * gap).verdict for _ in range(TURNS)]
        assert low <= np.mean([verdict is right for verdict in verdicts]) <= high


@pytest.mark.parametrize("seeds", SEEDS)
def test_an_interval_of_a_slope_covers(seeds: int) -> None:
    rng = np.random.default_rng(70 + seeds)
    points = {"10k": 50.0, "30k": 52.0, "50k": 54.0}
    found = [trend("claim", runs(rng, seeds, points)).slope.interval for _ in range(TURNS)]
    assert 0.93 <= np.mean([each is not None and each.low <= 2.0 <= each.high for each in found]) <= 0.97


@pytest.mark.parametrize("seeds", SEEDS)
def test_a_rise_that_ends_is_seen_as_both(seeds: int) -> None:
    rng = np.random.default_rng(80 + seeds)
    points = {"10k": 20.0, "30k": 40.0, "50k": 50.0, "100k": 50.0}
    found = [trend("claim", runs(rng, seeds, points)) for _ in range(TURNS)]
    assert np.mean([each.slope.verdict is Verdict.YES for each in found]) >= 0.93
    assert np.mean([each.last_step.verdict is Verdict.NOT_DETECTABLE for each in found]) >= 0.93


@pytest.mark.parametrize("seeds", [5, 10])
def test_a_clear_winner_is_found(seeds: int) -> None:
    rng = np.random.default_rng(90 + seeds)
    means = {task: 40.0 + 10 * i for i, task in enumerate(TASKS)}
    found = [ranking(runs(rng, seeds, means)) for _ in range(300)]
    assert np.mean([(each.claimed, each.verdict) == ("rspnet", Verdict.YES) for each in found]) >= 0.93
    wrong = [ranking(runs(rng, seeds, means), claimed="cvrl").verdict for _ in range(300)]
    assert np.mean([verdict is Verdict.NO for verdict in wrong]) >= 0.93


@pytest.mark.parametrize("seeds", SEEDS)
@pytest.mark.parametrize("values", [2, 3, 6])
def test_an_order_like_the_papers_agrees_and_the_reverse_disagrees(seeds: int, values: int) -> None:
    rng = np.random.default_rng(100 + seeds)
    paper = {task: 30.0 + 20 * i for i, task in enumerate(TASKS[:values])}
    reverse = {task: -value for task, value in paper.items()}
    for theirs, right in ((paper, Accord.AGREES), (reverse, Accord.DISAGREES)):
        verdicts = [rank_agreement(runs(rng, seeds, paper), theirs).verdict for _ in range(300)]
        assert np.mean([verdict is right for verdict in verdicts]) >= 0.93


@pytest.mark.parametrize("seeds", [5, 10])
def test_a_better_method_improves(seeds: int) -> None:
    rng = np.random.default_rng(110 + seeds)
    pairs = [two(rng, seeds, 2.0) for _ in range(500)]
    assert np.mean([improvement("claim", a, b).verdict is Verdict.YES for a, b in pairs]) >= 0.93
    lower = [improvement("claim", a, b, expected="lower").verdict for a, b in pairs]
    assert np.mean([verdict is Verdict.NO for verdict in lower]) >= 0.93
