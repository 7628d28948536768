"""The frame that is asked for is the frame that comes, whatever the file is like."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pytest
from video_samples import (
    GENERATED,
    GOP12,
    SHARED,
    VARIABLE_MS,
    X264,
    cut_by_copy,
    generate,
    number_of,
    plain_decode,
    write_video,
)

import vssl_core.video.decode as decode_module
from vssl_core.errors import VideoError
from vssl_core.types import VideoRecord
from vssl_core.video import FrameReader
from vssl_core.video.decode import decode_some
from vssl_core.video.direct import DirectPackets
from vssl_core.video.scan import scan

SUFFIXES = (".avi", ".mp4", ".mkv", ".webm", ".mov")
REAL = sorted(path for path in (SHARED / "clips").rglob("*") if path.suffix in SUFFIXES)
REAL = [path for path in REAL if path.name != "corrupted.mp4"]
REAL += (
    sorted((SHARED / "weizmann").rglob("*.avi"))[::30] + sorted((SHARED / "ucf101-6").rglob("*.mp4"))[::250]
)


def selections(count: int) -> list[list[int]]:
    """Clips at several strides, scattered frames, single frames, the ends."""
    rng = random.Random(count)
    clips = [[0], [count - 1], [count - 1, 0, count // 2, 0]]
    for stride in (1, 2, 4):
        start = rng.randrange(count)
        clips.append([min(start + stride * step, count - 1) for step in range(16)])
    clips += [rng.sample(range(count), min(5, count)) for _ in range(3)]
    clips += [[rng.randrange(count)] for _ in range(4)]
    return clips


def _never(*_: object) -> None:
    raise AssertionError("decoded from the beginning")


def assert_exact(path: Path, reader: FrameReader) -> None:
    record = VideoRecord("video", str(path))
    info = reader.info(record)
    reference = plain_decode(path, by_pts=info.rule == "pts")
    if info.rotation:
        reference = [np.rot90(frame, -info.rotation // 90) for frame in reference]
    assert info.num_frames == len(reference)
    assert (info.height, info.width) == reference[0].shape[:2]
    for indices in selections(info.num_frames):
        frames = reader.read(record, indices)
        wrong = [i for i, f in zip(indices, frames, strict=True) if not np.array_equal(f, reference[i])]
        assert wrong == [], f"asked for {indices}"


@pytest.mark.parametrize("kind", GENERATED)
def test_generated_files_bit_for_bit(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And without decoding from the beginning, except where key frames are none or are hard to seek."""
    if "intra refresh" not in kind and "program stream" not in kind:
        monkeypatch.setattr(decode_module, "_plain", _never)
    path = generate(kind, tmp_path)
    _, arguments, rule = GENERATED[kind]
    reader = FrameReader()
    assert_exact(path, reader)
    info = reader.info(VideoRecord("video", str(path)))
    assert info.rule == rule
    assert info.num_frames == arguments.get("count", 80)
    numbers = [number_of(frame) for frame in reader.read(VideoRecord("v", str(path)), range(info.num_frames))]
    assert numbers == list(range(info.num_frames))


@pytest.mark.parametrize("quality", ["1", "3", "8"])
def test_packets_read_from_the_file_end_in_zeros(
    quality: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MPEG-4's decoder looks beyond a packet's end; what stands there by chance made frames look damaged."""
    monkeypatch.setattr(decode_module, "_plain", _never)
    options = {"qmin": quality, "qmax": quality, "b": "1G", "flags": "+bitexact"}
    path = write_video(tmp_path / "a.mp4", "mpeg4", size=(171, 128), b_frames=0, gop=8, options=options)
    reader, record = FrameReader(), VideoRecord("v", str(path))
    reference = plain_decode(path, by_pts=True)
    for start in range(72):
        frames = reader.read(record, range(start, start + 8))
        assert np.array_equal(frames, reference[start : start + 8])


def test_a_tag_by_which_the_decoder_takes_another_transform_is_not_lost(tmp_path: Path) -> None:
    options = {"qmin": "3", "qmax": "3", "b": "1G", "flags": "+bitexact"}
    path = write_video(tmp_path / "a.mov", "mpeg4", b_frames=0, gop=8, tag="XVID", options=options)
    assert scan(str(path)).direct is None
    assert scan(str(write_video(tmp_path / "a.mp4", "mpeg4", b_frames=0, gop=8))).direct
    assert_exact(path, FrameReader())


def test_a_file_that_became_shorter_gives_no_frames(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", "mpeg4", b_frames=0, gop=8)
    table = scan(str(path))
    assert table.direct
    os.truncate(path, table.direct.offsets[40] + 1)
    seen: list[int] = []
    with pytest.raises(VideoError):
        decode_some(str(path), table, [40, 41], lambda index, picture: seen.append(index))
    assert seen == []


@pytest.mark.skipif(not REAL, reason="the real test data is not beside the checkout")
@pytest.mark.parametrize("path", REAL, ids=lambda path: path.name[:40])
def test_real_files_bit_for_bit(path: Path) -> None:
    assert_exact(path, FrameReader())


@pytest.mark.parametrize("codec", ["h264", "open GOP"])
def test_file_cut_by_copy_begins_where_its_edit_list_says(codec: str, tmp_path: Path) -> None:
    options = GOP12 if codec == "h264" else {**GOP12, "x264-params": "open-gop=1"}
    whole = write_video(tmp_path / "whole.mp4", options=options)
    path = cut_by_copy(whole, tmp_path / "cut.mp4", first=33)
    reader, record = FrameReader(), VideoRecord("v", str(path))
    assert reader.info(record).num_frames == 80 - 33
    assert_exact(path, reader)
    assert [number_of(frame) for frame in reader.read(record, range(47))] == list(range(33, 80))


def test_packed_b_frames_are_counted_as_they_come_out(shared_data: Path) -> None:
    path = shared_data / "clips/ucf101/ApplyEyeMakeup/v_ApplyEyeMakeup_g01_c01.avi"
    info = FrameReader().info(VideoRecord("v", str(path)))
    assert (info.num_frames, info.rule) == (164, "emission")


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("ucf101/HorseRace/v_HorseRace_g07_c03.avi", 153),  # header 154
        ("ucf101/HorseRace/v_HorseRace_g20_c01.avi", 365),  # header 367
        ("ssv2/166766.webm", 49),  # header 0
        ("odd/vp8.webm", 140),  # header 0
        ("odd/cinepak_wrong_header.avi", 68),  # header 444
        ("hmdb51/wave/TrumanShow_wave_f_nm_np1_fr_med_26.avi", 48),  # header 49
    ],
)
def test_header_counts_are_not_believed(name: str, count: int, shared_data: Path) -> None:
    assert FrameReader().info(VideoRecord("v", str(shared_data / "clips" / name))).num_frames == count


@pytest.mark.parametrize("rotation", [90, 180, 270])
def test_rotation_of_real_files_is_applied(rotation: int, shared_data: Path) -> None:
    path = shared_data / "clips" / "odd" / f"video_{rotation}.mov"
    reader, record = FrameReader(), VideoRecord("v", str(path))
    info = reader.info(record)
    frame = reader.read(record, [0])[0]
    coded = plain_decode(path, by_pts=True)[0]
    assert info.rotation == rotation
    assert frame.shape[:2] == (info.height, info.width)
    turns = {90: 3, 180: 2, 270: 1}[rotation]  # np.rot90 turns the other way round
    assert np.array_equal(frame, np.rot90(coded, turns))


@pytest.mark.parametrize("short_side", [None, 40])
@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
def test_rotation_turns_clockwise_and_then_the_size_fits(
    rotation: int, short_side: int | None, tmp_path: Path
) -> None:
    upright = write_video(tmp_path / "upright.mp4", options=X264, count=2)
    turned = write_video(tmp_path / "turned.mp4", options=X264, count=2, rotation=rotation)
    reader = FrameReader(short_side=short_side)
    expected = reader.read(VideoRecord("v", str(upright)), [1])[0]
    came = reader.read(VideoRecord("v", str(turned)), [1])[0]
    assert np.array_equal(came, np.rot90(expected, -(rotation // 90)))


def test_average_rate(gop12: Path, tmp_path: Path) -> None:
    assert FrameReader().info(VideoRecord("v", str(gop12))).fps == 25
    variable = write_video(tmp_path / "a.mkv", options=X264, times_ms=VARIABLE_MS)
    seconds = (VARIABLE_MS[79] - VARIABLE_MS[0]) / 1000
    assert float(FrameReader().info(VideoRecord("v", str(variable))).fps) == pytest.approx(
        79 / seconds, rel=0.01
    )


def test_a_jump_begins_at_the_key_before_the_wanted_frame(gop12: Path) -> None:
    table = scan(str(gop12))
    assert [key.frame for key in table.keys][:6] == [0, 12, 24, 36, 48, 60]
    sent = []
    packets = DirectPackets.packets

    def noted(self: DirectPackets, file: BinaryIO, start: int) -> Iterator[Any]:
        for packet in packets(self, file, start):
            sent.append(packet.pts)
            yield packet

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(DirectPackets, "packets", noted)
        decode_some(str(gop12), table, [37, 38, 62], lambda index, frame: None)
    numbers = np.searchsorted(table.pts, sent)
    assert set(numbers) <= {*range(36, 48), *range(60, 64)}
    assert {36, 37, 38, 60, 62} <= set(numbers)
