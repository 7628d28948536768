"""How wide text may be."""

from __future__ import annotations

import shutil

__all__ = ["columns"]

_ELSEWHERE = 160  # where the output is no terminal


def columns() -> int:
    """Columns of the terminal, or enough for a table where the output is none."""
    return shutil.get_terminal_size((_ELSEWHERE, 0)).columns
