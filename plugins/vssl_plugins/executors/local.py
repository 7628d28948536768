"""Runs cells on this machine: one process each, so that a crash stays in its cell."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from pydantic import Field

from vssl_core import CellHandle, Executor, Options
from vssl_core.progress import Progress

__all__ = ["Local", "LocalOptions"]

_STOP_SECONDS = 60.0  # for a cell to write its checkpoint


class LocalOptions(Options):
    """How many cells at once, and what happens when one is lost."""

    slots: int = Field(0, ge=0)
    """Cells at once; 0: one for each GPU, or one where there is none."""
    processes: int = Field(1, ge=1)
    """Processes of one cell (data parallel), started by torchrun."""
    retries: int = Field(1, ge=0)
    """How often a cell that was killed from outside is started again. Failures are not retried."""


class Local(Executor):
    """One subprocess per cell, a queue, GPU slots and retries."""

    api_version = 1
    Options: ClassVar[type[Options]] = LocalOptions

    def __init__(self, options: Any) -> None:
        self._options = options

    def run(self, cells: Sequence[CellHandle], progress: Progress) -> Mapping[str, str]:
        """See `Executor.run`. Ctrl-C lets running cells write a checkpoint first."""
        gpus = _visible_gpus()
        slots = self._options.slots or max(len(gpus), 1)
        free = deque(range(slots))
        waiting = deque((cell, 0) for cell in cells)
        running: dict[int, tuple[subprocess.Popen[bytes], CellHandle, int]] = {}
        failures: dict[str, str] = {}
        started = 0
        try:
            while waiting or running:
                while waiting and free:
                    cell, attempt = waiting.popleft()
                    slot = free.popleft()
                    started += attempt == 0
                    progress.say(f"[{started}/{len(cells)}] {cell.cell_id}")
                    running[slot] = (self._start(cell, slot, gpus), cell, attempt)
                for slot, (process, cell, attempt) in list(running.items()):
                    code = process.poll()
                    if code is None:
                        continue
                    del running[slot]
                    free.append(slot)
                    self._judge(code, cell, attempt, waiting, failures, progress)
                time.sleep(0.05)
        except BaseException:
            _stop([process for process, _, _ in running.values()])
            raise
        return failures

    def _start(self, cell: CellHandle, slot: int, gpus: Sequence[str]) -> subprocess.Popen[bytes]:
        command, environment = list(cell.command), {**cell.environment, **os.environ}
        if gpus and self._options.processes == 1:
            environment["CUDA_VISIBLE_DEVICES"] = gpus[slot % len(gpus)]
        environment["VSSL_PARENT"] = str(os.getpid())  # a cell stops when nobody waits for it
        if self._options.processes > 1:
            launch = ["-m", "torch.distributed.run", "--standalone", "--max-restarts", "0"]
            launch += ["--nproc-per-node", str(self._options.processes)]
            command = [sys.executable, *launch, *command[1:]]
        return subprocess.Popen(
            command, env=environment, stdin=subprocess.DEVNULL, stdout=sys.stderr.fileno()
        )

    def _judge(
        self,
        code: int,
        cell: CellHandle,
        attempt: int,
        waiting: deque[tuple[CellHandle, int]],
        failures: dict[str, str],
        progress: Progress,
    ) -> None:
        if code == 0:
            return
        if code < 0 and attempt < self._options.retries:
            progress.say(f"{cell.cell_id} was killed by {_signal_name(-code)}; starting it again")
            waiting.appendleft((cell, attempt + 1))
            return
        how = f"was killed by {_signal_name(-code)}" if code < 0 else f"ended with exit code {code}"
        hint = "; often that is too little memory" if code == -signal.SIGKILL else ""
        failures[cell.cell_id] = f"its process {how}{hint}"


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _visible_gpus() -> list[str]:
    """Names of the GPUs that this process may use, as CUDA_VISIBLE_DEVICES writes them."""
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    if chosen is not None:
        return [word.strip() for word in chosen.split(",") if word.strip() not in ("", "-1")]
    import torch

    return [str(index) for index in range(torch.cuda.device_count())]


def _stop(processes: Sequence[subprocess.Popen[bytes]]) -> None:
    """Ask every cell to stop, wait for its checkpoint, then insist."""
    for process in processes:
        if process.poll() is None:
            process.terminate()
    deadline = time.monotonic() + _STOP_SECONDS
    for process in processes:
        try:
            process.wait(max(deadline - time.monotonic(), 0.1))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
