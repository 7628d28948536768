"""One claim and what the seeds say about it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from math import isfinite
from statistics import fmean

from vssl_core.statistics import MIN_SEEDS, Interval, holm, minimum_detectable_gap, seed_interval

__all__ = ["BySeed", "Finding", "Verdict", "amount", "corrected", "judged", "shared_seeds", "span"]

BySeed = Mapping[int, float]
"""Seed → value."""


class Verdict(StrEnum):
    """What can be said of a claim; `NO` says that the reverse was found."""

    YES = "yes"
    NO = "no"
    NOT_DETECTABLE = "not detectable"


@dataclass(frozen=True, slots=True)
class Finding:
    """A claim with its verdict.

    Args:
        claim: The sentence that is asked about.
        verdict: What the seeds say.
        estimate: Mean over shared seeds; above `null` it speaks for the claim. None: no seed is shared.
        interval: Of the estimate; None under three seeds, or where every seed gave the same.
        detectable_gap: Smallest true distance from `null` that such seeds find four times in five, or None.
        seeds: The shared seeds.
        quantity: What the estimate is.
        unit: Its unit, may be empty.
        null: The value that speaks neither for nor against the claim.
        p_value: Two-sided; None where nothing could be tested.
        family: Claims that the verdict is corrected for (Holm).
        confidence: Of interval and verdict.
    """

    claim: str
    verdict: Verdict
    estimate: float | None
    interval: Interval | None
    detectable_gap: float | None
    seeds: tuple[int, ...]
    quantity: str
    unit: str
    null: float = 0.0
    p_value: float | None = None
    family: int = 1
    confidence: float = 0.95

    @property
    def sentence(self) -> str:
        """For a report."""
        if len(self.seeds) < MIN_SEEDS:
            shared = f"{len(self.seeds)} {'is' if len(self.seeds) == 1 else 'are'} shared"
            found = (
                f" ({self.quantity} {amount(self.estimate, self.unit)})" if self.estimate is not None else ""
            )
            return f"{self._asked}: {self.verdict}: needs at least {MIN_SEEDS} seeds, {shared}{found}."
        count = f"{len(self.seeds)} seeds"
        if self.verdict is Verdict.NOT_DETECTABLE:
            return f"{self._asked}: {self.verdict} with these {count} ({self._evidence()})."
        reverse = ", the reverse" if self.verdict is Verdict.NO else ""
        return f"{self._asked}: {self.verdict}{reverse} ({self._evidence(f' over {count}')})."

    @property
    def _asked(self) -> str:
        return f"At {100 * self.confidence:g} %, {self.claim}"

    def _evidence(self, over: str = "") -> str:
        if self.interval is None:
            found = f"{self.quantity} {amount(self.estimate or 0.0, self.unit)} in every seed"
        else:
            found = f"{self.quantity} {span(self.interval, self.unit)}{over}"
        parts = [found]
        if self.detectable_gap is not None:
            parts.append(f"detectable gap {amount(self.detectable_gap, self.unit)}")
        if self.family > 1:
            parts.append(f"Holm's correction over {self.family} claims")
        return "; ".join(parts)


def judged(
    claim: str,
    effects: BySeed,
    *,
    quantity: str = "difference",
    unit: str = "points",
    confidence: float = 0.95,
) -> Finding:
    """Whether the mean of an effect per seed lies above zero: Student's t over seeds.

    Where every seed gave the same effect there is no interval, and the sign test decides; it needs six
    seeds at 95 %.

    Args:
        claim: What a positive effect means, as the middle of a sentence.
        effects: Seed → effect, positive where it speaks for the claim.
        quantity: What an effect is.
        unit: Its unit.
        confidence: Of interval and verdict.

    Raises:
        ValueError: An effect is no finite number.
    """
    seeds = shared_seeds([effects])
    values = [effects[seed] for seed in seeds]
    interval = seed_interval(values, confidence=confidence)
    estimate = fmean(values) if values else None
    return decided(
        Finding(
            claim=claim,
            verdict=Verdict.NOT_DETECTABLE,
            estimate=estimate,
            interval=interval,
            detectable_gap=_detectable(interval),
            seeds=seeds,
            quantity=quantity,
            unit=unit,
            confidence=confidence,
        )
    )


def decided(finding: Finding) -> Finding:
    """With the p value of its interval, or of the sign test where there is none, and the verdict."""
    interval, p_value = finding.interval, None
    if interval is not None:
        p_value = replace(interval, mean=interval.mean - finding.null).p_value
    elif finding.estimate is not None and len(finding.seeds) >= MIN_SEEDS:
        p_value = 1.0 if finding.estimate == finding.null else 2.0 ** (1 - len(finding.seeds))
    found = replace(finding, p_value=p_value)
    return replace(found, verdict=_verdict(found, p_value))


def corrected(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """The same claims as one family: together they err one time in twenty at most (Holm's correction).

    Claims that could not be tested are not counted.
    """
    tested = [finding for finding in findings if finding.p_value is not None]
    p_values = holm([finding.p_value for finding in tested if finding.p_value is not None])
    adjusted = iter(p_values)
    made = []
    for finding in findings:
        if finding.p_value is None:
            made.append(finding)
            continue
        p_value = next(adjusted)
        verdict = _verdict(finding, p_value)
        made.append(replace(finding, p_value=p_value, family=len(tested), verdict=verdict))
    return tuple(made)


def shared_seeds(found: Collection[BySeed]) -> tuple[int, ...]:
    """Seeds that all have, in order.

    Raises:
        ValueError: A value is no finite number.
    """
    for by_seed in found:
        for seed, value in by_seed.items():
            if not isfinite(value):
                raise ValueError(f"expected finite values; seed {seed} has {value}. Leave the seed out.")
    common = set.intersection(*(set(by_seed) for by_seed in found)) if found else set()
    return tuple(sorted(common))


def amount(value: float | None, unit: str) -> str:
    """One decimal for points, two for shares without a unit, four significant digits for the rest."""
    if value is None:
        return "unknown"
    if unit == "points":
        return f"{value:.1f} points"
    return f"{value:.4g} {unit}" if unit else f"{value:.2f}"


def span(interval: Interval, unit: str) -> str:
    """`12.3 ± 4.0 points`."""
    mean, half = amount(interval.mean, unit), amount(interval.half_width, unit)
    return f"{mean.removesuffix(f' {unit}')} ± {half}" if unit else f"{mean} ± {half}"


def joined(names: Iterable[object]) -> str:
    """`a, b and c`."""
    *first, last = map(str, names)
    return f"{', '.join(first)} and {last}" if first else last


def _verdict(finding: Finding, p_value: float | None) -> Verdict:
    if p_value is None or finding.estimate is None or p_value >= 1 - finding.confidence:
        return Verdict.NOT_DETECTABLE
    return Verdict.YES if finding.estimate > finding.null else Verdict.NO


def _detectable(interval: Interval | None) -> float | None:
    if interval is None:
        return None
    return minimum_detectable_gap(interval.standard_error, interval.df, confidence=interval.confidence)
