"""Codecs: a real round trip keeps numbers and sizes, more loss is worse, and every frame has a picture."""

from __future__ import annotations

import numpy as np
import pytest

from vssl_core import CorruptionSource, Options, generator
from vssl_plugins.corruptions.codec import Bitrate, PacketLoss, _units
from vssl_plugins.corruptions.round_trip import Coding, round_trip

SHARP = Coding("libx264", 4.0, {"bf": "0", "threads": "1"})


def footage(num_frames: int = 24, height: int = 64, width: int = 96) -> np.ndarray:
    """A smooth picture that moves two pixels a frame."""
    rows, columns = np.mgrid[:height, : width + 2 * num_frames]
    waves = [np.sin(rows / 9 + 1) + np.sin(columns / 7 + columns**2 / 900 + channel) for channel in range(3)]
    wide_HWC = (127 + 60 * np.stack(waves, axis=-1)).astype(np.uint8)
    return np.stack([wide_HWC[:, 2 * t : 2 * t + width] for t in range(num_frames)])


def source(video_NHWC: np.ndarray, *, seed: int = 0) -> CorruptionSource:
    return CorruptionSource(
        len(video_NHWC),
        25.0,
        lambda numbers: video_NHWC[numbers],
        lambda *key: generator("codec", seed, *key),
    )


def distance(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.abs(one.astype(np.float64) - other).mean())


@pytest.mark.parametrize(("height", "width"), [(64, 96), (33, 47), (16, 16)])
def test_with_bits_enough_every_frame_comes_back_as_itself(height: int, width: int) -> None:
    video = footage(40, height, width)
    found = round_trip(np.arange(40), source(video), SHARP)
    errors = [[distance(picture, frame) for frame in video] for picture in found]
    assert np.array_equal(np.argmin(errors, axis=1), np.arange(40))
    assert np.diag(errors).max() < 10


def test_some_frames_are_those_of_all() -> None:
    video = source(footage())
    for corruption in (Bitrate(Options()), PacketLoss(Options())):
        every = corruption.pixels(np.arange(24), video, 4)
        np.testing.assert_array_equal(corruption.pixels(np.array([0, 7, 23]), video, 4), every[[0, 7, 23]])


def test_fewer_bits_are_farther_away() -> None:
    video = footage(24, 96, 128)
    rng = np.random.default_rng(0)
    video = (video + rng.integers(-20, 20, video.shape)).clip(0, 255).astype(np.uint8)
    corruption = Bitrate(Options())
    found = [distance(corruption.pixels(np.arange(24), source(video), s), video) for s in (1, 2, 3, 4, 5)]
    assert found == sorted(found)
    assert found[-1] > found[0] + 1


def test_a_frame_that_does_not_arrive_shows_the_one_before_it() -> None:
    """Nothing of the frames 5, 6 and 20 arrives."""
    video = footage()

    def lose(frame: int, packet: bytes) -> bytes:
        return b"" if frame in (5, 6, 20) else packet

    intra = Coding("libx264", 4.0, {"bf": "0", "threads": "1", "g": "1"})  # no frame needs another
    found = round_trip(np.arange(24), source(video), intra, lose=lose)
    whole = round_trip(np.arange(24), source(video), intra)
    for frame in range(24):
        expected = {5: 4, 6: 4, 20: 19}.get(frame, frame)
        np.testing.assert_array_equal(found[frame], whole[expected])


def test_a_single_frame_and_a_lost_end_have_pictures() -> None:
    video = footage(8)
    found = round_trip(
        np.arange(8), source(video), SHARP, lose=lambda frame, packet: packet if frame < 3 else b""
    )
    for frame in range(3, 8):
        np.testing.assert_array_equal(found[frame], found[2])
    single = PacketLoss(Options()).pixels(np.array([0]), source(video[:1]), 5)
    assert distance(single, video[:1]) < 12


def test_lost_packets_are_concealed_and_gone_with_the_next_key_frame() -> None:
    video = footage(60)
    corruption = PacketLoss(Options())
    whole = round_trip(
        np.arange(60), source(video), Coding("libx264", 0.2, {"g": "48", "bf": "0", "threads": "1"})
    )
    assert distance(corruption.pixels(np.array([0]), source(video), 5), video[:1]) < 12
    worst = corruption.pixels(np.arange(60), source(video), 5)
    mild = corruption.pixels(np.arange(60), source(video), 1)
    assert distance(worst, video) > distance(mild, video) >= 0.9 * distance(whole, video)
    other = corruption.pixels(np.arange(60), source(video, seed=1), 5)
    assert not np.array_equal(other, worst), "the seed says which packets are lost"


def test_units_are_cut_at_their_start_codes() -> None:
    stream = b"\x00\x00\x01\x67ab\x00\x00\x01\x68c\x00\x00\x01\x65\x00\x00\x02"
    assert _units(stream) == [b"\x00\x00\x01\x67ab", b"\x00\x00\x01\x68c", b"\x00\x00\x01\x65\x00\x00\x02"]
    assert b"".join(_units(stream)) == stream
