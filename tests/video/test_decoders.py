"""Two decoders behind one interface: the same frames by the same numbers, or an error with a way out."""

from __future__ import annotations

import pickle
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from video_samples import GENERATED, X264, generate, number_of, plain_decode, write_video

from vssl_core.errors import OptionError, VideoError
from vssl_core.types import VideoRecord
from vssl_core.video import FrameCache, FrameReader, torchcodec_decoder
from vssl_core.video.decoders import DECODERS, find_decoder, installed_decoders
from vssl_core.video.torchcodec_decoder import TorchCodecDecoder

needs_torchcodec = pytest.mark.skipif(
    "torchcodec" not in installed_decoders(), reason="torchcodec is not installed, or finds no FFmpeg"
)
SAME = 0.01  # mean of grey levels: another version of FFmpeg may round a pixel of thousands otherwise
OTHER_COLOURS = {"h264 interlaced": 6.0, "h264 10 bit": 4.0}  # chroma of fields and of deep samples
OTHER_STAMPS = {"mpeg2 program stream"}  # not all versions of FFmpeg give these frames a time


def assert_exact(path: Path, *, within: float = SAME) -> None:
    """Against PyAV from the first packet to the last, in one go."""
    reader, record = FrameReader(decoder="torchcodec"), VideoRecord("v", str(path))
    info = reader.info(record)
    reference = plain_decode(path, by_pts=info.rule == "pts")
    if info.rotation:
        reference = [np.rot90(frame, -info.rotation // 90) for frame in reference]
    count = info.num_frames
    assert count == len(reference)
    for indices in ([0], [count - 1], range(0, count, 3), range(count // 2, min(count, count // 2 + 16))):
        for index, frame in zip(indices, reader.read(record, list(indices)), strict=True):
            assert frame.shape == reference[index].shape
            assert np.abs(frame.astype(int) - reference[index]).mean() <= within, index


@needs_torchcodec
@pytest.mark.parametrize("kind", [kind for kind in GENERATED if kind not in OTHER_STAMPS])
def test_generated_files(kind: str, tmp_path: Path) -> None:
    path = generate(kind, tmp_path)
    assert_exact(path, within=OTHER_COLOURS.get(kind, SAME))
    reader, record = FrameReader(decoder="torchcodec"), VideoRecord("v", str(path))
    frames = reader.read(record, range(reader.info(record).num_frames))
    assert [number_of(frame) for frame in frames] == list(range(len(frames)))


@needs_torchcodec
@pytest.mark.parametrize(
    "name",
    [
        "ucf101/ApplyEyeMakeup/v_ApplyEyeMakeup_g01_c01.avi",  # packed B frames: its own count gives others
        "ucf101/HorseRace/v_HorseRace_g07_c03.avi",  # the header counts one more
        "odd/video_0.mov",
        "odd/video_90.mov",
        "odd/video_180.mov",
        "odd/video_270.mov",
        "odd/unordered.mov",
        "odd/cinepak_wrong_header.avi",
        "ssv2/166766.webm",
    ],
)
def test_real_files(name: str, shared_data: Path) -> None:
    assert_exact(shared_data / "clips" / name)


@needs_torchcodec
@pytest.mark.parametrize("size", [(127, 95), (66, 50)])
def test_odd_sizes_and_a_short_side(size: tuple[int, int], tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", "mpeg4", size=size, count=20)
    record = VideoRecord("v", str(path))
    whole = FrameReader(decoder="torchcodec").read(record, [3, 17])
    assert np.abs(whole.astype(int) - FrameReader().read(record, [3, 17])).mean() < 2
    small = FrameReader(decoder="torchcodec", short_side=40).read(record, [3, 17])
    ours = FrameReader(short_side=40).read(record, [3, 17])
    assert small.shape == ours.shape
    assert np.abs(small.astype(int) - ours).mean() < 2


@needs_torchcodec
def test_stamps_that_do_not_agree_send_it_the_plain_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_video(tmp_path / "a.mp4", options=X264, count=30)
    monkeypatch.setattr(torchcodec_decoder, "_ticks", _first_wrong(torchcodec_decoder._ticks))
    record = VideoRecord("v", str(path))
    assert [number_of(frame) for frame in FrameReader(decoder="torchcodec").read(record, [4, 20])] == [4, 20]


def _first_wrong(right):
    calls = []

    def ticks(*arguments: object) -> int:
        calls.append(arguments)
        return right(*arguments) + (len(calls) == 1)

    return ticks


@needs_torchcodec
def test_a_cache_keeps_the_frames_of_decoders_apart(tmp_path: Path) -> None:
    record = VideoRecord("v", str(write_video(tmp_path / "a.mp4", options=X264, count=10)))
    cache = FrameCache(tmp_path / "cache", max_bytes=1 << 28)
    readers = [FrameReader(cache=cache, short_side=40, decoder=name) for name in DECODERS]
    first = [reader.read(record, [1, 5]) for reader in readers]
    again = [
        FrameReader(cache=cache, short_side=40, decoder=n).read(record, [1, 5])
        for n in ("pyav", "torchcodec")
    ]
    assert not np.array_equal(*first)
    assert all(np.array_equal(one, other) for one, other in zip(first, again, strict=True))
    assert len(list((tmp_path / "cache").rglob("*.frames"))) == 2


@needs_torchcodec
def test_it_says_what_it_is_and_travels(tmp_path: Path) -> None:
    reader = FrameReader(short_side=40, decoder="torchcodec")
    parameters = reader.decode_parameters
    assert (parameters["decoder"], parameters["short_side"]) == ("torchcodec", 40)
    assert {"torchcodec", "ffmpeg", "pyav"} <= reader.decoder_identity.keys()
    for library in ("libavcodec", "libavformat"):  # the major version alone is that of many decoders
        assert re.fullmatch(r"\d+\.\d+\.\d+", reader.decoder_identity[f"ffmpeg's {library}"])
    copy = pickle.loads(pickle.dumps(reader))
    assert copy.decode_parameters == parameters
    assert FrameReader().decoder_identity["decoder"] == "pyav"


@needs_torchcodec
def test_a_file_that_breaks_off_is_an_error_of_the_video(tmp_path: Path) -> None:
    whole = write_video(tmp_path / "a.avi", "mpeg4", count=40)
    table = FrameReader().info(VideoRecord("v", str(whole)))
    shorter = write_video(tmp_path / "b.avi", "mpeg4", count=20)
    decoder = TorchCodecDecoder()
    from vssl_core.video.scan import scan

    with pytest.raises(VideoError, match="20 the first, never came out of torchcodec"):
        decoder.decode_all(str(shorter), scan(str(whole)), lambda index, picture: None)
    assert table.num_frames == 40


def test_without_torchcodec_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torchcodec", None)
    with pytest.raises(OptionError, match=r"not installed.*pip install 'torchcodec>=0.17'.*decoder=pyav"):
        TorchCodecDecoder()


def test_an_unknown_decoder_is_named() -> None:
    with pytest.raises(OptionError, match=r"no decoder 'torchcodek'\. Did you mean 'torchcodec'"):
        find_decoder("torchcodek")
