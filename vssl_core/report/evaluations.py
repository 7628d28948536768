"""What the page shows of each evaluation: classes, hardest videos, queries with their nearest videos.

Axes: V video, K class.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vssl_core.errors import StoreError
from vssl_core.examples import Examples, NamedVideo, read_examples, read_names
from vssl_core.report.bundles import CellRecord
from vssl_core.report.judged import Judged, most_confused, read_judged
from vssl_core.report.pictures import Picture, Pictures

__all__ = ["MAX_MATRIX", "Evaluation", "Evaluations", "matrix"]

MAX_MATRIX = 20
"""Classes up to which a confusion matrix is drawn; beyond, its largest entries are listed."""
_LISTED = 10
_HARDEST = 8


@dataclass(frozen=True, slots=True)
class Evaluation:
    """One evaluation of one cell.

    Args:
        cell: Its cell.
        name: Its id.
        label: The evaluator and its options.
        target: The dataset that is scored.
        judged: What it said of each class and video; None for evaluators that classify nothing.
        examples: Queries, hardest videos and pictures; None in older bundles.
        classes: Names of the target's classes; empty in older bundles.
    """

    cell: CellRecord
    name: str
    label: str
    target: str
    judged: Judged | None
    examples: Examples | None
    classes: tuple[str, ...]

    @property
    def folder(self) -> Path:
        """Where its files are."""
        return self.cell.folder / "evaluations" / self.name

    def class_name(self, label: int) -> str:
        """The class's name, or its number where the bundle does not name it."""
        return self.classes[label] if 0 <= label < len(self.classes) else f"class {label}"


class Evaluations:
    """Everything that evaluations left about classes and videos.

    Args:
        cells: The cells, in the order in which the page shows them.
        pictures: Where their pictures go.
        notes: Receives a sentence for each file that cannot be used.
    """

    def __init__(self, cells: Iterable[CellRecord], pictures: Pictures, notes: list[str]) -> None:
        self._pictures = pictures
        self.all = [
            _read(cell, name, request, notes)
            for cell in cells
            for name, request in cell.requests.items()
            if name not in cell.waiting
        ]

    def of(self, cell: CellRecord) -> list[dict[str, Any]]:
        """What the template draws of a cell's evaluations."""
        own = [evaluation for evaluation in self.all if evaluation.cell is cell]
        return [shown for evaluation in own if (shown := self._shown(evaluation))]

    def _shown(self, evaluation: Evaluation) -> dict[str, Any] | None:
        judged, queries = evaluation.judged, self.queries(evaluation)
        if judged is None and not queries:
            return None
        name = f"{evaluation.label} on {evaluation.target}"
        return {"name": name, "queries": queries, **(self._classes(evaluation, judged) if judged else {})}

    def _classes(self, evaluation: Evaluation, judged: Judged) -> dict[str, Any]:
        accuracies = judged.accuracies
        many = len(accuracies) > MAX_MATRIX
        return {
            "measure": judged.measure,
            "matrix": matrix(judged) if len(judged.classes) <= MAX_MATRIX else None,
            "accuracies": accuracies[:_LISTED] if many else accuracies,
            "more_classes": len(accuracies) - _LISTED if many else 0,
            "confused": most_confused(judged.confusion_KK, judged.classes, count=_LISTED),
            "hardest": [
                {
                    "video_id": judged.video_ids[row],
                    "true": judged.classes[judged.labels_V[row]],
                    "predicted": judged.classes[judged.predicted_V[row]],
                    "right": judged.labels_V[row] == judged.predicted_V[row],
                    "value": f"{judged.own_V[row]:.3f}",
                    "picture": self.picture(evaluation, judged.video_ids[row]),
                }
                for row in judged.hardest(_HARDEST)
            ],
        }

    def queries(self, evaluation: Evaluation, *, count: int | None = None) -> list[dict[str, Any]]:
        """Queries with their nearest videos, each marked as of the query's class or not."""
        if evaluation.examples is None:
            return []
        return [
            {
                **self._video(evaluation, query),
                "neighbours": [
                    {**self._video(evaluation, video), "right": video.label == query.label}
                    for video in query.neighbours
                ],
            }
            for query in evaluation.examples.queries[:count]
        ]

    def _video(self, evaluation: Evaluation, video: NamedVideo) -> dict[str, Any]:
        return {
            "video_id": video.video_id,
            "class": evaluation.class_name(video.label),
            "picture": self.picture(evaluation, video.video_id),
        }

    def picture(self, evaluation: Evaluation, video_id: str) -> Picture | None:
        """The stored picture of a video; None where the bundle has none, or the page no room for it."""
        name = evaluation.examples.pictures.get(video_id) if evaluation.examples is not None else None
        return self._pictures.add(evaluation.folder / name, within=evaluation.folder) if name else None


def matrix(judged: Judged) -> list[dict[str, Any]]:
    """Rows of the confusion matrix: class, and (videos, share of the row 0 … 1) of every prediction."""
    totals_K = judged.confusion_KK.sum(axis=1)
    return [
        {"class": name, "entries": [(int(n), round(float(n / max(total, 1)), 2)) for n in counts]}
        for name, counts, total in zip(judged.classes, judged.confusion_KK, totals_K, strict=True)
    ]


def _read(cell: CellRecord, name: str, request: Mapping[str, Any], notes: list[str]) -> Evaluation:
    folder = cell.folder / "evaluations" / name
    rows = [row for row in cell.rows if row.evaluation_id == name]
    judged = examples = names = None
    try:
        names = read_names(folder)
        examples = read_examples(folder)
        judged = read_judged(folder, rows)
    except StoreError as error:
        notes.append(f"cell {cell.cell_id}: {error}")
    return Evaluation(
        cell=cell,
        name=name,
        label=str(request.get("label", name)),
        target=_label(request.get("target")),
        judged=judged,
        examples=examples,
        classes=names.classes if names is not None else _classes(judged),
    )


def _classes(judged: Judged | None) -> tuple[str, ...]:
    return judged.classes if judged is not None else ()


def _label(component: Any) -> str:
    return str(component.get("label", "?")) if isinstance(component, Mapping) else "?"
