"""What a walk has seen so far, line by line beside the index, so that an interrupted one goes on."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

from vssl_core.errors import StoreError
from vssl_plugins.datasets.walk import FoundVideo, Listing, Seen

__all__ = ["WalkJournal", "read_journal"]

JOURNAL_SCHEMA = 1


class WalkJournal:
    """Appends every answer of a walk to a file, as the walk's `Journal`."""

    def __init__(self, path: Path, root: str) -> None:
        try:
            self._file = path.open("a", encoding="ascii")
        except OSError as error:
            raise StoreError(f"cannot write {str(path)!r}: {error.strerror or error}.") from error
        self._write({"journal": {"schema": JOURNAL_SCHEMA, "root": root}})

    def __enter__(self) -> WalkJournal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def listed(self, folder: str, listing: Listing) -> None:
        """A folder was listed."""
        self._write({"folder": folder, "listing": listing})

    def looked(self, videos: Sequence[FoundVideo]) -> None:
        """Some videos were looked at."""
        self._write({"videos": videos})

    def _write(self, row: dict[str, Any]) -> None:
        try:
            self._file.write("\n" + json.dumps(row, separators=(",", ":")) + "\n")
            self._file.flush()
        except OSError as error:
            raise StoreError(f"cannot write {self._file.name!r}: {error.strerror or error}.") from error


def read_journal(path: Path, root: str) -> Seen:
    """What an interrupted walk of `root` had seen; nothing where there was none.

    A line that was cut off by the interruption is passed over.
    """
    seen = Seen()
    try:
        lines = path.read_text(encoding="ascii").split("\n")
    except (OSError, ValueError):
        return seen
    for line in lines:
        with suppress(ValueError, KeyError, TypeError, IndexError, RecursionError):
            row = json.loads(line)
            if not isinstance(row, dict):
                continue
            if "journal" in row and row["journal"] != {"schema": JOURNAL_SCHEMA, "root": root}:
                return Seen()
            if "listing" in row:
                changed_ns, *names = row["listing"]
                seen.listings[row["folder"]] = Listing(int(changed_ns), *map(tuple, names))
            for name, look in row.get("videos", ()):
                seen.looks[name] = None if look is None else (int(look[0]), int(look[1]))
    return seen
