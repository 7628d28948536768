"""The report section of a study as plain data: findings, table beside the paper's numbers, figures, notes.

It is written as JSON into the run folder; a page or another program draws it. A value of a figure is
`{"mean", "low", "high"}`, ends None under three seeds, or None where there is no result.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from vssl_core.paper import load_paper_tables
from vssl_core.report.wording import number
from vssl_core.studies.across import across_tables, rank_figures
from vssl_core.studies.conclude import conclusions
from vssl_core.studies.console import column_words, line_words, score_text, study_notes
from vssl_core.studies.plan import StudyPlan
from vssl_core.studies.reference import paper_cell
from vssl_core.studies.scores import MethodScore
from vssl_core.studies.showing import FigureEntry, PaperEntry
from vssl_core.studies.table import StudyTable

__all__ = ["paper_table", "reference_table", "section_document", "study_table"]


def section_document(plan: StudyPlan, table: StudyTable, scores: Sequence[MethodScore]) -> dict[str, Any]:
    """Name, title, question, findings, tables, figures and notes."""
    study = plan.study
    over_all = [
        shown
        for entry in study.findings
        if entry.kind == "across"
        for shown in across_tables(entry.axis, [score for score in scores if score.asked_by(entry.metric)])
    ]
    references = [reference_table(name) for name in study.references]
    tables = [study_table(plan, table), *over_all, *paper_table(plan, scores), *references]
    return {
        "name": study.name,
        "title": study.title,
        "question": study.question,
        "answers": list(study.answers),
        "findings": conclusions(study, scores) if scores else [],
        "tables": tables if table.lines else [],
        "figures": [figure for entry in study.figures for figure in _figures(entry, scores, study.paper)],
        "notes": study_notes(plan, table),
    }


# --------------------------------------------------------------------------------------------- tables


def study_table(plan: StudyPlan, table: StudyTable) -> dict[str, Any]:
    """The study's own table as text."""
    return {
        "caption": plan.study.title,
        "headers": [*table.axes, *("\n".join(column_words(column)) for column in table.columns)],
        "rows": [
            [
                *line_words(line),
                *(
                    score_text(score, column.unit)
                    for score, column in zip(line.scores, table.columns, strict=True)
                ),
            ]
            for line in table.lines
        ],
        "notes": [],
    }


def paper_table(plan: StudyPlan, scores: Sequence[MethodScore]) -> list[dict[str, Any]]:
    """Ours beside the paper's, where the paper has a number: value, source and trust.

    A difference is shown where the target is the same: between two datasets it would mean nothing.
    """
    rows, notes = [], []
    for score in scores:
        cell = paper_cell(score, plan.study.paper)
        if cell is None:
            continue
        rows.append(
            [
                _name(score),
                score.what,
                number(score.mean, score.unit),
                cell.text,
                f"{score.mean - cell.value:+.1f}" if cell.at.target in (None, score.dataset) else "–",
                f"{cell.at.target or ''} {cell.source}".strip(),
                cell.trust.replace("_", " "),
            ]
        )
        notes += [f"{_name(score)}: {cell.note}"] if cell.note else []
    if not rows:
        return []
    known = {
        "caption": "Ours beside the paper's, which are references and no targets",
        "headers": [
            "point",
            "scored",
            "ours",
            "paper",
            "difference",
            "the paper's target and source",
            "trust",
        ],
        "rows": rows,
        "notes": list(dict.fromkeys(notes)),
    }
    return [known]


def reference_table(name: str) -> dict[str, Any]:
    """A table of the paper as it is: coordinates, value, source and trust."""
    (table,) = (table for table in load_paper_tables() if table.name == name)
    axes = dict.fromkeys(axis for cell in table.cells for axis in cell.at.named())
    return {
        "caption": f"The paper's: {table.title}",
        "headers": [*axes, f"{table.cells[0].metric}, {table.cells[0].unit}", "source", "trust"],
        "rows": [
            [
                *(str(cell.at.named().get(axis, "–")) for axis in axes),
                cell.text,
                cell.source,
                cell.trust.replace("_", " "),
            ]
            for cell in table.cells
        ],
        "notes": list(dict.fromkeys(cell.note for cell in table.cells if cell.note)),
    }


def _name(score: MethodScore) -> str:
    share = "" if score.at == 1.0 else f", at {100 * score.at:g} %"
    return ", ".join(score.point.coordinates.values()) + share


# -------------------------------------------------------------------------------------------- figures


def _figures(
    entry: FigureEntry, scores: Sequence[MethodScore], paper: Sequence[PaperEntry]
) -> list[dict[str, Any]]:
    """One figure for everything that is scored in the same way; a map for every evaluation."""
    scores = [score for score in scores if score.asked_by(entry.metric)]
    if entry.kind == "map":
        return [_map(entry, score) for score in scores]
    if entry.kind == "ranks":
        return rank_figures(entry.caption, entry.axis, scores)
    if entry.kind == "metrics":
        return _metrics(entry, scores)
    groups: dict[str, list[MethodScore]] = {}
    for score in scores:
        groups.setdefault(score.what, []).append(score)
    draw = _bubbles if entry.kind == "bubbles" else _series
    return [
        {
            "kind": entry.kind,
            "caption": f"{entry.caption}: {what}",
            "y_label": f"{group[0].metric}, {group[0].unit}",
            **draw(entry, group, paper),
        }
        for what, group in groups.items()
    ]


def _series(entry: FigureEntry, scores: Sequence[MethodScore], paper: Sequence[PaperEntry]) -> dict[str, Any]:
    """Ticks of the axis, and one series for each group of the other labels, ours and the paper's."""
    ticks = list(dict.fromkeys(score.place(entry.axis) for score in scores))
    varying = {
        name
        for name, _ in scores[0].others(entry.axis)
        if len({dict(score.others(entry.axis))[name] for score in scores}) > 1
    }
    groups: dict[str, dict[str, MethodScore]] = {}
    for score in scores:
        labels = [label for name, label in score.others(entry.axis) if name in varying]
        groups.setdefault(", ".join(labels) or score.label, {})[score.place(entry.axis)] = score
    series = []
    for name, group in groups.items():
        ours = [_value(group[tick]) if tick in group else None for tick in ticks]
        series.append({"name": name, "values": ours, "reference": False, "like": ""})
        cells = [paper_cell(group[tick], paper) if tick in group else None for tick in ticks]
        if any(cells):
            theirs = [None if c is None else {"mean": c.value, "low": None, "high": None} for c in cells]
            series.append({"name": f"{name} (paper)", "values": theirs, "reference": True, "like": name})
    return {"x_label": entry.axis, "ticks": ticks, "series": series, "chance": scores[0].chance}


def _metrics(entry: FigureEntry, scores: Sequence[MethodScore]) -> list[dict[str, Any]]:
    """A series for each metric, a tick for each evaluation of a point; a figure for each target and unit."""
    groups: dict[tuple[str, str], list[MethodScore]] = {}
    for score in scores:
        groups.setdefault((score.target, score.unit), []).append(score)
    figures = []
    for (target, unit), group in groups.items():
        by_metric: dict[str, dict[str, MethodScore]] = {}
        for score in group:
            by_metric.setdefault(score.metric, {})[f"{score.label}: {_name(score)}"] = score
        ticks = list(dict.fromkeys(tick for found in by_metric.values() for tick in found))
        series = [
            {
                "name": metric,
                "values": [_value(found[tick]) if tick in found else None for tick in ticks],
                "reference": False,
                "like": "",
            }
            for metric, found in by_metric.items()
        ]
        figures.append(
            {
                "kind": "bars",
                "caption": f"{entry.caption} on {target}, {unit}",
                "x_label": "",
                "y_label": unit,
                "ticks": ticks,
                "series": series,
                "chance": None,
            }
        )
    return figures


def _bubbles(
    entry: FigureEntry, scores: Sequence[MethodScore], paper: Sequence[PaperEntry]
) -> dict[str, Any]:
    """FLOPs of one clip, parameters and score of every point."""
    del paper
    return {
        "bubbles": [
            {
                "name": score.place(entry.axis),
                "group": ", ".join(label for name, label in score.others(entry.axis) if name != "at"),
                "gflops": score.gflops,
                "parameters": score.parameters,
                "score": _value(score),
                "reference": False,
            }
            for score in scores
        ]
    }


def _map(entry: FigureEntry, score: MethodScore) -> dict[str, Any]:
    """Where the array of the first seed lies, relative to the run folder."""
    row = score.rows[0]
    return {
        "kind": "map",
        "caption": f"{entry.caption}: {_name(score)}, {score.label}, seed {row.seed}",
        "array": f"cells/{row.cell_id}/evaluations/{row.evaluation_id}/{entry.array}.npy",
        "layers": f"cells/{row.cell_id}/evaluations/{row.evaluation_id}/layers.json",
    }


def _value(score: MethodScore) -> Mapping[str, float | None]:
    interval = score.interval
    return {
        "mean": score.mean,
        "low": None if interval is None else interval.low,
        "high": None if interval is None else interval.high,
    }
