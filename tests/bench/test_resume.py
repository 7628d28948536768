"""A cell that is killed at any step ends with the bits of an undisturbed one."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from small_bench import command

from vssl_core import verify
from vssl_core.store import all_cells

EPOCHS = 8  # of two steps each


def _command(task: str, runs: Path, *more: str) -> list[str]:
    amount = f"protocol.pretrain.budget.amount={EPOCHS}"
    # A narrow network: its checkpoints, one each step, take a tenth of the disk.
    return command(task, runs, "--checkpoint-seconds", "0", "-o", amount, "-o", "backbone.width=0.5", *more)


def _digest(runs: Path) -> str:
    (cell,) = all_cells(runs)
    result = cell.pretrain_result()
    assert result is not None
    assert result["steps"] == 2 * EPOCHS
    return str(result["weights_sha256"])


def _curve(runs: Path) -> list[dict[str, object]]:
    (cell,) = all_cells(runs)
    return [json.loads(line) for line in (cell.pretrain / "curve.jsonl").read_text().splitlines()]


def _kill_at_step(command: list[str], runs: Path, step: int) -> None:
    """SIGKILL the bench and its cell as soon as the curve has this step."""
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, start_new_session=True)
    deadline = time.monotonic() + 240
    while time.monotonic() < deadline and process.poll() is None:
        curves = list(runs.glob("cells/*/pretrain/curve.jsonl"))
        if curves and curves[0].read_text().count('"loss"') >= step:
            break
        time.sleep(0.002)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert not list(runs.glob("cells/*/evaluations/*/result.json")), "killed too late to test anything"


@pytest.mark.slow
@pytest.mark.parametrize(("task", "steps"), [("vcop", (1, 4, 7, 11, 14)), ("cvrl", (5, 12))])
def test_sigkill_changes_no_bit(task: str, steps: tuple[int, ...], tmp_path: Path) -> None:
    calm = tmp_path / "calm"
    subprocess.run(_command(task, calm), check=True, capture_output=True)
    disturbed = tmp_path / "disturbed"
    for step in steps:
        _kill_at_step(_command(task, disturbed), disturbed, step)
    subprocess.run(_command(task, disturbed), check=True, capture_output=True)
    assert _digest(disturbed) == _digest(calm)
    plain = [{k: v for k, v in row.items() if k != "seconds"} for row in _curve(calm)]
    assert [{k: v for k, v in row.items() if k != "seconds"} for row in _curve(disturbed)] == plain


def test_ctrl_c_leaves_a_cell_that_can_be_resumed(tmp_path: Path) -> None:
    calm, stopped = tmp_path / "calm", tmp_path / "stopped"
    subprocess.run(_command("vcop", calm), check=True, capture_output=True)
    command = _command("vcop", stopped, "--checkpoint-seconds", "1000")
    process = subprocess.Popen(command, stderr=subprocess.PIPE, start_new_session=True, text=True)
    deadline = time.monotonic() + 240
    while time.monotonic() < deadline:
        curves = list(stopped.glob("cells/*/pretrain/curve.jsonl"))
        if curves and curves[0].read_text().count('"loss"') >= 3:
            break
        time.sleep(0.005)
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate()
    assert process.returncode == 130
    assert "Traceback" not in errors
    (cell,) = all_cells(stopped)
    assert cell.pretrain_result() is None
    assert list((cell.pretrain / "checkpoints").glob("step-*.safetensors"))
    done = subprocess.run(_command("vcop", stopped), check=True, capture_output=True, text=True)
    assert "resuming at step" in done.stderr
    assert _digest(stopped) == _digest(calm)
    verified = verify(stopped)
    assert verified.ok
    assert verified.cells[0].unchecked == ()
