"""A study's scores for programs: CSV with one line for each, ours beside the paper's."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from io import StringIO
from typing import Any

from vssl_core.statistics import Interval
from vssl_core.studies.plan import StudyPlan
from vssl_core.studies.reference import paper_cell
from vssl_core.studies.scores import MethodScore
from vssl_core.studies.showing import EVALUATION
from vssl_core.studies.table import ANY, StudyTable

__all__ = ["study_csv"]

_SCORE = (
    "role", "name", "budget_share", "target", "evaluator", "metric", "unit", "higher_is_better", "chance",
    "seeds", "mean", "low", "high",
)  # fmt: skip
_PAPER = ("paper", "paper_target", "paper_source", "paper_trust", "paper_note")


def study_csv(plan: StudyPlan, table: StudyTable, scores: Sequence[MethodScore]) -> str:
    """Columns: the study's axes, the score with its interval, the paper's number with source and trust.

    Methods have every metric that the study shows or names; controls have those of its table, with an empty
    label on an axis that they do not depend on. `low` and `high` are empty under three seeds.
    """
    axes = list(plan.points[0].point.coordinates) if plan.points else []
    out = StringIO()
    writer = csv.DictWriter(out, [*axes, *_SCORE, *_PAPER], restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(_method(score, plan) for score in scores)
    writer.writerows(_controls(table, axes))
    return out.getvalue()


def _method(score: MethodScore, plan: StudyPlan) -> dict[str, Any]:
    line = {
        **score.point.coordinates,
        "role": score.rows[0].role,
        "name": score.rows[0].task,
        "budget_share": score.at,
        "target": score.target,
        "evaluator": score.label,
        "metric": score.metric,
        "unit": score.unit,
        "higher_is_better": score.higher_is_better,
        "chance": score.chance,
        "seeds": len(score.by_seed),
        "mean": score.mean,
        **_ends(score.interval),
    }
    cell = paper_cell(score, plan.study.paper)
    if cell is None:
        return line
    theirs = (cell.value, cell.at.target or "", cell.source, cell.trust, cell.note)
    return {**line, **dict(zip(_PAPER, theirs, strict=True))}


def _controls(table: StudyTable, axes: Sequence[str]) -> Iterator[dict[str, Any]]:
    for line in table.lines:
        if line.role == "method":
            continue
        for score, column in zip(line.scores, table.columns, strict=True):
            if score is None:
                continue
            labels = dict(zip(table.axes, line.labels, strict=True))
            labels |= dict(zip(table.column_axes, column.labels, strict=True))
            yield {
                **{axis: label for axis, label in labels.items() if axis in axes and label != ANY},
                "role": line.role,
                "name": line.name,
                "budget_share": 1.0,
                "target": column.target,
                "evaluator": column.evaluator or labels.get(EVALUATION, ""),
                "metric": column.metric,
                "unit": column.unit,
                "higher_is_better": column.higher_is_better,
                "chance": column.chance,
                "seeds": len(score.by_seed),
                "mean": score.mean,
                **_ends(score.interval),
            }


def _ends(interval: Interval | None) -> dict[str, float]:
    return {} if interval is None else {"low": interval.low, "high": interval.high}
