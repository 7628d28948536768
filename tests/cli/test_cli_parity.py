"""`vssl data parity`: who counts what, exit codes, and a machine with one decoder."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from tiny_dataset import drifting, write_video

from vssl_core.cli import main
from vssl_core.parity import Comparison, Seen
from vssl_core.video import decoders
from vssl_core.video.decoder import Look
from vssl_core.video.decoders import installed_decoders

needs_torchcodec = pytest.mark.skipif(
    "torchcodec" not in installed_decoders(), reason="torchcodec is not installed, or finds no FFmpeg"
)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("VSSL_CACHE", str(tmp_path / "cache"))
    (tmp_path / "V").mkdir()
    for place in range(3):
        write_video(tmp_path / "V" / f"{place}.mp4", drifting(seed=place, step=1, num_frames=12))
    return tmp_path / "V"


@needs_torchcodec
def test_equal_files_agree(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "parity", str(folder)]) == 0
    assert "3 videos, pyav and torchcodec: 0 differ" in capsys.readouterr().out
    assert main(["data", "parity", str(folder), "--limit", "2", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert [video["video_id"] for video in document["videos"]] == ["0.mp4", "1.mp4"]
    assert document["videos"][0]["seen"]["torchcodec"]["frames"] == 12
    assert document["decoders"]["torchcodec"]["decoder"] == "torchcodec"


@needs_torchcodec
def test_a_count_that_is_wrong_and_a_file_that_none_reads(
    folder: Path, shared_data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(shared_data / "clips/ucf101/HorseRace/v_HorseRace_g07_c03.avi", folder / "horse.avi")
    (folder / "none.mp4").write_bytes(b"no video")
    assert main(["data", "parity", str(folder), "--frames", "4"]) == 1
    shown = capsys.readouterr().out
    row = next(line for line in shown.splitlines() if line.startswith("horse.avi"))
    assert "frames" in row
    assert "153, 320x240, 0" in row
    assert "154, 320x240, 0" in row
    assert "1 differ (frames 1)" in shown, shown
    assert "1 cannot be read by any decoder" in shown


def test_one_decoder_is_not_enough(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decoders, "_works", lambda name: False)
    assert main(["data", "parity", str(folder)]) == 2
    assert "only pyav can be used here: `pip install" in capsys.readouterr().err


def test_every_kind_of_difference_is_named() -> None:
    look = Look(9, 8, 6, 0, np.arange(9.0))
    other = Look(8, 6, 8, 90, np.arange(8.0))
    seen = {"a": Seen(look), "b": Seen(other, error="x", seconds=0.1, largest=9, mean=3.0)}
    assert Comparison("v", seen).differences(tolerance=2) == (
        "readable", "frames", "size", "rotation", "times", "pixels",
    )  # fmt: skip
    assert Comparison("v", {"a": Seen(look), "b": Seen(look, mean=1.0)}).differences(tolerance=1) == ()
