"""Progress that a person can read: bars in a terminal, plain lines elsewhere, always on stderr."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol, TextIO

__all__ = ["Progress", "Task", "quiet_progress", "terminal_progress"]

_LINE_SECONDS = 5.0  # between two plain lines of one task


class Task(Protocol):
    """One piece of work that advances."""

    def advance(self, amount: float = 1.0, note: str = "") -> None:
        """Move on by `amount` units; `note` replaces the text behind the bar."""


class Progress(Protocol):
    """Where parts report how far they are."""

    def say(self, message: str) -> None:
        """One line that stays."""

    def track(self, title: str, total: float | None, unit: str = "") -> _TaskContext:
        """A context manager that gives a `Task`; rate and time left are shown per `unit`."""


class _TaskContext(Protocol):
    def __enter__(self) -> Task: ...
    def __exit__(self, *exc: object) -> None: ...


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
    def __init__(self, out: TextIO, title: str, total: float | None, unit: str) -> None:
        self._out, self._title, self._total, self._unit = out, title, total, unit
        self._start = self._last = time.monotonic()
        self._done = 0.0
        self._note = ""

    def advance(self, amount: float = 1.0, note: str = "") -> None:
        self._done += amount
        self._note = note or self._note
        now = time.monotonic()
        if now - self._last >= _LINE_SECONDS:
            self._last = now
            self.line()

    def line(self) -> None:
        seconds = max(time.monotonic() - self._start, 1e-9)
        rate = self._done / seconds
        text = f"{self._title}: {self._done:.0f}"
        if self._total is not None:
            text += f"/{self._total:.0f}"
        text += f" {self._unit}".rstrip() + f", {rate:.1f}/s"
        if self._total is not None and self._done < self._total:
            left = (self._total - self._done) / rate if rate else float("inf")
            text += f", {left:.0f} s left" if left != float("inf") else ""
        else:
            text += f", {seconds:.1f} s"
        print(text + (f", {self._note}" if self._note else ""), file=self._out, flush=True)


class _Lines:
    def __init__(self, out: TextIO) -> None:
        self._out = out

    def say(self, message: str) -> None:
        print(message, file=self._out, flush=True)

    @contextmanager
    def track(self, title: str, total: float | None, unit: str = "") -> Iterator[Task]:
        task = _LineTask(self._out, title, total, unit)
        yield task
        task.line()


class _RichTask:
    def __init__(self, bars: object, row: object) -> None:
        self._bars, self._row = bars, row

    def advance(self, amount: float = 1.0, note: str = "") -> None:
        if note:
            self._bars.update(self._row, note=note)  # type: ignore[attr-defined]
        self._bars.advance(self._row, amount)  # type: ignore[attr-defined]


class _Rich:
    def __init__(self) -> None:
        from rich.console import Console

        self._console = Console(stderr=True)

    def say(self, message: str) -> None:
        self._console.print(message, markup=False, highlight=False)

    @contextmanager
    def track(self, title: str, total: float | None, unit: str = "") -> Iterator[Task]:
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        from vssl_core._rate import RateColumn

        columns = (
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.completed:.0f}/{task.total:.0f}" if total is not None else "{task.completed:.0f}"),
            RateColumn(unit),
            TimeRemainingColumn(compact=True, elapsed_when_finished=True),
            TextColumn("{task.fields[note]}"),
        )
        with Progress(*columns, console=self._console) as bars:
            yield _RichTask(bars, bars.add_task(title, total=total, note=""))


def quiet_progress() -> Progress:
    """Says nothing; for tests and for Python callers who want silence."""
    return _Quiet()


def terminal_progress(out: TextIO | None = None) -> Progress:
    """Bars where stderr is a terminal, otherwise a plain line every few seconds."""
    stream = out or sys.stderr
    return _Rich() if out is None and stream.isatty() else _Lines(stream)
