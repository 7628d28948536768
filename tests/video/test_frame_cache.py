"""The cache is right, bounded and droppable, whatever else happens to its folder."""

from __future__ import annotations

import errno
import multiprocessing
import os
import pickle
import shutil
import subprocess
import sys
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from video_samples import X264, number_of, write_video

import vssl_core.video.reader as reader_module
from vssl_core.errors import OptionError, StoreError
from vssl_core.types import VideoRecord
from vssl_core.video import FrameCache, FrameReader, pyav_decoder

FRAME = 48 * 64 * 3
GIB = 1 << 30


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> list[VideoRecord]:
    """Videos of 20, 21, … frames of 64 x 48."""
    folder = tmp_path_factory.mktemp("videos")
    paths = [write_video(folder / f"{n}.mp4", options=X264, count=20 + n, size=(64, 48)) for n in range(5)]
    return [VideoRecord(path.stem, str(path)) for path in paths]


def entries(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.frames"))


def numbers(reader: FrameReader, record: VideoRecord, index: list[int]) -> list[int]:
    return [number_of(frame) for frame in reader.read(record, index)]


class Counting:
    """Counts how often a whole video is decoded."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        self._decode = pyav_decoder.decode_all
        monkeypatch.setattr(pyav_decoder, "decode_all", self)

    def __call__(self, *arguments: object) -> None:
        self.count += 1
        self._decode(*arguments)  # type: ignore[arg-type]


@pytest.fixture
def decodes(monkeypatch: pytest.MonkeyPatch) -> Counting:
    return Counting(monkeypatch)


def test_second_read_decodes_nothing_and_does_not_open_the_video(
    videos: list[VideoRecord], tmp_path: Path, decodes: Counting, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = FrameReader(cache=FrameCache(tmp_path, max_bytes=GIB))
    assert numbers(reader, videos[0], [19, 0, 7, 8, 9]) == [19, 0, 7, 8, 9]
    monkeypatch.setattr(reader_module, "scan", None)
    again = FrameReader(cache=FrameCache(tmp_path, max_bytes=GIB))
    assert numbers(again, videos[0], [3, 3, 18]) == [3, 3, 18]
    assert numbers(reader, videos[0], [11]) == [11]
    assert decodes.count == 1


def test_entries_belong_to_the_content_not_to_the_name(
    videos: list[VideoRecord], tmp_path: Path, decodes: Counting
) -> None:
    reader = FrameReader(cache=FrameCache(tmp_path / "cache", max_bytes=GIB))
    reader.read(videos[0], [0])
    shutil.copy(videos[0].path, tmp_path / "copy.mp4")
    assert numbers(reader, VideoRecord("copy", str(tmp_path / "copy.mp4")), [13]) == [13]
    assert decodes.count == 1


def test_other_decode_parameters_are_other_entries(videos: list[VideoRecord], tmp_path: Path) -> None:
    cache = FrameCache(tmp_path, max_bytes=GIB)
    assert FrameReader(cache=cache).read(videos[0], [0]).shape == (1, 48, 64, 3)
    assert FrameReader(cache=cache, short_side=24).read(videos[0], [0]).shape == (1, 24, 32, 3)
    assert len(entries(tmp_path)) == 2


def test_a_span_uses_the_entry_of_its_file(
    videos: list[VideoRecord], tmp_path: Path, decodes: Counting
) -> None:
    reader = FrameReader(cache=FrameCache(tmp_path, max_bytes=GIB))
    for start in (0.0, 0.2, 0.4):
        part = VideoRecord("p", videos[0].path, span_seconds=(start, start + 0.2))
        assert numbers(reader, part, [0, 4]) == [round(start * 25), round(start * 25) + 4]
    assert decodes.count == 1


def shorten(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 1)


def lengthen(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"x")


def other_version(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(8)
        file.write((99).to_bytes(4, "little"))


def other_shape(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(16)
        file.write((64).to_bytes(4, "little") + (48).to_bytes(4, "little"))


@pytest.mark.parametrize("spoil", [shorten, lengthen, other_version, other_shape, Path.unlink])
def test_spoilt_entry_is_a_miss_and_is_made_again(
    spoil: object, videos: list[VideoRecord], tmp_path: Path, decodes: Counting
) -> None:
    reader = FrameReader(cache=FrameCache(tmp_path, max_bytes=GIB))
    reader.read(videos[0], [0])
    spoil(entries(tmp_path)[0])  # type: ignore[operator]
    assert numbers(reader, videos[0], [17]) == [17]
    assert decodes.count == 2
    assert numbers(reader, videos[0], [18]) == [18]
    assert decodes.count == 2


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b'{"valid_for": 3}', b"\xff\xfe"])
def test_spoilt_note_is_a_miss(content: bytes, videos: list[VideoRecord], tmp_path: Path) -> None:
    FrameReader(cache=FrameCache(tmp_path, max_bytes=GIB)).read(videos[0], [0])
    (note,) = tmp_path.rglob("*.json")
    note.write_bytes(content)
    assert numbers(FrameReader(cache=FrameCache(tmp_path, max_bytes=GIB)), videos[0], [9]) == [9]


def test_folder_may_vanish_during_a_run(videos: list[VideoRecord], tmp_path: Path, decodes: Counting) -> None:
    reader = FrameReader(cache=FrameCache(tmp_path / "cache", max_bytes=GIB))
    reader.read(videos[0], [0])
    shutil.rmtree(tmp_path / "cache")
    assert numbers(reader, videos[0], [5]) == [5]
    assert numbers(reader, videos[0], [6]) == [6]
    assert decodes.count == 2


def test_folder_may_vanish_while_an_entry_is_written(tmp_path: Path) -> None:
    cache = FrameCache(tmp_path / "cache", max_bytes=GIB)
    with cache.writing(b"k" * 32, (1, 48, 64, 3)) as entry:
        entry.write(0, np.zeros((48, 64, 3), np.uint8))
        shutil.rmtree(tmp_path / "cache")
        entry.finish()
    assert entries(tmp_path) == []


def test_least_recently_used_entries_are_dropped(videos: list[VideoRecord], tmp_path: Path) -> None:
    limit = FRAME * 70  # three of the videos
    reader = FrameReader(cache=FrameCache(tmp_path, max_bytes=limit))
    kept = {}
    for place in (0, 1, 2):
        before = set(entries(tmp_path))
        reader.read(videos[place], [0])
        (kept[place],) = set(entries(tmp_path)) - before
        time.sleep(0.01)
    reader.read(videos[0], [1])  # used again: now 1 is the oldest
    reader.read(videos[3], [0])
    assert kept[0].exists()
    assert not kept[1].exists()
    assert sum(path.stat().st_size for path in (tmp_path / "v1" / "entries").rglob("*.*")) <= limit


def test_limit_holds_for_several_processes(videos: list[VideoRecord], tmp_path: Path) -> None:
    limit = FRAME * 60
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        results = pool.map(_read_in_process, [(tmp_path, limit, video) for video in videos * 2], chunksize=1)
    assert results == [True] * 10
    assert 0 < sum(path.stat().st_size for path in (tmp_path / "v1" / "entries").rglob("*.*")) <= limit
    assert list((tmp_path / "v1" / "partial").iterdir()) == []


def _read_in_process(job: tuple[Path, int, VideoRecord]) -> bool:
    folder, limit, record = job
    reader = FrameReader(cache=FrameCache(folder, max_bytes=limit))
    return all(numbers(reader, record, [k, 19 - k]) == [k, 19 - k] for k in range(10))


def test_two_threads_fill_the_same_entry(videos: list[VideoRecord], tmp_path: Path) -> None:
    reader = FrameReader(cache=FrameCache(tmp_path, max_bytes=GIB))
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda k: numbers(reader, videos[0], [k]), range(20)))
    assert found == [[k] for k in range(20)]
    assert len(entries(tmp_path)) == 1


def test_too_large_video_is_not_cached(videos: list[VideoRecord], tmp_path: Path) -> None:
    reader = FrameReader(cache=FrameCache(tmp_path, max_bytes=FRAME * 30))
    assert numbers(reader, videos[0], [4]) == [4]
    assert entries(tmp_path) == []


def test_full_disk_ends_caching_with_one_warning_and_not_the_run(
    videos: list[VideoRecord], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = FrameReader(cache=FrameCache(tmp_path, max_bytes=GIB))
    write, left = os.pwrite, [FRAME * 30]

    def pwrite(number: int, data: memoryview, offset: int) -> int:
        left[0] -= len(data)
        if left[0] < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(number, data, offset)

    monkeypatch.setattr(os, "pwrite", pwrite)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for record in videos:
            assert numbers(reader, record, [0, 19]) == [0, 19]
    assert len(entries(tmp_path)) == 1
    assert ["No space left" in str(warning.message) for warning in caught] == [True]
    assert list((tmp_path / "v1" / "partial").iterdir()) == []


def test_write_limit_of_the_system_ends_caching_too(videos: list[VideoRecord], tmp_path: Path) -> None:
    """The same by a real refusal of the kernel."""
    code = f"""
import resource, sys, warnings
from pathlib import Path
from vssl_core.types import VideoRecord
from vssl_core.video import FrameCache, FrameReader
resource.setrlimit(resource.RLIMIT_FSIZE, ({FRAME * 10}, {FRAME * 10}))
reader = FrameReader(cache=FrameCache(Path({str(tmp_path)!r}), max_bytes=1 << 30))
warnings.simplefilter("error")
try:
    reader.read(VideoRecord("v", {videos[0].path!r}), [3])
except RuntimeWarning as warning:
    assert "takes no more" in str(warning)
    assert reader.read(VideoRecord("v", {videos[0].path!r}), [3]).shape == (1, 48, 64, 3)
else:
    sys.exit("no warning")
"""
    subprocess.run([sys.executable, "-c", code], check=True)
    assert entries(tmp_path) == []


@pytest.mark.parametrize("make", ["a file", "under a file", "in /proc"])
def test_folder_that_cannot_be_written_is_refused_at_once(make: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    folder = {
        "a file": tmp_path / "file",
        "under a file": tmp_path / "file" / "x",
        "in /proc": Path("/proc/x"),
    }[make]
    with pytest.raises(StoreError, match="choose another folder") as caught:
        FrameCache(folder, max_bytes=GIB)
    assert str(folder) in str(caught.value)


def test_size_must_be_positive(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="positive"):
        FrameCache(tmp_path, max_bytes=0)


def test_old_partial_files_are_dropped_and_young_ones_kept(tmp_path: Path) -> None:
    FrameCache(tmp_path, max_bytes=GIB)
    old, young = (tmp_path / "v1" / "partial" / name for name in ("old", "young"))
    for path in (old, young):
        path.write_bytes(b"x")
    os.utime(old, (time.time() - 3700,) * 2)
    FrameCache(tmp_path, max_bytes=GIB)
    assert (old.exists(), young.exists()) == (False, True)


def test_unfinished_entry_never_appears(tmp_path: Path) -> None:
    cache = FrameCache(tmp_path, max_bytes=GIB)
    shape = (3, 48, 64, 3)
    with cache.writing(b"k" * 32, shape) as entry:
        entry.write(0, np.zeros(shape[1:], np.uint8))
        entry.finish()  # two frames are missing
    assert entries(tmp_path) == []
    assert list((tmp_path / "v1" / "partial").iterdir()) == []


def test_killed_writer_leaves_nothing_that_is_trusted(videos: list[VideoRecord], tmp_path: Path) -> None:
    code = f"""
import os, signal
from pathlib import Path
import vssl_core.video.store as store
from vssl_core.types import VideoRecord
from vssl_core.video import FrameCache, FrameReader
reader = FrameReader(cache=FrameCache(Path({str(tmp_path)!r}), max_bytes=1 << 30))
reader.info(VideoRecord("v", {videos[0].path!r}))
store.os.fsync = lambda number: os.kill(os.getpid(), signal.SIGKILL)
reader.read(VideoRecord("v", {videos[0].path!r}), [3])
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -9
    assert entries(tmp_path) == []
    assert numbers(FrameReader(cache=FrameCache(tmp_path, max_bytes=GIB)), videos[0], [5]) == [5]
    assert len(entries(tmp_path)) == 1


def test_pickled_cache_shares_the_folder(
    videos: list[VideoRecord], tmp_path: Path, decodes: Counting
) -> None:
    cache = FrameCache(tmp_path, max_bytes=GIB)
    FrameReader(cache=cache).read(videos[0], [0])
    copy = pickle.loads(pickle.dumps(cache))
    assert numbers(FrameReader(cache=copy), videos[0], [2]) == [2]
    assert decodes.count == 1


def test_reading_keeps_no_file_open(videos: list[VideoRecord], tmp_path: Path) -> None:
    reader = FrameReader(cache=FrameCache(tmp_path, max_bytes=GIB))
    reader.read(videos[0], [0])
    before = len(list(Path("/proc/self/fd").iterdir()))
    for k in range(200):
        reader.read(videos[0], [k % 20])
    assert len(list(Path("/proc/self/fd").iterdir())) == before
