"""The crop against torchvision: the resize is its own, the rotation stays within one grey level."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as reference

from vssl_core.augmentation import DrawnView, apply_geometry, draw_view
from vssl_core.augmentation.drawn import Box
from vssl_core.augmentation.ops import RandomCrop, ResizedCrop, RotationJitter, ViewAugmentation
from vssl_core.errors import ContractError


def to_reference(frames_THWC: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(frames_THWC.copy()).permute(0, 3, 1, 2)


def from_reference(frames_TCHW: torch.Tensor) -> np.ndarray:
    return frames_TCHW.permute(0, 2, 3, 1).numpy()


def levels_apart(a: np.ndarray, b: np.ndarray) -> int:
    assert a.shape == b.shape
    assert a.dtype == b.dtype == np.uint8
    return int(np.abs(a.astype(np.int16) - b).max())


def frames_of(rng: np.random.Generator, *, count: int, height: int, width: int, binary: bool) -> np.ndarray:
    frames = rng.integers(0, 256, (count, height, width, 3), dtype=np.uint8)
    return np.where(frames > 127, 255, 0).astype(np.uint8) if binary else frames


@pytest.mark.parametrize("trial", range(20))
def test_crop_and_resize_are_torchvisions(trial):
    rng = np.random.default_rng(trial)
    height, width, size = (int(n) for n in rng.integers(7, 180, 3))
    frames = frames_of(rng, count=3, height=height, width=width, binary=trial % 2 == 0)
    op = ResizedCrop((0.05, 1.0), (0.3, 3.0)) if trial % 3 else RandomCrop()
    drawn = draw_view(
        ViewAugmentation((op,)), key=(trial,), num_frames=3, height=height, width=width, crop_size=size
    )
    box = drawn.crop
    expected = reference.resized_crop(
        to_reference(frames), box.top, box.left, box.height, box.width, [size, size], antialias=True
    )
    assert levels_apart(apply_geometry(frames, drawn, crop_size=size), from_reference(expected)) == 0


@pytest.mark.parametrize("trial", range(30))
def test_rotation_is_within_one_level_of_torchvision(trial):
    # torchvision's fill=None is black too; its explicit fill=0 darkens the border pixels twice.
    rng = np.random.default_rng(trial)
    height, width = (int(n) for n in rng.integers(7, 200, 2))
    frames = frames_of(rng, count=2, height=height, width=width, binary=trial % 2 == 0)
    degrees = float(rng.choice([rng.uniform(-10, 10), rng.uniform(-180, 180), 45, 90, 180, 0.01]))
    side = min(height, width)
    box = Box(int(rng.integers(height - side + 1)), int(rng.integers(width - side + 1)), side, side)
    rotated = reference.rotate(to_reference(frames), degrees, InterpolationMode.BILINEAR)
    expected = from_reference(rotated)[:, box.top : box.top + side, box.left : box.left + side]
    found = apply_geometry(frames, DrawnView(degrees, box, ()), crop_size=side)
    assert levels_apart(found, expected) <= 1


def test_rotation_comes_before_the_crop_and_shows_black_corners():
    white = np.full((1, 101, 101, 3), 255, np.uint8)
    whole = apply_geometry(white, DrawnView(45.0, Box(0, 0, 101, 101), ()), crop_size=101)[0]
    assert (whole[0, 0] == 0).all()
    assert (whole[50, 50] == 255).all()
    centre = apply_geometry(white, DrawnView(45.0, Box(30, 30, 41, 41), ()), crop_size=41)
    assert (centre == 255).all()


def test_positive_degrees_turn_counter_clockwise():
    frames = np.zeros((1, 51, 51, 3), np.uint8)
    frames[0, :10] = 255  # the upper edge
    turned = apply_geometry(frames, DrawnView(90.0, Box(0, 0, 51, 51), ()), crop_size=51)[0]
    assert turned[25, 3, 0] == 255  # is now on the left
    assert turned[3, 25, 0] == 0


@pytest.mark.parametrize("degrees", [0.0, 7.3])
@pytest.mark.parametrize("size", [7, 64, 90, 113])
def test_static_stays_static_and_input_stays_as_it_is(make_clip, degrees, size):
    frame = make_clip("noise", 1, 90)
    frames = np.repeat(frame, 4, axis=0)
    frames.flags.writeable = False
    out = apply_geometry(frames, DrawnView(degrees, Box(0, 0, 90, 90), ()), crop_size=size)
    assert out.shape == (4, size, size, 3)
    assert out.flags.c_contiguous
    assert out.flags.writeable
    assert (out == out[:1]).all()
    assert not np.shares_memory(out, frames)


@pytest.mark.parametrize("degrees", [0.0, -4.0])
def test_strided_frames_give_the_same(make_clip, degrees):
    frames = make_clip("noise", 6, 60)
    drawn = DrawnView(degrees, Box(3, 4, 40, 30), ())
    strided = frames[::-2, :, ::-1]
    expected = apply_geometry(np.ascontiguousarray(strided), drawn, crop_size=32)
    assert (apply_geometry(strided, drawn, crop_size=32) == expected).all()


def test_wrong_frames_are_refused(make_clip):
    frames = make_clip("noise", 2, 20)
    with pytest.raises(ContractError, match=r"expected uint8 frames .* got float32"):
        apply_geometry(frames.astype(np.float32), DrawnView(0, Box(0, 0, 9, 9), ()), crop_size=9)
    with pytest.raises(ContractError, match=r"expected uint8 frames .* \(2, 20, 20, 1\)"):
        apply_geometry(frames[..., :1], DrawnView(0, Box(0, 0, 9, 9), ()), crop_size=9)
    with pytest.raises(ContractError, match="drawn for larger frames than these of 20x20"):
        apply_geometry(frames, DrawnView(0, Box(5, 0, 16, 9), ()), crop_size=9)


def test_draws_of_the_view_reach_the_pixels():
    frames = frames_of(np.random.default_rng(0), count=2, height=128, width=171, binary=False)
    view = ViewAugmentation((RotationJitter(), ResizedCrop()))
    geometry = {"num_frames": 2, "height": 128, "width": 171, "crop_size": 112}
    outs = [
        apply_geometry(frames, draw_view(view, key=(video,), **geometry), crop_size=112)
        for video in ("video_1", "video_2", "video_1")
    ]
    assert (outs[0] == outs[2]).all()
    assert (outs[0] != outs[1]).any()
