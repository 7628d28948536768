"""Sections of studies as text: for a terminal, as Markdown, as LaTeX."""

from __future__ import annotations

from collections.abc import Sequence
from io import StringIO

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table as Grid
from rich.text import Text

from vssl_core.report.latex import escape as latex_escape
from vssl_core.report.markdown import escape as markdown_escape
from vssl_core.report.section import Section, SectionTable

__all__ = ["sections_as_text"]


def sections_as_text(sections: Sequence[Section], fmt: str, *, width: int = 160) -> str:
    """Every section, one after the other; empty for formats that hold rows alone."""
    write = {"rich": lambda section: _rich(section, width), "md": _markdown, "latex": _latex}.get(fmt)
    return "".join(write(section) for section in sections) if write is not None else ""


def _rich(section: Section, width: int) -> str:
    out = StringIO()
    console = Console(file=out, width=width, color_system=None, highlight=False)
    console.print(Text(_heading(section)))
    for table in section.tables:
        grid = Grid(box=SIMPLE_HEAD, pad_edge=False, title=table.caption, title_justify="left")
        for header, numeric in zip(table.headers, table.numeric, strict=True):
            grid.add_column(Text(header), justify="right" if numeric else "left", overflow="fold")
        for row in table.rows:
            grid.add_row(*map(Text, row))
        console.print(grid)
    for sentence in _sentences(section):
        console.print(Text(f"  {sentence}"))
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines()) + "\n"


def _markdown(section: Section) -> str:
    parts = [f"## {markdown_escape(_heading(section))}"]
    for table in section.tables:
        rule = ["--:" if numeric else ":--" for numeric in table.numeric]
        heads = ["<br>".join(map(markdown_escape, header.split("\n"))) for header in table.headers]
        rows = [[markdown_escape(entry) for entry in row] for row in table.rows]
        parts.append(markdown_escape(table.caption))
        parts.append("\n".join(f"| {' | '.join(cells)} |" for cells in (heads, rule, *rows)))
    parts.append("\n".join(f"- {markdown_escape(sentence)}" for sentence in _sentences(section)))
    return "\n\n".join(["", *parts]) + "\n"


def _latex(section: Section) -> str:
    tables = "".join(_latex_table(table) for table in section.tables)
    sentences = "".join(f"\n{latex_escape(sentence)}\\par" for sentence in _sentences(section))
    return f"\n\\subsection*{{{latex_escape(_heading(section))}}}\n{tables}{sentences}\n"


def _latex_table(table: SectionTable) -> str:
    columns = "".join("r" if numeric else "l" for numeric in table.numeric)
    heads = " & ".join(latex_escape(" ".join(header.split("\n"))) for header in table.headers)
    rows = "".join(f"{' & '.join(map(latex_escape, row))} \\\\\n" for row in table.rows)
    return (
        f"\\begin{{table}}\n\\caption{{{latex_escape(table.caption)}}}\n\\begin{{tabular}}{{{columns}}}\n"
        f"\\toprule\n{heads} \\\\\n\\midrule\n{rows}\\bottomrule\n\\end{{tabular}}\n\\end{{table}}\n"
    )


def _sentences(section: Section) -> list[str]:
    of_tables = [note for table in section.tables for note in table.notes]
    question = [section.question] if section.question else []
    return [*question, *section.findings, *of_tables, *section.notes]


def _heading(section: Section) -> str:
    """The title, and what the section is in the paper."""
    return f"{section.title} (the paper's {', '.join(section.answers)})" if section.answers else section.title
