"""One process with a batch and two with halves of it train alike."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
from small_bench import command

from vssl_core.store import all_cells


def _losses(task: str, runs: Path, processes: int) -> list[float]:
    changes = [
        f"executor.processes={processes}",
        "protocol.pretrain.budget.amount=2",
        # Small steps: BatchNorm over the tiny maps of this protocol blows rounding up from step to step.
        'protocol.pretrain.optimizer={"name": "sgd", "lr": 0.000001}',
    ]
    words = command(task, runs, *(word for change in changes for word in ("-o", change)))
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.run(words, check=True, capture_output=True, env=environment)
    (cell,) = all_cells(runs)
    rows = [json.loads(line) for line in (cell.pretrain / "curve.jsonl").read_text().splitlines()]
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
