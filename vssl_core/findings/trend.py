"""Contrasts between two groups of methods, and trends along an ordered axis; both paired by seed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Literal

import numpy as np

from vssl_core.findings.finding import BySeed, Finding, judged, shared_seeds

__all__ = ["Trend", "contrast", "trend"]

Expected = Literal["higher", "lower"]


@dataclass(frozen=True, slots=True)
class Trend:
    """How a value goes along an axis, and whether the end of it still counts.

    Args:
        slope: Of the straight line through all points.
        last_step: The last point minus the one before; where it is not detectable, the axis may be saturated,
            or gain less than the detectable gap.
        labels: The points in order.
    """

    slope: Finding
    last_step: Finding
    labels: tuple[str, ...]

    @property
    def sentence(self) -> str:
        """For a report."""
        return f"{self.slope.sentence} {self.last_step.sentence}"


def contrast(
    claim: str,
    first: Mapping[str, BySeed],
    second: Mapping[str, BySeed],
    *,
    expected: Expected = "higher",
    unit: str = "points",
    confidence: float = 0.95,
) -> Finding:
    """Whether the methods of one group are on average higher (or lower) than those of another.

        contrast("non-contrastive tasks lose less under noise than contrastive ones", drops_of_the_first,
                 drops_of_the_second, expected="lower")

    Each seed gives one difference of the two groups' means, over the seeds that every method has. It speaks
    of these methods, not of others of their kind.

    Args:
        claim: What is expected, as the middle of a sentence.
        first: Method → seed → value.
        second: The same of the other group.
        expected: Where the claim says that the first group is.
        unit: Of the difference.
        confidence: Of interval and verdict.

    Raises:
        ValueError: A group is empty, a method is in both, or a value is no finite number.
    """
    if not first or not second or set(first) & set(second):
        raise ValueError(
            f"expected two groups without a common method; got {sorted(first)} and {sorted(second)}"
        )
    sign = 1.0 if expected == "higher" else -1.0
    effects = {
        seed: sign * (fmean(v[seed] for v in first.values()) - fmean(v[seed] for v in second.values()))
        for seed in shared_seeds([*first.values(), *second.values()])
    }
    return judged(claim, effects, unit=unit, confidence=confidence)


def trend(
    claim: str,
    points: Mapping[str, BySeed],
    *,
    expected: Expected = "higher",
    positions: Sequence[float] | None = None,
    per: str = "step",
    unit: str = "points",
    confidence: float = 0.95,
) -> Trend:
    """Whether a value rises (or falls) along an ordered axis: dataset size, epochs, complexity, severity.

    Each seed that has all points gives one slope, by least squares, and one last step.

    Args:
        claim: What is expected, as the middle of a sentence.
        points: Label → seed → value, in the order of the axis.
        expected: Where the claim says that the end of the axis is.
        positions: Where the points lie; equal steps by default. `log2` of sizes gives a slope per doubling.
        per: What one unit of position is called.
        unit: Of the value.
        confidence: Of intervals and verdicts.

    Raises:
        ValueError: Fewer than two points, positions that do not rise or are not as many, or a value that is
            no finite number.
    """
    labels = tuple(points)
    x_P = np.arange(len(labels), dtype=float) if positions is None else np.asarray(positions, dtype=float)
    if len(labels) < 2 or len(x_P) != len(labels) or not np.all(np.diff(x_P) > 0):
        raise ValueError(f"expected two points or more at rising positions; got {labels} at {x_P.tolist()}")
    sign = 1.0 if expected == "higher" else -1.0
    weight_P = sign * (x_P - x_P.mean()) / float(((x_P - x_P.mean()) ** 2).sum())
    seeds = shared_seeds(list(points.values()))
    values = {seed: np.array([points[label][seed] for label in labels]) for seed in seeds}
    slopes = {seed: float(weight_P @ value_P) for seed, value_P in values.items()}
    steps = {seed: sign * float(value_P[-1] - value_P[-2]) for seed, value_P in values.items()}
    change = "rises" if expected == "higher" else "falls"
    last = f"it still {change} from {labels[-2]} to {labels[-1]}"
    return Trend(
        slope=judged(claim, slopes, quantity=f"slope per {per}", unit=unit, confidence=confidence),
        last_step=judged(last, steps, quantity="last step", unit=unit, confidence=confidence),
        labels=labels,
    )
