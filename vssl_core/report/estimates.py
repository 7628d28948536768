"""What figures are drawn from: plain numbers with intervals, and the words for them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from vssl_core.errors import ContractError

__all__ = ["Bubble", "Estimate", "Series", "check_series", "describe", "words"]


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean and the ends of its interval; None where there is no interval."""

    mean: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class Series:
    """One group of a chart.

    Args:
        name: What the legend calls it.
        values: One per tick of the axis; None where there is no result.
        reference: Somebody else's numbers (the paper's): drawn hollow.
        like: Name of the series whose colour and shape it shares; empty: its own.
    """

    name: str
    values: tuple[Estimate | None, ...]
    reference: bool = False
    like: str = ""


@dataclass(frozen=True, slots=True)
class Bubble:
    """One point of a chart of cost and score.

    Args:
        name: Written beside it.
        group: Gives its colour.
        gflops: Of one clip.
        parameters: Give its area.
        score: Its score.
        reference: Somebody else's numbers (the paper's): drawn hollow.
    """

    name: str
    group: str
    gflops: float
    parameters: float
    score: Estimate
    reference: bool = False


def check_series(series: Sequence[Series], ticks: Sequence[str]) -> None:
    """Raise ContractError where a series does not have one value per tick."""
    for each in series:
        if len(each.values) != len(ticks):
            raise ContractError(
                f"series {each.name!r} needs {len(ticks)} values, one per tick (None where there is no "
                f"result); got {len(each.values)}."
            )


def words(estimate: Estimate) -> str:
    """`42.1 (39.0 to 45.2)`."""
    text = f"{estimate.mean:.4g}"
    if estimate.low is None or estimate.high is None:
        return text
    return f"{text} ({estimate.low:.4g} to {estimate.high:.4g})"


def describe(series: Sequence[Series], ticks: Sequence[str]) -> str:
    """All numbers of a chart in words."""
    parts = []
    for each in series:
        known = [
            f"{words(value)} at {tick}"
            for value, tick in zip(each.values, ticks, strict=True)
            if value is not None
        ]
        parts.append(f"{each.name}: {', '.join(known) or 'no result'}.")
    return " ".join(parts)
