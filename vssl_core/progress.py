"""Progress that a person can read: bars in a terminal, plain lines elsewhere, always on stderr.

Every piece of work leaves one line when it ends; bars stand below those lines while it goes on.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol, TextIO

from vssl_core._meter import Meter

__all__ = ["Progress", "Task", "quiet_progress", "terminal_progress"]

_LINE_SECONDS = 5.0  # between two plain lines of one task


class Task(Protocol):
    """One piece of work that advances; any thread may do so."""

    def advance(self, amount: float = 1.0, note: str = "") -> None:
        """Move on by `amount` units; `note` replaces the text behind the numbers."""


class Progress(Protocol):
    """Where parts report how far they are. Tracks may be nested, and several be open at once."""

    def say(self, message: str) -> None:
        """One line that stays."""

    def track(self, title: str, total: float | None, unit: str = "") -> AbstractContextManager[Task]:
        """A piece of work of `total` units, None where nobody knows; shows the rate and the time left."""


class _Quiet:
    def say(self, message: str) -> None:
        del message

    @contextmanager
    def track(self, title: str, total: float | None, unit: str = "") -> Iterator[Task]:
        del title, total, unit
        yield self

    def advance(self, amount: float = 1.0, note: str = "") -> None:
        del amount, note


class _LineTask:
    def __init__(self, lines: _Lines, meter: Meter) -> None:
        self._lines, self._meter = lines, meter
        self._last_seconds = time.monotonic()

    def advance(self, amount: float = 1.0, note: str = "") -> None:
        self._meter.add(amount, note)
        now = time.monotonic()
        finished = self._meter.done == self._meter.total  # its last line comes from `track`
        if now - self._last_seconds >= _LINE_SECONDS and not finished:
            self._last_seconds = now
            self._lines.say(self._meter.text())


class _Lines:
    def __init__(self, out: TextIO) -> None:
        self._out = out

    def say(self, message: str) -> None:
        self._out.write(f"{message}\n")
        self._out.flush()

    @contextmanager
    def track(self, title: str, total: float | None, unit: str = "") -> Iterator[Task]:
        meter = Meter(title, total, unit)
        try:
            yield _LineTask(self, meter)
        finally:
            self.say(meter.text())


def quiet_progress() -> Progress:
    """Says nothing; for tests and for Python callers who want silence."""
    return _Quiet()


def terminal_progress(out: TextIO | None = None) -> Progress:
    """Bars where the stream (stderr, unless another is given) is a terminal, otherwise plain lines."""
    stream = out or sys.stderr
    if not stream.isatty():
        return _Lines(stream)
    from vssl_core._bars import Bars

    return Bars(stream)
