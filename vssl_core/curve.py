"""The learning curve of a run: one JSON object per line, one writer, appended step by step."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from vssl_core.errors import StoreError
from vssl_core.files import write_bytes

__all__ = ["Curve", "read_curve"]


class Curve:
    """Appends rows to a file and can cut it back to an earlier step."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def append(self, row: Mapping[str, Any]) -> None:
        """Add one row.

        Raises:
            StoreError: The disk is full or not writable.
        """
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")
        except OSError as error:
            raise StoreError(
                f"cannot write {str(self._path)!r}: {error.strerror or error}. "
                "Free some space and run the same command again: it goes on from its last checkpoint."
            ) from error

    def truncate(self, step: int) -> None:
        """Keep the rows up to and including this step."""
        if self._path.exists():
            rows = [row for row in read_curve(self._path) if row.get("step", 0) <= step]
            write_bytes(self._path, "".join(json.dumps(row) + "\n" for row in rows).encode())


def read_curve(path: Path) -> list[dict[str, Any]]:
    """All whole rows; a torn last line is dropped, a missing file has none."""
    rows = []
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
    for line in lines:
        with suppress(ValueError):
            row = json.loads(line)
            if isinstance(row, dict):
                rows.append(row)
    return rows
