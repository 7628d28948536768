"""Hooks that keep their contract, and broken ones, each by one bug."""

from __future__ import annotations

import os
import random
import signal
import sys
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

from vssl_core.hooks import RunInfo, hookimpl
from vssl_core.rows import Row


class Recorder:
    """Notes all five events, and writes a file of its own into the cell's folder."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    @hookimpl
    def vssl_run_start(self, run: RunInfo) -> None:
        self.lines.append(f"start {run.task}")

    @hookimpl
    def vssl_step_end(self, run: RunInfo, step: int, metrics: dict[str, float]) -> None:
        self.lines.append(f"{step} {metrics['loss']}")

    @hookimpl
    def vssl_checkpoint_saved(self, path: Path) -> None:
        self.lines.append(f"{path} {path.stat().st_size}")

    @hookimpl
    def vssl_result(self, row: Row) -> None:
        self.lines.append(f"{row.metric} {row.value}")

    @hookimpl
    def vssl_run_end(self, run: RunInfo, error: BaseException | None) -> None:
        self.lines.append(f"end {error}")
        (run.folder / "recorder.log").write_text("\n".join(self.lines))


@hookimpl
def _only_start(run: RunInfo) -> None:
    del run


ONE_EVENT = SimpleNamespace(vssl_run_start=_only_start)  # cannot be hashed


class Misspelt(Recorder):
    @hookimpl
    def vssl_step_ended(self, run: RunInfo) -> None:
        pass


class AsksForMore(Recorder):
    @hookimpl
    def vssl_result(self, row: Row, model: Any) -> None:  # type: ignore[override]
        pass


class WatchesNothing:
    pass


class NeedsAnAccuracy(Recorder):
    @hookimpl
    def vssl_step_end(self, run: RunInfo, step: int, metrics: dict[str, float]) -> None:
        self.lines.append(f"{metrics['accuracy']:.2f}")


class NeedsAChance(Recorder):
    @hookimpl
    def vssl_result(self, row: Row) -> None:
        self.lines.append(f"{row.value - row.chance:.2f}")


class NeedsTheFirstStep(Recorder):
    first_loss: float | None = None

    @hookimpl
    def vssl_step_end(self, run: RunInfo, step: int, metrics: dict[str, float]) -> None:
        self.first_loss = metrics["loss"]

    @hookimpl
    def vssl_run_end(self, run: RunInfo, error: BaseException | None) -> None:
        self.lines.append(f"{self.first_loss:.2f}")


class ReadsTheErrorsExitCode(Recorder):
    @hookimpl
    def vssl_run_end(self, run: RunInfo, error: BaseException | None) -> None:
        self.lines.append("ok" if error is None else f"exit code {error.exit_code}")


class OneRunOnly(Recorder):
    started = False

    @hookimpl
    def vssl_run_start(self, run: RunInfo) -> None:
        if self.started:
            raise RuntimeError("already started")
        self.started = True


class OneFolderPerCell(Recorder):
    """Fails where a cell goes on after a stop."""

    @hookimpl
    def vssl_run_start(self, run: RunInfo) -> None:
        (run.folder / f"logs-{run.cell_id}").mkdir()


class RemovesCheckpoints(Recorder):
    @hookimpl
    def vssl_checkpoint_saved(self, path: Path) -> None:
        path.unlink()


class EditsResults(Recorder):
    @hookimpl
    def vssl_result(self, run: RunInfo, row: Row) -> None:
        for path in run.folder.glob("evaluations/*/result.json"):
            path.write_text('{"value": 100.0}')


class ChangesTheRun(Recorder):
    @hookimpl
    def vssl_run_start(self, run: RunInfo) -> None:
        object.__setattr__(run, "seed", 1)


class SeedsTorch(Recorder):
    @hookimpl
    def vssl_run_start(self, run: RunInfo) -> None:
        torch.manual_seed(run.seed)


class DrawsAName(Recorder):
    @hookimpl
    def vssl_run_start(self, run: RunInfo) -> None:
        self.lines.append(f"run {random.randrange(1000)} {np.random.rand()}")


class StopsGradients(Recorder):
    @hookimpl
    def vssl_step_end(self, run: RunInfo, step: int, metrics: dict[str, float]) -> None:
        torch.set_grad_enabled(False)


class TakesTheSignals(Recorder):
    @hookimpl
    def vssl_run_start(self, run: RunInfo) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)


class MovesAway(Recorder):
    @hookimpl
    def vssl_run_start(self, run: RunInfo) -> None:
        os.chdir(run.folder)


class LeavesAThread(Recorder):
    """Ended by its test alone."""

    stop = threading.Event()

    @hookimpl
    def vssl_run_start(self, run: RunInfo) -> None:
        threading.Thread(target=self.stop.wait, name="planted").start()


class EndsTheProcess(Recorder):
    @hookimpl
    def vssl_run_end(self, run: RunInfo, error: BaseException | None) -> None:
        sys.exit("done")


PLANTED = {
    Misspelt: "check_hook_watches_known_events",
    AsksForMore: "check_hook_watches_known_events",
    WatchesNothing: "check_hook_watches_known_events",
    NeedsAnAccuracy: "check_hook_follows_a_run",
    NeedsAChance: "check_hook_follows_a_run",
    NeedsTheFirstStep: "check_hook_follows_a_run_that_fails",
    ReadsTheErrorsExitCode: "check_hook_follows_a_run_that_fails",
    OneRunOnly: "check_hook_follows_several_runs",
    OneFolderPerCell: "check_hook_follows_several_runs",
    RemovesCheckpoints: "check_hook_changes_no_file_of_the_run",
    EditsResults: "check_hook_changes_no_file_of_the_run",
    ChangesTheRun: "check_hook_changes_nothing_it_is_given",
    SeedsTorch: "check_hook_leaves_the_process_alone",
    DrawsAName: "check_hook_leaves_the_process_alone",
    StopsGradients: "check_hook_leaves_the_process_alone",
    TakesTheSignals: "check_hook_leaves_the_process_alone",
    MovesAway: "check_hook_leaves_the_process_alone",
    LeavesAThread: "check_hook_leaves_no_thread_behind",
    EndsTheProcess: "check_hook_follows_a_run",
}
