"""What a run folder says that no cell says alone: copies under another seed or name."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from verification.altering import edit, evaluation, one, seal

import vssl_core
from vssl_core.cells import CellSpec
from vssl_core.verification import VerifyResult
from vssl_core.verification.prints import telling_prints


@pytest.fixture
def runs(seeds: Path, tmp_path: Path) -> Path:
    """A copy of the run folder."""
    return Path(shutil.copytree(seeds, tmp_path / "runs"))


def altered(result: VerifyResult) -> set[tuple[str, str, str]]:
    """(cell up to its seed, file up to its id, field) of what was found."""
    return {
        (cell.cell_id.rpartition("-")[0], one.file.rpartition("-")[0] or one.file, one.field)
        for cell in result.cells
        for one in cell.altered
    }


def test_seeds_that_nobody_touched_are_all_right(seeds: Path) -> None:
    result = vssl_core.verify(seeds)
    assert len(result.cells) == 9
    assert altered(result) == set()
    assert result.unchecked == ()
    assert all(cell.unchecked == () for cell in result.cells)


def copy_evaluation(source: Path, to: Path, name: str) -> None:
    """The files of an evaluation of one cell under another one, with rows that say the other's name."""
    theirs, mine = evaluation(source, name), evaluation(to, name)
    own = json.loads((mine / "result.json").read_text())["rows"][0]
    for path in theirs.iterdir():
        if path.is_file() and path.name not in ("request.json", "digests.json"):
            shutil.copy(path, mine / path.name)
    said = ("cell_id", "seed", "cost", "backbone_fingerprint", "verdict")

    def rename(document: dict[str, Any]) -> None:
        for row in document["rows"]:
            row.update({field: own[field] for field in said})
            if row["per_video"]:
                row["per_video"] = row["per_video"].replace(source.name, to.name)

    edit(mine / "result.json", rename)
    inside = (path for path in mine.rglob("*") if path.is_file() and path.name != "digests.json")
    files = [path.relative_to(to).as_posix() for path in inside]
    edit(mine / "digests.json", lambda document: document.update(files=dict.fromkeys(files, "")))
    seal(to)


@pytest.mark.parametrize("name", ["linear", "retrieval"])
def test_predictions_of_another_seed(runs: Path, name: str) -> None:
    copy_evaluation(one(runs, "vcop-shufflenet-Tiny-s0"), one(runs, "vcop-shufflenet-Tiny-s1"), name)
    field = "scores" if name == "linear" else "arrays"
    where = f"evaluations/{name}-Tiny"
    assert altered(vssl_core.verify(runs)) == {("vcop-shufflenet-Tiny-s1", where, field)}


@pytest.mark.parametrize("role", ["vcop", "random_init"])
@pytest.mark.parametrize("alone", [False, True], ids=["among others", "of two seeds"])
def test_a_cell_under_another_seed(runs: Path, role: str, alone: bool) -> None:
    source = one(runs, f"{role}-shufflenet-{'none' if role == 'random_init' else 'Tiny'}-s0")
    document = json.loads((source / "cell.json").read_text())
    document["spec"]["seed"] = 9
    spec = CellSpec.model_validate(document["spec"])
    cell = Path(shutil.copytree(source, runs / "cells" / spec.cell_id))
    (cell / "cell.json").write_text(json.dumps({**document, "key": spec.key(), "cell_id": spec.cell_id}))
    for folder in (cell / "evaluations").iterdir():
        edit(folder / "result.json", lambda d: _said_by(d, source.name, spec))
    weights = cell / "pretrain" / "backbone.safetensors"
    content = weights.read_bytes()
    length = int.from_bytes(content[:8], "little")
    header = content[8 : 8 + length].replace(source.name.encode(), spec.cell_id.encode())
    weights.write_bytes(len(header).to_bytes(8, "little") + header + content[8 + length :])
    seal(cell)
    if alone:
        for other in (runs / "cells").iterdir():
            if other.name not in (source.name, cell.name):
                shutil.rmtree(other)
    result = vssl_core.verify(runs)
    fields = {one.field for one in result.cells[-1 if alone else _place(result, cell)].altered}
    assert all(not c.altered for c in result.cells if c.cell_id != cell.name)
    expected = {"weights_sha256"} if role == "vcop" else set()
    assert fields == expected | (set() if alone else {"backbone_fingerprint.initial_weights"})
    if alone and role == "random_init":
        (note,) = result.cells[-1].unchecked
        assert source.name in note.why


def _said_by(document: dict[str, Any], old: str, spec: CellSpec) -> None:
    for row in document["rows"]:
        row.update(cell_id=spec.cell_id, seed=spec.seed)
        if row["per_video"]:
            row["per_video"] = row["per_video"].replace(old, spec.cell_id)


def _place(result: VerifyResult, cell: Path) -> int:
    return [one.cell_id for one in result.cells].index(cell.name)


def test_a_start_that_its_seed_does_not_give(runs: Path) -> None:
    cell, wrong = one(runs, "vcop-shufflenet-Tiny-s2"), "0" * 64

    def change(document: dict[str, Any]) -> None:
        document["backbone_fingerprint"]["initial_weights"] = wrong

    edit(cell / "pretrain" / "result.json", change)
    for folder in (cell / "evaluations").iterdir():
        edit(folder / "result.json", lambda d: [change(row) for row in d["rows"]] and None)
    seal(cell)
    fields = {
        field for name, _, field in altered(vssl_core.verify(runs)) if name == "vcop-shufflenet-Tiny-s2"
    }
    assert fields == {"backbone_fingerprint.initial_weights"}


def test_a_folder_has_the_name_of_its_cell(runs: Path) -> None:
    cell = one(runs, "vcop-shufflenet-Tiny-s0")
    cell.rename(cell.with_name(cell.name.replace("-s0-", "-s7-")))
    assert {(file, field) for _, file, field in altered(vssl_core.verify(runs))} == {
        ("", "name of the folder")
    }


def test_arrays_that_may_be_equal_by_themselves_say_nothing() -> None:
    draw = np.random.default_rng(0)
    scores = draw.random((6, 4), dtype=np.float32)
    labels = np.arange(6)
    full = telling_prints({"scores": scores, "labels": labels})
    assert full.keys() == {"scores", "arrays"}
    assert telling_prints({"scores": scores, "labels": labels[::-1]})["scores"] == full["scores"]
    assert telling_prints({"scores": scores, "labels": labels[::-1]})["arrays"] != full["arrays"]
    dead = np.repeat(scores[:1], 6, axis=0)
    sure = np.eye(4, dtype=np.float32)[[0, 1, 2, 3, 0, 1]]
    for array in (dead, sure, labels, labels[:, None], np.zeros((0, 4), np.float32)):
        assert telling_prints({"scores": array, "labels": labels}) == {}
    assert telling_prints({"cosines": scores}).keys() == {"arrays"}
