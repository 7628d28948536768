"""Digests of a stage are there before it says that it is done, and hold all that it left behind."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from vssl_core import store
from vssl_core.digests import files_of
from vssl_core.errors import StoreError
from vssl_core.interfaces import EvaluationResult, Metric
from vssl_core.store import CellFolder
from vssl_core.types import VideoRecord


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def pretrained(tmp_path: Path) -> CellFolder:
    cell = CellFolder(tmp_path, "cell")
    (cell.pretrain / "checkpoints").mkdir(parents=True)
    (cell.pretrain / "checkpoints" / "step-1.json").write_text("{}")
    (cell.pretrain / "views").mkdir()
    (cell.pretrain / "views" / "clip.png").write_bytes(b"png")
    (cell.path / "cell.json").write_text("{}")
    (cell.path / "lease.json").write_text("{}")
    (cell.pretrain / ".curve.jsonl.a1.tmp").write_text("of a process that was killed")
    cell.write_pretrain_result({"verdict": "ok"})
    return cell


def score(cell: CellFolder) -> Path:
    folder = cell.path / "evaluations" / "e"
    folder.mkdir(parents=True)
    (folder / "set").mkdir()
    (folder / "set" / "artifact.bin").write_bytes(b"of the evaluator")
    per_video = np.array([100.0, 0.0])
    result = EvaluationResult({"top 1": Metric(50.0, per_video)}, ["b", "a"], {"x/y": np.zeros(3)})
    videos = [VideoRecord("a", "", 1, "scene"), VideoRecord("b", "", 0)]
    ledger = {"videos": 2, "missing": 0, "unreadable": []}
    cell.write_evaluation(folder, result, [], videos=videos, classes=("no", "yes"), ledger=ledger)
    return folder


def test_pretraining_lists_what_stays(tmp_path: Path) -> None:
    cell = pretrained(tmp_path)
    document = json.loads((cell.pretrain / "digests.json").read_text())
    assert document["files"] == {
        name: sha256(cell.path / name)
        for name in ("cell.json", "pretrain/result.json", "pretrain/views/clip.png")
    }


def test_an_evaluation_lists_its_files_and_names_its_pretraining(tmp_path: Path) -> None:
    cell = pretrained(tmp_path)
    folder = score(cell)
    document = json.loads((folder / "digests.json").read_text())
    names = ("result.json", "target.json", "top_1.csv", "x_y.npy", "set/artifact.bin")
    assert document["files"] == {f"evaluations/e/{name}": sha256(folder / name) for name in names}
    assert document["pretrain"] == sha256(cell.pretrain / "digests.json")
    target = json.loads((folder / "target.json").read_text())
    assert target["videos"] == [
        {"video_id": "b", "group": "b", "label": 0},
        {"video_id": "a", "group": "scene", "label": 1},
    ]
    assert json.loads((folder / "result.json").read_text())["arrays"] == {"x/y": "x_y.npy"}


@pytest.mark.parametrize("stage", [pretrained, lambda path: score(CellFolder(path, "cell"))])
def test_a_stage_that_says_done_has_its_digests(
    stage: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed at the last write: digests without a result, never a result without digests."""
    write = store.write_bytes

    def killed(path: Path, content: bytes) -> None:
        if path.name == "result.json":
            raise StoreError("no space left")
        write(path, content)

    monkeypatch.setattr(store, "write_bytes", killed)
    with pytest.raises(StoreError, match="no space left"):
        stage(tmp_path)  # type: ignore[operator]
    assert list(tmp_path.rglob("digests.json"))
    assert not list(tmp_path.rglob("result.json"))


def test_files_of_a_cell_leave_out_what_passes(tmp_path: Path) -> None:
    cell = pretrained(tmp_path)
    (cell.path / "loop").symlink_to(cell.path)
    assert list(files_of(cell.path)) == [
        "cell.json",
        "pretrain/digests.json",
        "pretrain/result.json",
        "pretrain/views/clip.png",
    ]
