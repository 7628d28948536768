"""One self-contained HTML page: opens offline, fetches nothing, equal bytes for equal results."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from vssl_core.report.bundles import CellRecord, Report
from vssl_core.report.figures import cost_figure, curve_figures, epoch_figure, score_figure
from vssl_core.report.svg import SERIES
from vssl_core.report.table import Line, Table
from vssl_core.report.wording import (
    COST_HEADERS,
    cost_texts,
    count_texts,
    entry,
    footnotes,
    header,
    line_marks,
    name_headers,
    name_texts,
    title,
)

__all__ = ["render_page"]

_TEMPLATES = Path(__file__).parent / "templates"


def render_page(report: Report, tables: Sequence[Table], notes: Sequence[str]) -> str:
    """The page."""
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    groups = _groups(report.cells)
    return environment.get_template("report.html").render(
        name=report.runs.resolve().name if report.runs is not None else "rows",
        tables=[_table(table, number) for number, table in enumerate(tables)],
        cost_headers=COST_HEADERS,
        failed=[cell for cell in report.cells if cell.failure is not None],
        unfinished=[cell for cell in report.cells if cell.state in ("pretraining", "evaluating")],
        curves=_curves(groups),
        views=_views(groups),
        components=_components(report.cells),
        environments=_alike(report.cells, _surroundings),
        protocols=_alike(report.cells, lambda cell: cell.protocol),
        ledgers=[(cell, _unreadable(cell)) for cell in report.cells if cell.ledger],
        cells=report.cells,
        notes=notes,
    )


def _table(table: Table, number: int) -> dict[str, Any]:
    return {
        "title": title(table),
        "names": name_headers(table),
        "heads": [[word for word in header(column) if word] for column in table.columns],
        "lines": [_line(line, table) for line in table.lines],
        "footnotes": footnotes(table),
        "charts": [
            (
                f"{column.target} · {column.evaluator}",
                score_figure(table, i, salt=f"score {number} {i}"),
                cost_figure(table, i, salt=f"cost {number} {i}"),
            )
            for i, column in enumerate(table.columns)
            if sum(line.scores[i] is not None for line in table.lines) > 1
        ],
    }


def _line(line: Line, table: Table) -> dict[str, Any]:
    cost = line.cost
    costs = (cost.parameters, cost.gflops, cost.clips_per_second, cost.peak_memory_mib, cost.pretrain_seconds)
    return {
        "role": line.role,
        "names": name_texts(line, table),
        "marks": line_marks(line),
        "seeds": line.seeds,
        "coverage": line.coverage,
        "videos": count_texts(line)[1],
        "entries": [
            (entry(score, column, table), score) if score is not None else (None, None)
            for score, column in zip(line.scores, table.columns, strict=True)
        ],
        "costs": list(zip(cost_texts(line), costs, strict=True)),
    }


_GroupKey = tuple[str, str, str, str]


def _groups(cells: Iterable[CellRecord]) -> dict[_GroupKey, list[CellRecord]]:
    """Cells that differ in their seed alone, by what they are called."""
    found: dict[_GroupKey, list[CellRecord]] = {}
    for cell in sorted(cells, key=lambda cell: cell.seed):
        key = (cell.label("task"), cell.label("backbone"), cell.label("pretrain"), cell.lineage)
        found.setdefault(key, []).append(cell)
    return dict(sorted(found.items()))


def _curves(groups: Mapping[_GroupKey, Sequence[CellRecord]]) -> list[dict[str, Any]]:
    shown = []
    for (*names, lineage), cells in groups.items():
        curves = {cell.seed: cell.curve() for cell in cells}
        salt = f"curve {lineage} {names}"
        charts, own = curve_figures(curves, salt=salt), _evaluator_charts(cells, salt)
        if charts or own:
            seeds = [(cell.seed, i % len(SERIES)) for i, cell in enumerate(cells)]
            name = " · ".join([*names, f"protocol {cells[0].protocol.get('name', '?')}"])
            shown.append({"name": name, "seeds": seeds, "charts": charts, "evaluators": own})
    return shown


def _evaluator_charts(cells: Sequence[CellRecord], salt: str) -> list[tuple[str, Markup]]:
    """What evaluators recorded over their own epochs: (title, chart)."""
    names = sorted({(e, name) for cell in cells for e, curves in cell.curves.items() for name in curves})
    charts = []
    for evaluation, name in names:
        by_seed = {cell.seed: _values(cell.curves.get(evaluation, {}).get(name)) for cell in cells}
        request = next((cell.requests[evaluation] for cell in cells if cell.requests.get(evaluation)), {})
        heading = f"{request.get('label', evaluation)} on {_label(request.get('target'))}: {name}"
        chart = epoch_figure(heading, by_seed, salt=f"{salt} {evaluation} {name}")
        if chart is not None:
            charts.append((heading, chart))
    return charts


def _values(curve: Any) -> Sequence[Any]:
    return curve if isinstance(curve, list) else ()


def _label(component: Any) -> str:
    return str(component.get("label", "?")) if isinstance(component, Mapping) else "?"


def _views(groups: Mapping[_GroupKey, Sequence[CellRecord]]) -> list[dict[str, Any]]:
    """Pictures of each task once: of its first cell that has some."""
    shown: dict[tuple[str, ...], dict[str, Any]] = {}
    for (task, _, pretrain, _), cells in groups.items():
        for cell in cells:
            views = cell.views()
            protocol = str(cell.protocol.get("name", "?"))
            if views and (task, pretrain, protocol) not in shown:
                pictures = [(name, _data_uri(path)) for name, path in views.items()]
                name = f"{task} · {pretrain} · protocol {protocol}"
                shown[task, pretrain, protocol] = {"name": name, "task": task, "pictures": pictures}
    return list(shown.values())


def _data_uri(path: Path) -> str:
    return f"data:image/png;base64,{base64.b64encode(path.read_bytes()).decode()}"


def _components(cells: Iterable[CellRecord]) -> list[dict[str, Any]]:
    """Every component that was used, with where its code came from."""
    found: dict[str, dict[str, Any]] = {}
    for cell in cells:
        parts = [(kind, cell.spec.get(kind)) for kind in ("task", "backbone", "pretrain")]
        parts += [
            (kind, spec.get(kind)) for spec in cell.requests.values() for kind in ("target", "evaluator")
        ]
        for kind, part in parts:
            if not isinstance(part, Mapping):
                continue
            shown = {name: str(part.get(name, "")) for name in ("label", "origin", "dist", "digest", "spec")}
            options = json.dumps(part.get("options", {}), sort_keys=True, ensure_ascii=False)
            row = {"kind": kind, **shown, "options": options}
            found.setdefault(json.dumps(row, sort_keys=True), row)
    return sorted(found.values(), key=lambda row: (row["kind"], row["label"], row["digest"]))


def _surroundings(cell: CellRecord) -> Mapping[str, Any]:
    return {name: value for name, value in cell.environment.items() if name != "components"}


def _alike(cells: Iterable[CellRecord], document: Any) -> list[tuple[str, str, int]]:
    """Equal documents once: (name, readable JSON, cells that have it)."""
    found: dict[str, tuple[str, int]] = {}
    for cell in cells:
        value = document(cell)
        if value:
            text = json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False)
            name, count = found.get(text, (str(value.get("name", value.get("device", ""))), 0))
            found[text] = (name, count + 1)
    return [(name, text, count) for text, (name, count) in sorted(found.items())]


def _unreadable(cell: CellRecord) -> list[dict[str, Any]]:
    """What was asked for and could not be read, for each set of videos."""
    parts = {"pretraining": cell.ledger.get("pretrain"), **cell.ledger.get("targets", {})}
    return [
        {"name": name, "videos": part.get("videos", 0), "unreadable": part.get("unreadable", [])}
        for name, part in parts.items()
        if isinstance(part, Mapping)
    ]
