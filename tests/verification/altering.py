"""A finished run folder, and ways to alter the bundles in it."""

from __future__ import annotations

import copy
import csv
import hashlib
import io
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from vssl_core.verification import Altered, CellVerified
from vssl_core.verification.cell import verify_cell
from vssl_core.verification.recomputing import Recomputer

TINY = f"{Path(__file__).resolve().parents[1] / 'tiny_dataset.py'}:Tiny"
RECOMPUTER = Recomputer()  # keeps the digests of the plugins


def bench(runs: Path, *more: str) -> None:
    """VCOP with its controls on the tiny dataset, in seconds."""
    words = [sys.executable, "-m", "vssl_core.cli", "bench", "--task", "vcop", "--protocol", "smoke"]
    words += ["--runs", str(runs), "--pretrain", TINY, "--target", TINY, "-o", "backbone.width=0.5"]
    subprocess.run([*words, *more], check=True, capture_output=True)


def check(folder: Path) -> CellVerified:
    """The cell in a folder, verified."""
    return verify_cell(folder, RECOMPUTER)


def found(folder: Path) -> tuple[Altered, ...]:
    """What is altered in it."""
    return check(folder).altered


def one(runs: Path, start: str) -> Path:
    """The cell whose id begins so."""
    (path,) = (runs / "cells").glob(f"{start}*")
    return path


def evaluation(cell: Path, start: str) -> Path:
    """The folder of the evaluation whose id begins so."""
    (path,) = (cell / "evaluations").glob(f"{start}*")
    return path


def edit(path: Path, change: Callable[[Any], Any]) -> None:
    """Change a JSON document in place."""
    document = json.loads(path.read_text())
    changed = change(document)
    path.write_text(json.dumps(document if changed is None else changed, indent=2, sort_keys=True) + "\n")


def edit_array(path: Path, change: Callable[[np.ndarray], None]) -> None:
    """Change an array in place."""
    array = np.load(path)
    change(array)
    np.save(path, array)


def seal(cell: Path, *stages: Path) -> None:
    """Make the digests of stages anew, as somebody would who hides an alteration; none: of all, chained."""
    pretrain = cell / "pretrain"
    chosen = stages or (pretrain, *sorted((cell / "evaluations").iterdir()))
    for stage in chosen:
        edit(stage / "digests.json", lambda document: _digests(cell, document))
    if not stages:
        before = hashlib.sha256((pretrain / "digests.json").read_bytes()).hexdigest()
        for stage in chosen[1:]:
            edit(stage / "digests.json", lambda document: {**document, "pretrain": before})


def _digests(cell: Path, document: dict[str, Any]) -> dict[str, Any]:
    files = {name: hashlib.sha256((cell / name).read_bytes()).hexdigest() for name in document["files"]}
    return {**document, "files": files}


def leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Paths of all numbers of a document."""
    if isinstance(value, dict):
        for key in sorted(value):
            yield from leaves(value[key], (*path, key))
    elif isinstance(value, list):
        for place, item in enumerate(value):
            yield from leaves(item, (*path, place))
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield path


def changed(document: Any, path: tuple[Any, ...], value: Any = None) -> Any:
    """The document with the number at a path made larger, or with another value there."""
    document = copy.deepcopy(document)
    node = document
    for key in path[:-1]:
        node = node[key]
    old = node[path[-1]]
    node[path[-1]] = value if value is not None else (old + 1 if isinstance(old, int) else old * 1.25 + 0.01)
    return document


def numbers(file: Path) -> Iterator[tuple[str, bytes]]:
    """For every number of a JSON, JSON lines or CSV file: where it stands, and the file with it changed."""
    text = file.read_text()
    if file.suffix == ".json":
        document = json.loads(text)
        for path in leaves(document):
            yield word(path), json.dumps(changed(document, path), indent=2, sort_keys=True).encode()
    elif file.suffix == ".jsonl":
        rows = [json.loads(line) for line in text.splitlines()]
        for path in leaves(rows):
            made = "".join(json.dumps(row) + "\n" for row in changed(rows, path))
            kind = "point" if "held_out" in rows[path[0]] else "step"
            last = ".last" if kind == "point" and path[0] == len(rows) - 1 else ""
            yield f"{kind}{last}.{word(path[1:])}", made.encode()
    elif file.suffix == ".csv":
        table = list(csv.reader(io.StringIO(text)))
        for place in range(1, len(table)):
            altered = [list(row) for row in table]
            altered[place][2] = repr(100.0 - float(altered[place][2]))
            buffer = io.StringIO()
            csv.writer(buffer).writerows(altered)
            yield table[place][0], buffer.getvalue().encode()


def word(path: tuple[Any, ...]) -> str:
    """A path in one word."""
    return ".".join(map(str, path))


def copied(folder: Path, to: Path) -> Path:
    """A copy that can be altered."""
    return Path(shutil.copytree(folder, to / folder.name))
