"""CKA of cells of a run folder: of one with itself, and with another cell."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from small_bench import TINY

import vssl_core
from vssl_core.store import CellFolder, all_cells


def bench(runs: Path, **more: object) -> None:
    given = {"protocol": "smoke", "pretrain": TINY, "targets": [TINY], "evaluators": ["cka"], "runs": runs}
    result = vssl_core.bench("rotnet", backbone="squeezenet", **{**given, **more})
    assert not result.failures, result.failures


def folder(runs: Path, role: str) -> CellFolder:
    return next(cell for cell in all_cells(runs) if cell.spec().role == role)


def evaluation(cell: CellFolder, other: str) -> Path:
    for path in sorted((cell.path / "evaluations").iterdir()):
        if json.loads((path / "layers.json").read_text())["other"] == other:
            return path
    raise AssertionError(f"no evaluation with {other!r}")


@pytest.mark.slow
def test_cells_are_compared_with_themselves_and_with_one_another(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    bench(runs, options={"eval/cka": {"hooks": "block"}})
    floor, method = folder(runs, "floor"), folder(runs, "method")
    bench(runs, options={"eval/cka": {"hooks": "block", "other": floor.cell_id}})
    own = np.load(evaluation(floor, "") / "cka.npy")
    np.testing.assert_allclose(np.load(evaluation(floor, floor.cell_id) / "cka.npy"), own, atol=1e-6)
    between = np.load(evaluation(method, floor.cell_id) / "cka.npy")
    assert between.shape == own.shape
    assert np.abs(between - own).max() > 1e-3
    first, second = (
        json.loads((evaluation(cell, floor.cell_id) / "layers.json").read_text()) for cell in (floor, method)
    )
    assert first["video_ids"] == second["video_ids"]
    metrics = {row.metric: row for row in method.rows()}
    assert metrics["block_share"].higher_is_better is None
    assert {"mean", "best_match_mean", "same_layer_mean"} <= metrics.keys()


@pytest.mark.slow
def test_another_cell_that_is_not_there_fails_by_name(tmp_path: Path) -> None:
    result = vssl_core.bench(
        "rotnet",
        backbone="squeezenet",
        protocol="smoke",
        pretrain=TINY,
        targets=[TINY],
        evaluators=["cka"],
        controls=False,
        runs=tmp_path / "runs",
        options={"eval/cka": {"other": "no-such-cell"}},
    )
    assert "no-such-cell" in next(iter(result.failures.values()))
