"""A bench that takes seconds, for the tests of this folder."""

from __future__ import annotations

import sys
from pathlib import Path

TINY = f"{Path(__file__).resolve().parents[1] / 'tiny_dataset.py'}:Tiny"


def arguments(task: str, runs: Path, *more: str) -> list[str]:
    """`vssl bench` on the tiny dataset, one seed, retrieval alone, no controls."""
    words = ["bench", "--task", task, "--protocol", "smoke", "--runs", str(runs), "--no-controls"]
    return [*words, "--pretrain", TINY, "--target", TINY, "--eval", "retrieval", *more]


def command(task: str, runs: Path, *more: str) -> list[str]:
    """The same as a command line."""
    return [sys.executable, "-m", "vssl_core.cli", *arguments(task, runs, *more)]
