"""Proving a result: every number of a bundle against what it follows from.

Two ways that do not depend on each other. Digests say whether a file is the one that was written.
Recomputation says whether a number follows from the others: a score from its values per video, those from the
stored predictions and labels, an id from its key, coverage from the ledgers, the rate of a step from the
schedule, the tables of a study from the rows of its cells. So whoever alters a number and its digest is
found, too.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from vssl_core.errors import UsageError
from vssl_core.verification.cell import look_through
from vssl_core.verification.copies import check_copies
from vssl_core.verification.findings import Altered, Book, CellVerified, Unchecked, VerifyResult
from vssl_core.verification.recomputing import Recomputer
from vssl_core.verification.studies import check_studies
from vssl_core.verification.targets import Targets

__all__ = ["Altered", "CellVerified", "Unchecked", "VerifyResult", "verify"]


def verify(path: str | Path, *, evaluators: Sequence[str | type] = ()) -> VerifyResult:
    """Check a cell's folder, or every cell of a run folder; nothing is written.

    Args:
        path: The folder of a cell, or a run folder.
        evaluators: Evaluators that are no installed plugins and whose code may be run to recompute metrics. A
            file that a bundle names is never run by itself.

    Returns:
        What was found. A damaged bundle gives findings, never an exception.

    Raises:
        UsageError: There is no cell at `path`, or an evaluator is named that there is not.
    """
    folder = Path(path)
    recomputer = Recomputer(evaluators)
    cells, in_runs = _cells(folder)
    targets = Targets()
    looked = [look_through(cell, recomputer, targets, in_runs=in_runs) for cell in cells]
    check_copies(looked)
    beside = check_studies(folder, looked) if in_runs else Book()
    return VerifyResult(
        folder, tuple(cell.verified() for cell in looked), tuple(beside.altered), tuple(beside.unchecked)
    )


def _cells(folder: Path) -> tuple[list[Path], bool]:
    """The folders of the cells, and whether they are those of a run folder."""
    if not folder.is_dir():
        raise UsageError(f"there is no folder {str(folder)!r}: name a run folder, or the folder of a cell.")
    if (folder / "cell.json").is_file() or (folder / "pretrain").is_dir():
        return [folder], False
    top = folder / "cells"
    cells = sorted(path for path in top.iterdir() if path.is_dir()) if top.is_dir() else []
    if not cells:
        raise UsageError(
            f"{str(folder)!r} holds no cell: name a run folder, which has a folder `cells`, or the folder of "
            "a cell, which has a `cell.json`."
        )
    return cells, True
