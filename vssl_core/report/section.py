"""A section of the page that somebody else fills: a study's findings, tables and figures."""

from __future__ import annotations

import re
from dataclasses import dataclass

from markupsafe import Markup

from vssl_core.errors import ContractError

__all__ = ["STUDY_RESULT_SCHEMA", "Section", "SectionFigure", "SectionTable"]

STUDY_RESULT_SCHEMA = 2
"""Of the file in which a study leaves its section; from 2 on it says what the section follows from."""

_NUMBER = re.compile(r"[+−-]?\d[\d,]*\.?\d*")


@dataclass(frozen=True, slots=True)
class SectionTable:
    """A table as text; columns of numbers are told by their entries.

    Args:
        caption: What it shows.
        headers: One per column; a line break parts the lines of a header.
        rows: Entries of each row, as many as headers; the first one names the row.
        notes: What a reader must know to believe it.

    Raises:
        ContractError: A row has another number of entries than there are headers.
    """

    caption: str
    headers: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row) != len(self.headers):
                raise ContractError(
                    f"table {self.caption!r}: a row needs {len(self.headers)} entries, one per header; "
                    f"got {len(row)} ({', '.join(row)})."
                )

    @property
    def numeric(self) -> tuple[bool, ...]:
        """Whether each column holds numbers: every entry that is not a dash begins with one."""
        columns = list(zip(*self.rows, strict=True)) if self.rows else [()] * len(self.headers)
        filled = [[entry for entry in column if entry.strip("–- ")] for column in columns]
        return tuple(bool(column) and all(_NUMBER.match(entry) for entry in column) for column in filled)

    def values(self, row: tuple[str, ...]) -> tuple[str, ...]:
        """What a column of numbers is sorted by: the first number of each entry, or nothing."""
        found = [_NUMBER.match(entry) for entry in row]
        return tuple(number[0].replace("−", "-").replace(",", "") if number else "" for number in found)


@dataclass(frozen=True, slots=True)
class SectionFigure:
    """A figure, an `<svg>` element as the functions of `figures_*` beside this module make it."""

    caption: str
    svg: Markup


@dataclass(frozen=True, slots=True)
class Section:
    """One section, as `render_page` and `write_html` take it.

    Args:
        name: Its word in links, unique on the page: letters, digits, `_` and `-`.
        title: Its heading.
        question: What it asks.
        answers: What it is in the paper: tables and figures.
        findings: What it found, one sentence each, that follow from the statistics.
        tables: Its tables.
        figures: Its figures.
        notes: Remarks, one sentence each.

    Raises:
        ContractError: The name cannot stand in a link.
    """

    name: str
    title: str
    question: str = ""
    answers: tuple[str, ...] = ()
    findings: tuple[str, ...] = ()
    tables: tuple[SectionTable, ...] = ()
    figures: tuple[SectionFigure, ...] = ()
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[\w-]+", self.name, re.ASCII):
            raise ContractError(
                f"a section's name stands in links and takes letters, digits, _ and -; got {self.name!r}."
            )
