"""Intervals cover what they say, equal methods are not told apart, and letters mean what they say."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from scipy.special import ndtr

from vssl_core.statistics import (
    GroupBootstrap,
    combined_difference,
    combined_interval,
    group_bootstrap,
    holm,
    minimum_detectable_gap,
    paired_difference,
    seed_interval,
    tie_groups,
)

# --------------------------------------------------------------------------------------------- seeds


def test_seed_interval_is_the_t_interval() -> None:
    values = [41.0, 44.5, 39.2, 47.1]
    interval = seed_interval(values)
    assert interval is not None
    expected = stats.t.interval(0.95, 3, np.mean(values), stats.sem(values))
    assert (interval.low, interval.high) == pytest.approx(expected)
    assert interval.p_value == pytest.approx(stats.ttest_1samp(values, 0.0).pvalue)
    assert interval.estimator == "t over 4 seeds"


@pytest.mark.parametrize("values", [[], [1.0], [1.0, 2.0], [50.0, 50.0, 50.0]])
def test_no_interval_from_too_few_or_from_no_spread(values: list[float]) -> None:
    assert seed_interval(values) is None


def test_paired_difference_is_the_paired_t_test_on_shared_seeds() -> None:
    a = {0: 41.0, 1: 44.5, 2: 39.2, 3: 47.1, 9: 99.0}
    b = {3: 45.0, 2: 37.7, 1: 42.0, 0: 41.5, 7: 0.0}
    gap = paired_difference(a, b)
    reference = stats.ttest_rel([a[s] for s in range(4)], [b[s] for s in range(4)])
    assert gap.seeds == (0, 1, 2, 3)
    assert gap.interval is not None
    assert gap.interval.p_value == pytest.approx(reference.pvalue)
    assert (gap.interval.low, gap.interval.high) == pytest.approx(tuple(reference.confidence_interval()))
    assert gap.effect_size == pytest.approx(reference.statistic / 2)


def test_two_shared_seeds_give_a_difference_without_an_interval() -> None:
    gap = paired_difference({0: 2.0, 1: 5.0}, {0: 1.0, 1: 1.0})
    assert (gap.mean, gap.interval) == (2.5, None)
    with pytest.raises(ValueError, match="shared seed"):
        paired_difference({0: 1.0}, {1: 1.0})


@given(st.lists(st.floats(-100, 100).map(lambda x: round(x, 3)), min_size=3, max_size=8))
def test_interval_and_p_value_agree_about_zero(values: list[float]) -> None:
    interval = seed_interval(values)
    if interval is not None and abs(interval.p_value - 0.05) > 1e-9:
        assert interval.excludes_zero == (interval.p_value < 0.05)
        assert interval.excludes_zero == (interval.low > 0 or interval.high < 0)


# ------------------------------------------------------------------------------------------ test sets


def _scores(
    rng: np.random.Generator, seeds: int, groups: int, *, seed_sd: float, group_sd: float, both_sd: float
) -> np.ndarray:
    """Normal scores (S, G) of true mean 0: what a seed, a group and their meeting add to the mean."""
    shared_G = group_sd * rng.standard_normal(groups)
    own_SG = both_sd * rng.standard_normal((seeds, groups))
    return seed_sd * rng.standard_normal((seeds, 1)) + groups**0.5 * (shared_G + own_SG)


def _bootstrap(scores_SG: np.ndarray, resamples: int = 300) -> GroupBootstrap:
    groups = [f"g{i}" for i in range(scores_SG.shape[1])]
    return group_bootstrap(dict(enumerate(scores_SG)), groups, resamples=resamples)


def test_bootstrap_has_the_variance_of_a_mean_over_groups() -> None:
    rng = np.random.default_rng(0)
    values_V = rng.standard_normal(200)
    groups = [f"g{i // 5}" for i in range(200)]
    drawn = group_bootstrap({3: values_V}, groups, resamples=20_000)
    per_group = values_V.reshape(40, 5).mean(axis=1)
    assert drawn.resampled.var() == pytest.approx(per_group.var() / 40, rel=0.05)
    assert drawn.means == pytest.approx([values_V.mean()])
    assert (drawn.num_groups, drawn.effective_groups) == (40, pytest.approx(40.0))


def test_bootstrap_repeats_itself_and_ignores_the_order_of_videos() -> None:
    rng = np.random.default_rng(1)
    values_V, order = rng.standard_normal(60), rng.permutation(60)
    groups = [f"g{i % 12}" for i in range(60)]
    once = group_bootstrap({0: values_V}, groups)
    again = group_bootstrap({0: values_V[order]}, [groups[i] for i in order])
    np.testing.assert_allclose(once.resampled, again.resampled)


def test_bootstrap_in_blocks_is_the_bootstrap_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    values = {0: np.arange(30.0)}
    groups = [str(i % 15) for i in range(30)]
    whole = group_bootstrap(values, groups, resamples=100)
    monkeypatch.setattr("vssl_core.statistics._BLOCK", 45)
    assert np.array_equal(whole.resampled, group_bootstrap(values, groups, resamples=100).resampled)


def test_bootstrap_refuses_what_does_not_fit() -> None:
    with pytest.raises(ValueError, match="one value per video"):
        group_bootstrap({0: [1.0, 2.0]}, ["a"])
    with pytest.raises(ValueError, match="one value per video"):
        group_bootstrap({}, ["a"])


@pytest.mark.parametrize("seeds", [3, 5, 10])
@pytest.mark.parametrize(
    ("seed_sd", "group_sd", "both_sd"),
    [(1.0, 1.0, 0.3), (1.0, 0.0, 0.1), (0.0, 1.0, 1.0), (0.3, 0.5, 1.0)],
    ids=["seeds and groups", "seeds alone", "groups alone", "mostly unshared"],
)
def test_combined_interval_covers_93_to_97_percent(
    seeds: int, seed_sd: float, group_sd: float, both_sd: float
) -> None:
    """The mean of normal scores is independent of their spread, so coverage is exact given a half-width."""
    rng = np.random.default_rng(seeds)
    true_sd = (seed_sd**2 / seeds + group_sd**2 + both_sd**2 / seeds) ** 0.5
    covered = []
    for _ in range(600):
        scores = _scores(rng, seeds, 25, seed_sd=seed_sd, group_sd=group_sd, both_sd=both_sd)
        interval = combined_interval(_bootstrap(scores))
        assert interval is not None
        covered.append(2 * ndtr(interval.half_width / true_sd) - 1)
    assert 0.93 <= np.mean(covered) <= 0.97


def test_seeds_alone_do_not_cover_another_test_set() -> None:
    """Why the bootstrap is needed: all seeds meet the same lucky or unlucky videos."""
    rng = np.random.default_rng(5)
    hits = []
    for _ in range(500):
        interval = seed_interval(_scores(rng, 5, 25, seed_sd=1.0, group_sd=1.0, both_sd=0.3).mean(axis=1))
        assert interval is not None
        hits.append(interval.low <= 0 <= interval.high)
    assert np.mean(hits) < 0.85


def test_combined_interval_covers_right_and_wrong_answers_in_unequal_groups() -> None:
    rng = np.random.default_rng(11)
    hits = []
    for _ in range(1000):
        sizes = rng.integers(2, 8, 20)
        index_V = np.repeat(np.arange(20), sizes)
        scores_SG = _scores(rng, 3, 20, seed_sd=1.0, group_sd=1.0, both_sd=0.5)
        right_SV = scores_SG[:, index_V] + 4.0 * rng.standard_normal((3, len(index_V))) > 0
        values = dict(enumerate(100.0 * right_SV))
        interval = combined_interval(group_bootstrap(values, [str(i) for i in index_V], resamples=300))
        assert interval is not None
        hits.append(interval.low <= 50.0 <= interval.high)
    assert 0.93 <= np.mean(hits) <= 0.97


def test_test_videos_never_narrow_the_interval_of_the_seeds() -> None:
    rng = np.random.default_rng(6)
    for _ in range(50):
        scores = _scores(rng, 3, 25, seed_sd=1.0, group_sd=0.3, both_sd=0.1)
        combined, alone = combined_interval(_bootstrap(scores)), seed_interval(scores.mean(axis=1).tolist())
        assert combined is not None
        assert alone is not None
        assert combined.half_width >= alone.half_width * (1 - 1e-9)


def test_combined_interval_needs_three_seeds_and_ten_groups() -> None:
    rng = np.random.default_rng(0)
    assert combined_interval(_bootstrap(rng.standard_normal((2, 40)))) is None
    assert combined_interval(_bootstrap(rng.standard_normal((3, 9)))) is None
    interval = combined_interval(_bootstrap(rng.standard_normal((3, 40))))
    assert interval is not None
    assert interval.estimator == "t over 3 seeds + bootstrap over 40 source groups, Satterthwaite"


def test_equal_means_of_all_seeds_still_leave_the_test_set_uncertain() -> None:
    values_SV = np.array([[0.0, 100.0] * 10, [100.0, 0.0] * 10, [0.0, 100.0] * 10])
    interval = combined_interval(_bootstrap(values_SV))
    assert interval is not None
    assert interval.half_width > 0
    assert combined_interval(_bootstrap(np.full((3, 20), 100.0))) is None


# --------------------------------------------------------------------------------------- comparisons


def test_equal_methods_are_told_apart_in_at_most_5_percent() -> None:
    """A/A: three times the same method, all pairs, Holm's correction: any finding is a false one."""
    rng = np.random.default_rng(2)
    found = []
    for seeds in (3, 5, 10) * 600:
        hard_G = 2.0 * rng.standard_normal(20)
        methods = [
            _bootstrap(hard_G + _scores(rng, seeds, 20, seed_sd=0.3, group_sd=0.0, both_sd=1.0), 200)
            for _ in range(3)
        ]
        gaps = [combined_difference(a, b).interval for a, b in combinations(methods, 2)]
        p_values = [gap.p_value for gap in gaps if gap is not None]
        assert len(p_values) == 3
        found.append(min(holm(p_values)) < 0.05)
    assert 0.01 <= np.mean(found) <= 0.05


@pytest.mark.parametrize("seeds", [3, 5, 10])
def test_a_paired_t_test_of_equal_methods_rejects_one_time_in_twenty(seeds: int) -> None:
    rng = np.random.default_rng(seeds)
    rejected = []
    for _ in range(4000):
        shared = 3.0 * rng.standard_normal(seeds)
        a, b = (dict(enumerate(shared + rng.standard_normal(seeds))) for _ in range(2))
        gap = paired_difference(a, b)
        assert gap.interval is not None
        rejected.append(gap.interval.excludes_zero)
    assert np.mean(rejected) == pytest.approx(0.05, abs=0.01)


def test_pairing_removes_what_both_methods_share() -> None:
    rng = np.random.default_rng(3)
    hard_G = 30.0 * rng.standard_normal(30)
    noise = rng.standard_normal((2, 3, 30))
    a, b = _bootstrap(hard_G + noise[0] + 2.0), _bootstrap(hard_G + noise[1])
    gap, alone = combined_difference(a, b), combined_interval(a)
    assert gap.interval is not None
    assert alone is not None
    assert gap.interval.excludes_zero
    assert gap.interval.half_width < alone.half_width / 5


def test_difference_uses_shared_seeds_and_refuses_other_test_sets() -> None:
    rng = np.random.default_rng(4)
    groups = [str(i) for i in range(12)]
    a = group_bootstrap({s: rng.standard_normal(12) for s in (0, 1, 2, 3)}, groups)
    b = group_bootstrap({s: rng.standard_normal(12) for s in (1, 3, 4, 0)}, groups)
    assert combined_difference(a, b).seeds == (0, 1, 3)
    with pytest.raises(ValueError, match="same groups"):
        combined_difference(a, group_bootstrap({0: [1.0, 2.0]}, ["x", "y"]))


def test_holm_of_a_worked_example() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.6]) == [1.0, 1.0]
    assert holm([]) == []


def test_letters_of_a_worked_example() -> None:
    apart = [("a", "c"), ("a", "d"), ("b", "d")]
    assert tie_groups("abcd", apart) == {"a": "a", "b": "ab", "c": "bc", "d": "c"}


@given(st.integers(0, 6), st.data())
def test_two_names_share_a_letter_exactly_if_they_were_not_told_apart(
    count: int, data: st.DataObject
) -> None:
    names = [f"n{i}" for i in range(count)]
    pairs = list(combinations(names, 2))
    apart = data.draw(st.lists(st.sampled_from(pairs), unique=True)) if pairs else []
    letters = tie_groups(names, apart)
    for pair in pairs:
        shared = set(letters[pair[0]]) & set(letters[pair[1]])
        assert bool(shared) == (pair not in apart)
    assert all(letters[name] for name in names)
    assert not names or "a" in letters[names[0]]


@pytest.mark.parametrize("seeds", [3, 5, 10])
def test_the_smallest_detectable_gap_is_found_four_times_in_five(seeds: int) -> None:
    gap = minimum_detectable_gap(1.0 / seeds**0.5, seeds - 1.0)
    rng = np.random.default_rng(seeds)
    found = []
    for _ in range(4000):
        interval = seed_interval(gap + rng.standard_normal(seeds))
        assert interval is not None
        found.append(interval.low > 0)
    assert np.mean(found) == pytest.approx(0.8, abs=0.02)
