"""What `FrameReader` promises beside exactness: clips in one pass, spans, sizes, no leaks."""

from __future__ import annotations

import json
import pickle
import resource
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
from video_samples import GOP12, VARIABLE_MS, X264, number_of, write_video

from vssl_core.errors import ContractError, OptionError, VideoError
from vssl_core.types import VideoInfo, VideoRecord
from vssl_core.video import FrameCache, FrameReader, pyav_decoder
from vssl_core.video.pixels import shown_size, write_rgb
from vssl_core.video.scan import scan
from vssl_core.video.table import FrameTable


@pytest.fixture
def record(gop12: Path) -> VideoRecord:
    return VideoRecord("v", str(gop12))


def test_info(record: VideoRecord) -> None:
    assert FrameReader().info(record) == VideoInfo(80, Fraction(25), 128, 96, "h264", 0, "pts")


def test_indices_may_repeat_and_stand_in_any_order(record: VideoRecord) -> None:
    frames = FrameReader().read(record, [70, 3, 3, 41, 70])
    assert (frames.shape, frames.dtype) == ((5, 96, 128, 3), np.uint8)
    assert [number_of(frame) for frame in frames] == [70, 3, 3, 41, 70]


def test_no_indices(record: VideoRecord) -> None:
    assert FrameReader().read(record, []).shape == (0, 96, 128, 3)


@pytest.mark.parametrize("index", [[80], [-1], [0, 1000], [0.5], [[0, 1]]])
def test_indices_that_do_not_exist_are_the_callers_fault(index: list, record: VideoRecord) -> None:
    with pytest.raises(ContractError, match="expected the frames of clip 'clip'"):
        FrameReader().read(record, index)


@pytest.mark.parametrize("cached", [False, True])
def test_clips_share_one_pass_and_each_frame_is_converted_once(
    cached: bool, record: VideoRecord, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written, passes = [], []
    write, some, everything = pyav_decoder.write_rgb, pyav_decoder.decode_some, pyav_decoder.decode_all
    monkeypatch.setattr(pyav_decoder, "write_rgb", lambda *a: (written.append(1), write(*a)))
    monkeypatch.setattr(pyav_decoder, "decode_some", lambda *a: (passes.append("some"), some(*a)))
    monkeypatch.setattr(pyav_decoder, "decode_all", lambda *a: (passes.append("all"), everything(*a)))
    reader = FrameReader(cache=FrameCache(tmp_path, max_bytes=1 << 30) if cached else None)
    clips = reader.read_clips(
        record, {"a": np.arange(10, 26), "b": np.arange(18, 50, 2), "c": np.array([79])}
    )
    assert {name: [number_of(frame) for frame in clip] for name, clip in clips.items()} == {
        "a": list(range(10, 26)),
        "b": list(range(18, 50, 2)),
        "c": [79],
    }
    union = {*range(10, 26), *range(18, 50, 2), 79}
    assert len(written) == (80 if cached else len(union))
    assert passes == ["all" if cached else "some"]


def test_span_sees_only_its_frames(record: VideoRecord) -> None:
    reader = FrameReader()
    part = VideoRecord("part", record.path, span_seconds=(0.4, 1.2))
    assert reader.info(part).num_frames == 20
    assert [number_of(frame) for frame in reader.read(part, [0, 19])] == [10, 29]
    with pytest.raises(ContractError):
        reader.read(part, [20])


def test_span_of_variable_rate_follows_the_time_stamps(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mkv", options=GOP12, times_ms=VARIABLE_MS)
    times = (VARIABLE_MS[:80] - VARIABLE_MS[0]) / 1000
    expected = np.flatnonzero((times >= 1.0) & (times < 2.5))
    part = VideoRecord("part", str(path), span_seconds=(1.0, 2.5))
    frames = FrameReader().read(part, range(FrameReader().info(part).num_frames))
    assert [number_of(frame) for frame in frames] == expected.tolist()


def test_spans_meet_without_overlap(record: VideoRecord) -> None:
    reader = FrameReader()
    edges = [0, 0.4, 1.0, 1.04, 3.2]
    counts = [
        reader.info(VideoRecord("p", record.path, span_seconds=span)).num_frames for span in pairwise(edges)
    ]
    assert counts == [10, 15, 1, 54]


def test_span_outside_the_video(record: VideoRecord) -> None:
    with pytest.raises(VideoError, match="there are none"):
        FrameReader().info(VideoRecord("p", record.path, span_seconds=(3.2, 9)))


@pytest.mark.parametrize(
    ("size", "short_side", "expected"),
    [
        ((320, 240), 128, (171, 128)),
        ((240, 320), 128, (128, 171)),
        ((340, 256), 128, (170, 128)),
        ((100, 100), 128, (100, 100)),
        ((1920, 1080), 128, (228, 128)),
        ((320, 240), None, (320, 240)),
    ],
)
def test_short_side(size: tuple[int, int], short_side: int | None, expected: tuple[int, int]) -> None:
    assert shown_size(*size, short_side) == expected


def test_resizing_averages_and_does_not_drop_pixels() -> None:
    """Noise made eight times smaller is nearly flat; interpolating between single pixels keeps it."""
    noise = np.random.default_rng(0).integers(0, 256, (288, 384, 1), dtype=np.uint8).repeat(3, axis=2)
    frame = av.VideoFrame.from_ndarray(noise, format="rgb24").reformat(format="yuv420p")
    small = np.empty((36, 48, 3), np.uint8)
    write_rgb(frame, 0, small)
    assert abs(small.mean() - noise.mean()) < 2
    assert small.std() < 0.15 * noise.std()


def test_cached_and_direct_frames_are_equal(record: VideoRecord, tmp_path: Path) -> None:
    for short_side in (None, 50):
        direct = FrameReader(short_side=short_side)
        cached = FrameReader(short_side=short_side, cache=FrameCache(tmp_path, max_bytes=1 << 30))
        index = [5, 5, 61, 0, 79, 30]
        expected = direct.read(record, index)
        assert np.array_equal(cached.read(record, index), expected)  # fills
        assert np.array_equal(cached.read(record, index), expected)  # reads


def test_decode_parameters_are_json_and_name_what_decides() -> None:
    parameters = FrameReader(short_side=128).decode_parameters
    assert json.loads(json.dumps(parameters)) == parameters
    assert parameters["decoder"] == "pyav"
    assert parameters["short_side"] == 128
    assert parameters != FrameReader().decode_parameters


def test_bad_short_side() -> None:
    with pytest.raises(OptionError, match="at least 1 pixel"):
        FrameReader(short_side=0)


def test_threads_share_a_reader(record: VideoRecord) -> None:
    reader = FrameReader()
    rng = np.random.default_rng(0)
    jobs = [rng.integers(0, 80, 4).tolist() for _ in range(60)]
    with ThreadPoolExecutor(4) as pool:
        for job, frames in zip(jobs, pool.map(lambda job: reader.read(record, job), jobs), strict=True):
            assert [number_of(frame) for frame in frames] == job


def test_pickled_reader_reads_the_same(record: VideoRecord, tmp_path: Path) -> None:
    reader = FrameReader(short_side=64, cache=FrameCache(tmp_path, max_bytes=1 << 30))
    expected = reader.read(record, [3, 40])
    copy = pickle.loads(pickle.dumps(reader))
    assert np.array_equal(copy.read(record, [3, 40]), expected)
    assert copy.decode_parameters == reader.decode_parameters


def test_a_thousand_reads_leave_nothing_behind(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", options=X264, count=12, size=(64, 48))
    reader, record = FrameReader(short_side=32), VideoRecord("v", str(path))

    def read(times: int) -> tuple[int, int]:
        for index in range(times):
            reader.read(record, [index % 12])
        return len(list(Path("/proc/self/fd").iterdir())), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    files, kib = read(100)
    files_after, kib_after = read(1000)
    assert files_after == files
    assert kib_after - kib < 20_000


@pytest.mark.parametrize("name", ["pts", "emission"])
def test_table_survives_json(name: str, gop12: Path, tmp_path: Path) -> None:
    path = gop12
    if name == "emission":
        path = write_video(tmp_path / "a.avi", "mpeg4", b_frames=2, gop=12)
    table = scan(str(path))
    copy = FrameTable.from_json(json.loads(json.dumps(table.to_json())))
    assert np.array_equal(copy.pts, table.pts)
    assert copy.to_json() == table.to_json()
    assert table.rule == name


def test_importing_video_imports_no_torch() -> None:
    code = "import sys, vssl_core.video; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
