"""The benchmark paper's numbers as data: every cell with its coordinates, its source and how far to trust it.

They are references to stand beside our results, never targets. Where two sources of the paper print
different numbers for one thing, both are here; nothing is averaged. Facts and figures of Kumar, Kumar,
Vineet and Rawat (arXiv 2306.06010, 2504.06153) and their supplements.
"""

from __future__ import annotations

from vssl_core.paper.reading import find, load_paper_tables
from vssl_core.paper.records import SOURCES, TASK_GROUPS, TRUST, Coordinates, PaperCell, PaperTable, Trust

__all__ = [
    "SOURCES",
    "TASK_GROUPS",
    "TRUST",
    "Coordinates",
    "PaperCell",
    "PaperTable",
    "Trust",
    "find",
    "load_paper_tables",
]
