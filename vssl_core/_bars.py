"""The bars of `vssl_core.progress`, drawn by rich; imported only where there is a terminal."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import Task as Row
from rich.text import Text

from vssl_core._meter import Meter, rate_text

if TYPE_CHECKING:
    from vssl_core.progress import Task

__all__ = ["Bars"]


class _Count(ProgressColumn):
    def render(self, task: Row) -> Text:
        meter: Meter = task.fields["meter"]
        return Text(meter.count())


class _Rate(ProgressColumn):
    """Over the last half minute, unlike the mean in the line that stays."""

    def render(self, task: Row) -> Text:
        meter: Meter = task.fields["meter"]
        return Text(rate_text(task.speed, meter.unit) if task.speed else "")


class _Note(ProgressColumn):
    def render(self, task: Row) -> Text:
        meter: Meter = task.fields["meter"]
        return Text(meter.note)


class _BarTask:
    def __init__(self, display: Progress, row: TaskID, meter: Meter) -> None:
        self._display, self._row, self._meter = display, row, meter

    def advance(self, amount: float = 1.0, note: str = "") -> None:
        self._meter.add(amount, note)
        self._display.advance(self._row, amount)


class Bars:
    """One display that all open tracks share; it is there while any is open."""

    def __init__(self, out: TextIO) -> None:
        self._console = Console(file=out)
        self._lock = threading.Lock()
        self._display: Progress | None = None
        self._open = 0

    def say(self, message: str) -> None:
        self._console.print(message, markup=False, highlight=False)

    @contextmanager
    def track(self, title: str, total: float | None, unit: str = "") -> Iterator[Task]:
        meter = Meter(title, total, unit)
        display = self._opened()
        row = display.add_task(title, total=total, meter=meter)
        try:
            yield _BarTask(display, row, meter)
        finally:
            display.remove_task(row)
            self._closed()
            self.say(meter.text())

    def _opened(self) -> Progress:
        with self._lock:
            if self._display is None:
                self._display = _display(self._console)
                self._display.start()
            self._open += 1
            return self._display

    def _closed(self) -> None:
        with self._lock:
            self._open -= 1
            if self._open == 0 and self._display is not None:
                self._display.stop()
                self._display = None


def _display(console: Console) -> Progress:
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        _Count(),
        _Rate(),
        TimeRemainingColumn(compact=True),
        _Note(),
    )
    # Results go to stdout, which may be a file: it is not the display's to redirect.
    return Progress(*columns, console=console, transient=True, redirect_stdout=False)
