"""How far one piece of work is, as text; shared by the plain lines and the bars of progress."""

from __future__ import annotations

import threading
import time

__all__ = ["Meter", "duration_text", "rate_text"]


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
