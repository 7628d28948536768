"""What the tests of video share."""

from __future__ import annotations

from pathlib import Path

import pytest
from video_samples import GOP12, write_video


@pytest.fixture(scope="session")
def gop12(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """80 frames of 128 x 96 in GOPs of 12 with B frames; frame i carries the number i."""
    return write_video(tmp_path_factory.mktemp("gop12") / "a.mp4", options=GOP12)
