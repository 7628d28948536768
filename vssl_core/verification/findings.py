"""What verification found: what is altered, what could not be checked, and how much was compared."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from math import isclose
from pathlib import Path
from typing import Any

from vssl_core.cells import digest

__all__ = ["Altered", "Book", "CellVerified", "Unchecked", "VerifyResult"]

ROUNDING = 1e-9
"""Relative and absolute difference that sums in another order, or on another machine, may have."""


@dataclass(frozen=True, slots=True)
class Altered:
    """One value that is not what the rest of the bundle says.

    Args:
        file: Relative to the cell's folder, or to the run folder for what lies beside the cells.
        field: Which value in it; empty for the file itself.
        stored: What stands there.
        expected: What should.
        by: Where that comes from.
    """

    file: str
    field: str
    stored: str
    expected: str
    by: str


@dataclass(frozen=True, slots=True)
class Unchecked:
    """Something that could not be checked, and why."""

    file: str
    why: str


@dataclass(frozen=True, slots=True)
class CellVerified:
    """What was found of one cell.

    Args:
        cell_id: As it describes itself; its folder's name where it does not.
        folder: Its folder.
        digest: SHA-256 over the digests of its stages; empty where a finished stage has none.
        files: How many files were compared with their digests.
        values: How many values were compared with what they follow from.
        metrics: `evaluation metric` of those that were recomputed from predictions.
        altered: What is not as it should be.
        unchecked: What could not be checked.
    """

    cell_id: str
    folder: Path
    digest: str
    files: int
    values: int
    metrics: tuple[str, ...]
    altered: tuple[Altered, ...]
    unchecked: tuple[Unchecked, ...]


@dataclass(frozen=True, slots=True)
class VerifyResult:
    """What was found of every cell; `altered` and `unchecked` are what a run folder has beside its cells."""

    path: Path
    cells: tuple[CellVerified, ...]
    altered: tuple[Altered, ...] = ()
    unchecked: tuple[Unchecked, ...] = ()

    @property
    def ok(self) -> bool:
        """True where nothing is altered."""
        return not self.altered and not any(cell.altered for cell in self.cells)

    @property
    def digest(self) -> str:
        """SHA-256 over the digests of all cells: what a paper may print; empty where a cell has none."""
        found = {cell.cell_id: cell.digest for cell in self.cells}
        return digest(found) if found and all(found.values()) else ""

    def document(self) -> dict[str, Any]:
        """All of it, for a program."""
        cells = [{**asdict(cell), "folder": str(cell.folder)} for cell in self.cells]
        return {
            "path": str(self.path),
            "ok": self.ok,
            "digest": self.digest,
            "cells": cells,
            "altered": [asdict(one) for one in self.altered],
            "unchecked": [asdict(one) for one in self.unchecked],
        }


@dataclass
class Book:
    """Takes down what is found while one cell is looked through."""

    altered: list[Altered] = field(default_factory=list)
    unchecked: list[Unchecked] = field(default_factory=list)
    metrics: list[str] = field(default_factory=list)
    files: int = 0
    values: int = 0

    def find(self, file: str, where: str, stored: Any, expected: Any, by: str) -> None:
        """Something is altered."""
        self.altered.append(Altered(file, where, _short(stored), _short(expected), by))

    def skip(self, file: str, why: str) -> None:
        """Something could not be checked."""
        self.unchecked.append(Unchecked(file, why))

    def same(
        self, file: str, where: str, stored: Any, expected: Any, by: str, *, share: float = ROUNDING
    ) -> None:
        """Compare a value, or a document value by value; `share` of a number may be rounding."""
        for name, one, other in _leaves(stored, expected, where):
            self.values += 1
            if not _equal(one, other, share):
                self.find(file, name, one, other, by)


class _Nothing:
    def __repr__(self) -> str:
        return "nothing"


NOTHING = _Nothing()


def _leaves(one: Any, other: Any, where: str) -> Iterator[tuple[str, Any, Any]]:
    """Values that stand at the same place of two documents, with their place."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        for name in sorted({*one, *other}, key=str):
            inner = f"{where}.{name}" if where else str(name)
            yield from _leaves(one.get(name, NOTHING), other.get(name, NOTHING), inner)
    elif _is_list(one) and _is_list(other) and len(one) == len(other):
        for place, (mine, theirs) in enumerate(zip(one, other, strict=True)):
            yield from _leaves(mine, theirs, f"{where}[{place}]")
    else:
        yield where, one, other


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str | bytes)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _equal(one: Any, other: Any, share: float) -> bool:
    if _is_number(one) and _is_number(other):
        if isinstance(one, int) and isinstance(other, int):
            return one == other
        return isclose(float(one), float(other), rel_tol=share, abs_tol=ROUNDING)
    if _is_list(one) and _is_list(other):
        return list(one) == list(other)
    return type(one) is type(other) and bool(one == other)


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= 80 else f"{text[:38]}…{text[-38:]}"
