"""What a cell says that it is: the key follows from the description, the ids from the keys, the hash from
the protocol."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from vssl_core.cells import CELL_SCHEMA, CellSpec, EvaluationSpec
from vssl_core.protocol import PROTOCOL_SCHEMA, document_hash
from vssl_core.verification.bundle import Bundle

__all__ = ["Identity", "Request", "identify", "requested"]


@dataclass(frozen=True)
class Identity:
    """A cell as it describes itself: its id, what was pretrained, the protocol document, the schema, and the
    numbers version of its key; 0 where that has none."""

    cell_id: str
    spec: CellSpec
    protocol: Mapping[str, Any]
    schema: int
    numbers_version: int


@dataclass(frozen=True)
class Request:
    """An evaluation as it was asked for; `name` is its folder's, `schema` that of `request.json`."""

    name: str
    spec: EvaluationSpec
    schema: int


def identify(bundle: Bundle, *, in_runs: bool = False) -> Identity | None:
    """Check `cell.json` and `protocol.json`; None where they cannot be read.

    Args:
        bundle: The cell.
        in_runs: It stands in a run folder, where its folder has its name; a copy elsewhere may have another.
    """
    book, protocol = bundle.book, bundle.document("protocol.json", schema=PROTOCOL_SCHEMA)
    document = bundle.document("cell.json", schema=CELL_SCHEMA)
    if document is None:
        return None
    spec = _spec(bundle, "cell.json", CellSpec, document)
    if spec is None:
        return None
    key, cell_id = document.get("key"), str(document.get("cell_id"))
    _check_key(bundle, "cell.json", key, spec.key())
    if isinstance(key, Mapping):
        book.same("cell.json", "cell_id", cell_id, spec.id_by(key), "the key of the cell")
    if protocol is not None:
        found = document_hash(protocol)
        book.same("protocol.json", "hash", found, spec.protocol_hash, "the key of the cell")
    if bundle.root.name != cell_id and in_runs:
        book.find("", "name of the folder", bundle.root.name, cell_id, "cell.json")
    elif bundle.root.name != cell_id:
        book.skip("", f"the folder is called {bundle.root.name!r}, the cell {cell_id!r}")
    version = key.get("numbers_version") if isinstance(key, Mapping) else 0
    made_by = version if isinstance(version, int) else 0
    return Identity(cell_id, spec, protocol or {}, int(document["schema"]), made_by)


def requested(bundle: Bundle, cell: Identity, name: str) -> Request | None:
    """Check `request.json` of an evaluation; None where it cannot be read."""
    file = f"evaluations/{name}/request.json"
    document = bundle.document(file, schema=CELL_SCHEMA)
    if document is None:
        return None
    spec = _spec(bundle, file, EvaluationSpec, document)
    if spec is None:
        return None
    key = document.get("key")
    _check_key(bundle, file, key, spec.key())
    if isinstance(key, Mapping):
        bundle.book.same(file, "evaluation_id", name, spec.id_by(key), "the key of the evaluation")
    bundle.book.same(
        file, "spec.protocol_hash", spec.protocol_hash, cell.spec.protocol_hash, "the key of the cell"
    )
    return Request(name, spec, int(document["schema"]))


def _spec(bundle: Bundle, file: str, model: Any, document: Mapping[str, Any]) -> Any:
    """The description; every value of it must be one that was read."""
    try:
        spec = model.model_validate(document.get("spec"))
    except ValidationError as error:
        fields = ", ".join(sorted({".".join(map(str, item["loc"])) for item in error.errors()}))
        bundle.book.find(file, f"spec.{fields}", "not understood", "a description", "this version of vssl")
        return None
    again = spec.model_dump(mode="json")
    bundle.book.same(
        file, "spec", document.get("spec"), _without_new(document["spec"], again), "its own types"
    )
    return spec


def _without_new(stored: Any, again: Any) -> Any:
    """A description without the fields that a newer version has added."""
    if isinstance(stored, Mapping) and isinstance(again, Mapping):
        return {name: _without_new(stored[name], again[name]) for name in again if name in stored}
    return again


def _check_key(bundle: Bundle, file: str, key: Any, again: Mapping[str, Any]) -> None:
    """Two versions of vssl may differ in `numbers_version` and in which fields a key has."""
    book = bundle.book
    if not isinstance(key, Mapping):
        book.find(file, "key", key, "an object", "the layout of a bundle")
        return
    version = key.get("numbers_version")
    if version == again["numbers_version"]:
        book.same(file, "key", key, again, "the description")
        return
    book.skip(file, f"its key is that of another version of vssl (numbers version {version!r})")
    shared = {name: again[name] for name in again if name in key and name != "numbers_version"}
    book.same(file, "key", {name: key[name] for name in shared}, shared, "the description")
