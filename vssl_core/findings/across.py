"""One statement over many targets or evaluators: interquartile mean and probability of improvement."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from vssl_core.aggregates import aggregate, interquartile_mean, probability_of_improvement
from vssl_core.findings.finding import BySeed, Finding, Verdict, amount, decided, judged, shared_seeds, span
from vssl_core.statistics import MIN_SEEDS, Interval, minimum_detectable_gap

__all__ = ["Overall", "improvement", "iqm_contrast", "overall"]

Targets = Mapping[str, BySeed]
"""Target (or target and evaluator) → seed → score."""


@dataclass(frozen=True, slots=True)
class Overall:
    """One method over all targets.

    Args:
        mean: Interquartile mean over targets, averaged over seeds; None: no seed has all targets.
        interval: Over seeds; None under three, or where all gave the same.
        seeds: Seeds that have all targets.
        num_targets: Targets.
        unit: Of the scores.
    """

    mean: float | None
    interval: Interval | None
    seeds: tuple[int, ...]
    num_targets: int
    unit: str

    @property
    def sentence(self) -> str:
        """For a report."""
        found = span(self.interval, self.unit) if self.interval else amount(self.mean, self.unit)
        seeds = f"{len(self.seeds)} seed{'s' if len(self.seeds) != 1 else ''}"
        targets = f"{self.num_targets} target{'s' if self.num_targets != 1 else ''}"
        missing = f"; an interval needs at least {MIN_SEEDS} seeds" if len(self.seeds) < MIN_SEEDS else ""
        return f"Interquartile mean over {targets} and {seeds}: {found}{missing}."


def overall(scores: Targets, *, unit: str = "points", confidence: float = 0.95) -> Overall:
    """Interquartile mean over targets of each seed, with a t interval over seeds.

    Raises:
        ValueError: There is no target, or a score is no finite number.
    """
    by_seed = _by_seed(scores, tuple(scores))
    mean, interval = aggregate(by_seed, confidence=confidence) if by_seed else (None, None)
    return Overall(mean, interval, tuple(by_seed), len(scores), unit)


def iqm_contrast(
    claim: str,
    first: Targets,
    second: Targets,
    *,
    expected: Literal["higher", "lower"] = "higher",
    unit: str = "points",
    confidence: float = 0.95,
) -> Finding:
    """Whether one method's interquartile mean over the common targets is higher (or lower); paired by seed.

    Raises:
        ValueError: No target is common, or a score is no finite number.
    """
    a, b = _paired(first, second)
    sign = 1.0 if expected == "higher" else -1.0
    effects = {seed: sign * (interquartile_mean(a[seed]) - interquartile_mean(b[seed])) for seed in a}
    quantity = "difference of interquartile means"
    return judged(claim, effects, quantity=quantity, unit=unit, confidence=confidence)


def improvement(
    claim: str,
    first: Targets,
    second: Targets,
    *,
    expected: Literal["higher", "lower"] = "higher",
    confidence: float = 0.95,
) -> Finding:
    """Whether a run of one method more likely beats a run of another on a target, than it loses to it.

    The estimate is a probability, a half where neither is better. Simulated with runs that are paired by
    seed, equal methods are told apart in 4 % at most; with runs that share nothing and seeds that move all
    targets together, in 7 %. Where one method wins every comparison there is no spread, and it takes six
    seeds to say so (`judged`); `iqm_contrast` can tell with three.

    Args:
        claim: What is expected, as the middle of a sentence.
        first: Target → seed → score of the method that the claim is about.
        second: The same of the other; common targets count.
        expected: Which scores the claim calls better.
        confidence: Of interval and verdict.

    Raises:
        ValueError: No target is common, or a score is no finite number.
    """
    a, b = _paired(first, second)
    if expected == "lower":
        a, b = b, a
    found = probability_of_improvement(a, b, confidence=confidence) if a else None
    interval = found.interval if found else None
    gap = None
    if interval is not None:
        gap = minimum_detectable_gap(interval.standard_error, interval.df, confidence=confidence)
    return decided(
        Finding(
            claim=claim,
            verdict=Verdict.NOT_DETECTABLE,
            estimate=found.value if found else None,
            interval=interval,
            detectable_gap=gap if gap is not None and gap <= 0.5 else None,
            seeds=tuple(a),
            quantity="probability of improvement",
            unit="",
            null=0.5,
            confidence=confidence,
        )
    )


def _paired(first: Targets, second: Targets) -> tuple[dict[int, list[float]], dict[int, list[float]]]:
    """Both by seed, on common targets and the seeds that have all of them."""
    common = tuple(target for target in first if target in second)
    a, b = _by_seed(first, common), _by_seed(second, common)
    seeds = [seed for seed in a if seed in b]
    return {seed: a[seed] for seed in seeds}, {seed: b[seed] for seed in seeds}


def _by_seed(scores: Targets, targets: tuple[str, ...]) -> dict[int, list[float]]:
    """Seed → scores in the order of the targets."""
    if not targets:
        raise ValueError("expected at least one target that both methods have; got none")
    seeds = shared_seeds([scores[target] for target in targets])
    return {seed: [scores[target][seed] for target in targets] for seed in seeds}
