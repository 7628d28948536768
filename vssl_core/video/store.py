"""A folder of files with a limit on their sum, shared by any number of processes and threads.

Files appear whole or not at all (temporary file, fsync, rename) and may be deleted by anybody at any time.
Above the limit the least recently used ones are dropped. A disk that is full or fails ends keeping, with one
warning, and nothing else.

    <root>/entries/ab/abcd….kind    the files
    <root>/partial/                 files being written
    <root>/used                     sum of all sizes; also the lock under which it changes
"""

from __future__ import annotations

import fcntl
import os
import secrets
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from vssl_core.errors import StoreError

__all__ = ["BoundedFolder", "Partial"]

_STALE_SECONDS = 3600.0  # a partial file untouched for so long belongs to a process that died
_AFTER_EVICTION = 0.9  # of the limit: room for the next files without another scan


class BoundedFolder:
    """See the top of the file. `writable` turns False for good when the disk refuses to take more.

    Raises:
        StoreError: The folder cannot be made or written.
    """

    def __init__(self, root: Path, *, max_bytes: int) -> None:
        self._root = root.absolute()
        self._max_bytes = max_bytes
        self.writable = True
        try:
            self._make()
            with tempfile.TemporaryFile(dir=self._root / "partial"):
                pass
        except OSError as error:
            raise StoreError(
                f"expected a folder that can be written for the cache, but {str(root.parent)!r} is none "
                f"({error.strerror or error}); choose another folder or go without a cache."
            ) from error
        self._drop_stale()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "writable": True}

    def open(self, key: bytes, kind: str) -> int | None:
        """A file descriptor for reading, or None. Opening counts as use; the caller closes it."""
        try:
            number = os.open(self._path(key, kind), os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return None
        with suppress(OSError):  # a read-only cache has no order of use
            os.utime(number)
        return number

    def drop(self, key: bytes, kind: str) -> None:
        """Delete a file that turned out to be unusable."""
        with suppress(OSError):
            Path(self._path(key, kind)).unlink()

    @contextmanager
    def partial(self) -> Iterator[Partial]:
        """A file to write; it is gone at the end of the block unless it was published."""
        partial = Partial(self)
        try:
            yield partial
        finally:
            partial.close()

    # The rest is for `Partial`.

    def begin(self) -> tuple[int, Path]:
        """A new file in the folder of partial ones."""
        path = self._root / "partial" / secrets.token_hex(16)
        how = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        try:
            return os.open(path, how, 0o666), path
        except FileNotFoundError:  # somebody deleted the folder
            self._make()
            return os.open(path, how, 0o666), path

    def publish(self, partial: Path, size: int, key: bytes, kind: str) -> None:
        """Give a finished file its name, and drop others where that is over the limit."""
        target = Path(self._path(key, kind))
        with suppress(FileNotFoundError), self._used() as used:
            if not used or used[0] + size > self._max_bytes:
                used[:] = [self._make_room(size)]
            target.parent.mkdir(parents=True, exist_ok=True)
            before = target.stat().st_size if target.exists() else 0
            partial.replace(target)
            used[0] += size - before

    def give_up(self, error: OSError) -> None:
        """Keep no more files. Said once."""
        if self.writable:
            self.writable = False
            warnings.warn(
                f"the cache in {str(self._root.parent)!r} takes no more ({error.strerror or error}); going "
                "on without filling it. Free some space or set a lower limit.",
                RuntimeWarning,
                stacklevel=2,
            )

    def _path(self, key: bytes, kind: str) -> str:
        name = key.hex()
        return f"{self._root}/entries/{name[:2]}/{name}.{kind}"

    def _make(self) -> None:
        (self._root / "entries").mkdir(parents=True, exist_ok=True)
        (self._root / "partial").mkdir(exist_ok=True)

    @contextmanager
    def _used(self) -> Iterator[list[int]]:
        """The recorded sum of sizes as a list of one number, empty where none is recorded; under the lock."""
        with (self._root / "used").open("a+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            file.seek(0)
            text = file.read().strip()
            used = [int(text)] if text.isdigit() else []
            yield used
            file.truncate(0)
            file.write(str(used[0]).encode())

    def _make_room(self, size: int) -> int:
        """Where `size` more bytes are too many, drop files, the least recently used first; the sum kept."""
        self._drop_stale()
        found = []
        for path in (self._root / "entries").glob("*/*"):
            with suppress(OSError):
                status = path.stat()
                found.append((status.st_mtime_ns, status.st_size, path))
        total = sum(file_size for _, file_size, _ in found)
        if total + size <= self._max_bytes:
            return total
        for _, file_size, path in sorted(found):
            if total + size <= self._max_bytes * _AFTER_EVICTION:
                break
            path.unlink(missing_ok=True)
            total -= file_size
        return total

    def _drop_stale(self) -> None:
        deadline = time.time() - _STALE_SECONDS
        for path in (self._root / "partial").glob("*"):
            with suppress(OSError):
                if path.stat().st_mtime < deadline:
                    path.unlink()


class Partial:
    """A file being written by one thread. Errors of the disk end the keeping, not the caller."""

    def __init__(self, folder: BoundedFolder) -> None:
        self._folder = folder
        self._number = -1
        self._size = 0
        self._path = Path()
        if folder.writable:
            try:
                self._number, self._path = folder.begin()
            except OSError as error:
                folder.give_up(error)

    def write(self, data: memoryview | bytes, offset: int) -> None:
        """Write bytes at an offset."""
        if self._number < 0:
            return
        view = memoryview(data).cast("B")
        self._size = max(self._size, offset + len(view))
        try:
            while view:
                written = os.pwrite(self._number, view, offset)
                view, offset = view[written:], offset + written
        except OSError as error:
            self._folder.give_up(error)
            self.close()

    def publish(self, key: bytes, kind: str) -> None:
        """All is written: make the file appear under its name."""
        if self._number < 0:
            return
        try:
            os.fsync(self._number)
            self._folder.publish(self._path, self._size, key, kind)
        except OSError as error:
            self._folder.give_up(error)
        finally:
            self.close()

    def close(self) -> None:
        """Throw away what was not published."""
        if self._number >= 0:
            os.close(self._number)
            self._number = -1
            with suppress(OSError):
                self._path.unlink()
