"""Methods over several blocks at once: interquartile means, probabilities of improvement, mean ranks.

A block is where all of them were scored alike: a target and an evaluation, and whatever else a study varies.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from statistics import fmean
from typing import Any, Literal

from vssl_core.findings import (
    BySeed,
    CriticalDifference,
    Finding,
    Overall,
    Verdict,
    corrected,
    critical_difference,
    improvement,
    iqm_contrast,
    overall,
)
from vssl_core.report.wording import number, plus_minus, signed

__all__ = ["FLOOR", "Across", "across"]

FLOOR = "random initialisation"

_MOST_RIVALS = 12  # of whom each has a column

Blocks = Mapping[str, BySeed]
"""Block → seed → score."""


@dataclass(frozen=True)
class Across:
    """What can be said of methods over all blocks.

    Args:
        unit: Of the scores.
        blocks: Names of the blocks.
        means: Method → interquartile mean over the blocks.
        gains: Method → its interquartile mean against that of random initialisation, corrected together.
        wins: Method → how likely its run is better than one of random initialisation, corrected together.
        pairs: Two methods → how likely a run of the first is better, all pairs corrected together.
        ranks: Mean ranks, with their critical difference where there are enough blocks.
    """

    unit: str
    blocks: tuple[str, ...]
    means: Mapping[str, Overall]
    gains: Mapping[str, Finding]
    wins: Mapping[str, Finding]
    pairs: Mapping[tuple[str, str], Finding]
    ranks: CriticalDifference

    @property
    def sentences(self) -> list[str]:
        """The claims over random initialisation, then the ranks."""
        return [*(found.sentence for found in self.wins.values()), self.ranks.sentence]

    @property
    def ties(self) -> list[list[str]]:
        """Methods that the critical difference does not tell apart; empty where there is none."""
        letters = sorted({letter for found in self.ranks.ties.values() for letter in found})
        return [[name for name, found in self.ranks.ties.items() if letter in found] for letter in letters]

    def table(self, caption: str, head: str) -> dict[str, Any]:
        """One row for each method: its mean, and how likely its run is better than each of the others'."""
        versus = [f"mean over {FLOOR}", f"P over {FLOOR}"] if self.wins else []
        names = list(self.means)
        rivals = names if len(names) <= _MOST_RIVALS else []
        return {
            "caption": caption,
            "headers": [head, f"interquartile mean, {self.unit}", *versus, *(f"P over {n}" for n in rivals)],
            "rows": [
                [
                    name,
                    _mean(self.means[name], self.unit),
                    *([_gain(self.gains[name], self.unit), _chance(self.wins[name])] if versus else ()),
                    *(self._pair(name, other) for other in rivals),
                ]
                for name in names
            ],
            "notes": [
                f"Blocks: {'; '.join(self.blocks)}.",
                "P: probability that a run of the row is better than one of the column on a block, a half "
                "where neither is; ± half of a 95 % interval over seeds; * withstands Holm's correction.",
                "Mean ranks take blocks as independent; those of one target or network are less so.",
            ],
        }

    def _pair(self, name: str, other: str) -> str:
        if name == other:
            return "–"
        if (name, other) in self.pairs:
            return _chance(self.pairs[name, other])
        return _chance(self.pairs[other, name], reverse=True)


def across(
    scores: Mapping[str, Blocks], floors: Mapping[str, Blocks], *, higher_is_better: bool, unit: str
) -> Across | None:
    """Compare methods over the blocks that all of them have; None: fewer than two methods or blocks.

    Args:
        scores: Method → block → seed → score.
        floors: The same of random initialisation, for each method that of its network; methods without it
            are not compared with it.
        higher_is_better: False for errors, drops and times.
        unit: Of the scores.
    """
    blocks = [name for name in next(iter(scores.values()), {}) if all(name in one for one in scores.values())]
    if len(scores) < 2 or len(blocks) < 2:
        return None
    kept = {name: {block: one[block] for block in blocks} for name, one in scores.items()}
    known = {name: floors[name] for name in kept if set(blocks) <= set(floors.get(name, ()))}
    better: Literal["higher", "lower"] = "higher" if higher_is_better else "lower"
    points = "points" if unit == "%" else unit
    over = f"over {len(blocks)} blocks"
    gains = [
        iqm_contrast(f"{over} {name} is better than {FLOOR}", kept[name], floor, expected=better, unit=points)
        for name, floor in known.items()
    ]
    wins = [
        improvement(
            f"{over} a run of {name} is more likely better than one of {FLOOR}",
            kept[name],
            floor,
            expected=better,
        )
        for name, floor in known.items()
    ]
    pairs = {
        (one, other): improvement(
            f"{over} a run of {one} is more likely better than one of {other}",
            kept[one],
            kept[other],
            expected=better,
        )
        for one, other in combinations(kept, 2)
    }
    means = {block: {name: fmean(one[block].values()) for name, one in kept.items()} for block in blocks}
    return Across(
        unit=unit,
        blocks=tuple(blocks),
        means={name: overall(one, unit=points) for name, one in kept.items()},
        gains=dict(zip(known, corrected(gains), strict=True)),
        wins=dict(zip(known, corrected(wins), strict=True)),
        pairs=dict(zip(pairs, corrected(list(pairs.values())), strict=True)),
        ranks=critical_difference(means, higher_is_better=higher_is_better, sample="block"),
    )


def _mean(found: Overall, unit: str) -> str:
    if found.mean is None:
        return "–"
    return plus_minus(number(found.mean, unit), found.interval, unit)


def _gain(found: Finding, unit: str) -> str:
    if found.estimate is None:
        return "–"
    return plus_minus(signed(found.estimate, unit), found.interval, unit) + _mark(found)


def _chance(found: Finding, *, reverse: bool = False) -> str:
    if found.estimate is None:
        return "–"
    value = 1.0 - found.estimate if reverse else found.estimate
    half = f" ± {found.interval.half_width:.2f}" if found.interval else ""
    return f"{value:.2f}{half}{_mark(found)}"


def _mark(found: Finding) -> str:
    return "" if found.verdict is Verdict.NOT_DETECTABLE else " *"
