"""The table of one study: lines and columns are labels of its axes, entries are means with their intervals.

A control belongs to many points: it stands in one line, which names the labels that all of them share.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean

from vssl_core.report.evidence import Evidence, PerVideo
from vssl_core.rows import Row
from vssl_core.statistics import Interval
from vssl_core.studies.plan import PlannedPoint, PlannedResult, StudyPlan
from vssl_core.studies.showing import EVALUATION

__all__ = ["ANY", "StudyColumn", "StudyLine", "StudyScore", "StudyTable", "build_study_table"]

ANY = "–"
"""Where a control belongs to several labels of an axis."""
_ORDER = ("floor", "method", "ceiling")


@dataclass(frozen=True, slots=True)
class StudyColumn:
    """Labels of the column axes, then what is scored how."""

    labels: tuple[str, ...]
    target: str
    evaluator: str
    metric: str
    unit: str
    higher_is_better: bool | None
    chance: float | None


@dataclass(frozen=True, slots=True)
class StudyScore:
    """One entry. `interval`: None under three seeds."""

    mean: float
    by_seed: Mapping[int, float]
    interval: Interval | None
    evidence: Evidence = field(repr=False)


@dataclass(frozen=True, slots=True)
class StudyLine:
    """A line: a method's labels on the line axes, or a control's, `ANY` where it belongs to several."""

    role: str
    name: str
    labels: tuple[str, ...]
    scores: tuple[StudyScore | None, ...]


@dataclass(frozen=True, slots=True)
class StudyTable:
    """All results of a study.

    Args:
        axes: Line axes.
        column_axes: Column axes.
        columns: In the order of the grid.
        lines: Methods in the order of the grid, controls first and last.
        differing: Protocol fields in which entries differ; everything else of the protocol is equal.
        protocols: Hashes of the protocols.
    """

    axes: tuple[str, ...]
    column_axes: tuple[str, ...]
    columns: tuple[StudyColumn, ...]
    lines: tuple[StudyLine, ...]
    differing: tuple[str, ...]
    protocols: tuple[str, ...]


_Line = tuple[str, str, tuple[str, ...]]


def build_study_table(
    plan: StudyPlan,
    rows: Iterable[Row],
    *,
    per_video: Callable[[Row], PerVideo | None] = lambda row: None,
    metrics: Sequence[str] = (),
) -> StudyTable:
    """The table of what is finished of a plan; `metrics`: what to show, empty: each evaluator's first."""
    axes, column_axes = _layout(plan)
    metrics = metrics or plan.study.table.metrics
    shown = [row for row in rows if (row.metric in metrics if metrics else row.primary)]
    if metrics:
        shown.sort(key=lambda row: metrics.index(row.metric))
    found: dict[tuple[str, str], list[Row]] = {}
    for row in shown:
        found.setdefault((row.cell_id, row.evaluation_id), []).append(row)
    entries: dict[_Line, dict[StudyColumn, dict[int, Row]]] = {}
    names = _control_names(plan, axes)
    for planned in plan.points:
        labels = tuple(planned.point.coordinates[axis] for axis in column_axes)
        by_line = EVALUATION in axes
        for result in planned.results:
            for row in found.get((result.cell_id, result.evaluation_id), ()):
                line = _line(planned, result, row, axes, names)
                column = _column(labels, row, named=not by_line)
                entries.setdefault(line, {}).setdefault(column, {})[row.seed] = row
    columns = tuple(dict.fromkeys(column for line in entries.values() for column in line))
    lines = [
        StudyLine(*line, tuple(_score(by_column.get(column), per_video) for column in columns))
        for line, by_column in entries.items()
    ]
    lines.sort(key=lambda line: _ORDER.index(line.role))
    hashes = tuple(dict.fromkeys(planned.protocol_hash for planned in plan.points))
    return StudyTable(axes, column_axes, columns, tuple(lines), plan.differing, hashes)


def _layout(plan: StudyPlan) -> tuple[tuple[str, ...], tuple[str, ...]]:
    view = plan.study.table
    axes = tuple(plan.points[0].point.coordinates) if plan.points else ()
    lines = view.lines or tuple(axis for axis in axes if axis not in view.columns)
    return lines, tuple(view.columns) or tuple(axis for axis in axes if axis not in lines)


def _control_names(plan: StudyPlan, axes: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Cell of a control → the labels of its line: `ANY` on axes that it does not depend on."""
    grid = plan.study.scales[plan.scale].axes
    free = [
        not any(_decides(word) for settings in grid.get(axis, {}).values() for word in settings)
        for axis in axes
    ]
    members: dict[str, list[tuple[str, ...]]] = {}
    for planned in plan.points:
        labels = tuple(planned.point.coordinates.get(axis, "") for axis in axes)
        for result in planned.results:
            if result.role != "method":
                members.setdefault(result.cell_id, []).append(labels)
    return {
        cell: tuple(
            found[0] if len(set(found)) == 1 and not unneeded else ANY
            for found, unneeded in zip(zip(*labels, strict=True), free, strict=True)
        )
        for cell, labels in members.items()
    }


def _decides(word: str) -> bool:
    """Whether a setting can change a control: its task and what methods are pretrained on cannot."""
    return word.partition(".")[0] not in ("task", "pretrain")


def _line(
    planned: PlannedPoint,
    result: PlannedResult,
    row: Row,
    axes: Sequence[str],
    names: Mapping[str, tuple[str, ...]],
) -> _Line:
    own = planned.point.coordinates
    labels = names[result.cell_id] if result.role != "method" else tuple(own.get(axis, "") for axis in axes)
    labels = tuple(
        row.evaluator_label if axis == EVALUATION else label for axis, label in zip(axes, labels, strict=True)
    )
    return (result.role, row.task if result.role != "method" else "", labels)


def _column(labels: tuple[str, ...], row: Row, *, named: bool) -> StudyColumn:
    evaluator = row.evaluator_label if named else ""
    return StudyColumn(labels, row.target, evaluator, row.metric, row.unit, row.higher_is_better, row.chance)


def _score(
    by_seed: Mapping[int, Row] | None, per_video: Callable[[Row], PerVideo | None]
) -> StudyScore | None:
    if not by_seed:
        return None
    evidence = Evidence(list(by_seed.values()), per_video)
    return StudyScore(fmean(evidence.by_seed.values()), evidence.by_seed, evidence.interval, evidence)
