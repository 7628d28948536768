"""Labels of one axis over everything else that a study varies: its other axes, targets and evaluations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from vssl_core.report.across import Across, across
from vssl_core.studies.scores import MethodScore, varying

__all__ = ["across_of", "across_tables", "rank_figures"]

_Scores = dict[str, dict[str, dict[int, float]]]


def across_of(axis: str, scores: Sequence[MethodScore]) -> list[tuple[str, Across]]:
    """Each metric that more or less of is better, by its name; only what has several labels and blocks.

    Blocks without all labels are left out.
    """
    groups: dict[tuple[str, str, bool], list[MethodScore]] = {}
    for score in scores:
        if score.higher_is_better is not None:
            groups.setdefault((score.metric, score.unit, score.higher_is_better), []).append(score)
    found = []
    for (metric, unit, higher), group in groups.items():
        ours, floors = _by_block(axis, group)
        one = across(ours, floors, higher_is_better=higher, unit=unit)
        if one is not None:
            found.append((metric, one))
    return found


def across_tables(axis: str, scores: Sequence[MethodScore]) -> list[dict[str, Any]]:
    """The tables of a section."""
    return [found.table(f"{metric} over all blocks", axis) for metric, found in across_of(axis, scores)]


def rank_figures(caption: str, axis: str, scores: Sequence[MethodScore]) -> list[dict[str, Any]]:
    """Critical-difference diagrams, of what has enough blocks for one."""
    return [
        {
            "kind": "ranks",
            "caption": f"{caption}: mean ranks by {metric} over {len(found.blocks)} blocks; a bar joins what "
            "could not be told apart",
            "ranks": dict(found.ranks.mean_ranks),
            "ties": found.ties,
        }
        for metric, found in across_of(axis, scores)
        if found.ranks.difference is not None
    ]


def _by_block(axis: str, scores: Sequence[MethodScore]) -> tuple[_Scores, _Scores]:
    """Label → block → seed → score, of methods and of random initialisation."""
    places = [score.others(axis) for score in scores]
    differing = varying(places)
    ours: _Scores = {}
    floors: _Scores = {}
    for score, place in zip(scores, places, strict=True):
        words = [f"{score.label} on {score.target}", *(label for name, label in place if name in differing)]
        label, block = score.place(axis), ", ".join(words)
        ours.setdefault(label, {})[block] = dict(score.by_seed)
        if score.floor:
            floors.setdefault(label, {})[block] = dict(score.floor)
    return ours, floors
