"""The round trip after a corruption: near what OpenCV's writer makes, of the corruption's pictures."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from vssl_core import CorruptionSource, generator
from vssl_plugins.corruptions.noise import Gaussian, NoiseOptions
from vssl_plugins.corruptions.reencoded import CODINGS, Reencoded
from vssl_plugins.corruptions.timing import Reverse


def psnr(one: np.ndarray, other: np.ndarray) -> float:
    return 10 * float(np.log10(255**2 / np.square(one.astype(np.float64) - other).mean()))


def footage() -> np.ndarray:
    draw = np.random.default_rng(0)
    texture = np.kron(draw.integers(40, 216, (10, 14, 3)), np.ones((12, 12, 1)))
    return np.stack([np.roll(texture, 3 * t, axis=1) for t in range(30)]).astype(np.uint8)


def source(video_NHWC: np.ndarray) -> CorruptionSource:
    return CorruptionSource(
        len(video_NHWC),
        25.0,
        lambda numbers: video_NHWC[numbers],
        lambda *key: generator("trip", *map(int, key)),
    )


def test_mp4v_is_about_what_opencv_writes(tmp_path: Path) -> None:
    video = footage()
    writer = cv2.VideoWriter(str(tmp_path / "a.mp4"), cv2.VideoWriter.fourcc(*"mp4v"), 25.0, (168, 120))
    for frame in video:
        writer.write(frame[:, :, ::-1])
    writer.release()
    with av.open(str(tmp_path / "a.mp4")) as file:
        theirs = np.stack([frame.to_ndarray(format="rgb24") for frame in file.decode(video=0)])
    mine = Reencoded(None, CODINGS["mp4v"]).pixels(np.arange(30), source(video), 1)
    assert abs(psnr(mine, video) - psnr(theirs, video)) < 2
    assert psnr(mine, theirs) > psnr(mine, video)


def test_the_noise_is_the_same_and_what_is_encoded_is_noisy() -> None:
    video, gaussian = footage(), Gaussian(NoiseOptions())
    every = np.arange(30)
    noisy = gaussian.pixels(every, source(video), 3)
    found = Reencoded(gaussian, CODINGS["mp4v"]).pixels(every, source(video), 3)
    again = Reencoded(None, CODINGS["mp4v"]).pixels(every, source(noisy), 1)
    np.testing.assert_array_equal(found, again)
    assert psnr(found, video) > psnr(noisy, video), "a codec takes noise away"
    some = Reencoded(gaussian, CODINGS["mp4v"]).pixels(np.array([2, 29]), source(video), 3)
    np.testing.assert_array_equal(some, found[[2, 29]])


def test_frames_are_named_by_the_inner_corruption() -> None:
    trip = Reencoded(Reverse(None), CODINGS["mp4v"])
    assert trip.frames(np.array([1, 2]), source(footage()), 1).tolist() == [2, 1]
    assert trip.severities == (1,)


@pytest.mark.parametrize("fps", [120000 / 1001, 240000 / 1001, 1e-5])
def test_rates_that_the_encoder_cannot_count_are_made_ones_that_it_can(fps: float) -> None:
    video = footage()[:6]
    fast = replace(source(video), fps=fps)
    found = Reencoded(None, CODINGS["mp4v"]).pixels(np.arange(6), fast, 1)
    assert psnr(found, video) > 10
