"""The paper's number for a score of ours, with its source and how far it can be trusted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from vssl_core.paper import PaperCell, find
from vssl_core.studies.scores import MethodScore
from vssl_core.studies.showing import SHARE, PaperEntry

__all__ = ["paper_cell"]

_TARGETS = ("ucf101", "hmdb51", "diving48")


def paper_cell(score: MethodScore, entries: Sequence[PaperEntry]) -> PaperCell | None:
    """The first number that the entries find for a score; None where the paper has none.

    Raises:
        UsageError: An entry names a coordinate that the paper's cells do not have.
    """
    for entry in entries:
        wanted = _wanted(score, entry)
        found = find(table=entry.table, **wanted) if wanted is not None else ()
        if len(found) == 1:
            return found[0]
    return None


def _wanted(score: MethodScore, entry: PaperEntry) -> dict[str, Any] | None:
    """Coordinates of the number; None where the entry has none for this score."""
    if score.metric != (entry.ours or entry.metric):
        return None
    words = score.point.words
    wanted: dict[str, Any] = {
        "metric": entry.metric,
        "architecture": str(words.get("backbone", "shufflenet")),
        "target": score.dataset if score.dataset in _TARGETS else entry.target,
        "evaluator": score.evaluator,
    }
    if entry.task:
        wanted["task"] = str(words.get("task"))
    wanted |= entry.common
    for axis, labels in entry.labels.items():
        label = f"{score.at:g}" if axis == SHARE else score.point.coordinates.get(axis, "")
        if label not in labels:
            return None
        wanted |= labels[label]
    return wanted
