"""The project's docstrings as markup (plain text with `code`, lists and indented equations), and tables."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

__all__ = ["first_paragraph", "table", "to_markdown", "to_rst"]

_CODE = re.compile(r"(?<!`)`([^`]+)`(?!`)")
_MARKS = re.compile(r"[*|\\]|(?<=\w)_(?!\w)")


def to_markdown(text: str) -> str:
    """For MyST: indented blocks become fences, so that no highlighter takes an equation for a program."""
    lines: list[str] = []
    for block, is_verbatim in _blocks(text.splitlines()):
        if is_verbatim:
            lines += ["```text", *(line.removeprefix("    ") for line in block), "```"]
        else:
            lines += [re.sub(r"^( *)([*|])(?!\s)", r"\1\\\2", line) for line in block]
    return "\n".join(lines).strip()


def to_rst(lines: Iterable[str]) -> list[str]:
    """For autodoc: indented blocks become literal, `code` gets reST's double quotes, signs are escaped."""
    out: list[str] = []
    for block, is_verbatim in _blocks(list(lines)):
        if is_verbatim:
            out += ["::", "", *block]
        else:
            out += _escaped("\n".join(block)).split("\n")
    return out


def first_paragraph(thing: Any) -> str:
    return " ".join(inspect.cleandoc(thing.__doc__ or "").partition("\n\n")[0].split())


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    cells = [head, ["---"] * len(head), *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(row)} |" for row in cells)


def _escaped(text: str) -> str:
    parts, last = [], 0
    for code in _CODE.finditer(text):
        parts += [_MARKS.sub(r"\\\g<0>", text[last : code.start()]), f"``{code[1]}``"]
        last = code.end()
    return "".join([*parts, _MARKS.sub(r"\\\g<0>", text[last:])])


def _blocks(lines: list[str]) -> Iterator[tuple[list[str], bool]]:
    """Runs of lines, each with whether it is verbatim: indented by four or more, after an empty line."""
    block: list[str] = []
    verbatim = False
    for place, line in enumerate(lines):
        if not line.strip():
            block.append(line)
            continue
        indented = line.startswith("    ")
        starts = indented and (place == 0 or not lines[place - 1].strip())
        if verbatim != indented and (starts or verbatim):
            yield from _whole(block, verbatim)
            block, verbatim = [], indented
        block.append(line)
    yield from _whole(block, verbatim)


def _whole(block: list[str], verbatim: bool) -> Iterator[tuple[list[str], bool]]:
    """A run, and the empty lines behind it as a run of their own, so that fences close tightly."""
    end = len(block)
    while end and not block[end - 1].strip():
        end -= 1
    if end:
        yield block[:end], verbatim
    if end < len(block):
        yield block[end:], False
