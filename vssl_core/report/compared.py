"""Videos over all methods: those that most of them get wrong, and what each finds nearest to one query.

Axes: V video, K class.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from vssl_core.report.evaluations import Evaluation, Evaluations
from vssl_core.report.judged import Judged, most_confused

__all__ = ["hard_for_all", "nearest_by_method"]

_HARDEST, _CONFUSED = 8, 10
_QUERIES = 2

_Key = tuple[str, str, str]


def hard_for_all(evaluations: Evaluations) -> list[dict[str, Any]]:
    """For each target and evaluator: the hardest videos and the most frequent mistakes of all methods."""
    return [
        shown
        for (protocol, target, label), found in _alike(evaluations.all, controls=False).items()
        if (shown := _hard(f"{label} on {target}, protocol {protocol}", found, evaluations)) is not None
    ]


def _hard(name: str, found: Sequence[Evaluation], evaluations: Evaluations) -> dict[str, Any] | None:
    known = [(evaluation, e) for evaluation in found if (e := evaluation.judged) is not None]
    if not known:
        return None
    first = known[0][1]
    known = [(evaluation, e) for evaluation, e in known if _same_test(e, first)]
    own_V = np.mean([judged.own_V for _, judged in known], axis=0)
    confusion_KK = np.sum([judged.confusion_KK for _, judged in known], axis=0)
    return {
        "name": name,
        "cells": len(known),
        "measure": first.measure,
        "hardest": [
            _video(int(row), known, own_V, evaluations) for row in np.argsort(own_V, kind="stable")[:_HARDEST]
        ],
        "confused": most_confused(confusion_KK, first.classes, count=_CONFUSED),
    }


def _same_test(one: Judged, other: Judged) -> bool:
    return (one.video_ids, one.classes, one.measure) == (other.video_ids, other.classes, other.measure)


def _video(
    row: int, known: Sequence[tuple[Evaluation, Judged]], own_V: np.ndarray, evaluations: Evaluations
) -> dict[str, Any]:
    first = known[0][1]
    video_id, label = first.video_ids[row], int(first.labels_V[row])
    predicted = [int(judged.predicted_V[row]) for _, judged in known]
    wrong = Counter(other for other in predicted if other != label)
    most = min(wrong, key=lambda other: (-wrong[other], other)) if wrong else None
    pictures = (evaluations.picture(evaluation, video_id) for evaluation, _ in known)
    return {
        "video_id": video_id,
        "true": first.classes[label],
        "mistaken": f"{first.classes[most]} ({wrong[most]})" if most is not None else "–",
        "right": sum(other == label for other in predicted),
        "value": f"{own_V[row]:.3f}",
        "picture": next((picture for picture in pictures if picture is not None), None),
    }


def nearest_by_method(evaluations: Evaluations) -> list[dict[str, Any]]:
    """For each target and evaluator with examples: one query after another, as every method ranks for it."""
    shown = []
    for (protocol, target, label), found in _alike(evaluations.all, controls=True).items():
        lines: dict[str, list[dict[str, Any]]] = {}
        for evaluation in found:  # the lowest seed of a method comes first
            queries = evaluations.queries(evaluation, count=_QUERIES)
            if queries:
                lines.setdefault(_method(evaluation), queries)
        if lines:
            shown.append({"name": f"{label} on {target}, protocol {protocol}", "queries": _by_query(lines)})
    return shown


def _by_query(lines: dict[str, list[dict[str, Any]]]) -> list[dict[str, Any]]:
    queries = {query["video_id"]: query for found in lines.values() for query in found}
    return [
        {
            **query,
            "lines": [
                (name, other["neighbours"])
                for name, found in lines.items()
                for other in found
                if other["video_id"] == video_id
            ],
        }
        for video_id, query in queries.items()
    ]


def _method(evaluation: Evaluation) -> str:
    cell = evaluation.cell
    names = [cell.label("task"), cell.label("backbone")]
    names += [cell.label("pretrain")] if cell.role == "method" else []
    return " · ".join(names)


def _alike(evaluations: Iterable[Evaluation], *, controls: bool) -> dict[_Key, list[Evaluation]]:
    """Evaluations of one protocol, target and evaluator; with or without those of controls."""
    found: dict[_Key, list[Evaluation]] = {}
    for evaluation in evaluations:
        if controls or evaluation.cell.role == "method":
            protocol = str(evaluation.cell.protocol.get("name", "?"))
            digits = str(evaluation.cell.spec.get("protocol_hash", ""))
            key = (f"{protocol} {digits}".strip(), evaluation.target, evaluation.label)
            found.setdefault(key, []).append(evaluation)
    return found
