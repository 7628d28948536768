"""Progress that a person can read: bars in a terminal, plain lines elsewhere, always on stderr.

Every piece of work leaves one line when it ends; bars stand below those lines while it goes on.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol, TextIO

__all__ = ["Meter", "Progress", "Task", "quiet_progress", "terminal_progress"]

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


class Meter:
    """How far one piece of work is, and that as text. Safe for threads."""

    def __init__(self, title: str, total: float | None, unit: str) -> None:
        self.title, self.total, self.unit = title, total, unit
        self.done = 0.0
        self.note = ""
        self._start_seconds = time.monotonic()
        self._lock = threading.Lock()

    def add(self, amount: float, note: str) -> None:
        with self._lock:
            self.done += amount
            self.note = note or self.note

    def text(self) -> str:
        """`shapes: 12/96 files, 3.1 files/s, 27 s left, note`; at the end the time that it took."""
        seconds = max(time.monotonic() - self._start_seconds, 1e-9)
        rate = self.done / seconds
        parts = [f"{self.title}: {self.count()}", rate_text(rate, self.unit)]
        if self.total is not None and 0 < self.done < self.total:
            parts.append(f"{duration_text((self.total - self.done) / rate)} left")
        else:
            parts.append(duration_text(seconds))
        return ", ".join([*parts, *filter(None, [self.note])])

    def count(self) -> str:
        """`12/96 files`."""
        total = "" if self.total is None else f"/{self.total:,.0f}"
        return f"{self.done:,.0f}{total} {self.unit}".rstrip()


def rate_text(per_second: float, unit: str) -> str:
    """`3.1 files/s`, or `2.5 s each` where one takes longer than a second."""
    if 0 < per_second < 1:
        return f"{duration_text(1 / per_second)} each"
    return f"{per_second:,.{1 if per_second < 100 else 0}f} {unit}".rstrip() + "/s"


def duration_text(seconds: float) -> str:
    """`4.2 s`, `3 min 20 s`, `2 h 05 min`."""
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes = round(seconds) // 60
    if minutes < 60:
        return f"{minutes} min {round(seconds) % 60:02d} s"
    return f"{minutes // 60:,} h {minutes % 60:02d} min"


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
        if now - self._last_seconds >= _LINE_SECONDS:
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
