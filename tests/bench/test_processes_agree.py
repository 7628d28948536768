"""Two processes of a cell decide alike: on rates, on stopping, on whether there is anything to train."""

from __future__ import annotations

import json
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.multiprocessing as mp
from small_bench import TINY

from vssl_core import pretrain, run_cell
from vssl_core.checkpoint import load_latest
from vssl_core.planning import Request, make_plan
from vssl_core.progress import terminal_progress
from vssl_core.protocol import load_protocol
from vssl_core.run_plan import _describe, open_runs
from vssl_core.store import CellFolder, all_cells

CHANGES = {
    "pretrain.batch_size": 4,
    "pretrain.budget.currency": "seconds",
    "pretrain.budget.amount": 1000,  # more than any test waits
    "pretrain.held_out_points": 0,
}
STEPS = 3
SECONDS = 240.0  # until a process that waits for ever is given up


@pytest.fixture
def cell(tmp_path: Path) -> CellFolder:
    """A cell that is described and not begun."""
    runs = open_runs(tmp_path)
    request = Request("rotnet", "shufflenet", TINY, (TINY,), ("retrieval",), (0,), {}, controls=False)
    _describe(make_plan(request, load_protocol("smoke", CHANGES), progress=terminal_progress()), runs)
    (found,) = all_cells(runs)
    return found


def spawn(worker: Callable[..., None], cell: CellFolder) -> list[Any]:
    """What two processes of one cell have noted; fails where one fails or waits for ever."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    context = mp.spawn(worker, (str(cell.runs), cell.cell_id, port), nprocs=2, join=False)
    try:
        assert context.join(SECONDS) or context.join(SECONDS), "a process of the cell waits for ever"
    finally:
        for process in context.processes:
            process.kill()
    return [json.loads((cell.runs / f"rank-{rank}.json").read_text()) for rank in range(2)]


def begin(rank: int, port: int) -> None:
    """As torchrun starts a process."""
    torch.set_num_threads(1)
    places = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": 2, "MASTER_ADDR": "127.0.0.1"}
    os.environ |= {name: str(value) for name, value in {**places, "MASTER_PORT": port}.items()}


def go(runs: str, cell_id: str) -> None:
    run_cell.run_cell(Path(runs), cell_id, settings=run_cell.Settings(), progress=terminal_progress())


def interrupted(rank: int, runs: str, cell_id: str, port: int) -> None:
    """Train by the clock; the second process alone is asked to stop, in the third step."""
    begin(rank, port)
    rates, usual = [], pretrain.set_rate

    def noted(*given: Any) -> float:
        rates.append(usual(*given))
        if rank == 1 and len(rates) == STEPS:
            os.kill(os.getpid(), signal.SIGTERM)
        return rates[-1]

    pretrain.set_rate = noted
    with pytest.raises(KeyboardInterrupt):
        go(runs, cell_id)
    (Path(runs) / f"rank-{rank}.json").write_text(json.dumps(rates))


def test_rates_by_the_clock_and_the_last_step_are_equal(cell: CellFolder) -> None:
    first, second = spawn(interrupted, cell)
    assert first == second
    assert len(set(first)) == STEPS, "the rate rises with the seconds"
    found = load_latest(cell.pretrain / "checkpoints")
    assert found is not None
    assert found[1]["step"] == STEPS


def overtaken(rank: int, runs: str, cell_id: str, port: int) -> None:
    """The first process waits for a lease; when it has it, another bench has pretrained the cell."""
    begin(rank, port)
    looked = Path(runs) / "looked"

    class Folder(CellFolder):
        def pretrain_result(self) -> dict[str, Any] | None:
            found = super().pretrain_result()
            looked.touch()
            return found

    @contextmanager
    def hold(path: Path, **_: Any) -> Iterator[None]:
        while not looked.exists():
            time.sleep(0.05)
        CellFolder(Path(runs), cell_id).write_pretrain_result({"verdict": "ok"})
        yield

    run_cell.hold = hold
    if rank == 1:
        run_cell.CellFolder = Folder
    go(runs, cell_id)
    (Path(runs) / f"rank-{rank}.json").write_text("true")


def test_both_leave_a_cell_that_another_bench_has_finished(cell: CellFolder) -> None:
    for path in (cell.path / "evaluations").glob("*/request.json"):
        path.unlink()
    assert spawn(overtaken, cell) == [True, True]
