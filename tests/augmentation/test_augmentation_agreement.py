"""CPU and batched path give the same bits: each step, every colour, whole pipelines, any thread."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from vssl_core.augmentation import DrawnView, apply_pixels, apply_pixels_batched, draw_view
from vssl_core.augmentation.drawn import Blurred, Flipped, Greyed, Jittered, Mixed
from vssl_core.augmentation.ops import (
    CenterCrop,
    ColorJitter,
    Gamma,
    GaussianBlur,
    Grayscale,
    HorizontalFlip,
    Op,
    QuarterTurn,
    Solarize,
    TemporalMix,
    ViewAugmentation,
)
from vssl_core.errors import ContractError

PIXEL_OPS: tuple[Op, ...] = (
    HorizontalFlip(),
    QuarterTurn(3),
    ColorJitter(0.8, 0.8, 0.8, 0.2, p=0.8),
    Grayscale(0.3),
    Gamma((0.3, 3.0)),
    GaussianBlur(),
    Solarize(100, p=0.5),
    TemporalMix(0.5),
)
PIPELINES = {
    "simclr": (HorizontalFlip(), ColorJitter(p=0.8), Grayscale(), GaussianBlur()),
    "cvrl": (
        HorizontalFlip(),
        ColorJitter(0.8, 0.8, 0.8, 0.2, p=0.8),
        Grayscale(),
        GaussianBlur(),
        Solarize(),
    ),
    "everything": PIXEL_OPS,
    "backwards": PIXEL_OPS[::-1],
    "twice": (GaussianBlur(p=1), ColorJitter(1, 1, 1, 0.5), GaussianBlur(p=1), ColorJitter(1, 1, 1, 0.5)),
}


def drawn_batch(ops: tuple[Op, ...], count: int, *, num_frames: int, size: int) -> list[DrawnView]:
    view = ViewAugmentation((CenterCrop(), *ops))
    geometry = {"num_frames": num_frames, "height": size, "width": size, "crop_size": size}
    return [draw_view(view, key=("agree", i), **geometry) for i in range(count)]


def batch_of(make_clip, count: int, *, num_frames: int, size: int) -> np.ndarray:
    kinds = ("noise", "binary", "smooth", "flat", "grey", "primaries")
    return np.stack([make_clip(kinds[i % 6], num_frames, size, i) for i in range(count)])


@pytest.mark.parametrize(("num_frames", "size"), [(1, 7), (3, 33), (2, 64), (5, 113), (2, 1)])
@pytest.mark.parametrize("ops", [pytest.param((op,), id=type(op).__name__) for op in PIXEL_OPS])
def test_each_op_agrees_to_the_bit(make_clip, ops, num_frames, size):
    drawn = drawn_batch(ops, 24, num_frames=num_frames, size=size)
    clips = batch_of(make_clip, 24, num_frames=num_frames, size=size)
    batched = apply_pixels_batched(torch.from_numpy(clips), drawn).numpy()
    assert (batched == np.stack([apply_pixels(c, d) for c, d in zip(clips, drawn, strict=True)])).all()


@pytest.mark.parametrize("name", PIPELINES)
def test_whole_pipelines_agree_to_the_bit(make_clip, name):
    drawn = drawn_batch(PIPELINES[name], 24, num_frames=4, size=48)
    clips = batch_of(make_clip, 24, num_frames=4, size=48)
    batched = apply_pixels_batched(torch.from_numpy(clips), drawn).numpy()
    assert (batched == np.stack([apply_pixels(c, d) for c, d in zip(clips, drawn, strict=True)])).all()


def every_colour() -> np.ndarray:
    """All 16.7 million colours as one clip (64, 512, 512, 3)."""
    level = np.arange(256, dtype=np.uint8)
    grid = np.stack(np.meshgrid(level, level, level, indexing="ij"), axis=-1)
    return grid.reshape(64, 512, 512, 3)


@pytest.mark.parametrize("unit", [-768, -154, -1, 77, 255, 511, 767])
def test_hue_agrees_for_every_colour(drawn_of, unit):
    drawn = drawn_of(Jittered(True, ("hue",), 1, 1, 1, unit / 1536))
    for part in np.split(every_colour(), 8):
        batched = apply_pixels_batched(torch.from_numpy(part)[None], [drawn])[0].numpy()
        assert (apply_pixels(part, drawn) == batched).all()


def test_luma_agrees_for_every_colour(drawn_of):
    drawn = drawn_of(Greyed(True), Jittered(True, ("saturation",), 1, 1, 0.3, 0))
    for part in np.split(every_colour(), 8):
        batched = apply_pixels_batched(torch.from_numpy(part)[None], [drawn])[0].numpy()
        assert (apply_pixels(part, drawn) == batched).all()


def test_a_sample_does_not_depend_on_its_batch(make_clip):
    drawn = drawn_batch(PIPELINES["everything"], 12, num_frames=3, size=40)
    clips = torch.from_numpy(batch_of(make_clip, 12, num_frames=3, size=40))
    whole = apply_pixels_batched(clips, drawn)
    order = [5, 0, 11, 7]
    assert torch.equal(apply_pixels_batched(clips[order], [drawn[i] for i in order]), whole[order])


def test_static_clips_stay_static(make_clip):
    for name, ops in PIPELINES.items():
        drawn = drawn_batch(ops, 20, num_frames=5, size=32)
        for i, view in enumerate(drawn):
            clip = np.repeat(make_clip("noise", 1, 32, i), 5, axis=0)
            out = apply_pixels(clip, view)
            assert (out == out[:1]).all(), name


def test_inputs_and_global_generators_are_untouched(make_clip):
    drawn = drawn_batch(PIPELINES["everything"], 6, num_frames=3, size=30)
    clips = batch_of(make_clip, 6, num_frames=3, size=30)
    kept = clips.copy()
    before = (random.getstate(), np.random.get_state()[1].tobytes(), torch.get_rng_state())
    apply_pixels_batched(torch.from_numpy(clips), drawn)
    for clip, view in zip(clips, drawn, strict=True):
        clip.flags.writeable = False
        out = apply_pixels(clip, view)
        assert not np.shares_memory(out, clip)
    untouched = drawn_batch((HorizontalFlip(p=0),), 6, num_frames=3, size=30)
    assert apply_pixels_batched(torch.from_numpy(clips), untouched).data_ptr() != clips.ctypes.data
    assert (clips == kept).all()
    assert before[0] == random.getstate()
    assert before[1] == np.random.get_state()[1].tobytes()
    assert torch.equal(before[2], torch.get_rng_state())


def test_threads_give_the_same(make_clip):
    drawn = drawn_batch(PIPELINES["everything"], 32, num_frames=4, size=56)
    clips = batch_of(make_clip, 32, num_frames=4, size=56)
    alone = [apply_pixels(c, d) for c, d in zip(clips, drawn, strict=True)]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(apply_pixels, clips, drawn))
    assert all((a == b).all() for a, b in zip(alone, together, strict=True))


class _NoWaiting(TorchDispatchMode):
    """Fails on operations that bring a value, or a shape that depends on one, to the host."""

    waits = frozenset({"_local_scalar_dense", "item", "nonzero", "masked_select", "is_nonzero", "equal"})

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.__name__.split(".")[0]
        assert name not in self.waits, f"{name} waits for the device"
        return func(*args, **(kwargs or {}))


def test_nothing_depends_on_pixel_values():
    drawn = drawn_batch(PIPELINES["everything"], 12, num_frames=3, size=40)
    video = torch.empty(12, 3, 40, 40, 3, dtype=torch.uint8, device="meta")  # has no values at all
    with _NoWaiting():
        out = apply_pixels_batched(video, drawn)
    assert (out.shape, out.dtype, out.device.type) == (video.shape, torch.uint8, "meta")


def test_batched_agrees_on_the_accelerator(make_clip):
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    drawn = drawn_batch(PIPELINES["everything"], 24, num_frames=4, size=48)
    clips = torch.from_numpy(batch_of(make_clip, 24, num_frames=4, size=48))
    video = clips.cuda()
    torch.cuda.set_sync_debug_mode("error")
    try:
        found = apply_pixels_batched(video, drawn)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert torch.equal(found.cpu(), apply_pixels_batched(clips, drawn))


def test_wrong_batches_are_refused(drawn_of):
    video = torch.zeros(2, 3, 8, 8, 3, dtype=torch.uint8)
    fine = drawn_of(Flipped(True))
    with pytest.raises(ContractError, match=r"expected uint8 video .* got torch\.float32"):
        apply_pixels_batched(video.float(), [fine, fine])
    with pytest.raises(ContractError, match=r"\(B, T, S, S, 3\); got torch\.uint8 \(2, 3, 8, 4, 3\)"):
        apply_pixels_batched(video[:, :, :, :4], [fine, fine])
    with pytest.raises(ContractError, match="expected 2 draws of one view, one per sample; got 1"):
        apply_pixels_batched(video, [fine])
    with pytest.raises(ContractError, match="got 2 of 2 kinds"):
        apply_pixels_batched(video, [fine, drawn_of(Blurred(True, 1.0, 3))])
    with pytest.raises(ContractError, match="longer clip than these of 3 frames"):
        apply_pixels_batched(video, [drawn_of(Mixed(3, 0.1))] * 2)
