"""The files of `tables/` as records: one YAML file per table of the paper.

A file has `title`, `source`, `trust`, `note`, `metric`, `unit`, `decimals`, coordinates that all its cells
have in `common`, and `cells`. A cell has its own coordinates and a `value`, or the values along one more
coordinate: `by: {task: {vcop: 46.3, prp: 17.5}}`. It may replace everything that the table says.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Mapping
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from vssl_core.errors import UsageError, did_you_mean
from vssl_core.paper.records import Coordinates, PaperCell, PaperTable

__all__ = ["find", "load_paper_tables"]

_AXES = tuple(Coordinates.model_fields)
_PER_CELL = ("source", "trust", "note", "metric", "unit", "decimals")


class _File(BaseModel):
    """A file as it is written."""

    model_config = ConfigDict(extra="forbid")

    title: str
    source: str
    trust: str
    note: str = ""
    metric: str
    unit: str
    decimals: int
    common: dict[str, Any] = {}
    cells: list[dict[str, Any]]


def load_paper_tables(folder: Traversable | None = None) -> tuple[PaperTable, ...]:
    """Every table, by name; those of another folder of such files where one is given.

    Raises:
        UsageError: A file is not what it should be; the message names file, cell and field.
    """
    if folder is None:
        return _own_tables()
    files = [entry for entry in folder.iterdir() if entry.name.endswith(".yaml")]
    return tuple(_read(entry) for entry in sorted(files, key=lambda entry: entry.name))


@cache
def _own_tables() -> tuple[PaperTable, ...]:
    return load_paper_tables(resources.files("vssl_core") / "paper" / "tables")


def find(tables: Iterable[PaperTable] | None = None, **wanted: str | int | None) -> tuple[PaperCell, ...]:
    """Cells with these coordinates; those that are not named may be anything.

        find(task="vcop", architecture="r2plus1d", target="ucf101", noise=None)

    Args:
        tables: Where to look; those of the paper by default.
        wanted: Coordinates (None: the cell has none), and `table`, `metric`, `unit` or `trust`.

    Raises:
        UsageError: There is no such coordinate.
    """
    fields = ("table", "metric", "unit", "trust")
    for name in wanted:
        if name not in (*_AXES, *fields):
            raise UsageError(f"the paper's cells have no {name!r}.{did_you_mean(name, (*_AXES, *fields))}")
    cells = (cell for table in (load_paper_tables() if tables is None else tables) for cell in table.cells)
    return tuple(
        cell
        for cell in cells
        if all(getattr(cell if name in fields else cell.at, name) == value for name, value in wanted.items())
    )


# ---------------------------------------------------------------------------------------------- one file


def _read(entry: Traversable) -> PaperTable:
    try:
        document = yaml.load(entry.read_text(encoding="utf-8"), _Loader)
        file = _File.model_validate(document, strict=True)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UsageError(f"cannot read the paper's table {entry.name!r}: {error}") from error
    except ValidationError as error:
        raise UsageError(_explain(entry.name, "", error)) from error
    name = entry.name.removesuffix(".yaml")
    cells = tuple(_cell(name, place, flat) for place, flat in _flat(entry.name, file))
    _refuse_twice(entry.name, cells)
    head = {key: getattr(file, key) for key in ("title", "source", "trust", "note")}
    try:
        return PaperTable(name=name, cells=cells, **head)
    except ValidationError as error:
        raise UsageError(_explain(entry.name, "", error)) from error


def _flat(name: str, file: _File) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each cell by itself, with where it stands."""
    for number, entry in enumerate(file.cells):
        place = f"cells[{number}]"
        own = {key: value for key, value in entry.items() if key not in ("by", "value")}
        if ("by" in entry) == ("value" in entry):
            raise UsageError(f"{name!r}, {place}: expected either `value` or `by`; got {sorted(entry)}.")
        inherited = {**{key: getattr(file, key) for key in _PER_CELL}, **file.common}
        if "value" in entry:
            yield place, {**inherited, **own, "value": entry["value"]}
            continue
        by = entry["by"]
        if not isinstance(by, Mapping) or len(by) != 1 or not isinstance(next(iter(by.values())), Mapping):
            raise UsageError(
                f"{name!r}, {place}: expected `by: {{coordinate: {{name: number}}}}`; got {by!r}."
            )
        ((axis, values),) = by.items()
        if axis in own or axis in file.common:
            raise UsageError(f"{name!r}, {place}: {axis!r} stands both in `by` and beside it; keep one.")
        for key, value in values.items():
            yield f"{place}.{key}", {**inherited, **own, axis: key, "value": value}


def _cell(table: str, place: str, flat: Mapping[str, Any]) -> PaperCell:
    known = (*_PER_CELL, "value")
    at = {key: value for key, value in flat.items() if key not in known}
    rest = {key: value for key, value in flat.items() if key in known}
    for key in at:
        if key not in _AXES:
            names = (*_AXES, *known, "by")
            raise UsageError(
                f"'{table}.yaml', {place}: no coordinate {key!r}.{did_you_mean(str(key), names)}"
            )
    try:
        return PaperCell(table=table, at=Coordinates(**at), **rest)
    except ValidationError as error:
        raise UsageError(_explain(f"{table}.yaml", place, error)) from error


def _refuse_twice(name: str, cells: Iterable[PaperCell]) -> None:
    """Two sources may differ about one place; one source says one thing."""
    counts = Counter((cell.at, cell.metric, cell.source) for cell in cells)
    for (at, metric, source), count in counts.items():
        if count > 1:
            raise UsageError(
                f"{name!r} has {count} values of {metric} at {at.named()} from {source}; keep one."
            )


def _explain(name: str, place: str, error: ValidationError) -> str:
    lines = []
    for item in error.errors():
        where = ".".join(str(part) for part in item["loc"] if not str(part).startswith(("literal", "constr")))
        message = item["msg"].removeprefix("Value error, ")
        got = "" if item["type"] in ("extra_forbidden", "missing") else f" (got {item['input']!r})"
        lines.append(f"  {'.'.join(filter(None, (place, where))) or 'document'}: {message}{got}")
    return f"{name!r} is no table of the paper:\n" + "\n".join(lines)


class _Loader(yaml.SafeLoader):
    """YAML that refuses a key that stands twice, of which one would be lost."""


def _mapping(loader: _Loader, node: yaml.MappingNode) -> dict[Hashable, Any]:
    mapping = loader.construct_mapping(node, deep=True)  # refuses keys that cannot be hashed
    for key, count in Counter(loader.construct_object(key, deep=True) for key, _ in node.value).items():
        if count > 1:
            raise yaml.constructor.ConstructorError(
                None, None, f"the key {key!r} stands {count} times", node.start_mark
            )
    return mapping


_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)
