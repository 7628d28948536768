"""The files of a bundle, read as what a stranger may have made of them.

Nothing is unpickled, no link is followed out of the bundle, and sizes are looked at before anything is read.
What should be there and cannot be read is a finding, never an exception.
"""

from __future__ import annotations

import csv
import io
import json
import stat
from collections.abc import Callable
from math import isfinite, prod
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from vssl_core.files import file_sha256
from vssl_core.verification.findings import Book

__all__ = ["Bundle", "Table"]

MOST_BYTES = 2**28
"""Of a JSON or CSV file, which is read as a whole."""

Found = TypeVar("Found")

_READABLE = "a readable file"
_UNREADABLE = (OSError, ValueError, TypeError, EOFError, SyntaxError, RecursionError, MemoryError, csv.Error)
_HEADER = ["video_id", "group", "value"]


class Table:
    """Values per video of one metric: ids, groups and values, line by line."""

    def __init__(self, ids: list[str], groups: list[str], values: list[float]) -> None:
        self.ids, self.groups, self.values = ids, groups, values


class Bundle:
    """One cell's folder.

    Args:
        root: The folder.
        book: Takes the findings.
    """

    def __init__(self, root: Path, book: Book) -> None:
        self.root, self.book = root.resolve(), book
        self.used: set[str] = set()

    def has(self, name: str) -> bool:
        """Whether something is there under this name, be it a broken link."""
        path = self.root / name
        try:
            return path.is_symlink() or path.exists()
        except (OSError, ValueError):
            return True

    def file(self, name: str) -> Path | None:
        """The plain file of this name inside the bundle, or None and a finding."""
        self.used.add(name)
        problem, path = "", self.root / name
        try:
            real = path.resolve(strict=True)
            if not real.is_relative_to(self.root):
                problem = "it lies, or links, outside the bundle"
            elif not stat.S_ISREG(real.stat().st_mode):
                problem = "it is no plain file"
        except FileNotFoundError:
            problem = "it is missing"
        except (OSError, RuntimeError, ValueError) as error:
            problem = f"it cannot be looked at ({error})"
        if problem:
            self.book.find(name, "", problem, _READABLE, "the layout of a bundle")
            return None
        return path

    def sha256(self, name: str) -> str | None:
        """Digest of a file's content."""
        return self._read(name, file_sha256)

    def document(self, name: str, *, schema: int | None = None) -> dict[str, Any] | None:
        """A JSON object; `schema` is the newest that this version understands."""
        return self._read(name, lambda path: _document(path, schema))

    def text(self, name: str) -> str | None:
        """A text."""
        return self._read(name, _text)

    def lines(self, name: str) -> list[dict[str, Any]] | None:
        """JSON objects, one a line."""
        return self._read(name, _lines)

    def table(self, name: str) -> Table | None:
        """Values per video."""
        return self._read(name, _table)

    def array(self, name: str) -> np.ndarray | None:
        """An array of numbers."""
        return self._read(name, _array)

    def _read(self, name: str, read: Callable[[Path], Found]) -> Found | None:
        path = self.file(name)
        if path is None:
            return None
        try:
            return read(path)
        except _UNREADABLE as error:
            self.book.find(name, "", str(error) or type(error).__name__, _READABLE, "reading it")
            return None


def _text(path: Path) -> str:
    size = path.stat().st_size
    if size > MOST_BYTES:
        raise ValueError(f"it has {size >> 20} MiB; at most {MOST_BYTES >> 20} are read")
    return path.read_text(encoding="utf-8")


def _document(path: Path, schema: int | None) -> dict[str, Any]:
    value = json.loads(_text(path))
    if not isinstance(value, dict):
        raise ValueError(f"it is a JSON {type(value).__name__}, no object")
    found = value.get("schema")
    if schema is not None and (type(found) is not int or not 1 <= found <= schema):
        raise ValueError(f"it has schema {found!r}; this version of vssl understands 1 to {schema}")
    return value


def _lines(path: Path) -> list[dict[str, Any]]:
    rows = [json.loads(line) for line in _text(path).splitlines()]
    if not all(isinstance(row, dict) for row in rows):
        raise ValueError("a line of it is no JSON object")
    return rows


def _table(path: Path) -> Table:
    header, *rows = list(csv.reader(io.StringIO(_text(path)))) or [[]]
    if header != _HEADER or any(len(row) != len(_HEADER) for row in rows):
        raise ValueError(f"it is no table with the columns {', '.join(_HEADER)}")
    table = Table([row[0] for row in rows], [row[1] for row in rows], [float(row[2]) for row in rows])
    if not all(map(isfinite, table.values)):
        raise ValueError("a value of it is not finite")
    return table


def _array(path: Path) -> np.ndarray:
    """The header is compared with the file's size before anything is read."""
    with path.open("rb") as file:
        major, _ = np.lib.format.read_magic(file)
        one = np.lib.format.read_array_header_1_0
        shape, _, dtype = (one if major == 1 else np.lib.format.read_array_header_2_0)(file)
        left = path.stat().st_size - file.tell()
    if dtype.hasobject or left != prod(shape) * dtype.itemsize:
        raise ValueError(f"its header says {dtype} {shape}, and {left} bytes follow")
    array: np.ndarray = np.load(path, allow_pickle=False)
    return array
