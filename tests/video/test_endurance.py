"""Reading goes on for ever: no file stays open, memory stays flat, and threads, forks and spawns all read."""

from __future__ import annotations

import gc
import hashlib
import multiprocessing
import os
from fractions import Fraction
from pathlib import Path

import numpy as np
import psutil
import pytest
from video_samples import GOP12, frames_with_numbers, write_video

from vssl_core.packing import PackSettings
from vssl_core.packing.encoding import encode
from vssl_core.types import VideoRecord
from vssl_core.video import FrameReader, ordered_map
from vssl_core.video.decoders import installed_decoders

COUNT, CLIPS = 24, 600
DECODERS = [
    "pyav",
    pytest.param(
        "torchcodec",
        marks=pytest.mark.skipif(
            "torchcodec" not in installed_decoders(), reason="torchcodec is not installed, or finds no FFmpeg"
        ),
    ),
]


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> list[VideoRecord]:
    """H.264 in MP4 and in Matroska, MPEG-4 with B frames in AVI, and packed files of all formats."""
    folder = tmp_path_factory.mktemp("endurance")
    paths = [
        write_video(folder / "a.mp4", options=GOP12, count=COUNT, size=(64, 48)),
        write_video(folder / "b.mkv", options=GOP12, count=COUNT, size=(64, 48)),
        write_video(folder / "c.avi", "mpeg4", b_frames=2, gop=12, count=COUNT, size=(64, 48)),
    ]
    for form in ("mpeg4", "jpeg", "raw"):
        settings = PackSettings(format=form)
        paths.append(folder / f"{form}{settings.suffix}")
        pts, base = 512 * np.arange(COUNT), Fraction(1, 12800)
        encode(
            paths[-1], iter(frames_with_numbers(COUNT, 64, 48)), pts=pts, time_base=base, settings=settings
        )
    return [VideoRecord(path.name, str(path)) for path in paths]


def digest(reader: FrameReader, record: VideoRecord, start: int) -> str:
    return hashlib.sha256(reader.read(record, range(start, start + 8)).tobytes()).hexdigest()


@pytest.mark.parametrize("decoder", DECODERS)
def test_many_clips_leave_no_file_open_and_no_memory_behind(decoder: str, records: list[VideoRecord]) -> None:
    reader, process = FrameReader(decoder=decoder), psutil.Process()
    clips = [(records[n % len(records)], n % (COUNT - 8)) for n in range(CLIPS)]

    def read(clip: tuple[VideoRecord, int]) -> None:
        reader.read(clip[0], range(clip[1], clip[1] + 8))

    def used() -> tuple[int, int]:
        gc.collect()
        return len(os.listdir("/proc/self/fd")), process.memory_info().rss  # noqa: PTH208

    for clip in clips[: CLIPS // 3]:
        read(clip)
    files, memory = used()
    for _ in ordered_map(read, clips[CLIPS // 3 :], threads=2, prefetch=4):
        pass
    files_after, memory_after = used()
    assert files_after <= files
    assert memory_after - memory < 24 << 20  # 400 clips hold 28 MiB of frames, their files and contexts more


@pytest.mark.parametrize("start_method", ["fork", "spawn"])
@pytest.mark.parametrize("decoder", DECODERS)
def test_other_processes_read_the_same(start_method: str, decoder: str, records: list[VideoRecord]) -> None:
    reader = FrameReader(decoder=decoder)
    expected = [digest(reader, record, 5) for record in records]
    context = multiprocessing.get_context(start_method)
    with context.Pool(1) as pool:
        came = pool.starmap(digest, [(reader, record, 5) for record in records])
    assert came == expected


def test_errors_leave_no_file_open(tmp_path: Path, records: list[VideoRecord]) -> None:
    broken = tmp_path / "broken.mp4"
    content = Path(records[0].path).read_bytes()
    broken.write_bytes(content[: len(content) // 2])
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    for _ in range(50):
        with pytest.raises(Exception, match="cannot read video"):
            FrameReader().read(VideoRecord("x", str(broken)), [0])
    gc.collect()
    assert len(os.listdir("/proc/self/fd")) <= before  # noqa: PTH208
