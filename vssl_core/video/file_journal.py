"""What was found out about files at some cost, kept so that it is found out once.

One journal for each folder of videos, a line for each file: what is known of it, and of which size, time
and decoder that is true. Lines are added as they come, by any number of processes at once, and never
changed; the last one of a file counts. So an interrupted job goes on where it was, datasets that share
files share what is known of them, and a file that has changed is a file of which nothing is known.

    {"journal": {"schema": 1, "folder": …}}
    {"file": name, "bytes": …, "changed_ns": …, "by": …, "found": {…}}
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from vssl_core.errors import StoreError
from vssl_core.video.source import Stamp

__all__ = ["FileJournal"]

SCHEMA = 1

_Known = dict[str, tuple[int, int, dict[str, Any]]]
"""Name → size and time that it is true for, and what was found."""


class FileJournal:
    """Journals of one kind of finding.

    Args:
        folder: Where they lie; made on demand, and may be deleted at any time.
        by: What else decides about the findings: the decoder's version, a method's. Lines by another
            are passed over.
    """

    def __init__(self, folder: Path, *, by: str) -> None:
        self.folder = folder
        self._by = by
        self._known: dict[str, _Known] = {}

    def found(self, file: Stamp) -> dict[str, Any] | None:
        """What is known of the file as it is now; None where nothing is."""
        folder, _, name = file.path.rpartition("/")
        if folder not in self._known:
            self._known[folder] = dict(self._read(folder))
        size, changed_ns, found = self._known[folder].get(name, (-1, -1, {}))
        return found if (size, changed_ns) == (file.size, file.mtime_ns) else None

    def note(self, file: Stamp, found: dict[str, Any]) -> None:
        """Write down what was found of a file.

        Raises:
            StoreError: The journal cannot be written.
        """
        folder, _, name = file.path.rpartition("/")
        row = {"file": name, "bytes": file.size, "changed_ns": file.mtime_ns, "by": self._by, "found": found}
        path = self._path(folder)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with path.open("ab", buffering=0) as journal:
                fcntl.flock(journal, fcntl.LOCK_EX)
                # The line break before it ends a line that a killed process left unfinished.
                head = b"" if os.fstat(journal.fileno()).st_size else _line({"journal": _about(folder)})
                journal.write(head + b"\n" + _line(row))
        except OSError as error:
            raise StoreError(
                f"cannot write {str(path)!r}: {error.strerror or error}. Free some space, or set VSSL_CACHE "
                "to a folder that you can write; what is done already is not lost."
            ) from error
        self._known.setdefault(folder, {})[name] = (file.size, file.mtime_ns, found)

    def reread(self) -> None:
        """Forget what was read, so that what other processes have written since is seen."""
        self._known.clear()

    def _path(self, folder: str) -> Path:
        digest = hashlib.sha256(folder.encode(errors="surrogatepass")).hexdigest()
        return self.folder / f"{digest[:24]}.jsonl"

    def _read(self, folder: str) -> Iterator[tuple[str, tuple[int, int, dict[str, Any]]]]:
        """Every line that can be understood; what is cut off or strange is passed over."""
        try:
            lines = self._path(folder).read_bytes().split(b"\n")
        except OSError:
            return
        for line in lines:
            with suppress(ValueError, KeyError, TypeError, AttributeError, RecursionError):
                row = json.loads(line)
                if "journal" in row and row["journal"] != _about(folder):
                    return
                if row.get("by") == self._by and isinstance(row["found"], dict):
                    yield str(row["file"]), (int(row["bytes"]), int(row["changed_ns"]), row["found"])


def _about(folder: str) -> dict[str, Any]:
    return {"schema": SCHEMA, "folder": folder}


def _line(row: dict[str, Any]) -> bytes:
    return json.dumps(row, separators=(",", ":")).encode() + b"\n"
