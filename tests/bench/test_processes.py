"""One process with a batch and two with halves of it train alike."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from small_bench import command

from vssl_core import verify
from vssl_core.store import all_cells


def _curve(task: str, runs: Path, processes: int, *more: str) -> list[dict[str, Any]]:
    changes = [
        f"executor.processes={processes}",
        *more,
        "protocol.pretrain.budget.amount=2",
        # Small steps: BatchNorm over the tiny maps of this protocol blows rounding up from step to step.
        'protocol.pretrain.optimizer={"name": "sgd", "lr": 0.000001}',
    ]
    words = command(task, runs, *(word for change in changes for word in ("-o", change)))
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.run(words, check=True, capture_output=True, env=environment)
    (cell,) = all_cells(runs)
    return [json.loads(line) for line in (cell.pretrain / "curve.jsonl").read_text().splitlines()]


def _losses(task: str, runs: Path, processes: int) -> list[float]:
    rows = _curve(task, runs, processes)
    return [row["loss"] for row in rows if "loss" in row] + [
        row["held_out"]["loss"] for row in rows if "held_out" in row
    ]


@pytest.mark.slow
@pytest.mark.parametrize("task", ["vcop", "cvrl"])
def test_two_processes_follow_one(task: str, tmp_path: Path) -> None:
    one = _losses(task, tmp_path / "one", 1)
    two = _losses(task, tmp_path / "two", 2)
    assert len(one) == 5
    assert two[0] == pytest.approx(one[0], rel=1e-5)
    assert two == pytest.approx(one, rel=1e-3)


@pytest.mark.slow
def test_held_out_videos_that_fill_no_batch_are_no_negatives_of_themselves(tmp_path: Path) -> None:
    """Each of two processes has all three of them, and CVRL compares each with the other two alone."""
    few = "protocol.data.held_out_videos=3"
    (one,), (two,) = (
        [row for row in _curve("cvrl", tmp_path / f"{n}", n, few) if "held_out" in row] for n in (1, 2)
    )
    assert one["chance"] == two["chance"] == {"contrast_accuracy": 1 / 5}
    assert two["held_out"] == pytest.approx(one["held_out"], rel=1e-3)
    assert two["effective_rank"] == pytest.approx(one["effective_rank"], rel=1e-3)


@pytest.mark.slow
def test_one_of_two_processes_writes_the_bundle_of_a_cell_that_trains_nothing(tmp_path: Path) -> None:
    words = command("vcop", tmp_path, "-o", "executor.processes=2")
    words.remove("--no-controls")
    done = subprocess.run(words, check=True, capture_output=True, text=True)
    assert done.stderr.count("evaluating retrieval") == len(all_cells(tmp_path)) == 3
    result = verify(tmp_path)
    assert [cell.altered for cell in result.cells] == [()] * 3
    assert [cell.unchecked for cell in result.cells] == [()] * 3
