"""What all tests share: a temporary folder with a cache in it, and the real data beside the checkout."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from pathlib import Path

import pytest

# Before anything of vssl runs: no test may read or fill the user's cache. Workers inherit all of it: the
# embedded videos are rendered once, and what a killed process leaves behind goes when the suite ends.
OWN: Path | None = None
if "PYTEST_XDIST_WORKER" in os.environ:  # the cores are shared out between the workers already
    os.environ.setdefault("OMP_NUM_THREADS", "1")
else:
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", tempfile.gettempdir())  # `tmp_path` of what failed stays
    OWN = Path(tempfile.mkdtemp(prefix="vssl-tests-"))
    os.environ["TMPDIR"] = tempfile.tempdir = str(OWN)
    os.environ["VSSL_CACHE"] = str(OWN / "cache")

# A suite that was started in the background ignores Ctrl-C, and so would all that a test interrupts.
signal.signal(signal.SIGINT, signal.default_int_handler)

MOST_WORKERS = 8  # each takes about a gigabyte

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"


def pytest_xdist_auto_num_workers() -> int:
    """Workers of `-n auto`."""
    return min(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1, MOST_WORKERS)


def pytest_unconfigure() -> None:
    """Remove the temporary folder, once, where it was made."""
    if OWN is not None:
        shutil.rmtree(OWN, ignore_errors=True)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real videos and annotations; the test skips where it is missing."""
    if not SHARED.is_dir():
        pytest.skip("the real test data is not beside the checkout")
    return SHARED
