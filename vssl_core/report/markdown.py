"""Tables as GitHub-flavoured Markdown."""

from __future__ import annotations

from collections.abc import Sequence

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

__all__ = ["escape", "grid", "render_markdown"]

_SPECIAL = str.maketrans({c: f"\\{c}" for c in r"\`*_{}[]<>#|~"})


def render_markdown(report: Report, tables: Sequence[Table], notes: Sequence[str]) -> str:
    """One section per protocol, then failures and notes."""
    parts = [_section(table) for table in tables] or ["No results yet."]
    failed = [(cell.cell_id, cell.reason) for cell in report.cells if cell.failure is not None]
    if failed:
        lines = [f"- {escape(name)}: {escape(reason)}" for name, reason in failed]
        parts.append("\n".join(["## Failed cells", "", *lines]))
    if notes:
        parts.append("\n".join(["## Notes", "", *(f"- {escape(note)}" for note in notes)]))
    return "\n\n".join(parts) + "\n"


def _section(table: Table) -> str:
    names = name_headers(table)
    heads = [*names, *COUNT_HEADERS, *(_head(header(column)) for column in table.columns)]
    rows = [[*_names(line, table), *count_texts(line), *_entries(line, table)] for line in table.lines]
    costs = [[*map(escape, name_texts(line, table)), *cost_texts(line)] for line in table.lines]
    return "\n\n".join(
        [
            f"## {escape(title(table))}",
            grid(heads, rows, left=len(names)),
            grid([*names, *COST_HEADERS], costs, left=len(names)),
            "\n".join(f"- {escape(note)}" for note in footnotes(table)),
        ]
    )


def _names(line: Line, table: Table) -> list[str]:
    task, *rest = map(escape, name_texts(line, table))
    return ["<br>".join([task, *(f"⚠ {escape(mark)}" for mark in line_marks(line))]), *rest]


def _entries(line: Line, table: Table) -> list[str]:
    return [
        _entry(entry(score, column, table)) if score is not None else "–"
        for score, column in zip(line.scores, table.columns, strict=True)
    ]


def _head(words: Sequence[str]) -> str:
    return "<br>".join(escape(word) for word in words if word)


def _entry(parts: Entry) -> str:
    text = escape(parts.plain)
    text = f"**{text}**" if parts.best else text
    return f"{text}<br>{escape(parts.gain)}" if parts.gain else text


def grid(heads: Sequence[str], rows: Sequence[Sequence[str]], *, left: int) -> str:
    """A table of escaped texts; the first `left` columns are names, the others numbers."""
    rule = [":--" if i < left else "--:" for i in range(len(heads))]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (heads, rule, *rows))


def escape(text: str) -> str:
    """Text that Markdown shows as it is, on one line."""
    return " ".join(text.split()).translate(_SPECIAL)
