"""Who is best on one target, with ties."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import fmean, median

from vssl_core.aggregates import rank_intervals
from vssl_core.findings.finding import (
    BySeed,
    Finding,
    Verdict,
    amount,
    corrected,
    joined,
    judged,
    shared_seeds,
    span,
)
from vssl_core.statistics import MIN_SEEDS, MIN_SEEDS_FOR_BEST, Interval, tie_groups

__all__ = ["Ranking", "ranking"]


@dataclass(frozen=True, slots=True)
class Ranking:
    """Methods in order, and whether one of them is the best.

    Args:
        claimed: The method that is asked about.
        verdict: Whether it is the best: yes, where it beats every other on five shared seeds or more; no,
            where another beats it.
        order: The methods, best mean first.
        means: Mean of each over the shared seeds.
        ties: Letters; two methods share one where they could not be told apart.
        ranks: First and last rank that each can have, 1 being the best; all hold together.
        rival: The best of the others by mean.
        estimate: How far the claimed method is ahead of its rival, in the direction that is better.
        interval: Of the estimate; None under three seeds, or where every seed gave the same.
        detectable_gap: Median over all pairs, or None.
        seeds: Seeds that all methods have.
        num_pairs: Pairs that were tested, corrected together (Holm).
        unit: Of the values.
        confidence: Of interval and verdict.
    """

    claimed: str
    verdict: Verdict
    order: tuple[str, ...]
    means: Mapping[str, float]
    ties: Mapping[str, str]
    ranks: Mapping[str, tuple[int, int]]
    rival: str
    estimate: float | None
    interval: Interval | None
    detectable_gap: float | None
    seeds: tuple[int, ...]
    num_pairs: int
    unit: str
    confidence: float = 0.95

    @property
    def sentence(self) -> str:
        """For a report."""
        start = (
            f"At {100 * self.confidence:g} %, {self.claimed} is the best of {len(self.order)}: {self.verdict}"
        )
        count = f"{len(self.seeds)} seeds"
        if len(self.seeds) < MIN_SEEDS:
            shared = f"{len(self.seeds)} {'is' if len(self.seeds) == 1 else 'are'} shared"
            return f"{start}: needs at least {MIN_SEEDS} seeds, {shared}."
        holm = f"; Holm's correction over {self.num_pairs} pairs" if self.num_pairs > 1 else ""
        if self.verdict is Verdict.NOT_DETECTABLE:
            gap = f"; detectable gap {amount(self.detectable_gap, self.unit)}" if self.detectable_gap else ""
            return f"{start} with these {count} ({self._missing()}{gap}{holm})."
        return f"{start} (difference from {self.rival} {self._distance()} over {count}{holm})."

    def _missing(self) -> str:
        """Why nothing can be said."""
        mine = set(self.ties[self.claimed])
        tied = [name for name in self.order if name != self.claimed and mine & set(self.ties[name])]
        if tied:
            return f"not told apart from {joined(tied)}"
        return f"ahead of all others, but a best needs at least {MIN_SEEDS_FOR_BEST} seeds"

    def _distance(self) -> str:
        if self.interval is not None:
            return span(self.interval, self.unit)
        return f"{amount(self.estimate, self.unit)} in each"


def ranking(
    scores: Mapping[str, BySeed],
    *,
    claimed: str | None = None,
    higher_is_better: bool = True,
    unit: str = "points",
    confidence: float = 0.95,
) -> Ranking:
    """The methods in order; all pairs are compared on the seeds that all methods have.

    Args:
        scores: Method → seed → value on one target.
        claimed: The method that is asked about; the one with the best mean by default.
        higher_is_better: False for errors, drops and times.
        unit: Of the values.
        confidence: Of the family of all pairs.

    Raises:
        ValueError: Fewer than two methods, `claimed` is none of them, or a value is no finite number.
    """
    if len(scores) < 2 or (claimed is not None and claimed not in scores):
        raise ValueError(f"expected two methods or more, {claimed or 'one'} among them; got {list(scores)}")
    seeds, sign = shared_seeds(list(scores.values())), 1.0 if higher_is_better else -1.0
    means = {name: fmean(by_seed[s] for s in seeds) if seeds else 0.0 for name, by_seed in scores.items()}
    order = tuple(sorted(scores, key=lambda name: (-sign * means[name], name)))

    def ahead(one: str, other: str) -> Finding:
        effects = {seed: sign * (scores[one][seed] - scores[other][seed]) for seed in seeds}
        return judged(f"{one} is better than {other}", effects, unit=unit, confidence=confidence)

    apart, detectable = _told_apart(order, ahead)
    asked = claimed or order[0]
    verdict, rival = _best(asked, order, apart, len(seeds))
    gap = ahead(asked, rival)
    return Ranking(
        claimed=asked,
        verdict=verdict,
        order=order,
        means=means if seeds else {},
        ties=tie_groups(order, apart),
        ranks=rank_intervals(order, apart),
        rival=rival,
        estimate=gap.estimate,
        interval=gap.interval,
        detectable_gap=detectable,
        seeds=seeds,
        num_pairs=len(order) * (len(order) - 1) // 2,
        unit=unit,
        confidence=confidence,
    )


def _told_apart(
    order: Sequence[str], ahead: Callable[[str, str], Finding]
) -> tuple[list[tuple[str, str]], float | None]:
    """(better, worse) of the pairs that differ, all pairs being one family, and the median detectable gap."""
    apart, gaps = [], []
    pairs = list(combinations(order, 2))
    for (one, other), gap in zip(pairs, corrected([ahead(*pair) for pair in pairs]), strict=True):
        if gap.verdict is not Verdict.NOT_DETECTABLE:
            apart.append((one, other) if gap.verdict is Verdict.YES else (other, one))
        if gap.detectable_gap is not None:
            gaps.append(gap.detectable_gap)
    return apart, median(gaps) if gaps else None


def _best(
    asked: str, order: Sequence[str], apart: Collection[tuple[str, str]], num_seeds: int
) -> tuple[Verdict, str]:
    """Whether it is the best, and the other that decides about it."""
    others = [name for name in order if name != asked]
    better = [name for name in others if (name, asked) in apart]
    if better:
        return Verdict.NO, better[0]
    beats_all = all((asked, name) in apart for name in others)
    is_best = beats_all and num_seeds >= MIN_SEEDS_FOR_BEST
    return (Verdict.YES if is_best else Verdict.NOT_DETECTABLE), others[0]
