"""Comparisons within one column of the table: gains over random initialisation, ties and the best."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from statistics import fmean, median

from vssl_core.aggregates import rank_intervals
from vssl_core.report.evidence import Evidence, difference
from vssl_core.statistics import (
    MIN_SEEDS_FOR_BEST,
    Difference,
    Interval,
    holm,
    minimum_detectable_gap,
    tie_groups,
)

__all__ = ["ALPHA", "NOT_COMPARED", "Comparison", "Gain", "LineKey", "compare"]

ALPHA = 0.05

LineKey = tuple[str, str, str, str]
"""Role, task, backbone, pretraining data."""


@dataclass(frozen=True, slots=True)
class Gain:
    """A method beside random initialisation on the same seeds; positive is better.

    Args:
        mean: Mean gain.
        interval: None under three shared seeds.
        p_adjusted: p of "no gain", Holm-corrected over the column.
        effect_size: Cohen's d_z over seeds.
    """

    mean: float
    interval: Interval | None
    p_adjusted: float | None
    effect_size: float | None


@dataclass(frozen=True, slots=True)
class Comparison:
    """What a column's entries say about one another.

    Args:
        gains: Of each method that has a control on shared seeds.
        ties: Letters of the methods.
        ranks: First and last rank that each method can have, 1 being the best; all hold together.
        best: The method of the best mean, if it beats all others on the seeds that it shares with them.
        num_pairs: Pairs of methods that were compared.
        detectable_gap: Median over all comparisons, or None.
    """

    gains: Mapping[LineKey, Gain]
    ties: Mapping[LineKey, str]
    ranks: Mapping[LineKey, tuple[int, int]]
    best: LineKey | None
    num_pairs: int
    detectable_gap: float | None


NOT_COMPARED = Comparison({}, {}, {}, None, 0, None)
"""Of a column that holds no scores, or scores of which neither more nor less is better."""


def compare(found: Mapping[LineKey, Evidence], *, higher_is_better: bool | None) -> Comparison:
    """Compare every method with random initialisation of its backbone, and with every other method.

    A metric without a better direction (None) is compared with nothing.
    """
    if higher_is_better is None:
        return NOT_COMPARED
    sign = 1.0 if higher_is_better else -1.0
    methods = [key for key in found if key[0] == "method"]
    gaps = {key: gap for key in methods if (gap := _from_floor(key, found)) is not None}
    pairs = {
        (one, other): gap
        for one, other in combinations(methods, 2)
        if (gap := difference(found[one], found[other])) is not None and gap.interval is not None
    }
    means = {key: sign * fmean(found[key].by_seed.values()) for key in methods}
    ties, ranks, best = _order(sorted(means, key=lambda key: (-means[key], key)), pairs, sign)
    intervals = [gap.interval for gap in (*gaps.values(), *pairs.values()) if gap.interval is not None]
    detectable = [minimum_detectable_gap(i.standard_error, i.df) for i in intervals]
    smallest = median(detectable) if detectable else None
    return Comparison(_gains(gaps, sign), ties, ranks, best, len(pairs), smallest)


def _from_floor(key: LineKey, found: Mapping[LineKey, Evidence]) -> Difference | None:
    """The method minus random initialisation of its backbone, the one with most seeds in common."""
    mine = set(found[key].by_seed)
    floors = [other for other in found if other[0] == "floor" and other[2] == key[2]]
    floors.sort(key=lambda other: (-len(mine & set(found[other].by_seed)), other[3] != key[3], other))
    return difference(found[key], found[floors[0]]) if floors else None


def _gains(gaps: Mapping[LineKey, Difference], sign: float) -> dict[LineKey, Gain]:
    tested = [key for key, gap in gaps.items() if gap.interval is not None]
    p_values = holm([_p_value(gaps[key].interval) for key in tested])
    adjusted = dict(zip(tested, p_values, strict=True))
    return {
        key: Gain(
            mean=sign * gap.mean,
            interval=replace(gap.interval, mean=sign * gap.interval.mean) if gap.interval else None,
            p_adjusted=adjusted.get(key),
            effect_size=sign * gap.effect_size if gap.effect_size is not None else None,
        )
        for key, gap in gaps.items()
    }


def _order(
    ranked: Sequence[LineKey], pairs: Mapping[tuple[LineKey, LineKey], Difference], sign: float
) -> tuple[dict[LineKey, str], dict[LineKey, tuple[int, int]], LineKey | None]:
    """Letters and ranks of the methods (given best mean first), and the one that beats all others.

    Who is better of two is said by the seeds that they share, as is whether they differ at all: means over
    all seeds may stand the other way round.
    """
    if not pairs:
        return {}, {}, None
    p_values = holm([_p_value(gap.interval) for gap in pairs.values()])
    ordered = {
        ((one, other) if sign * gap.mean > 0 else (other, one)): len(gap.seeds)
        for ((one, other), gap), p in zip(pairs.items(), p_values, strict=True)
        if p < ALPHA
    }
    beaten = all(ordered.get((ranked[0], other), 0) >= MIN_SEEDS_FOR_BEST for other in ranked[1:])
    return tie_groups(ranked, ordered), rank_intervals(ranked, ordered), ranked[0] if beaten else None


def _p_value(interval: Interval | None) -> float:
    return interval.p_value if interval is not None else 1.0
