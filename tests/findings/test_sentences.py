"""Findings as sentences, and what each refuses."""

from __future__ import annotations

from dataclasses import FrozenInstanceError
from math import nan

import numpy as np
import pytest
from scipy import stats

from vssl_core.findings import (
    Accord,
    Verdict,
    contrast,
    corrected,
    critical,
    critical_difference,
    improvement,
    iqm_contrast,
    judged,
    overall,
    rank_agreement,
    ranking,
    sign_agreement,
    trend,
)

CLAIM = "non-contrastive tasks lose less under noise than contrastive ones"
CALM = {"rotnet": {0: 10.0, 1: 12, 2: 11}, "vcop": {0: 20.0, 1: 19, 2: 22}}
SHAKEN = {"cvrl": {0: 70.0, 1: 75, 2: 71}, "rspnet": {0: 60.0, 1: 69, 2: 64}}
YES = contrast(CLAIM, CALM, SHAKEN, expected="lower")
OPEN = contrast(CLAIM, CALM, {"tdl": {0: 10.0, 1: 21, 2: 22}}, expected="lower")
TOO_FEW = contrast(CLAIM, CALM, {"tdl": {0: 10.0, 1: 21}}, expected="lower")


# ------------------------------------------------------------------------------------------- contrasts


def test_a_contrast_is_the_paired_t_test_of_group_means() -> None:
    first = [15.0, 15.5, 16.5]
    second = [65.0, 72.0, 67.5]
    reference = stats.ttest_rel(second, first)
    assert YES.estimate == pytest.approx(52.5)
    assert YES.p_value == pytest.approx(reference.pvalue)
    assert YES.interval is not None
    assert (YES.interval.low, YES.interval.high) == pytest.approx(tuple(reference.confidence_interval()))
    assert (YES.verdict, YES.seeds) == (Verdict.YES, (0, 1, 2))
    with pytest.raises(FrozenInstanceError):
        YES.verdict = Verdict.NO  # type: ignore[misc]


def test_sentences_of_contrasts() -> None:
    asked = f"At 95 %, {CLAIM}"
    assert YES.sentence == (
        f"{asked}: yes (difference 52.5 ± 8.7 points over 3 seeds; detectable gap 11.4 points)."
    )
    assert contrast(CLAIM, CALM, SHAKEN).sentence == (
        f"{asked}: no, the reverse (difference -52.5 ± 8.7 points over 3 seeds; detectable gap 11.4 points)."
    )
    assert OPEN.sentence == (
        f"{asked}: not detectable with these 3 seeds "
        "(difference 2.0 ± 15.1 points; detectable gap 19.8 points)."
    )


def test_under_three_shared_seeds_nothing_is_claimed() -> None:
    asked = f"At 95 %, {CLAIM}: not detectable: needs at least 3 seeds"
    assert TOO_FEW.sentence == f"{asked}, 2 are shared (difference 0.2 points)."
    assert (TOO_FEW.interval, TOO_FEW.p_value, TOO_FEW.detectable_gap) == (None, None, None)
    one = contrast(CLAIM, CALM, {"tdl": {0: 10.0}}, expected="lower")
    assert one.sentence == f"{asked}, 1 is shared (difference -5.0 points)."
    none = contrast(CLAIM, CALM, {"tdl": {7: 10.0}}, expected="lower")
    assert none.sentence == f"{asked}, 0 are shared."
    assert none.estimate is None


def test_the_same_in_every_seed_needs_six_seeds() -> None:
    five, six = (judged("a is better", dict.fromkeys(range(n), 1.5)) for n in (5, 6))
    assert five.sentence == (
        "At 95 %, a is better: not detectable with these 5 seeds (difference 1.5 points in every seed)."
    )
    assert six.sentence == "At 95 %, a is better: yes (difference 1.5 points in every seed)."
    assert six.p_value == pytest.approx(stats.binomtest(6, 6).pvalue)
    assert judged("a is better", dict.fromkeys(range(9), 0.0)).verdict is Verdict.NOT_DETECTABLE


def test_a_family_is_corrected_together() -> None:
    weak = judged("weak", {0: 1.0, 1: 1.2, 2: 1.9})
    assert weak.verdict is Verdict.YES
    family = corrected([weak, YES, TOO_FEW, OPEN])
    assert [each.verdict for each in family] == [
        Verdict.NOT_DETECTABLE,
        Verdict.YES,
        Verdict.NOT_DETECTABLE,
        Verdict.NOT_DETECTABLE,
    ]
    assert family[2] is TOO_FEW
    assert family[1].p_value == pytest.approx(3 * (YES.p_value or 0))
    assert family[0].sentence == (
        "At 95 %, weak: not detectable with these 3 seeds "
        "(difference 1.4 ± 1.2 points; detectable gap 1.5 points; Holm's correction over 3 claims)."
    )


def test_contrasts_refuse_what_cannot_be_meant() -> None:
    with pytest.raises(ValueError, match="without a common method"):
        contrast(CLAIM, CALM, {**SHAKEN, "vcop": {0: 1.0}})
    with pytest.raises(ValueError, match="two groups"):
        contrast(CLAIM, {}, SHAKEN)
    with pytest.raises(ValueError, match=r"finite values; seed 1 has nan\. Leave the seed out"):
        contrast(CLAIM, CALM, {"tdl": {0: 1.0, 1: nan, 2: 3.0}})


# --------------------------------------------------------------------------------------------- trends

SIZES = {
    "10k": {0: 50.0, 1: 51, 2: 52},
    "30k": {0: 60.0, 1: 61.5, 2: 63},
    "50k": {0: 60.5, 1: 61.7, 2: 62},
}


def test_a_trend_is_a_line_per_seed_and_a_last_step() -> None:
    found = trend("accuracy rises with dataset size", SIZES)
    slopes = [stats.linregress(range(3), [SIZES[k][s] for k in SIZES]).slope for s in range(3)]
    assert found.slope.estimate == pytest.approx(sum(slopes) / 3)
    assert found.last_step.estimate == pytest.approx((0.5 + 0.2 - 1.0) / 3)
    assert found.sentence == (
        "At 95 %, accuracy rises with dataset size: yes "
        "(slope per step 5.2 ± 0.4 points over 3 seeds; detectable gap 0.6 points). "
        "At 95 %, it still rises from 30k to 50k: not detectable with these 3 seeds "
        "(last step -0.1 ± 2.0 points; detectable gap 2.6 points)."
    )


def test_positions_give_a_slope_per_unit() -> None:
    points = {"1": {0: 10.0, 1: 11, 2: 12.5}, "2": {0: 8.0, 1: 9, 2: 9.5}, "8": {0: 4.0, 1: 4.5, 2: 5.0}}
    found = trend("it falls", points, expected="lower", positions=[0, 1, 3], per="doubling")
    slopes = [stats.linregress([0, 1, 3], [points[k][s] for k in points]).slope for s in range(3)]
    assert found.slope.estimate == pytest.approx(-sum(slopes) / 3)
    assert found.slope.verdict is Verdict.YES
    assert "slope per doubling" in found.slope.sentence
    assert found.last_step.claim == "it still falls from 2 to 8"


@pytest.mark.parametrize(("labels", "positions"), [(["10k"], None), (["10k", "30k"], [1.0, 1.0])])
def test_a_trend_needs_two_points_at_rising_positions(labels: list[str], positions) -> None:
    with pytest.raises(ValueError, match="two points or more at rising positions"):
        trend("it rises", {label: SIZES[label] for label in labels}, positions=positions)


# ------------------------------------------------------------------------------------------- rankings

FIVE = {
    "cvrl": dict(enumerate([61.0, 60, 62, 61.3, 60.1])),
    "rspnet": dict(enumerate([78.0, 77, 79, 78.5, 77.2])),
    "vcop": dict(enumerate([51.0, 50, 53, 51.0, 51.7])),
}


def test_the_best_is_named_with_its_distance() -> None:
    found = ranking(FIVE)
    assert (found.order, found.verdict) == (("rspnet", "cvrl", "vcop"), Verdict.YES)
    assert found.ties == {"rspnet": "a", "cvrl": "b", "vcop": "c"}
    assert found.ranks == {"rspnet": (1, 1), "cvrl": (2, 2), "vcop": (3, 3)}
    assert found.sentence == (
        "At 95 %, rspnet is the best of 3: yes "
        "(difference from cvrl 17.1 ± 0.1 points over 5 seeds; Holm's correction over 3 pairs)."
    )
    other = ranking(FIVE, claimed="cvrl")
    assert other.sentence == (
        "At 95 %, cvrl is the best of 3: no "
        "(difference from rspnet -17.1 ± 0.1 points over 5 seeds; Holm's correction over 3 pairs)."
    )
    assert ranking(FIVE, higher_is_better=False).claimed == "vcop"


def test_a_best_needs_five_seeds_and_no_tie() -> None:
    three = {name: {seed: by_seed[seed] for seed in range(3)} for name, by_seed in FIVE.items()}
    three["cvrl"] = {0: 61.0, 1: 60.4, 2: 62.1}
    found = ranking(three)
    assert found.verdict is Verdict.NOT_DETECTABLE
    assert found.sentence == (
        "At 95 %, rspnet is the best of 3: not detectable with these 3 seeds "
        "(ahead of all others, but a best needs at least 5 seeds; detectable gap 1.9 points; "
        "Holm's correction over 3 pairs)."
    )
    tied = ranking({"a": {0: 1.0, 1: 2, 2: 3}, "b": {0: 1.1, 1: 2.3, 2: 2.8}})
    assert tied.sentence == (
        "At 95 %, b is the best of 2: not detectable with these 3 seeds "
        "(not told apart from a; detectable gap 0.8 points)."
    )
    few = ranking({"a": {0: 1.0, 1: 2}, "b": {0: 11.1, 1: 12.3}})
    assert few.sentence == (
        "At 95 %, b is the best of 2: not detectable: needs at least 3 seeds, 2 are shared."
    )
    with pytest.raises(ValueError, match="expected two methods or more, tdl among them"):
        ranking(FIVE, claimed="tdl")


def test_datasets_are_the_sample_of_a_critical_difference() -> None:
    two = critical_difference({"ucf101": {"a": 1, "b": 2}, "hmdb51": {"a": 1, "b": 2}})
    assert (two.difference, two.ties) == (None, {})
    assert two.sentence == (
        "Mean ranks over 2 datasets: b 1.00, a 2.00. No critical difference: the test takes datasets as its "
        "sample and needs at least 5 (Demšar, 2006)."
    )
    with pytest.raises(ValueError, match="the same two methods or more"):
        critical_difference({"ucf101": {"a": 1, "b": 2}, "hmdb51": {"a": 1, "c": 2}})
    with pytest.raises(ValueError, match="finite"):
        critical_difference({"ucf101": {"a": 1, "b": nan}})


def test_critical_differences_are_those_that_demsar_prints() -> None:
    """His worked example (section 3.2.2): mean ranks of four methods over 14 datasets give F = 3.69."""
    ranks_K = np.array([3.143, 2.000, 2.893, 1.964])
    assert critical._friedman(ranks_K, 14) == pytest.approx(stats.f.sf(3.69, 3, 39), rel=0.01)
    assert critical._nemenyi(4, 14, 0.95) == pytest.approx(1.25, abs=0.005)
    quantiles = {2: 1.960, 3: 2.343, 4: 2.569, 6: 2.850, 10: 3.164}  # his Table 5 a
    for k, q in quantiles.items():
        assert critical._nemenyi(k, 7, 0.95) == pytest.approx(q * (k * (k + 1) / 42) ** 0.5, rel=1e-3)


def test_methods_that_differ_by_the_critical_difference_get_other_letters() -> None:
    rng = np.random.default_rng(0)
    table = {
        str(n): {"a": n + 3.0, "b": n + rng.random(), "c": n + rng.random(), "d": n - 1.0} for n in range(8)
    }
    found = critical_difference(table)
    scores = [[of_dataset[m] for of_dataset in table.values()] for m in "abcd"]
    chi2 = stats.friedmanchisquare(*scores).statistic
    assert found.friedman_p == pytest.approx(stats.f.sf(7 * chi2 / (24 - chi2), 3, 21))
    assert (found.mean_ranks["a"], found.mean_ranks["d"]) == (1.0, 4.0)
    assert not set(found.ties["a"]) & set(found.ties["d"])
    assert set(found.ties["b"]) & set(found.ties["c"])
    assert found.sentence.endswith(
        f"At 95 % the methods differ (Friedman p {found.friedman_p:.2g}; critical difference 1.66)."
    )
    same = critical_difference({str(n): {"a": 1.0, "b": 2.0, "c": 3.0} for n in range(5)})
    assert (same.friedman_p, same.ties["a"], same.ties["c"]) == (0.0, "b", "a")


# ----------------------------------------------------------------------------------------- agreements


def test_a_finding_beside_the_papers_figure() -> None:
    assert sign_agreement(YES, 45.1).sentence == (
        f"{YES.sentence} The paper's difference is 45.1 points: agrees."
    )
    assert sign_agreement(YES, -3.0).verdict is Accord.DISAGREES
    assert sign_agreement(contrast(CLAIM, CALM, SHAKEN), -3.0).verdict is Accord.AGREES
    assert sign_agreement(OPEN, 45.1).verdict is Accord.CANNOT_TELL
    assert sign_agreement(YES, 0.0).verdict is Accord.CANNOT_TELL
    with pytest.raises(ValueError, match="finite estimate"):
        sign_agreement(YES, nan)


PAPER = {"rspnet": 78.0, "cvrl": 61.2, "vcop": 51.5, "prp": 46.2, "rotnet": 41.2, "tdl": 31.7}
OURS = {
    task: {seed: value + 0.3 * seed * (place % 2 - 0.5) for seed in range(3)}
    for place, (task, value) in enumerate(
        {"rspnet": 70.0, "cvrl": 55, "vcop": 50, "prp": 40, "rotnet": 41, "tdl": 30}.items()
    )
}


def test_our_order_beside_the_papers() -> None:
    found = rank_agreement(OURS, PAPER)
    tau = stats.kendalltau([OURS[task][0] for task in OURS], [PAPER[task] for task in OURS]).statistic
    assert found.tau == pytest.approx(tau)  # the same in each seed
    assert (found.verdict, found.num_values, found.seeds) == (Accord.AGREES, 6, (0, 1, 2))
    assert found.sentence == (
        "At 95 %, our order of 6 values agrees with the paper's (Kendall's tau 0.87 ± 0.19 over 3 seeds; "
        "of 15 pairs 8 told apart as in the paper, 0 the other way, 7 undecided)."
    )
    turned = rank_agreement(OURS, {task: -value for task, value in PAPER.items()})
    assert turned.sentence == (
        "At 95 %, our order of 6 values disagrees with the paper's (Kendall's tau -0.87 ± 0.19 over 3 seeds; "
        "of 15 pairs 0 told apart as in the paper, 8 the other way, 7 undecided)."
    )


def test_tau_counts_ties_as_kendall_does() -> None:
    ours = {
        "a": {0: 1.0, 1: 1, 2: 1},
        "b": {0: 2.0, 1: 2, 2: 2},
        "c": {0: 2.0, 1: 2, 2: 2},
        "d": {0: 5.0, 1: 5, 2: 5},
    }
    paper = {"a": 1.0, "b": 4.0, "c": 3.0, "d": 3.0}
    assert rank_agreement(ours, paper).tau == pytest.approx(
        stats.kendalltau([1, 2, 2, 5], [1, 4, 3, 3]).statistic
    )
    assert rank_agreement(ours, dict.fromkeys(paper, 1.0)).tau is None


def test_pairs_decide_about_two_or_three_values() -> None:
    pair = {task: OURS[task] for task in ("rspnet", "cvrl")}
    assert rank_agreement(pair, PAPER).sentence == (
        "At 95 %, our order of 2 values agrees with the paper's (Kendall's tau 1.00 ± 2.87 over 3 seeds; "
        "of 1 pair 1 told apart as in the paper, 0 the other way, 0 undecided)."
    )
    assert rank_agreement(pair, {"rspnet": 1.0, "cvrl": 2.0}).verdict is Accord.DISAGREES
    three = {task: OURS[task] for task in ("rspnet", "cvrl", "tdl")}
    assert rank_agreement(three, {"rspnet": 1.0, "cvrl": 2.0, "tdl": 0.0}).verdict is Accord.CANNOT_TELL


def test_what_cannot_be_told() -> None:
    two = {task: {seed: OURS[task][seed] for seed in range(2)} for task in ("rspnet", "cvrl")}
    assert rank_agreement(two, PAPER).sentence == (
        "Our order of 2 values beside the paper's: cannot tell: needs at least 3 seeds, 2 are shared."
    )
    assert rank_agreement({"rspnet": two["rspnet"], "pace": two["cvrl"]}, PAPER).sentence == (
        "Our order beside the paper's: cannot tell: needs two common values."
    )
    assert rank_agreement({}, PAPER).verdict is Accord.CANNOT_TELL
    mixed = {"rspnet": {0: 1.0, 1: 2, 2: 1}, "cvrl": {0: 1.2, 1: 1, 2: 1.1}}
    assert rank_agreement(mixed, PAPER).sentence == (
        "At 95 %, whether our order of 2 values is the paper's: cannot tell (Kendall's tau -0.33 ± 4.06 over "
        "3 seeds; of 1 pair 0 told apart as in the paper, 0 the other way, 1 undecided)."
    )


# ------------------------------------------------------------------------------------- across targets

GOOD = {"ucf101": {0: 50.0, 1: 51, 2: 52}, "hmdb51": {0: 20.0, 1: 21, 2: 20.5}}
WORSE = {"ucf101": {0: 45.0, 1: 46, 2: 47.1}, "hmdb51": {0: 20.5, 1: 20.2, 2: 20.1}, "diving48": {0: 9.0}}


def test_sentences_over_targets() -> None:
    assert overall(GOOD).sentence == "Interquartile mean over 2 targets and 3 seeds: 35.8 ± 1.6 points."
    assert overall({"ucf101": {0: 50.0, 1: 51}}).sentence == (
        "Interquartile mean over 1 target and 2 seeds: 50.5 points; an interval needs at least 3 seeds."
    )
    assert iqm_contrast("x is better than y", GOOD, WORSE).sentence == (
        "At 95 %, x is better than y: yes "
        "(difference of interquartile means 2.6 ± 0.8 points over 3 seeds; detectable gap 1.1 points)."
    )
    assert improvement("x is better than y", GOOD, WORSE).sentence == (
        "At 95 %, x is better than y: not detectable with these 3 seeds "
        "(probability of improvement 0.79 ± 0.82)."
    )
    with pytest.raises(ValueError, match="at least one target that both"):
        improvement("x is better than y", GOOD, {"diving48": {0: 1.0}})


def test_lower_turns_a_probability_round() -> None:
    higher, lower = (improvement("x", GOOD, WORSE, expected=side) for side in ("higher", "lower"))
    assert higher.estimate is not None
    assert lower.estimate == pytest.approx(1 - higher.estimate)


def test_targets_without_a_common_seed_give_no_number() -> None:
    apart = {"ucf101": {0: 50.0}, "hmdb51": {1: 20.0}}
    assert overall(apart).sentence == (
        "Interquartile mean over 2 targets and 0 seeds: unknown; an interval needs at least 3 seeds."
    )
    assert improvement("x", GOOD, apart).estimate is None
