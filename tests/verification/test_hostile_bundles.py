"""Whatever stands in a bundle, verification ends with findings: no crash, no code run, no way out of it."""

from __future__ import annotations

import io
import json
import os
import pickle
import shutil
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from verification.altering import changed, check, edit, evaluation, found, leaves, seal

from vssl_core.cells import Component
from vssl_core.errors import UsageError
from vssl_core.verification import verify
from vssl_core.verification.recomputing import Recomputer

FILES = (
    "cell.json",
    "protocol.json",
    "environment.json",
    "ledger.json",
    "pretrain/result.json",
    "pretrain/curve.jsonl",
    "pretrain/backbone.safetensors",
    "pretrain/digests.json",
    "LINEAR/request.json",
    "LINEAR/result.json",
    "LINEAR/target.json",
    "LINEAR/digests.json",
    "LINEAR/top1.csv",
    "LINEAR/scores.npy",
)
DAMAGE = {
    "missing": lambda path: path.unlink(),
    "empty": lambda path: path.write_bytes(b""),
    "noise": lambda path: path.write_bytes(bytes(range(256)) * 9),
    "cut": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "a folder": lambda path: (path.unlink(), path.mkdir()),
    "a pipe": lambda path: (path.unlink(), os.mkfifo(path)),
    "a broken link": lambda path: (path.unlink(), path.symlink_to("nowhere")),
    "a link in a circle": lambda path: (path.unlink(), path.symlink_to(path.name)),
    "nested": lambda path: path.write_bytes(b'{"a":' * 200_000),
    "a list": lambda path: path.write_bytes(b"[]"),
    "nothing": lambda path: path.write_bytes(b"null"),
    "a huge number": lambda path: path.write_bytes(b'{"schema": 1' + b"0" * 9000 + b"}"),
}


def file_of(cell: Path, name: str) -> Path:
    return cell / name.replace("LINEAR", f"evaluations/{evaluation(cell, 'linear').name}")


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("name", FILES)
def test_a_damaged_file_is_a_finding_that_names_it(name: str, damage: str, cell: Path) -> None:
    if (name, damage) == ("LINEAR/result.json", "missing"):
        pytest.skip("an evaluation that is not finished, see test_alterations")
    if (name, damage) == ("pretrain/result.json", "missing"):
        pytest.skip("pretraining that is not finished, see test_alterations")
    path = file_of(cell, name)
    DAMAGE[damage](path)
    assert path.relative_to(cell).as_posix() in {one.file for one in found(cell)}


@pytest.mark.parametrize("name", FILES)
def test_a_link_out_of_the_bundle_is_not_followed(name: str, cell: Path, tmp_path: Path) -> None:
    path, outside = file_of(cell, name), tmp_path / "outside"
    shutil.move(path, outside)
    path.symlink_to(outside)
    (altered,) = {(one.file, one.stored) for one in found(cell) if "outside" in one.stored}
    assert altered == (path.relative_to(cell).as_posix(), "it lies, or links, outside the bundle")


@pytest.mark.parametrize("name", ["../../secret", "/etc/hostname", "a\0b", "x" * 5000])
def test_digests_of_files_elsewhere(name: str, cell: Path) -> None:
    edit(cell / "pretrain" / "digests.json", lambda d: {**d, "files": {**d["files"], name: "0" * 64}})
    assert name[:30] in {one.file[:30] for one in found(cell)}
    assert not any("SHA-256" in one.stored for one in found(cell) if one.file == name)


@pytest.mark.parametrize("value", [None, "text", [], -1, float("nan"), True, {"a": {}}])
@pytest.mark.parametrize("name", [name for name in FILES if name.endswith(".json")])
def test_values_of_other_kinds(name: str, value: Any, cell: Path) -> None:
    """One number of forty, then each field in turn, with the digests made anew where that is possible."""
    path = file_of(cell, name)
    document, text = json.loads(path.read_text()), path.read_text()
    for place in list(leaves(document))[::40]:
        altered = changed(document, place, value=[] if value is None else value)
        path.write_text(json.dumps(altered))
        if "digests" not in name:
            seal(cell)
        check(cell)  # must not raise
    for field in document:
        path.write_text(json.dumps({**document, field: value}))
        if "digests" not in name:
            seal(cell)
        assert check(cell).altered or (name, field) in TOLD, field
    path.write_text(text)


TOLD = {  # fields whose loss or change makes numbers no other ones
    *(("LINEAR/result.json", field) for field in ("curves", "seconds")),
    *(
        ("environment.json", field)
        for field in ("vssl", "python", "platform", "machine", "device", "threads")
    ),
    *(("environment.json", field) for field in ("loader_threads", "packages", "processes")),
    *(
        ("protocol.json", field)
        for field in ("description", "pretrain_dataset", "target_datasets", "backbone")
    ),
    *(("pretrain/result.json", field) for field in ("status", "precision", "frames_decoded")),
    ("pretrain/result.json", "training_gflops_per_video"),
}


class Evil:
    """Would make a file when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.mark,))


@pytest.mark.parametrize("kind", ["pickle", "object array"])
def test_nothing_is_unpickled(kind: str, cell: Path, tmp_path: Path) -> None:
    mark, file = tmp_path / "mark", evaluation(cell, "linear") / "scores.npy"
    if kind == "pickle":
        file.write_bytes(pickle.dumps(Evil(mark)))
    else:
        np.save(file, np.array([Evil(mark)], dtype=object), allow_pickle=True)
    seal(cell)
    assert f"evaluations/{file.parent.name}/scores.npy" in {one.file for one in found(cell)}
    assert not mark.exists()


def test_an_array_that_is_said_to_be_huge(cell: Path) -> None:
    file, buffer = evaluation(cell, "linear") / "scores.npy", io.BytesIO()
    np.lib.format.write_array_header_1_0(
        buffer, {"descr": "<f8", "fortran_order": False, "shape": (1 << 40, 1 << 20)}
    )
    file.write_bytes(buffer.getvalue() + b"\0" * 64)
    seal(cell)
    assert any("64 bytes follow" in one.stored for one in found(cell))


@pytest.mark.parametrize("length", [0, 7, 1 << 20, 1 << 62])
def test_weights_whose_header_lies_about_its_length(length: int, cell: Path) -> None:
    weights = cell / "pretrain" / "backbone.safetensors"
    weights.write_bytes(struct.pack("<Q", length) + weights.read_bytes()[8:])
    seal(cell)
    assert "pretrain/backbone.safetensors" in {one.file for one in found(cell)}


def test_arrays_of_another_file(cell: Path) -> None:
    edit(
        evaluation(cell, "linear") / "result.json",
        lambda d: {**d, "arrays": {**d["arrays"], "scores": "../../../outside.npy"}},
    )
    seal(cell)
    assert "arrays" in {one.field for one in found(cell)}


MINE = """
from pathlib import Path
import numpy as np
from vssl_core import Evaluator, Metric
Path({mark!r}).touch()

class Mine(Evaluator):
    def __init__(self, options): ...
    def evaluate(self, *given): ...
    def recompute(self, arrays):
        return {{"sum": Metric(float(arrays["x"].sum()), unit="points")}}
"""


def test_code_that_a_bundle_names_is_not_run_until_the_user_names_it(tmp_path: Path) -> None:
    mark, file = tmp_path / "mark", tmp_path / "mine.py"
    file.write_text(MINE.format(mark=str(mark)))
    named = f"{file}:Mine"
    component = Component(spec=named, name="Mine", label="Mine", origin="built-in", digest="0" * 64)
    arrays = {"x": np.array([1.0, 2.0])}
    for spec in (named, "os:system", "vssl_core.cli:main"):
        refused = Recomputer().metrics(component.model_copy(update={"spec": spec}), arrays)
        assert "no plugin that is installed here" in refused.why_not
    assert not mark.exists()
    asked = Recomputer([named]).metrics(component, arrays)
    assert asked.metrics["sum"].value == 3.0
    assert asked.other_code
    assert mark.exists()


@pytest.mark.parametrize("what", ["missing", "empty", "file"])
def test_what_is_no_bundle_is_wrong_usage(what: str, tmp_path: Path) -> None:
    path = tmp_path / "x"
    if what == "empty":
        path.mkdir()
    elif what == "file":
        path.write_text("")
    with pytest.raises(UsageError, match="name a run folder"):
        verify(path)


def test_a_folder_among_cells_that_is_none_hides_no_other(finished: Path, tmp_path: Path) -> None:
    runs = Path(shutil.copytree(finished, tmp_path / "runs"))
    (runs / "cells" / "nothing").mkdir()
    result = verify(runs)
    assert [cell.cell_id for cell in result.cells if cell.altered] == ["nothing"]
    assert len(result.cells) == 4
