"""Tables as LaTeX for the booktabs package; every name is escaped."""

from __future__ import annotations

import unicodedata
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

__all__ = ["escape", "render_latex"]

_COMMANDS = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': "''",
    "±": r"$\pm$",
    "·": r"$\cdot$",
    "²": r"$^2$",
    "–": "--",
    "…": r"\ldots{}",
    "→": r"$\to$",
    "×": r"$\times$",
}

_END = ("\\bottomrule", "\\end{tabular}")


def render_latex(report: Report, tables: Sequence[Table], notes: Sequence[str]) -> str:
    """Two tables per protocol, scores and cost; failures and notes as comments."""
    parts = ["% Needs \\usepackage{booktabs} and \\usepackage[T1]{fontenc}."]
    for table in tables:
        parts += [_scores(table), _costs(table)]
    for cell in report.cells:
        if cell.failure is not None:
            parts.append(_comment(f"failed: {cell.cell_id}: {cell.reason}"))
    parts += [_comment(f"note: {note}") for note in notes]
    return "\n\n".join(parts) + "\n"


def escape(text: str) -> str:
    """Text that LaTeX shows as it is; letters that its fonts lack lose their accents or get a code."""
    return "".join(_COMMANDS.get(c) or _letter(c) for c in " ".join(text.split()))


def _letter(character: str) -> str:
    if character.isascii():
        return character
    plain = unicodedata.normalize("NFKD", character).encode("ascii", "ignore").decode()
    return "".join(_COMMANDS.get(c, c) for c in plain) or f"U+{ord(character):04X}"


def _scores(table: Table) -> str:
    names = name_headers(table)
    heads = [header(column) for column in table.columns]
    lines = [_begin(len(names), len(COUNT_HEADERS) + len(heads)), "\\toprule"]
    for level in range(len(heads[0])):
        last = level == len(heads[0]) - 1
        first = [*names, *COUNT_HEADERS] if last else [""] * (len(names) + len(COUNT_HEADERS))
        lines.append(_row([*first, *(escape(words[level]) for words in heads)]))
    before = None
    for line in table.lines:
        lines += ["\\midrule"] if before is None or before.backbone != line.backbone else []
        lines += _line(line, table)
        before = line
    notes = " ".join(escape(note) for note in footnotes(table))
    return _float(
        [*lines, *_END, f"\\par\\smallskip\\footnotesize {notes}"], title(table), table.protocol_hash
    )


def _line(line: Line, table: Table) -> list[str]:
    """The scores of a line, and its gains below."""
    entries = [
        entry(score, column, table) if score is not None else None
        for score, column in zip(line.scores, table.columns, strict=True)
    ]
    task, *rest = name_texts(line, table)
    names = [escape("; ".join([task, *line_marks(line)])), *map(escape, rest)]
    scores = [_entry(parts) if parts else "--" for parts in entries]
    rows = [_row([*names, *map(escape, count_texts(line)), *scores])]
    if any(parts and parts.gain for parts in entries):
        gains = [escape(parts.gain) if parts else "" for parts in entries]
        rows.append(_row(["\\quad gain", *[""] * (len(names) + len(COUNT_HEADERS) - 1), *gains]))
    return rows


def _entry(parts: Entry) -> str:
    text = f"\\textbf{{{parts.value}}}" if parts.best else parts.value
    if parts.half_width:
        text += f" $\\pm$ {parts.half_width}"
    raised = parts.ties + (f"[{parts.mark}]" if parts.mark else "")
    return f"{text}$^{{\\mathrm{{{raised}}}}}$" if raised else text


def _costs(table: Table) -> str:
    names = name_headers(table)
    lines = [_begin(len(names), len(COST_HEADERS)), "\\toprule", _row([*names, *COST_HEADERS]), "\\midrule"]
    lines += [
        _row([escape(t) for t in (*name_texts(line, table), *cost_texts(line))]) for line in table.lines
    ]
    caption = f"Cost of a cell, mean over seeds; {title(table)}"
    return _float([*lines, *_END], caption, f"cost-{table.protocol_hash}")


def _begin(left: int, right: int) -> str:
    return f"\\begin{{tabular}}{{{'l' * left}{'r' * right}}}"


def _row(cells: Sequence[str]) -> str:
    return " & ".join(cells) + r" \\"


def _float(lines: Sequence[str], caption: str, label: str) -> str:
    head = [
        "\\begin{table}",
        "\\centering",
        f"\\caption{{{escape(caption)}}}",
        f"\\label{{tab:vssl-{label}}}",
    ]
    return "\n".join([*head, *lines, "\\end{table}"])


def _comment(text: str) -> str:
    return f"% {' '.join(text.split())}"
