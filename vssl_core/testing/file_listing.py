"""Another file system: folders list their entries backwards, and files were written in another order."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

__all__ = ["backwards", "reverse_times"]


@contextmanager
def backwards() -> Iterator[None]:
    """In the body `os.listdir` and `os.scandir` list backwards, and with them `glob`, `pathlib`, `os.walk`.

    A function that was imported by name (`from os import listdir`) is not reached.
    """
    listdir, scandir = os.listdir, os.scandir

    def listed(path: Any = None) -> list[Any]:
        return listdir(path)[::-1]

    def scanned(path: Any = None) -> _Backwards:
        with scandir(path) as entries:
            return _Backwards(list(entries)[::-1])

    with mock.patch("os.listdir", listed), mock.patch("os.scandir", scanned):
        yield


class _Backwards:
    """Entries of a folder, to be used as `os.scandir` is: an iterator that can be closed."""

    def __init__(self, entries: list[os.DirEntry[Any]]) -> None:
        self._entries = iter(entries)

    def __iter__(self) -> Iterator[os.DirEntry[Any]]:
        return self

    def __next__(self) -> os.DirEntry[Any]:
        return next(self._entries)

    def __enter__(self) -> _Backwards:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Nothing is open any more."""


def reverse_times(folder: Path) -> None:
    """Give the files below a folder modification times in the opposite order, a second apart."""
    files = sorted((path for path in folder.rglob("*") if path.is_file()), key=lambda p: p.stat().st_mtime_ns)
    for age, path in enumerate(files):
        seconds = files[-1].stat().st_mtime - age - 1.0
        os.utime(path, (seconds, seconds))
