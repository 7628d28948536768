"""Results of a run folder as tables and as one page; needs neither torch nor any plugin."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path

from vssl_core.errors import UsageError, did_you_mean
from vssl_core.report.bundles import CellRecord, Report, load_report
from vssl_core.report.table import Table, build_table
from vssl_core.report.tables import build_tables
from vssl_core.rows import Row

__all__ = [
    "FORMATS",
    "CellRecord",
    "Report",
    "Table",
    "build_table",
    "build_tables",
    "load_report",
    "render",
    "render_rows",
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
    return _writer(fmt)(report, tables, [*report.notes, *found])


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


def write_html(runs: Path, *, output: Path | None = None, metrics: Sequence[str] = ()) -> Path:
    """Write `RUNS/report.html`, or `output`, whole or not at all; gives its path.

    Raises:
        UsageError: There is no such folder, it holds no cell, or no row has such a metric.
        StoreError: The page cannot be written.
    """
    from vssl_core.files import write_bytes

    path = output or runs / "report.html"
    write_bytes(path, render(load_report(runs, metrics=metrics), "html").encode())
    return path
