"""One run folder for the whole folder of tests; every test alters a copy of a bundle."""

from __future__ import annotations

from pathlib import Path

import pytest
from verification.altering import bench, copied, evaluation, one


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder with VCOP and its controls; retrieval is evaluated by a second command."""
    runs = tmp_path_factory.mktemp("verify") / "runs"
    bench(runs, "--eval", "linear", "--no-controls")
    bench(runs, "--eval", "linear", "--eval", "retrieval")
    return runs


@pytest.fixture
def cell(finished: Path, tmp_path: Path) -> Path:
    """A copy of VCOP's bundle."""
    return copied(one(finished, "vcop"), tmp_path)


@pytest.fixture
def linear(cell: Path) -> Path:
    """Its linear evaluation."""
    return evaluation(cell, "linear")


@pytest.fixture(scope="session")
def looked_at(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder of one cell: its test videos made worse, controls of time, and its layers compared."""
    runs = tmp_path_factory.mktemp("looked_at") / "runs"
    words = ["--eval", "noise", "--eval", "controls", "--eval", "cka", "--no-controls"]
    words += ["-o", "eval/noise.classifier=linear", "-o", "eval/controls.classifier=linear"]
    words += ["-o", 'eval/noise.corruptions=["gaussian", "reverse"]', "-o", "eval/noise.severities=[1, 3]"]
    bench(runs, *words, "-o", "eval/cka.hooks=block")
    return runs


@pytest.fixture(scope="session")
def seeds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder of VCOP and its controls under three seeds."""
    runs = tmp_path_factory.mktemp("seeds") / "runs"
    bench(runs, "--eval", "linear", "--eval", "retrieval", "--seeds", "0,1,2")
    return runs
