"""What all tests share: a cache folder of their own, and the real data beside the checkout."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

# Before anything of vssl runs: no test may read or fill the user's cache.
os.environ["VSSL_CACHE"] = tempfile.mkdtemp(prefix="vssl-test-cache-")
if "PYTEST_XDIST_WORKER" in os.environ:  # the cores are shared out between the workers already
    os.environ.setdefault("OMP_NUM_THREADS", "1")

MOST_WORKERS = 8  # each takes about a gigabyte

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"


def pytest_xdist_auto_num_workers() -> int:
    """Workers of `-n auto`."""
    return min(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1, MOST_WORKERS)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real videos and annotations; the test skips where it is missing."""
    if not SHARED.is_dir():
        pytest.skip("the real test data is not beside the checkout")
    return SHARED
