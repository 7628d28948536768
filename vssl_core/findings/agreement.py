"""Whether what we find goes the way that the paper says: by sign, and by rank; never as a target."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import combinations
from statistics import fmean
from typing import TypeVar

import numpy as np

from vssl_core.findings.finding import BySeed, Finding, Verdict, amount, corrected, judged, shared_seeds
from vssl_core.statistics import MIN_SEEDS, Interval

__all__ = ["Accord", "RankAgreement", "SignAgreement", "rank_agreement", "sign_agreement"]

_FEW_VALUES = 3

Key = TypeVar("Key", bound=Hashable)


class Accord(StrEnum):
    """Ours beside the paper's; `CANNOT_TELL` where our interval holds both."""

    AGREES = "agrees"
    DISAGREES = "disagrees"
    CANNOT_TELL = "cannot tell"


@dataclass(frozen=True, slots=True)
class SignAgreement:
    """One finding beside the paper's figure for it.

    Args:
        verdict: Whether both go the same way.
        finding: Ours.
        paper: The paper's estimate, positive where it speaks for the claim; its uncertainty is not known.
    """

    verdict: Accord
    finding: Finding
    paper: float

    @property
    def sentence(self) -> str:
        """For a report."""
        paper = amount(self.paper, self.finding.unit)
        return f"{self.finding.sentence} The paper's {self.finding.quantity} is {paper}: {self.verdict}."


@dataclass(frozen=True, slots=True)
class RankAgreement:
    """The order of our values beside the order of the paper's.

    Args:
        verdict: Whether Kendall's tau lies above zero (agrees) or below (disagrees) over seeds. Of two or
            three values tau has too few steps, and the pairs decide: one at least, and none the other way.
        tau: Kendall's tau-b with the paper's values, mean over seeds; None: nothing could be ordered.
        interval: Of tau over seeds, widened by one swapped pair in one seed; None under three seeds.
        num_values: Common coordinates.
        agreeing: Pairs that our seeds tell apart (Holm's correction over all pairs) as the paper has them.
        disagreeing: Pairs that they tell apart the other way round.
        undecided: Pairs that they do not tell apart, or that are equal in the paper.
        seeds: Seeds that have all common coordinates.
        confidence: Of interval and verdict.
    """

    verdict: Accord
    tau: float | None
    interval: Interval | None
    num_values: int
    agreeing: int
    disagreeing: int
    undecided: int
    seeds: tuple[int, ...]
    confidence: float = 0.95

    @property
    def sentence(self) -> str:
        """For a report."""
        order = f"our order of {self.num_values} values"
        if self.num_values < 2:
            return f"Our order beside the paper's: {self.verdict}: needs two common values."
        if len(self.seeds) < MIN_SEEDS:
            shared = f"{len(self.seeds)} {'is' if len(self.seeds) == 1 else 'are'} shared"
            needs = f"needs at least {MIN_SEEDS} seeds, {shared}"
            return f"{order.capitalize()} beside the paper's: {self.verdict}: {needs}."
        percent = f"At {100 * self.confidence:g} %"
        if self.verdict is Accord.CANNOT_TELL:
            return f"{percent}, whether {order} is the paper's: {self.verdict} ({self._evidence()})."
        return f"{percent}, {order} {self.verdict} with the paper's ({self._evidence()})."

    def _evidence(self) -> str:
        tau = "Kendall's tau is undefined"
        if self.tau is not None and self.interval is not None:
            tau = (
                f"Kendall's tau {self.tau:.2f} ± {self.interval.half_width:.2f} over {len(self.seeds)} seeds"
            )
        total = self.agreeing + self.disagreeing + self.undecided
        pairs = f"{total} pair{'s' if total != 1 else ''}"
        told = f"{self.agreeing} told apart as in the paper, {self.disagreeing} the other way"
        return f"{tau}; of {pairs} {told}, {self.undecided} undecided"


def sign_agreement(finding: Finding, paper: float) -> SignAgreement:
    """A finding beside the paper's estimate of the same quantity, both positive where they are for the claim.

    Raises:
        ValueError: The paper's estimate is no finite number.
    """
    if not np.isfinite(paper):
        raise ValueError(f"expected a finite estimate of the paper; got {paper}. Leave the comparison out.")
    ours = {Verdict.YES: 1, Verdict.NO: -1, Verdict.NOT_DETECTABLE: 0}[finding.verdict]
    return SignAgreement(_accord(ours * (paper - finding.null)), finding, paper)


def rank_agreement(
    ours: Mapping[Key, BySeed], paper: Mapping[Key, float], *, confidence: float = 0.95
) -> RankAgreement:
    """Kendall's tau between ours and the paper's over the coordinates that both have.

    Args:
        ours: Coordinates → seed → value.
        paper: Coordinates → value.
        confidence: Of interval and verdict.

    Raises:
        ValueError: A value is no finite number.
    """
    keys = [key for key in ours if key in paper]
    theirs_K = np.array([paper[key] for key in keys], dtype=float)
    if not np.isfinite(theirs_K).all():
        raise ValueError("expected finite values of the paper; leave out what it does not have")
    seeds = shared_seeds([ours[key] for key in keys])
    values = {seed: np.array([ours[key][seed] for key in keys]) for seed in seeds}
    taus = [tau for value_K in values.values() if (tau := _tau(value_K, theirs_K)) is not None]
    interval = _tau_interval(taus, theirs_K, confidence)
    agreeing, disagreeing, undecided = _pairs([ours[key] for key in keys], theirs_K, seeds, confidence)
    by_pairs = len(keys) <= _FEW_VALUES
    direction = agreeing - disagreeing if by_pairs and not (agreeing and disagreeing) else 0
    if not by_pairs and interval is not None and interval.excludes_zero:
        direction = 1 if interval.mean > 0 else -1
    return RankAgreement(
        verdict=_accord(direction),
        tau=fmean(taus) if taus else None,
        interval=interval,
        num_values=len(keys),
        agreeing=agreeing,
        disagreeing=disagreeing,
        undecided=undecided,
        seeds=seeds,
        confidence=confidence,
    )


def _accord(direction: float) -> Accord:
    if not direction:
        return Accord.CANNOT_TELL
    return Accord.AGREES if direction > 0 else Accord.DISAGREES


def _tau(a_K: np.ndarray, b_K: np.ndarray) -> float | None:
    """Kendall's tau-b; None where all values of one are equal."""
    rows, columns = np.triu_indices(len(a_K), k=1)
    a, b = np.sign(a_K[rows] - a_K[columns]), np.sign(b_K[rows] - b_K[columns])
    scale = float(np.abs(a).sum() * np.abs(b).sum()) ** 0.5
    return float((a * b).sum()) / scale if scale else None


def _tau_interval(taus: Sequence[float], theirs_K: np.ndarray, confidence: float) -> Interval | None:
    """Student's t over seeds; tau comes in steps, so no spread over a few seeds is no certainty."""
    if len(taus) < MIN_SEEDS:
        return None
    rows, columns = np.triu_indices(len(theirs_K), k=1)
    ordered = np.count_nonzero(theirs_K[rows] != theirs_K[columns])
    one_swap = 2.0 / float(len(rows) * ordered) ** 0.5
    count = len(taus)
    error = (float(np.var(taus, ddof=1)) / count + (one_swap / count) ** 2) ** 0.5
    return Interval(fmean(taus), error, count - 1.0, count, f"t over {count} seeds", confidence)


def _pairs(
    ours: list[BySeed], theirs_K: np.ndarray, seeds: tuple[int, ...], confidence: float
) -> tuple[int, int, int]:
    """How many pairs agree, disagree, and are undecided."""
    pairs = list(combinations(range(len(ours)), 2))
    gaps = [
        judged("", {seed: ours[one][seed] - ours[other][seed] for seed in seeds}, confidence=confidence)
        for one, other in pairs
    ]
    accords = [
        sign_agreement(gap, float(theirs_K[one] - theirs_K[other])).verdict
        for (one, other), gap in zip(pairs, corrected(gaps), strict=True)
    ]
    agreeing, disagreeing = accords.count(Accord.AGREES), accords.count(Accord.DISAGREES)
    return agreeing, disagreeing, len(accords) - agreeing - disagreeing
