"""Ctrl-C and SIGTERM between two steps, so that a cell stops where it can be resumed."""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Any

__all__ = ["Interruption"]


class Interruption:
    """While open, SIGINT and SIGTERM only set `requested`; a second SIGINT acts at once."""

    def __init__(self) -> None:
        self.requested = False
        self._pressed = 0
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Interruption:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *exc: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        del frame
        # One Ctrl-C reaches a cell twice: from the terminal, and as SIGTERM from the bench that stops too.
        self._pressed += number == signal.SIGINT
        if self._pressed > 1:
            raise KeyboardInterrupt
        self.requested = True
