"""Which files, addresses and programs Python code touches, by the interpreter's own audit events.

Libraries in other languages that open files by themselves (FFmpeg) are not seen; `opened_videos` and
`written_beyond_python` note the usual ways to them.
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

__all__ = ["Events", "opened_videos", "recorded", "written_beyond_python"]

_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_CHANGING = {"os.mkdir", "os.remove", "os.rmdir", "os.truncate", "os.link", "os.symlink", "os.rename"}
_STARTING = {"subprocess.Popen", "os.system", "os.posix_spawn", "os.exec"}
_ASKING = ("socket.getaddrinfo", "socket.gethostbyname")
_OPENERS = (
    ("av", "open"),
    ("av.container", "open"),
    ("cv2", "VideoCapture"),
    ("torchvision.io", "read_video"),
    ("decord", "VideoReader"),
    ("imageio", "get_reader"),
)
_WRITERS = (
    ("torch.serialization", "_open_zipfile_writer_file"),
    ("safetensors.torch", "serialize_file"),
    ("safetensors.numpy", "serialize_file"),
    ("cv2", "imwrite"),
    ("cv2", "VideoWriter"),
)


@dataclass
class Events:
    """What happened while it was recorded, in order."""

    read: list[str] = field(default_factory=list)
    written: list[str] = field(default_factory=list)
    addresses: list[str] = field(default_factory=list)
    sockets: list[str] = field(default_factory=list)
    programs: list[str] = field(default_factory=list)

    def written_and_left(self) -> list[str]:
        """Files written that are still there: temporary ones that were removed do not count."""
        return [path for path in dict.fromkeys(self.written) if Path(path).is_file()]


_recording: list[Events] = []
_installed: list[bool] = []


@contextmanager
def recorded() -> Iterator[Events]:
    """Note what this process, all its threads included, touches in the body."""
    if not _installed:
        _installed.append(True)
        sys.addaudithook(_note)  # for good: an audit hook cannot be taken away
    events = Events()
    _recording.append(events)
    try:
        yield events
    finally:
        _recording.remove(events)


def _note(event: str, arguments: tuple[Any, ...]) -> None:
    if not _recording:
        return
    for events in tuple(_recording):
        if event == "open":
            _note_open(events, arguments)
        elif event in _CHANGING:
            _add(events.written, arguments[1] if event in ("os.rename", "os.link") else arguments[0])
        elif event == "sqlite3.connect":
            _add(events.written, arguments[0])
        elif event in _ASKING or (event == "socket.connect" and isinstance(arguments[1], tuple)):
            events.addresses.append(str(arguments[0] if event in _ASKING else arguments[1]))
        elif event == "socket.__new__" and arguments[1] in (socket.AF_INET, socket.AF_INET6):
            events.sockets.append(socket.AddressFamily(arguments[1]).name)
        elif event in _STARTING:
            events.programs.append(str(arguments[1] if event == "subprocess.Popen" else arguments[0]))


def _note_open(events: Events, arguments: tuple[Any, ...]) -> None:
    path, mode, flags = arguments
    writes = bool(flags & _WRITING) if isinstance(flags, int) else False
    writes = writes or (isinstance(mode, str) and any(letter in mode for letter in "wax+"))
    _add(events.written if writes else events.read, path)


def _add(paths: list[str], path: Any) -> None:
    if not isinstance(path, str | bytes | os.PathLike):
        return
    text = os.path.abspath(os.fsdecode(path))  # noqa: PTH100  pathlib would raise audit events of its own
    if not text.startswith(("/dev/", "/proc/")) and "__pycache__" not in text:
        paths.append(text)


@contextmanager
def opened_videos() -> Iterator[list[str]]:
    """Note the files that the body hands to a decoder: PyAV, OpenCV and others that are imported."""
    with _noted(_OPENERS) as paths:
        yield paths


@contextmanager
def written_beyond_python() -> Iterator[list[str]]:
    """Note the files that the body has written by torch, safetensors or OpenCV, where these are imported."""
    with _noted(_WRITERS) as paths:
        yield paths


@contextmanager
def _noted(functions: Sequence[tuple[str, str]]) -> Iterator[list[str]]:
    """The first path in the arguments of each call of these functions, given as module and name."""
    paths: list[str] = []
    with ExitStack() as stack:
        for module, name in functions:
            original = getattr(sys.modules.get(module), name, None)
            if original is not None:
                stack.enter_context(mock.patch(f"{module}.{name}", _noting(original, paths)))
        yield paths


def _noting(original: Callable[..., Any], paths: list[str]) -> Callable[..., Any]:
    def call(*arguments: Any, **named: Any) -> Any:
        given = (*arguments, *named.values())
        found = [value for value in given if isinstance(value, str | os.PathLike)] or [*given]
        paths.extend(map(str, found[:1]))
        return original(*arguments, **named)

    return call
