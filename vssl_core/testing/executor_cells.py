"""Small cells for the checks of executors: each notes that it started, what it saw, and that it ended."""

from __future__ import annotations

import json
import os
import signal
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, Literal

from vssl_core.interfaces import CellHandle
from vssl_core.progress import quiet_progress
from vssl_core.testing.component import Component
from vssl_core.testing.outcome import CheckFailed

__all__ = ["TOO_OFTEN", "Cells", "Kind", "cells_in", "killed_in_the_middle", "run", "silenced"]

Kind = Literal["ok", "fails", "breaks off", "lost once", "always lost", "loud", "waits"]

TOO_OFTEN = 12  # starts after which a cell gives in, so that no executor retries for ever
CELL_SECONDS = 30  # after which a cell that cannot go on ends all the same
LIMIT_SECONDS = 150  # for one run of an executor

_CODE = """
import json, os, signal, sys, threading, time
from pathlib import Path

folder, kind, arguments = Path(sys.argv[1]), sys.argv[2], sys.argv[3:]
watchdog = threading.Timer(CELL_SECONDS, os._exit, [9])
watchdog.daemon = True
watchdog.start()
folder.mkdir(exist_ok=True)
starts = len(list(folder.glob("start-*")))
(folder / f"start-{starts}-{os.getpid()}").touch()
try:
    os.close(os.open(folder / "running", os.O_CREAT | os.O_EXCL))
except FileExistsError:
    (folder / "twice").touch()
ours = {name: value for name, value in os.environ.items() if name.startswith("VSSL_CHECK")}
seen = {"arguments": arguments, "environment": ours}
(folder / "seen.json").write_text(json.dumps(seen), encoding="utf-8")
if kind == "loud":
    for _ in range(150):
        print("x" * 999, flush=True)
        print("y" * 999, file=sys.stderr, flush=True)
if kind == "waits":
    while not (folder.parent / "go").exists():
        if (folder.parent / "stop").exists():
            (folder / "running").unlink()
            os._exit(1)
        time.sleep(0.02)
time.sleep(0.1)
(folder / "running").unlink(missing_ok=True)
if starts < TOO_OFTEN:
    if kind == "fails":
        sys.exit(3)
    if kind == "breaks off":
        os._exit(1)
    if kind == "always lost" or (kind == "lost once" and starts == 0):
        os.kill(os.getpid(), signal.SIGKILL)
(folder / "done").touch()
"""


@dataclass(frozen=True)
class Cells:
    """A run folder with cells in it."""

    runs: Path

    def handle(
        self, name: str, kind: Kind = "ok", *arguments: str, environment: Mapping[str, str] | None = None
    ) -> CellHandle:
        """A cell of this kind."""
        code = _CODE.replace("TOO_OFTEN", str(TOO_OFTEN)).replace("CELL_SECONDS", str(CELL_SECONDS))
        command = (sys.executable, "-S", "-c", code, str(self.runs / name), kind, *arguments)
        return CellHandle(name, self.runs, command, dict(environment or {}))

    def starts(self, name: str) -> int:
        """How often a cell was started."""
        return len(list((self.runs / name).glob("start-*")))

    def done(self, name: str) -> bool:
        """Whether it came to its end."""
        return (self.runs / name / "done").exists()

    def overlapped(self, name: str) -> bool:
        """Whether it was started while it was running."""
        return (self.runs / name / "twice").exists()

    def seen(self, name: str) -> dict[str, Any]:
        """Its arguments, and the environment variables of the checks."""
        document: dict[str, Any] = json.loads((self.runs / name / "seen.json").read_text(encoding="utf-8"))
        return document


@contextmanager
def cells_in() -> Iterator[Cells]:
    """A run folder for cells, removed afterwards."""
    with tempfile.TemporaryDirectory(prefix="vssl-check-", ignore_cleanup_errors=True) as folder:
        yield Cells(Path(folder).resolve())


def run(subject: Component, cells: Sequence[CellHandle], executor: Any = None) -> Mapping[str, str]:
    """Run cells with a new executor (or the one given), and check the form of what it says.

    Raises:
        CheckFailed: It raises, does not come back, or gives no mapping from cell ids to reasons.
    """
    made = subject.cls(subject.options) if executor is None else executor
    with _limited():
        try:
            failures = made.run(cells, quiet_progress())
        except Exception as error:
            raise CheckFailed(
                f"expected run to give a mapping of failures, but it raised {type(error).__name__}: {error}. "
                "A cell's failure is a value, and the other cells go on."
            ) from error
    ids = {cell.cell_id for cell in cells}
    if not isinstance(failures, Mapping) or not failures.keys() <= ids:
        raise CheckFailed(f"expected a mapping from ids of these cells to reasons; got {failures!r}.")
    if mute := [
        name for name, reason in failures.items() if not isinstance(reason, str) or not reason.strip()
    ]:
        raise CheckFailed(f"expected the reason in words for cell {mute[0]!r}; got {failures[mute[0]]!r}.")
    return failures


@contextmanager
def _limited() -> Iterator[None]:
    """Interrupt a body that does not end, where this is the main thread."""
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "setitimer"):
        yield
        return

    def stop(number: int, frame: FrameType | None) -> None:
        del number, frame
        raise TimeoutError(f"it did not come back in {LIMIT_SECONDS} seconds, though all cells had ended")

    handler = signal.signal(signal.SIGALRM, stop)
    left, interval = signal.setitimer(signal.ITIMER_REAL, LIMIT_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, left, interval)
        signal.signal(signal.SIGALRM, handler)


@contextmanager
def silenced() -> Iterator[None]:
    """What this process and its children write to the terminal is dropped."""
    kept = {number: os.dup(number) for number in (1, 2)}
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        for number in kept:
            os.dup2(nowhere, number)
        yield
    finally:
        for number, copy in kept.items():
            os.dup2(copy, number)
            os.close(copy)
        os.close(nowhere)


def killed_in_the_middle(subject: Component, handles: Sequence[CellHandle], cells: Cells) -> None:
    """Run waiting cells in a forked process, kill it once one has started, and stop those too."""
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore", DeprecationWarning
        )  # of forking beside threads: it starts programs alone
        child = os.fork()
    if child == 0:
        try:
            subject.cls(subject.options).run(handles, quiet_progress())
        finally:
            os._exit(0)
    try:
        if not _wait(lambda: any(cells.starts(h.cell_id) for h in handles), seconds=CELL_SECONDS):
            raise CheckFailed(f"expected the executor to start a cell within {CELL_SECONDS} seconds.")
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        (cells.runs / "stop").touch()
    _wait(lambda: not list(cells.runs.glob("*/running")), seconds=5)
    (cells.runs / "stop").rename(cells.runs / "go")
    for left in cells.runs.glob("*/running"):  # of cells that died with it
        left.unlink(missing_ok=True)


def _wait(there: Callable[[], bool], *, seconds: float) -> bool:
    """Whether it came true in this time."""
    deadline = time.monotonic() + seconds
    while not there() and time.monotonic() < deadline:
        time.sleep(0.02)
    return there()
