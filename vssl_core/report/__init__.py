"""Results of a run folder as tables and as one page; needs neither torch nor any plugin."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path

from vssl_core import terminal
from vssl_core.errors import UsageError, did_you_mean
from vssl_core.report.across_section import across_sections
from vssl_core.report.bundles import CellRecord, Report, load_report
from vssl_core.report.long_form import render_json
from vssl_core.report.section import Section, SectionFigure, SectionTable
from vssl_core.report.study_text import sections_as_text
from vssl_core.report.table import Table, build_table
from vssl_core.report.tables import build_tables
from vssl_core.report.versus import Versus, render_versus, versus
from vssl_core.rows import Row

__all__ = [
    "FORMATS",
    "CellRecord",
    "Report",
    "Section",
    "SectionFigure",
    "SectionTable",
    "Table",
    "Versus",
    "build_table",
    "build_tables",
    "load_report",
    "render",
    "render_rows",
    "render_versus",
    "versus",
    "write_html",
]

FORMATS = ("rich", "md", "latex", "csv", "json", "html")


def render(report: Report, fmt: str) -> str:
    """The report as text of one of `FORMATS`.

    Raises:
        UsageError: There is no such format.
    """
    if fmt not in FORMATS:
        raise UsageError(f"no report format {fmt!r}.{did_you_mean(fmt, FORMATS)}")
    tables, found = build_tables(report)
    if fmt == "html" or report.runs is None or not report.cells:
        return _writer(fmt)(report, tables, [*report.notes, *found])
    studies, unread = _sections(report.runs)
    notes = [*report.notes, *found, *unread]
    if fmt == "json":
        return render_json(report, tables, notes, sections=studies)
    sections = [*across_sections(tables, figures=False), *studies]
    width = terminal.columns()
    return _writer(fmt)(report, tables, notes) + sections_as_text(sections, fmt, width=width)


def _sections(runs: Path) -> tuple[list[Section], list[str]]:
    """What studies found, without its figures; where there is no study, nothing is imported to draw."""
    if not (runs / "studies").is_dir():
        return [], []
    from vssl_core.report.study_sections import read_sections

    return read_sections(runs, figures=False)


def _writer(fmt: str) -> Callable[[Report, Sequence[Table], Sequence[str]], str]:
    """Imported when used: a page needs matplotlib, a table does not."""
    module, name = {
        "rich": ("console", "render_console"),
        "md": ("markdown", "render_markdown"),
        "latex": ("latex", "render_latex"),
        "csv": ("long_form", "render_csv"),
        "json": ("long_form", "render_json"),
        "html": ("page", "render_page"),
    }[fmt]
    writer: Callable[[Report, Sequence[Table], Sequence[str]], str]
    writer = getattr(import_module(f"vssl_core.report.{module}"), name)
    return writer


def render_rows(rows: Sequence[Row], fmt: str = "rich", *, runs: Path | None = None) -> str:
    """These rows alone, as text of one of `FORMATS`.

    Args:
        rows: Rows of any cells; one table per protocol.
        fmt: One of `FORMATS`.
        runs: The folder that the rows came from; without it intervals speak of seeds alone, because the
            values per test video are not at hand.
    """
    return render(Report(runs, (), tuple(rows), ()), fmt)


def write_html(
    runs: Path, *, output: Path | None = None, metrics: Sequence[str] = (), sections: Sequence[Section] = ()
) -> Path:
    """Write `RUNS/report.html`, or `output`, whole or not at all; gives its path.

    Args:
        runs: The run folder.
        output: Where to; None: `RUNS/report.html`.
        metrics: What tables show; empty: the first metric of every evaluator.
        sections: Further sections than those of the studies that the run folder keeps.

    Raises:
        UsageError: There is no such folder, it holds no cell, or no row has such a metric.
        StoreError: The page cannot be written.
    """
    from vssl_core.files import write_bytes
    from vssl_core.report.page import render_page

    path = output or runs / "report.html"
    report = load_report(runs, metrics=metrics)
    tables, found = build_tables(report)
    page = render_page(report, tables, [*report.notes, *found], sections=sections)
    write_bytes(path, page.encode())
    return path
