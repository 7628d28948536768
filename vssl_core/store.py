"""A run folder: plain files that are readable without vssl, each written whole by one process.

    RUNS/cells/<cell>/cell.json           what the cell is, and its key
                      protocol.json       the document that it ran under
                      pretrain/           result.json, backbone.safetensors, curve.jsonl, views/,
                                          digests.json, backbone-at-<share>.safetensors
                      evaluations/<id>/   request.json, result.json, target.json, <metric>.csv, *.npy,
                                          examples.json, examples/*.jpg, digests.json
                      ledger.json  environment.json  failure.json (only after a failure)

A file that says "done" (`result.json`) is written last, so whatever stands beside it is whole.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from pydantic import BaseModel, ValidationError

from vssl_core.cells import CELL_SCHEMA, CellSpec, EvaluationSpec
from vssl_core.digests import DIGESTS, write_digests
from vssl_core.errors import SchemaError, StoreError, UnknownNameError, did_you_mean
from vssl_core.files import file_sha256, json_bytes, read_json, write_bytes, write_json
from vssl_core.interfaces import EvaluationResult
from vssl_core.protocol import PROTOCOL_SCHEMA, Protocol
from vssl_core.rows import ROW_SCHEMA, Row
from vssl_core.types import VideoRecord

__all__ = ["TARGET", "CellFolder", "all_cells", "find_cell", "per_video_file"]

TARGET = "target.json"
"""In the folder of an evaluation: classes, scored videos and ledger of the target, as the core saw them."""

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
        """Describe the cell; again while it is not pretrained, for what it names may lie elsewhere now.

        Raises:
            SchemaError: The folder was written by a newer version.
            StoreError: It cannot be written.
        """
        if (self.path / "cell.json").exists():
            self.spec()
            if self.pretrain_result() is not None:
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

    def weights_at(self, at: float) -> Path:
        """The backbone's weights after this share of the budget; 1: at the end."""
        return self.weights if at == 1.0 else self.pretrain / f"backbone-at-{at:g}.safetensors"

    def wanted_snapshots(self, wanted: Iterable[EvaluationSpec] | None = None) -> tuple[float, ...]:
        """Shares of the budget before its end whose weights open evaluations need.

        Args:
            wanted: Evaluations; None: all that were asked for.
        """
        specs = wanted if wanted is not None else [spec for spec, _, _ in self.evaluations()]
        return tuple(sorted({spec.at for spec in specs if spec.at != 1.0 and not self.has_result(spec)}))

    def missing_snapshots(self, wanted: Iterable[EvaluationSpec] | None = None) -> tuple[float, ...]:
        """Those of them that finished pretraining did not keep: the cell has to be pretrained again."""
        kept = (self.pretrain_result() or {}).get("snapshots", {})
        return tuple(share for share in self.wanted_snapshots(wanted) if f"{share:g}" not in kept)

    def write_pretrain_result(self, result: Mapping[str, Any]) -> None:
        """Say that pretraining is done."""
        content = json_bytes({"schema": CELL_SCHEMA, "status": "done", **result})
        about = ("cell.json", "protocol.json", "environment.json", "precision.json")
        write_digests(self.path, self.pretrain, also=about, coming={"result.json": content})
        write_bytes(self.pretrain / "result.json", content)

    # -- evaluations

    def request(self, spec: EvaluationSpec) -> bool:
        """Ask for an evaluation; True when it has no result yet."""
        folder = self.path / "evaluations" / spec.evaluation_id
        if (folder / "result.json").exists():
            return False
        # Written again where it stood: files of equal content may lie elsewhere now.
        write_json(
            folder / "request.json",
            {"schema": CELL_SCHEMA, "spec": spec.model_dump(mode="json"), "key": spec.key()},
        )
        return True

    def evaluations(self) -> Iterator[tuple[EvaluationSpec, Path, bool]]:
        """Every requested evaluation, its folder, and whether it is done."""
        for path in sorted((self.path / "evaluations").glob("*/request.json")):
            document = read_json(path, schema=CELL_SCHEMA)
            spec = _parse(EvaluationSpec, document["spec"], path)
            yield spec, path.parent, (path.parent / "result.json").exists()

    def has_result(self, spec: EvaluationSpec) -> bool:
        """Whether an evaluation is done."""
        return (self.path / "evaluations" / spec.evaluation_id / "result.json").exists()

    def evaluation_seconds(self, spec: EvaluationSpec) -> float | None:
        """What an evaluation took; None while it is open, and in bundles of earlier versions."""
        path = self.path / "evaluations" / spec.evaluation_id / "result.json"
        seconds = read_json(path, schema=ROW_SCHEMA).get("seconds") if path.exists() else None
        return None if seconds is None else float(seconds)

    def forget_evaluations(self) -> None:
        """Let every evaluation be computed anew: the weights that they are of are no longer there."""
        for path in (self.path / "evaluations").glob("*/result.json"):
            path.unlink()

    def is_ready(self, spec: EvaluationSpec) -> bool:
        """Whether every other cell that the evaluation needs is pretrained."""
        return all(CellFolder(self.runs, name).pretrain_result() is not None for name in spec.needs)

    def write_evaluation(
        self,
        folder: Path,
        result: EvaluationResult,
        rows: Sequence[Row],
        *,
        videos: Sequence[VideoRecord] = (),
        classes: Sequence[str] = (),
        ledger: Mapping[str, Any] | None = None,
        seconds: float | None = None,
    ) -> None:
        """Write scores per video and arrays first, the rows that refer to them last.

        Args:
            folder: Of the evaluation.
            result: What the evaluator found.
            rows: One for each metric.
            videos: The target's test part, for groups and labels.
            classes: Of the target.
            ledger: Of the target.
            seconds: That the evaluator took.
        """
        records = {record.video_id: record for record in videos}
        groups = {name: record.group for name, record in records.items()}
        for name, metric in result.metrics.items():
            if metric.per_video is not None:
                table = _per_video_csv(result.video_ids, groups, metric.per_video)
                write_bytes(folder / per_video_file(name), table)
        for name, array in result.arrays.items():
            buffer = io.BytesIO()
            np.save(buffer, np.asarray(array), allow_pickle=False)
            write_bytes(folder / _array_file(name), buffer.getvalue())
        write_json(folder / TARGET, _target(result.video_ids, records, classes, ledger))
        content = json_bytes(
            {
                "schema": ROW_SCHEMA,
                "rows": [row.model_dump(mode="json") for row in rows],
                "arrays": {name: _array_file(name) for name in result.arrays},
                "curves": {name: [float(v) for v in values] for name, values in result.curves.items()},
                **({} if seconds is None else {"seconds": round(seconds, 3)}),
            }
        )
        before = self.pretrain / DIGESTS
        pretrain = file_sha256(before) if before.is_file() else None
        write_digests(self.path, folder, coming={"result.json": content}, pretrain=pretrain)
        write_bytes(folder / "result.json", content)

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


def _array_file(name: str) -> str:
    return f"{_file_word(name)}.npy"


def _target(
    ids: Sequence[str],
    records: Mapping[str, VideoRecord],
    classes: Sequence[str],
    ledger: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """`target.json`; videos in the order of everything that an evaluation stores for each video."""
    rows = []
    for video_id in ids:
        record = records.get(video_id, VideoRecord(video_id, ""))
        rows.append({"video_id": video_id, "group": record.group or video_id, "label": record.label})
    return {"schema": ROW_SCHEMA, "classes": list(classes), "videos": rows, "ledger": ledger}


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
