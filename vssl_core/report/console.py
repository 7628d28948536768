"""Tables for a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from io import StringIO

from rich.box import SIMPLE_HEAD
from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.table import Table as Grid
from rich.text import Text

from vssl_core import terminal
from vssl_core.report.bundles import Report
from vssl_core.report.table import Line, Table
from vssl_core.report.wording import (
    COST_HEADERS,
    COUNT_HEADERS,
    Entry,
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

__all__ = ["render_console", "renderables"]


def render_console(report: Report, tables: Sequence[Table], notes: Sequence[str]) -> str:
    """Plain text without colours, as wide as the terminal."""
    out = StringIO()
    width = terminal.columns()
    console = Console(file=out, width=width, color_system=None, highlight=False)
    for part in renderables(report, tables, notes):
        console.print(part)
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines()) + "\n"


def renderables(report: Report, tables: Sequence[Table], notes: Sequence[str]) -> Iterator[RenderableType]:
    """What to print, one after the other."""
    for table in tables:
        yield Text(title(table), style="bold")
        yield _scores(table)
        yield Text("cost of a cell, mean over seeds", style="bold")
        yield _costs(table)
        for note in footnotes(table):
            yield Padding(Text(note, style="dim"), (0, 0, 0, 2))
    if not tables:
        yield Text("no results yet")
    for cell in report.cells:
        if cell.failure is not None:
            yield Text(f"failed: {cell.cell_id}: {cell.reason}", style="red")
        elif cell.state != "finished":
            yield Text(f"not finished: {cell.cell_id} ({cell.state})", style="yellow")
    for note in notes:
        yield Text(f"note: {note}", style="yellow")


def _scores(table: Table) -> Grid:
    grid = _grid(table)
    for name in COUNT_HEADERS:
        grid.add_column(name, justify="right")
    for column in table.columns:
        grid.add_column(Text("\n".join(header(column))), justify="right")
    for line, after in zip(table.lines, (*table.lines[1:], None), strict=True):
        cells = [
            _entry(entry(score, column, table)) if score is not None else Text("–")
            for score, column in zip(line.scores, table.columns, strict=True)
        ]
        last_of_backbone = after is None or after.backbone != line.backbone
        grid.add_row(*_names(line, table), *count_texts(line), *cells, end_section=last_of_backbone)
    return grid


def _grid(table: Table) -> Grid:
    grid = Grid(box=SIMPLE_HEAD, header_style="bold", pad_edge=False)
    for name in name_headers(table):
        grid.add_column(name, overflow="fold")
    return grid


def _names(line: Line, table: Table) -> list[Text]:
    texts = [Text(text, style="" if line.role == "method" else "italic") for text in name_texts(line, table)]
    for mark in line_marks(line):
        texts[0].append(f"\n! {mark}", style="yellow")
    return texts


def _entry(parts: Entry) -> Text:
    text = Text(parts.plain, style="bold" if parts.best else "")
    if parts.best:
        text.append(" best")
    if parts.gain:
        text.append(f"\n{parts.gain}", style="dim")
    return text


def _costs(table: Table) -> Grid:
    grid = _grid(table)
    for name in COST_HEADERS:
        grid.add_column(name, justify="right")
    for line in table.lines:
        grid.add_row(*(Text(text) for text in name_texts(line, table)), *cost_texts(line))
    return grid
