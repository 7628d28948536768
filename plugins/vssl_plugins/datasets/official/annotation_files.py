"""Annotation files: lists, CSV tables and JSON, read whole; every error names the file and the line."""

from __future__ import annotations

import csv
import hashlib
import json
import re
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from vssl_core.errors import DatasetError, OptionError

__all__ = ["AnnotationFile", "absolute", "exists", "first_of", "sha256_of"]

_JSON_SPACE = re.compile(r"[ \t\r\n]*")
MOST_BYTES = 2**30
"""No annotation file of any data set is nearly this large."""


def absolute(path: str) -> Path:
    """A path that the user named, from the working folder or from home.

    Raises:
        OptionError: It starts with the home of somebody who is not known.
    """
    try:
        return Path(path).expanduser().absolute()
    except RuntimeError as error:
        raise OptionError(f"expected a path; got {path!r}: {error}") from error


def exists(path: Path, *, folder: bool = False) -> bool:
    """Whether there is something, or a folder; what may not be looked at is not there."""
    try:
        return path.is_dir() if folder else path.exists()
    except OSError:
        return False


def sha256_of(path: Path) -> str:
    """Hexadecimal digest of a file. Raises DatasetError where it cannot be read."""
    return hashlib.sha256(_content(path)).hexdigest()


def first_of(folders: Sequence[Path], names: Sequence[str]) -> Path | None:
    """The first file of one of these names in the first folder that has one."""
    for folder in folders:
        for name in names:
            if exists(folder / name):
                return folder / name
    return None


def _content(path: Path) -> bytes:
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise DatasetError(f"expected an annotation file; {str(path)!r} is not a file.")
        if status.st_size > MOST_BYTES:
            raise DatasetError(
                f"expected an annotation file of less than 1 GiB; {str(path)!r} has {status.st_size} bytes."
            )
        return path.read_bytes()
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise DatasetError(f"cannot read the annotation file {str(path)!r}: {why}.") from error


class AnnotationFile:
    """The text of one file. Line ends may be LF or CRLF; a byte order mark is passed over.

    Raises:
        DatasetError: It cannot be read, or is not UTF-8.
    """

    def __init__(self, path: Path) -> None:
        content = _content(path)
        self.path = path
        self.sha256 = hashlib.sha256(content).hexdigest()
        try:
            self.text = content.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            line = content.count(b"\n", 0, error.start) + 1
            raise self.error(line, f"is not UTF-8 (byte {content[error.start]:#04x})") from error

    def error(self, line: int, problem: str) -> DatasetError:
        """To be raised: `problem` goes on with "file, line n" as its subject."""
        return DatasetError(f"{str(self.path)!r}, line {line}, {problem}.")

    def lines(self) -> Iterator[tuple[int, str]]:
        """(number, text) of the lines that are not blank, without white space at the ends."""
        # Not str.splitlines: names may hold what it takes for the end of a line.
        for number, line in enumerate(self.text.split("\n"), start=1):
            if text := line.strip():
                yield number, text

    def rows(self, needed: Sequence[str]) -> Iterator[tuple[int, dict[str, str]]]:
        """(line, column → text) of a table whose first line names the columns.

        Raises:
            DatasetError: A column of `needed` is lacking, or a row has too few or too many fields.
        """
        reader = csv.reader(self.text.split("\n"), strict=True)
        columns: list[str] | None = None
        try:
            for cells in reader:
                fields = [cell.strip() for cell in cells]
                if not any(fields):
                    continue
                if columns is None:
                    columns = self._columns(reader.line_num, fields, needed)
                elif len(fields) != len(columns):
                    raise self.error(
                        reader.line_num,
                        f"has {len(fields)} fields; expected {len(columns)}: {_short(columns)}",
                    )
                else:
                    yield reader.line_num, dict(zip(columns, fields, strict=True))
        except csv.Error as error:
            raise self.error(reader.line_num, f"is not CSV: {error}") from error
        if columns is None:
            raise self.error(1, f"is empty; expected the columns {', '.join(needed)}")

    def _columns(self, line: int, fields: list[str], needed: Sequence[str]) -> list[str]:
        columns = [field.lower() for field in fields]
        if not set(needed) <= set(columns) or len(set(columns)) != len(columns):
            raise self.error(
                line,
                f"must name the columns, each once, {', '.join(needed)} among them; it has {_short(fields)}",
            )
        return columns

    def objects(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """(line, object) of a JSON list of objects.

        Raises:
            DatasetError: It is something else.
        """
        for line, value in self.items():
            if not isinstance(value, dict):
                raise self.error(line, f"has {_short(value)}; expected an object in braces")
            yield line, value

    def items(self) -> Iterator[tuple[int, Any]]:
        """(line, value) of a JSON list. Raises DatasetError where it is something else."""
        decoder, text = json.JSONDecoder(), self.text
        place, line, counted = self._after_space(0), 1, 0
        if text[place : place + 1] != "[":
            raise self.error(1, f"starts with {_short(text[place : place + 20])}; expected a JSON list")
        place = self._after_space(place + 1)
        while text[place : place + 1] != "]":
            line, counted = line + text.count("\n", counted, place), place
            value, place = self._value(decoder, place, line)
            yield line, value
            place = self._after_space(place)
            if text[place : place + 1] == ",":
                place = self._after_space(place + 1)
            elif text[place : place + 1] != "]":
                raise self.error(self._line(place), "lacks a comma or the closing bracket of the JSON list")
        self._check_end(place + 1)

    def mapping(self) -> dict[str, Any]:
        """A JSON object. Raises DatasetError where it is something else, or names a key twice."""
        decoder = json.JSONDecoder(object_pairs_hook=self._once)
        value, place = self._value(decoder, self._after_space(0), 1)
        if not isinstance(value, dict):
            raise self.error(1, f"has {_short(value)}; expected a JSON object in braces")
        self._check_end(place)
        return value

    def line_of(self, key: str) -> int:
        """The line in which a key of the JSON object stands."""
        for written in (json.dumps(key), json.dumps(key, ensure_ascii=False)):
            place = self.text.find(written)
            if place >= 0:
                return self._line(place)
        return 1

    def _line(self, place: int) -> int:
        return self.text.count("\n", 0, place) + 1

    def _check_end(self, place: int) -> None:
        end = self._after_space(place)
        if end != len(self.text):
            raise self.error(self._line(end), "goes on after the end of the JSON document")

    def _once(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        value: dict[str, Any] = {}
        for name, inner in pairs:
            if name in value:
                raise self.error(self.line_of(name), f"has the key {_short(name)}, which stands there twice")
            value[name] = inner
        return value

    def _value(self, decoder: json.JSONDecoder, place: int, line: int) -> tuple[Any, int]:
        try:
            return decoder.raw_decode(self.text, place)
        except json.JSONDecodeError as error:
            raise self.error(error.lineno, f"is not JSON: {error.msg} (column {error.colno})") from error
        except (ValueError, RecursionError) as error:  # a number of thousands of digits, endless brackets
            raise self.error(line, f"is not JSON that can be meant: {error}") from error

    def _after_space(self, place: int) -> int:
        space = _JSON_SPACE.match(self.text, place)
        return space.end() if space else place


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
