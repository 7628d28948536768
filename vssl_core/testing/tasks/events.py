"""Which files are written, addresses asked for and programs started, by the interpreter's audit events."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

__all__ = ["Events", "recorded"]

_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_CHANGING = (
    "os.chmod", "os.link", "os.mkdir", "os.remove", "os.rename", "os.rmdir", "os.symlink", "os.truncate",
    "sqlite3.connect",
)  # fmt: skip
_ADDRESSES = ("socket.bind", "socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto")
_PROGRAMS = ("os.exec", "os.fork", "os.forkpty", "os.posix_spawn", "os.system", "subprocess.Popen")
_BEYOND_PYTHON = (
    ("torch.serialization", "_open_zipfile_writer_file"),
    ("safetensors.torch", "serialize_file"),
    ("safetensors.numpy", "serialize_file"),
    ("cv2", "imwrite"),
    ("cv2", "VideoWriter"),
)
"""Writers in other languages, which raise no audit event; and which of their arguments is the path."""


@dataclass
class Events:
    """What happened while it was recorded, in order."""

    written: list[str] = field(default_factory=list)
    addresses: list[str] = field(default_factory=list)
    programs: list[str] = field(default_factory=list)


_recording: list[Events] = []
_installed: list[bool] = []


@contextmanager
def recorded() -> Iterator[Events]:
    """Note what this process, all its threads included, does in the body."""
    if not _installed:
        _installed.append(True)
        sys.addaudithook(_note)  # for good: an audit hook cannot be taken away
    events = Events()
    with ExitStack() as stack:
        for module, name in _BEYOND_PYTHON:
            original = getattr(sys.modules.get(module), name, None)
            if original is not None:
                stack.enter_context(mock.patch(f"{module}.{name}", _noting(original, events)))
        _recording.append(events)
        try:
            yield events
        finally:
            _recording.remove(events)


def _note(event: str, arguments: tuple[Any, ...]) -> None:
    for events in tuple(_recording):
        if event == "open":
            path, mode, flags = arguments
            writes = isinstance(flags, int) and bool(flags & _WRITING)
            if writes or (isinstance(mode, str) and any(letter in mode for letter in "wax+")):
                _add(events, path)
        elif event in _CHANGING:
            _add(events, arguments[0])
        elif event in _ADDRESSES:
            events.addresses.append(
                " ".join(map(str, arguments[1:] if event in _ADDRESSES[:2] else arguments[:2]))
            )
        elif event in _PROGRAMS:
            events.programs.append(str(arguments[:1]))


def _add(events: Events, path: Any) -> None:
    if isinstance(path, str | bytes | os.PathLike):
        text = os.fsdecode(path)
        if not text.startswith(("/dev/", "/proc/")) and "__pycache__" not in text:
            events.written.append(text)


def _noting(original: Callable[..., Any], events: Events) -> Callable[..., Any]:
    def call(*arguments: Any, **named: Any) -> Any:
        paths = [value for value in (*arguments, *named.values()) if isinstance(value, str | Path)]
        events.written += map(str, paths[:1])
        return original(*arguments, **named)

    return call
