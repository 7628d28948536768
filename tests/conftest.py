"""What all tests share: a cache folder of their own, and the real data beside the checkout."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

# Before anything of vssl runs: no test may read or fill the user's cache.
os.environ["VSSL_CACHE"] = tempfile.mkdtemp(prefix="vssl-test-cache-")

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real videos and annotations; the test skips where it is missing."""
    if not SHARED.is_dir():
        pytest.skip("the real test data is not beside the checkout")
    return SHARED
