"""Digests of a finished stage of a cell: which files it left behind, and what was in each.

A stage (pretraining, one evaluation) has one `digests.json`. It is written before the `result.json` that
says "done", and holds the digest of that too, so that a finished stage always has it. Names are relative to
the cell's folder. That of an evaluation also holds the digest of pretraining's own: the stages form a chain.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from vssl_core.errors import StoreError
from vssl_core.files import file_sha256, write_json

__all__ = ["DIGESTS", "DIGESTS_SCHEMA", "files_of", "write_digests"]

DIGESTS = "digests.json"
DIGESTS_SCHEMA = 1

_PASSING = ("lease.json", "pretrain/checkpoints")
"""What stands in a cell's folder while a process works in it."""


def write_digests(
    cell: Path, stage: Path, *, also: tuple[str, ...] = (), coming: Mapping[str, bytes], **facts: Any
) -> None:
    """Write `digests.json` of a stage.

    Args:
        cell: The cell's folder.
        stage: The stage's folder; every file in it is listed.
        also: Names of further files of the cell; those that are missing are left out.
        coming: Name in the stage's folder → content that is about to be written.
        facts: What else is to stand in it.

    Raises:
        StoreError: A file cannot be read, or the digests cannot be written.
    """
    expected = {*coming, DIGESTS}
    inside = stage.relative_to(cell).as_posix()
    listed = [name for name in files_of(cell, inside) if name not in {f"{inside}/{one}" for one in expected}]
    listed += [name for name in also if (cell / name).is_file()]
    try:
        digests = {name: file_sha256(cell / name) for name in listed}
    except OSError as error:
        raise StoreError(f"cannot read {error.filename!r}: {error.strerror or error}.") from error
    for name, content in coming.items():
        digests[f"{inside}/{name}"] = hashlib.sha256(content).hexdigest()
    write_json(stage / DIGESTS, {"schema": DIGESTS_SCHEMA, "files": digests, **facts})


def files_of(cell: Path, inside: str = "") -> Iterator[str]:
    """Names of all files of a cell, or of a folder inside it, but for those that only pass or are hidden.

    Links to folders are not followed.
    """
    for top, folders, names in os.walk(cell / inside):
        here = Path(top).relative_to(cell)
        folders[:] = sorted(name for name in folders if _stays((here / name).as_posix()))
        yield from (name for name in sorted((here / name).as_posix() for name in names) if _stays(name))


def _stays(name: str) -> bool:
    return name not in _PASSING and not name.rpartition("/")[2].startswith(".")
