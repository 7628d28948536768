"""Processes that look into videos, and what becomes of them: a file that kills its process is one answer.

Processes of their own command, so that they start alike from a script, a notebook and a cell, and so that
Ctrl-C reaches this process alone.
"""

from __future__ import annotations

import json
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any

from vssl_core.errors import StoreError
from vssl_core.video.worker import READY

__all__ = ["LIMIT_SECONDS", "look_into"]

LIMIT_SECONDS = 600.0
_START_SECONDS = 120.0


def look_into(
    job: str, paths: Sequence[str], *, processes: int, limit_seconds: float = LIMIT_SECONDS
) -> Iterator[tuple[str, dict[str, Any]]]:
    """(path, answer) of every file as the answers come; see `vssl_core.video.worker`.

    A file at which a process dies, or stays longer than the limit, has that for its error. A consumer
    that stops early closes the generator, and the processes end.

    Raises:
        StoreError: The processes do not start at all.
    """
    todo = iter(paths)
    workers = [_Worker(job) for _ in range(max(1, min(processes, len(paths))))] if paths else []
    with selectors.DefaultSelector() as selector:
        try:
            for worker in workers:
                selector.register(worker.stdout, selectors.EVENT_READ, worker)
            while selector.get_map():
                yield from _round(job, selector, todo, limit_seconds)
        finally:
            for key in list(selector.get_map().values()):
                key.data.end()


def _round(
    job: str, selector: selectors.BaseSelector, todo: Iterator[str], limit_seconds: float
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Take what has come; give new work; replace those that died or take too long."""
    ready = {key.data for key, _ in selector.select(timeout=1.0)}
    for worker in [key.data for key in selector.get_map().values()]:
        path, answers, alive = worker.path, [], True
        if worker in ready:
            answers, alive = worker.answers()
        elif worker.seconds > (limit_seconds if worker.started else _START_SECONDS):
            answers = [{"error": f"decoding it took more than {limit_seconds:g} s", "passing": True}]
            alive = False
        if not alive:
            selector.unregister(worker.stdout)
            answers = answers or [worker.obituary()]
            worker.end()
            if not worker.started:
                raise StoreError(f"no process for looking into videos starts: {answers[0]['error']}.")
            if path is not None:
                successor = _Worker(job)
                selector.register(successor.stdout, selectors.EVENT_READ, successor)
        elif answers and not worker.give(next(todo, None)):
            selector.unregister(worker.stdout)
            worker.end()
        if path is not None:
            yield from ((path, answer) for answer in answers)


class _Worker:
    """One process, and the file that it is at."""

    def __init__(self, job: str) -> None:
        self.path: str | None = None
        self.started = False
        self._since = time.monotonic()
        self._read = b""
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "vssl_core.video.worker", job],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        assert self._process.stdout is not None
        self.stdout = self._process.stdout

    @property
    def seconds(self) -> float:
        """How long it has been at its file, or at starting."""
        return time.monotonic() - self._since

    def give(self, path: str | None) -> bool:
        """Hand it a file; False where there is none left."""
        self.path, self._since = path, time.monotonic()
        if path is None:
            return False
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):  # it is dead: `answers` will tell
            self._process.stdin.write(json.dumps(path).encode() + b"\n")
            self._process.stdin.flush()
        return True

    def answers(self) -> tuple[list[Any], bool]:
        """Whole lines that have come, and whether it still lives. The first one says that it has started."""
        data = os.read(self.stdout.fileno(), 1 << 20)
        *lines, self._read = (self._read + data).split(b"\n")
        found = [json.loads(line) for line in lines]
        self.started = self.started or READY in found
        return found, bool(data)

    def obituary(self) -> dict[str, Any]:
        """How it ended, as the answer to its file. Being killed from outside says nothing of the file."""
        code = self._process.wait()
        how = f"exit code {code}"
        if code < 0:
            known = {int(number): number.name for number in signal.Signals}
            how = f"signal {known.get(-code, -code)}"
        answer: dict[str, Any] = {"error": f"the process that decoded it ended with {how}"}
        return {**answer, "passing": True} if code in (-signal.SIGKILL, -signal.SIGTERM) else answer

    def end(self) -> None:
        """Stop it, wherever it is."""
        self._process.kill()
        self._process.wait()
        self.stdout.close()
        if self._process.stdin is not None:
            with suppress(OSError):
                self._process.stdin.close()
