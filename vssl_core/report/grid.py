"""A plain grid of texts in every format of the report: for tables that are no result table of a protocol."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape as escape_html
from io import StringIO

from vssl_core.errors import UsageError, did_you_mean
from vssl_core.report.latex import escape as escape_latex
from vssl_core.report.markdown import escape as escape_markdown
from vssl_core.report.markdown import grid as markdown_grid

__all__ = ["Grid", "render_grid"]

Plain = str | int | float | None


@dataclass(frozen=True, slots=True)
class Grid:
    """What a table shows.

    Args:
        title: Its caption.
        heads: Headers.
        rows: Texts, as many in each row as headers.
        left: Columns from the left that are names; the others are numbers.
        notes: Sentences below it.
        records: The same for programs, one mapping per row, with equal keys.
    """

    title: str
    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    left: int
    notes: tuple[str, ...]
    records: tuple[Mapping[str, Plain], ...]


def render_grid(grid: Grid, fmt: str) -> str:
    """As text of one of `vssl_core.report.FORMATS`; "html" is a fragment without a page around it.

    Raises:
        UsageError: There is no such format.
    """
    writers: dict[str, Callable[[Grid], str]] = {
        "rich": _console,
        "md": _markdown,
        "latex": _latex,
        "csv": _csv,
        "json": _json,
        "html": _html,
    }
    if fmt not in writers:
        raise UsageError(f"no report format {fmt!r}.{did_you_mean(fmt, writers)}")
    return writers[fmt](grid)


def _console(grid: Grid) -> str:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD, header_style="bold", pad_edge=False)
    for place, head in enumerate(grid.heads):
        table.add_column(Text(head), justify="left" if place < grid.left else "right", overflow="fold")
    for row in grid.rows:
        table.add_row(*map(Text, row))
    out = StringIO()
    console = Console(file=out, width=160, color_system=None, highlight=False)
    for part in (Text(grid.title), table, *(Text(f"  {note}") for note in grid.notes)):
        console.print(part)
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines()) + "\n"


def _markdown(grid: Grid) -> str:
    rows = [[escape_markdown(text) for text in row] for row in grid.rows]
    notes = "\n".join(f"- {escape_markdown(note)}" for note in grid.notes)
    parts = [
        f"### {escape_markdown(grid.title)}",
        markdown_grid([escape_markdown(head) for head in grid.heads], rows, left=grid.left),
        notes,
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _latex(grid: Grid) -> str:
    def row(texts: Sequence[str]) -> str:
        return " & ".join(map(escape_latex, texts)) + r" \\"

    columns = "l" * grid.left + "r" * (len(grid.heads) - grid.left)
    lines = [
        "% Needs \\usepackage{booktabs} and \\usepackage[T1]{fontenc}.",
        "\\begin{table}",
        "\\centering",
        f"\\caption{{{escape_latex(grid.title)}}}",
        f"\\begin{{tabular}}{{{columns}}}",
        "\\toprule",
        row(grid.heads),
        "\\midrule",
        *map(row, grid.rows),
        "\\bottomrule",
        "\\end{tabular}",
    ]
    if grid.notes:
        lines.append(f"\\par\\smallskip\\footnotesize {' '.join(map(escape_latex, grid.notes))}")
    return "\n".join([*lines, "\\end{table}"]) + "\n"


def _csv(grid: Grid) -> str:
    out = StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(grid.records[0] if grid.records else ())
    for record in grid.records:
        writer.writerow("" if value is None else value for value in record.values())
    return out.getvalue()


def _json(grid: Grid) -> str:
    document = {"title": grid.title, "records": [dict(r) for r in grid.records], "notes": list(grid.notes)}
    return json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _html(grid: Grid) -> str:
    def cells(texts: Sequence[str], tag: str) -> str:
        kinds = [' class="number"' if place >= grid.left else "" for place in range(len(texts))]
        scope = ' scope="col"' if tag == "th" else ""
        made = (f"<{tag}{scope}{k}>{escape_html(t)}</{tag}>" for t, k in zip(texts, kinds, strict=True))
        return f"<tr>{''.join(made)}</tr>"

    notes = "".join(f"<li>{escape_html(note)}</li>" for note in grid.notes)
    lines = [
        "<table>",
        f"<caption>{escape_html(grid.title)}</caption>",
        f"<thead>{cells(grid.heads, 'th')}</thead>",
        "<tbody>",
        *(cells(row, "td") for row in grid.rows),
        "</tbody>",
        "</table>",
    ]
    return "\n".join([*lines, *([f"<ul>{notes}</ul>"] if notes else [])]) + "\n"
