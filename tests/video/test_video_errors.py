"""Bad files: one clear error each, and never another frame than the one asked for."""

from __future__ import annotations

import pickle
import subprocess
import wave
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from video_samples import GOP12, VPX, X264, plain_decode, write_video

import vssl_core.video.scan as scan_module
from vssl_core.errors import VideoError
from vssl_core.types import VideoRecord
from vssl_core.video import FrameCache, FrameReader
from vssl_core.video.integrity import damage

COUNT = 80


def record(path: Path) -> VideoRecord:
    return VideoRecord("v", str(path))


def refused(path: Path, **arguments: object) -> str:
    """The reason for which a file is refused."""
    with pytest.raises(VideoError) as caught:
        FrameReader(**arguments).info(record(path))  # type: ignore[arg-type]
    assert str(path) in str(caught.value)
    return caught.value.reason


def test_missing_file(tmp_path: Path) -> None:
    assert "No such file" in refused(tmp_path / "none.mp4")


def test_folder(tmp_path: Path) -> None:
    assert "folder" in refused(tmp_path)


def test_device() -> None:
    assert "device" in refused(Path("/dev/null"))


def test_empty_file(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    path.touch()
    assert "0 bytes" in refused(path)


@pytest.mark.parametrize("name", ["a.mp4", "a.bin"])
def test_random_bytes(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(np.random.default_rng(0).bytes(5000))
    assert "no video" in refused(path)


def test_text_is_not_played_as_a_terminal(tmp_path: Path) -> None:
    path = tmp_path / "readme.txt"
    path.write_text("this is a text\n" * 100)
    assert "tty" in refused(path)


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_picture(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"a{suffix}"
    cv2.imwrite(str(path), np.zeros((64, 64, 3), np.uint8))
    assert "expected a video file" in refused(path)


def test_sound(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(bytes(16000))
    assert "video stream" in refused(path)


def test_playlist_does_not_reach_other_files(gop12: Path, tmp_path: Path) -> None:
    path = tmp_path / "a.ffconcat"
    path.write_text(f"ffconcat version 1.0\nfile '{gop12}'\n")
    refused(path)


def test_name_that_looks_like_an_address(gop12: Path, tmp_path: Path) -> None:
    path = tmp_path / "http:video#1 [x] é%d.mp4"
    path.write_bytes(gop12.read_bytes())
    assert FrameReader().info(record(path)).num_frames == COUNT


def test_file_that_the_system_does_not_let_us_read(gop12: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: str) -> None:
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(scan_module, "damage", refuse)
    assert "Permission denied" in refused(gop12)


def test_no_frame_can_be_decoded(tmp_path: Path) -> None:
    data = bytearray(write_video(tmp_path / "a.mp4", options=X264).read_bytes())
    body = data.index(b"mdat") + 4
    end = data.index(b"moov") - 4
    data[body:end] = bytes(end - body)
    (tmp_path / "b.mp4").write_bytes(data)
    refused(tmp_path / "b.mp4")


def test_error_survives_a_process_border(tmp_path: Path) -> None:
    with pytest.raises(VideoError) as caught:
        FrameReader().info(record(tmp_path / "none.mp4"))
    copy = pickle.loads(pickle.dumps(caught.value))
    assert (copy.path, copy.reason) == (caught.value.path, caught.value.reason)


# ------------------------------------------------------------------------------------- damaged copies


def cut(data: bytes, rng: np.random.Generator) -> bytes:
    return data[: int(len(data) * rng.uniform(0.05, 0.98))]


def flip_bits(data: bytes, rng: np.random.Generator) -> bytes:
    out = bytearray(data)
    for place in rng.integers(len(data) // 10, len(data) * 8 // 10, 3):
        out[place] ^= 1 << int(rng.integers(8))
    return bytes(out)


def overwrite_bytes(data: bytes, rng: np.random.Generator) -> bytes:
    out = bytearray(data)
    for place in rng.integers(0, len(data) * 8 // 10, len(data) // 100):
        out[place] ^= int(rng.integers(1, 256))
    return bytes(out)


def zero_block(data: bytes, rng: np.random.Generator) -> bytes:
    out = bytearray(data)
    begin = int(rng.uniform(0.1, 0.8) * len(data))
    out[begin : begin + len(data) // 20] = bytes(len(data) // 20)
    return bytes(out)


WRITTEN = {
    "a.mp4": {"options": GOP12},
    "first.mp4": {"options": GOP12, "container": {"movflags": "faststart"}},
    "a.mkv": {"options": GOP12},
    "a.avi": {"codec": "mpeg4", "b_frames": 0, "gop": 12},
    "b.avi": {"codec": "mpeg4", "b_frames": 2, "gop": 12, "tag": "XVID"},
    "a.webm": {"codec": "libvpx-vp9", "options": VPX},
}


@pytest.fixture(scope="module")
def sound_files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("sound")
    return {name: write_video(folder / name, **arguments) for name, arguments in WRITTEN.items()}


@pytest.mark.parametrize("name", WRITTEN)
def test_cut_file_is_always_refused(name: str, sound_files: dict[str, Path], tmp_path: Path) -> None:
    data = sound_files[name].read_bytes()
    for seed in range(12):
        path = tmp_path / f"{seed}{Path(name).suffix}"
        path.write_bytes(cut(data, np.random.default_rng(seed)))
        assert refused(path)


@pytest.mark.parametrize("hurt", [flip_bits, overwrite_bytes, zero_block])
@pytest.mark.parametrize("name", WRITTEN)
def test_damage_never_makes_a_shorter_video(
    name: str, hurt: Callable[..., bytes], sound_files: dict[str, Path], tmp_path: Path
) -> None:
    """A damaged file is refused, or all its frames are there (in codecs that cannot see a wrong bit)."""
    data = sound_files[name].read_bytes()
    refusals = 0
    for seed in range(10):
        path = tmp_path / f"{seed}{Path(name).suffix}"
        path.write_bytes(hurt(data, np.random.default_rng(seed)))
        reader = FrameReader()
        try:
            info = reader.info(record(path))
            frames = reader.read(record(path), range(info.num_frames))
        except VideoError:
            refusals += 1
            continue
        assert len(frames) == COUNT
    if not (hurt is flip_bits and name == "a.webm"):  # VP9 decodes wrong bits without noticing
        assert refusals >= 7


@pytest.mark.parametrize("name", WRITTEN)
def test_sound_files_have_no_damage(name: str, sound_files: dict[str, Path]) -> None:
    assert damage(str(sound_files[name])) is None


@pytest.mark.parametrize("name", ["a.avi", "b.avi"])
def test_an_avi_that_counts_its_own_head_is_whole(
    name: str, sound_files: dict[str, Path], tmp_path: Path
) -> None:
    """The length of the RIFF form is then that of the file; one that was cut by so little is still cut."""
    data = bytearray(sound_files[name].read_bytes())
    path = tmp_path / name
    for missing in range(1, 17):
        path.write_bytes(data[:-missing])
        assert "cut off" in refused(path), missing
    data[4:8] = len(data).to_bytes(4, "little")
    path.write_bytes(data)
    assert FrameReader().info(record(path)).num_frames == COUNT
    for missing in range(1, 17):
        path.write_bytes(data[:-missing])
        assert "cut off" in refused(path), missing


def test_frames_before_the_damage_are_right_and_later_ones_refused(shared_data: Path) -> None:
    path = shared_data / "clips" / "odd" / "corrupted.mp4"
    reader = FrameReader()
    good = subprocess.run(  # the frames that come out before the decoder's first complaint
        ["python", "-c", _UNTIL_ERROR, str(path)], capture_output=True, text=True, check=True
    )
    count = int(good.stdout)
    assert 0 < count < reader.info(record(path)).num_frames
    assert reader.read(record(path), range(5)).shape[0] == 5
    with pytest.raises(VideoError, match="damaged"):
        reader.read(record(path), [reader.info(record(path)).num_frames - 1])


_UNTIL_ERROR = """
import av, sys
count = 0
try:
    with av.open(sys.argv[1]) as file:
        for frame in file.decode(video=0):
            count += 1
except av.FFmpegError:
    pass
print(count)
"""


def test_a_cache_finds_damage_at_the_first_read(shared_data: Path, tmp_path: Path) -> None:
    path = shared_data / "clips" / "odd" / "corrupted.mp4"
    reader = FrameReader(cache=FrameCache(tmp_path, max_bytes=1 << 30))
    for _ in range(2):
        with pytest.raises(VideoError, match="damaged"):
            reader.read(record(path), [0])
    assert not list(tmp_path.rglob("*.frames"))


def test_file_that_changes_is_looked_at_again(gop12: Path, tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(gop12.read_bytes())
    reader = FrameReader(cache=FrameCache(tmp_path / "cache", max_bytes=1 << 30))
    assert reader.read(record(path), [79]).shape == (1, 96, 128, 3)
    write_video(path, options=X264, count=5, size=(96, 64))
    assert reader.info(record(path)).num_frames == 5
    assert np.array_equal(reader.read(record(path), [4])[0], plain_decode(path, by_pts=True)[4])
