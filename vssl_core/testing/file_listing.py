"""Another file system: folders list their entries backwards, and files were written in another order."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

__all__ = ["backwards", "rewrite_backwards"]


@contextmanager
def backwards() -> Iterator[None]:
    """In the body `os.listdir` and `os.scandir` list backwards, and with them `glob`, `pathlib`, `os.walk`.

    A function that was imported by name before (`from os import listdir`) is not reached.
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


def rewrite_backwards(folder: Path) -> None:
    """Write the files below a folder anew in the opposite order, with times a second apart."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    newest = max((path.stat().st_mtime for path in files), default=0.0)
    for age, path in enumerate(sorted(files, key=lambda p: (p.stat().st_mtime_ns, p.stat().st_ino))):
        seconds = newest - age - 1.0
        staged = path.with_name(f".{path.name}.rewritten")
        shutil.copy(path, staged)
        os.utime(staged, (seconds, seconds))
        staged.replace(path)
