"""A run folder: plain files that are readable without vssl, each written whole by one process.

    RUNS/cells/<cell>/cell.json           what the cell is, and its key
                      protocol.json       the document that it ran under
                      pretrain/           result.json, backbone.safetensors, curve.jsonl, views/
                      evaluations/<id>/   request.json, result.json, <metric>.csv, *.npy
                      ledger.json  environment.json  failure.json (only after a failure)

A file that says "done" (`result.json`) is written last, so whatever stands beside it is whole.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from pydantic import BaseModel, ValidationError

from vssl_core.cells import CELL_SCHEMA, CellSpec, EvaluationSpec
from vssl_core.errors import SchemaError, StoreError, UnknownNameError, did_you_mean
from vssl_core.files import read_json, write_bytes, write_json
from vssl_core.interfaces import EvaluationResult
from vssl_core.protocol import PROTOCOL_SCHEMA, Protocol
from vssl_core.rows import ROW_SCHEMA, Row

__all__ = ["CellFolder", "all_cells", "find_cell"]


AnyModel = TypeVar("AnyModel", bound=BaseModel)


class CellFolder:
    """One cell's bundle."""

    def __init__(self, runs: Path, cell_id: str) -> None:
        self.runs = runs
        self.cell_id = cell_id
        self.path = runs / "cells" / cell_id
        self.pretrain = self.path / "pretrain"
        self.weights = self.pretrain / "backbone.safetensors"

    # -- what the cell is

    def create(self, spec: CellSpec, protocol: Protocol) -> None:
        """Describe the cell, unless it is described already.

        Raises:
            SchemaError: The folder was written by a newer version.
            StoreError: It cannot be written.
        """
        if (self.path / "cell.json").exists():
            self.spec()
            return
        write_json(self.path / "protocol.json", protocol.model_dump(mode="json", by_alias=True))
        document = {
            "schema": CELL_SCHEMA,
            "cell_id": self.cell_id,
            "spec": spec.model_dump(mode="json"),
            "key": spec.key(),
        }
        write_json(self.path / "cell.json", document)

    def spec(self) -> CellSpec:
        """What is to be pretrained."""
        return _parse(CellSpec, self.document()["spec"], self.path / "cell.json")

    def document(self) -> dict[str, Any]:
        """`cell.json`."""
        document: dict[str, Any] = read_json(self.path / "cell.json", schema=CELL_SCHEMA)
        return document

    def protocol(self) -> Protocol:
        """The document that the cell runs under."""
        path = self.path / "protocol.json"
        return _parse(Protocol, read_json(path, schema=PROTOCOL_SCHEMA), path)

    # -- pretraining

    def pretrain_result(self) -> dict[str, Any] | None:
        """`pretrain/result.json`, or None while there is none."""
        path = self.pretrain / "result.json"
        result: dict[str, Any] | None = read_json(path, schema=CELL_SCHEMA) if path.exists() else None
        return result

    def write_pretrain_result(self, result: Mapping[str, Any]) -> None:
        """Say that pretraining is done."""
        write_json(self.pretrain / "result.json", {"schema": CELL_SCHEMA, "status": "done", **result})

    # -- evaluations

    def request(self, spec: EvaluationSpec) -> bool:
        """Ask for an evaluation; True when it has no result yet."""
        folder = self.path / "evaluations" / spec.evaluation_id
        if not (folder / "request.json").exists():
            write_json(
                folder / "request.json",
                {"schema": CELL_SCHEMA, "spec": spec.model_dump(mode="json"), "key": spec.key()},
            )
        return not (folder / "result.json").exists()

    def evaluations(self) -> Iterator[tuple[EvaluationSpec, Path, bool]]:
        """Every requested evaluation, its folder, and whether it is done."""
        for path in sorted((self.path / "evaluations").glob("*/request.json")):
            document = read_json(path, schema=CELL_SCHEMA)
            spec = _parse(EvaluationSpec, document["spec"], path)
            yield spec, path.parent, (path.parent / "result.json").exists()

    def write_evaluation(
        self, folder: Path, result: EvaluationResult, rows: Sequence[Row], groups: Mapping[str, str | None]
    ) -> None:
        """Write scores per video and arrays first, the rows that refer to them last."""
        for name, metric in result.metrics.items():
            if metric.per_video is not None:
                table = _per_video_csv(result.video_ids, groups, metric.per_video)
                write_bytes(folder / per_video_file(name), table)
        for name, array in result.arrays.items():
            buffer = io.BytesIO()
            np.save(buffer, np.asarray(array), allow_pickle=False)
            write_bytes(folder / f"{_file_word(name)}.npy", buffer.getvalue())
        document = {
            "schema": ROW_SCHEMA,
            "rows": [row.model_dump(mode="json") for row in rows],
            "curves": {name: [float(v) for v in values] for name, values in result.curves.items()},
        }
        write_json(folder / "result.json", document)

    def rows(self) -> list[Row]:
        """Every row that the cell has."""
        rows: list[Row] = []
        for path in sorted((self.path / "evaluations").glob("*/result.json")):
            for row in read_json(path, schema=ROW_SCHEMA)["rows"]:
                rows.append(_parse(Row, row, path))
        return rows

    def state(self) -> str:
        """How far the cell is, in words."""
        reason = self.failure()
        if reason is not None:
            return f"failed: {reason}"
        if self.pretrain_result() is None:
            return "pretraining is not finished"
        open_ones = [spec.label for spec, _, done in self.evaluations() if not done]
        return f"not evaluated yet: {', '.join(open_ones)}" if open_ones else "finished"

    # -- notes

    def write_note(self, name: str, document: Mapping[str, Any]) -> None:
        """`ledger.json` or `environment.json`."""
        write_json(self.path / f"{name}.json", dict(document))

    def read_note(self, name: str) -> dict[str, Any]:
        """What `write_note` wrote; empty where nothing was."""
        path = self.path / f"{name}.json"
        document: dict[str, Any] = read_json(path) if path.exists() else {}
        return document

    def write_failure(self, error: BaseException) -> None:
        """Record why the cell stopped. A failure is never taken for a result."""
        reason = str(error) or type(error).__name__
        when = datetime.now(UTC).isoformat(timespec="seconds")
        with suppress(StoreError):  # the disk may be what failed
            write_json(
                self.path / "failure.json", {"kind": type(error).__name__, "reason": reason, "when": when}
            )

    def failure(self) -> str | None:
        """Why the cell stopped last time, if it did."""
        path = self.path / "failure.json"
        return str(read_json(path).get("reason")) if path.exists() else None

    def clear_failure(self) -> None:
        """Forget an earlier failure: the cell is tried again."""
        (self.path / "failure.json").unlink(missing_ok=True)


def per_video_file(metric: str) -> str:
    """Name of the file that holds a metric's values per video."""
    return f"{_file_word(metric)}.csv"


def _file_word(name: str) -> str:
    return "".join(c if c.isascii() and (c.isalnum() or c in "_.@-") else "_" for c in name).strip(".") or "_"


def _per_video_csv(ids: Sequence[str], groups: Mapping[str, str | None], values: np.ndarray) -> bytes:
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    writer.writerow(["video_id", "group", "value"])
    for video_id, value in zip(ids, values, strict=True):
        writer.writerow([video_id, groups.get(video_id) or video_id, repr(float(value))])
    return buffer.getvalue().encode()


def _parse(model: type[AnyModel], document: Any, path: Path) -> AnyModel:
    try:
        return model.model_validate(document)
    except ValidationError as error:
        raise SchemaError(f"{str(path)!r} is not what this version writes: {error}") from error


def all_cells(runs: Path) -> list[CellFolder]:
    """Every cell of a run folder."""
    return [CellFolder(runs, path.parent.name) for path in sorted(runs.glob("cells/*/cell.json"))]


def find_cell(runs: Path, name: str) -> CellFolder:
    """The cell whose id is `name`, or begins or ends with it.

    Raises:
        UnknownNameError: No cell, or several.
    """
    cells = all_cells(runs)
    exact = [cell for cell in cells if cell.cell_id == name]
    found = exact or [c for c in cells if c.cell_id.startswith(name) or c.cell_id.endswith(name)]
    if len(found) == 1:
        return found[0]
    names = [cell.cell_id for cell in (found or cells)]
    if found:
        raise UnknownNameError(f"{name!r} fits several cells of {str(runs)!r}: {', '.join(names)}.")
    raise UnknownNameError(f"{name!r} fits no cell of {str(runs)!r}.{did_you_mean(name, names)}")
