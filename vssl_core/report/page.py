"""One self-contained HTML page: opens offline, fetches nothing, equal bytes for equal results."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from vssl_core.report.across_section import across_sections
from vssl_core.report.bundles import CellRecord, Report
from vssl_core.report.compared import hard_for_all, nearest_by_method
from vssl_core.report.evaluations import Evaluations
from vssl_core.report.leaderboard import facets, leaderboard
from vssl_core.report.methods import component_rows, grouped, methods, task_views
from vssl_core.report.pictures import MAX_BYTES, Pictures
from vssl_core.report.section import Section
from vssl_core.report.study_sections import read_sections
from vssl_core.report.table import Table
from vssl_core.report.wording import COST_HEADERS

__all__ = ["render_page"]

_TEMPLATES = Path(__file__).parent / "templates"


def render_page(
    report: Report, tables: Sequence[Table], notes: Sequence[str], *, sections: Sequence[Section] = ()
) -> str:
    """The page.

    Args:
        report: The run folder.
        tables: Its tables as other formats show them.
        notes: What could not be read, in sentences.
        sections: Further ones than those of the studies that the run folder keeps.
    """
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    groups, pictures, remarks = grouped(report.cells), Pictures(), list(notes)
    studies, missing = read_sections(report.runs) if report.runs is not None else ([], [])
    remarks += missing
    # What comes first has room for its pictures first: tasks, then examples, then the views of every cell.
    views = task_views(groups, pictures)
    evaluations = Evaluations((cell for cells in groups.values() for cell in cells), pictures, remarks)
    nearest, hard = nearest_by_method(evaluations), hard_for_all(evaluations)
    board = leaderboard(report, tables)
    shown = methods(groups, evaluations, pictures)
    if pictures.left_out:
        remarks.append(
            f"{pictures.left_out} pictures are left out: a page holds at most {MAX_BYTES // 2**20} MiB of "
            "them. They lie in the cells' folders."
        )
    return environment.get_template("report.html").render(
        name=report.runs.resolve().name if report.runs is not None else "rows",
        board=board,
        facets=facets(board),
        cost_headers=COST_HEADERS,
        sections=[*across_sections(tables), *studies, *sections],
        failed=[cell for cell in report.cells if cell.failure is not None],
        unfinished=[cell for cell in report.cells if cell.state in ("pretraining", "evaluating")],
        views=views,
        nearest=nearest,
        hard=hard,
        methods=shown,
        components=component_rows(report.cells),
        environments=_alike(report.cells, _surroundings),
        protocols=_alike(report.cells, lambda cell: cell.protocol),
        pictures=pictures.all,
        notes=remarks,
    )


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
