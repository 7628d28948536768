"""A run folder as the report reads it: every cell that can be understood, and a note for what cannot.

Reading needs neither torch nor any plugin. A half-finished cell, a missing optional file or a cell of a
newer version never hides the others.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from vssl_core.cells import CELL_SCHEMA, digest
from vssl_core.curve import read_curve
from vssl_core.errors import SchemaError, StoreError, UsageError, did_you_mean
from vssl_core.files import read_json
from vssl_core.protocol import PROTOCOL_SCHEMA
from vssl_core.rows import ROW_SCHEMA, Row

__all__ = ["CellRecord", "Report", "load_report"]


@dataclass(frozen=True, slots=True)
class CellRecord:
    """What one cell left behind, as far as it has come.

    Args:
        cell_id: Its folder's name.
        folder: Its folder.
        spec: What it is: role, task, backbone, pretraining data, seed.
        key: What decides about its numbers.
        protocol: The protocol document.
        environment: Python, packages, hardware.
        ledger: Which videos were asked for, and which could not be read.
        result: What pretraining says of itself; None until it is done.
        failure: Why the cell stopped; None unless it did.
        rows: Its rows, one per metric.
        curves: Evaluation id → curves over the evaluator's own epochs.
        requests: Evaluation id → what it is: evaluator, target, label.
        waiting: Evaluations that were asked for and have no result yet.
    """

    cell_id: str
    folder: Path
    spec: Mapping[str, Any]
    key: Mapping[str, Any]
    protocol: Mapping[str, Any]
    environment: Mapping[str, Any]
    ledger: Mapping[str, Any]
    result: Mapping[str, Any] | None
    failure: Mapping[str, Any] | None
    rows: tuple[Row, ...]
    curves: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    requests: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    waiting: tuple[str, ...] = ()

    def label(self, part: str) -> str:
        """What tables call its `task`, `backbone` or `pretrain`."""
        value = self.spec.get(part, "?")
        return str(value.get("label", value.get("name", "?")) if isinstance(value, Mapping) else value)

    @property
    def role(self) -> str:
        """`method`, `floor` or `ceiling`."""
        return str(self.spec.get("role", "method"))

    @property
    def seed(self) -> int:
        """The cell's seed; -1 where its description has none."""
        seed = self.spec.get("seed", -1)
        return seed if isinstance(seed, int) else -1

    @property
    def state(self) -> str:
        """`failed`, `pretraining`, `evaluating` or `finished`."""
        if self.failure is not None:
            return "failed"
        if self.result is None:
            return "pretraining"
        return "evaluating" if self.waiting or not self.rows else "finished"

    @property
    def reason(self) -> str:
        """Why it failed; empty if it did not."""
        return str(self.failure.get("reason", "no reason recorded")) if self.failure is not None else ""

    @property
    def lineage(self) -> str:
        """Six digits that cells of equal code, data and options share over all seeds."""
        key = {name: value for name, value in self.key.items() if name != "seed"}
        return digest(key or self.cell_id)[:6]

    def curve(self) -> list[dict[str, Any]]:
        """Lines of the learning curve."""
        return read_curve(self.folder / "pretrain" / "curve.jsonl")

    def views(self) -> dict[str, Path]:
        """View name → picture of what the task sees."""
        return {path.stem: path for path in sorted((self.folder / "pretrain" / "views").glob("*.png"))}


@dataclass(frozen=True, slots=True)
class Report:
    """Everything that was found in a run folder.

    Args:
        runs: The folder; None for rows that were handed over without one.
        cells: Cells in the order of their names.
        rows: All rows; labels of different things that were called the same are told apart.
        notes: What could not be read, in sentences.
        metrics: What tables show; empty: the first metric of every evaluator.
    """

    runs: Path | None
    cells: tuple[CellRecord, ...]
    rows: tuple[Row, ...]
    notes: tuple[str, ...]
    metrics: tuple[str, ...] = ()


def load_report(runs: Path, *, metrics: Sequence[str] = ()) -> Report:
    """Read a run folder; `metrics` are those that its tables are to show.

    Raises:
        UsageError: There is no such folder, it holds no cell, or no row has such a metric.
    """
    if not runs.is_dir():
        raise UsageError(f"no run folder at {str(runs)!r}: name the folder that `vssl bench --runs` wrote.")
    folders = sorted(path for path in runs.glob("cells/*") if path.is_dir())
    if not folders:
        raise UsageError(f"{str(runs)!r} holds no cell: run `vssl bench --runs {runs}` first.")
    notes: list[str] = []
    found = (_read_cell(folder, notes) for folder in folders)
    cells = tuple(cell for cell in found if cell is not None)
    rows = _told_apart(cells, notes)
    known = sorted({row.metric for row in rows})
    for metric in metrics:
        if metric not in known:
            raise UsageError(f"no row of {str(runs)!r} has a metric {metric!r}.{did_you_mean(metric, known)}")
    return Report(runs, cells, rows, tuple(notes), tuple(metrics))


def _read_cell(folder: Path, notes: list[str]) -> CellRecord | None:
    try:
        document = read_json(folder / "cell.json", schema=CELL_SCHEMA)
    except StoreError as error:
        notes.append(f"cell {folder.name} is left out: {error}")
        return None
    optional = _Optional(folder, notes)
    evaluations = sorted(path.name for path in (folder / "evaluations").glob("*") if path.is_dir())
    requests = {name: optional.read(f"evaluations/{name}/request.json") or {} for name in evaluations}
    found = {
        name: optional.read(f"evaluations/{name}/result.json", schema=ROW_SCHEMA) for name in evaluations
    }
    results = {name: result for name, result in found.items() if result is not None}
    return CellRecord(
        cell_id=folder.name,
        folder=folder,
        spec=_mapping(document.get("spec")),
        key=_mapping(document.get("key")),
        protocol=optional.read("protocol.json", schema=PROTOCOL_SCHEMA) or {},
        environment=optional.read("environment.json") or {},
        ledger=optional.read("ledger.json") or {},
        result=optional.read("pretrain/result.json", schema=CELL_SCHEMA),
        failure=optional.read("failure.json"),
        rows=tuple(row for name, result in results.items() for row in _rows(folder, name, result, notes)),
        curves={name: _mapping(result.get("curves")) for name, result in results.items()},
        requests={name: _mapping(request.get("spec")) for name, request in requests.items()},
        waiting=tuple(name for name in evaluations if name not in results),
    )


@dataclass(frozen=True, slots=True)
class _Optional:
    """Reads files that a cell may lack; what is there but cannot be read becomes a note."""

    folder: Path
    notes: list[str]

    def read(self, name: str, *, schema: int | None = None) -> dict[str, Any] | None:
        path = self.folder / name
        if not path.exists():
            return None
        try:
            document = read_json(path, schema=schema)
            if not isinstance(document, dict):
                raise SchemaError(f"{str(path)!r} is no JSON object.")
        except StoreError as error:
            self.notes.append(f"cell {self.folder.name}: {error}")
            return None
        return document


def _rows(folder: Path, evaluation: str, document: Mapping[str, Any], notes: list[str]) -> list[Row]:
    rows, path = [], folder / "evaluations" / evaluation / "result.json"
    for number, value in enumerate(document.get("rows") or ()):
        try:
            row = Row.model_validate(value)
        except ValidationError as error:
            fields = ", ".join(sorted({".".join(map(str, item["loc"])) for item in error.errors()}))
            notes.append(f"{str(path)!r}: row {number} is not what this version understands ({fields}).")
            continue
        if isfinite(row.value):
            rows.append(row)
        else:
            notes.append(f"{str(path)!r}: {row.metric} is {row.value} and is left out.")
    return rows


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _told_apart(cells: Iterable[CellRecord], notes: list[str]) -> tuple[Row, ...]:
    """All rows; where one label stands for several codes or options, it gets the digits of each."""
    tagged = [(row, cell.lineage) for cell in cells for row in cell.rows]

    def same_line(row: Row) -> Hashable:
        return (row.protocol_hash, row.role, row.task, row.backbone, row.pretrain)

    def same_column(row: Row) -> Hashable:
        return (row.protocol_hash, row.target, row.evaluator_label)

    lineages = _values(tagged, same_line)
    evaluations = _values(((row, row.evaluation_id) for row, _ in tagged), same_column)
    rows = []
    for row, lineage in tagged:
        update = {}
        if len(lineages[same_line(row)]) > 1:
            update["task"] = f"{row.task} #{lineage}"
        if len(evaluations[same_column(row)]) > 1:
            update["evaluator_label"] = f"{row.evaluator_label} #{row.evaluation_id[-6:]}"
        rows.append(row.model_copy(update=update))
    renamed = sorted({new.task for new, (old, _) in zip(rows, tagged, strict=True) if new.task != old.task})
    renamed += sorted(
        {
            new.evaluator_label
            for new, (old, _) in zip(rows, tagged, strict=True)
            if new.evaluator_label != old.evaluator_label
        }
    )
    if renamed:
        notes.append(
            f"Cells of different code, data or options bear one name and are told apart by digits: "
            f"{', '.join(renamed)}. `vssl why CELL` says in what they differ."
        )
    return tuple(rows)


def _values(tagged: Iterable[tuple[Row, str]], key: Callable[[Row], Hashable]) -> dict[Hashable, set[str]]:
    found: dict[Hashable, set[str]] = {}
    for row, tag in tagged:
        found.setdefault(key(row), set()).add(tag)
    return found
