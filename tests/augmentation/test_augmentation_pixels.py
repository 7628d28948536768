"""Each step after the crop against torchvision's functional form: at most one grey level apart.

Both paths run here, the CPU's and the batched one; that they agree to the bit is shown next door.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torchvision.transforms.v2 import functional as reference

from vssl_core.augmentation import apply_pixels, apply_pixels_batched
from vssl_core.augmentation.drawn import (
    Blurred,
    Component,
    Flipped,
    GammaCurved,
    Greyed,
    Jittered,
    Mixed,
    PixelStep,
    Solarized,
    Turned,
)
from vssl_core.errors import ContractError

Reference = Callable[[torch.Tensor], torch.Tensor]


def jitter(component: Component, value: float) -> Jittered:
    neutral = {"brightness": 1.0, "contrast": 1.0, "saturation": 1.0, "hue": 0.0}
    return Jittered(True, (component,), **{**neutral, component: value})


def tall(change: Reference) -> Reference:
    """The reference on all frames stacked into one image, so that its mean is the clip's."""

    def changed(video_TCHW: torch.Tensor) -> torch.Tensor:
        frames, channels, size, _ = video_TCHW.shape
        image = video_TCHW.permute(1, 0, 2, 3).reshape(channels, frames * size, size)
        return change(image).reshape(channels, frames, size, size).permute(1, 0, 2, 3)

    return changed


def mixed(weight: float) -> Reference:
    return lambda video: (video * (1 - weight) + video[:1] * weight).round().to(torch.uint8)


def factors() -> list[float]:
    some = np.random.default_rng(0).integers(0, 8193, 6) / 4096
    return [0.0, 1 / 4096, 0.05, 0.5, 0.6, 1.0, 1.4, 1.8, 2.0, *map(float, some)]


def cases() -> list[tuple[str, PixelStep, Reference]]:
    """(name, step, torchvision's own)."""
    found: list[tuple[str, PixelStep, Reference]] = [
        ("flip", Flipped(True), reference.horizontal_flip),
        ("grey", Greyed(True), lambda v: reference.rgb_to_grayscale(v, num_output_channels=3)),
    ]
    for turns in range(4):
        found.append((f"turn {turns}", Turned(turns), lambda v, k=turns: torch.rot90(v, k, (2, 3))))
    for f in factors():
        for component in ("brightness", "contrast", "saturation"):
            change = getattr(reference, f"adjust_{component}")
            found.append(
                (f"{component} {f:.4f}", jitter(component, f), tall(lambda v, c=change, f=f: c(v, f)))
            )
    for units in (-768, -767, -257, -154, -1, 0, 1, 100, 128, 256, 613, 768):
        hue = units / 1536
        found.append((f"hue {units}", jitter("hue", hue), lambda v, h=hue: reference.adjust_hue(v, h)))
    for gamma in (0.01, 0.3, 0.7, 1.0, 1.5, 5.0):
        step = GammaCurved(True, gamma)
        found.append((f"gamma {gamma}", step, lambda v, g=gamma: reference.adjust_gamma(v, g)))
    for threshold in (0, 1, 128, 255):
        step = Solarized(True, threshold)
        found.append((f"solarize {threshold}", step, lambda v, t=threshold: reference.solarize(v, t)))
    for size, sigma in ((1, 1.0), (3, 0.1), (7, 0.1), (7, 0.5), (7, 2.0), (5, 50.0), (7, 1.37)):
        step = Blurred(True, sigma, size)
        blur = lambda v, k=size, s=sigma: reference.gaussian_blur(v, [k, k], [s, s])  # noqa: E731
        found.append((f"blur {size} {sigma}", step, blur))
    found += [(f"mix {w}", Mixed(0, w), mixed(w)) for w in (0.0, 1 / 4096, 409 / 4096, 1.0)]
    return found


@pytest.mark.parametrize(("step", "expected"), [pytest.param(s, e, id=n) for n, s, e in cases()])
def test_each_step_is_within_one_level_of_torchvision(clips, drawn_of, step, expected):
    for clip in clips(11):
        wanted = expected(torch.from_numpy(clip).permute(0, 3, 1, 2)).permute(0, 2, 3, 1).numpy()
        drawn = drawn_of(step)
        batched = apply_pixels_batched(torch.from_numpy(clip)[None], [drawn])[0].numpy()
        for found in (apply_pixels(clip, drawn), batched):
            assert found.shape == wanted.shape
            assert np.abs(found.astype(np.int16) - wanted).max() <= 1


@pytest.mark.parametrize(("size", "sigma"), [(11, 0.1), (11, 0.7), (11, 2.0), (23, 3.0), (57, 9.0)])
@pytest.mark.parametrize("kind", ["noise", "binary", "smooth"])
def test_long_kernels_are_within_one_level_of_torchvision(make_clip, drawn_of, kind, size, sigma):
    clip = make_clip(kind, 2, 112)
    wanted = reference.gaussian_blur(torch.from_numpy(clip).permute(0, 3, 1, 2), [size, size], [sigma, sigma])
    found = apply_pixels(clip, drawn_of(Blurred(True, sigma, size)))
    assert np.abs(found.astype(np.int16) - wanted.permute(0, 2, 3, 1).numpy()).max() <= 1


def test_the_order_of_jitter_is_the_drawn_one(make_clip, drawn_of):
    clip = make_clip("noise", 2, 20)
    values = {"brightness": 1.75, "contrast": 0.25, "saturation": 1.5, "hue": 0.25}
    seen = {}
    for order in (
        ("brightness", "contrast", "hue", "saturation"),
        ("hue", "saturation", "contrast", "brightness"),
    ):
        whole = apply_pixels(clip, drawn_of(Jittered(True, order, **values)))
        one_by_one = apply_pixels(clip, drawn_of(*(jitter(name, values[name]) for name in order)))
        assert (whole == one_by_one).all()
        seen[order] = whole
    first, second = seen.values()
    assert (first != second).any()


def test_the_order_of_steps_is_the_declared_one(make_clip, drawn_of):
    clip = make_clip("noise", 2, 20)
    blur, solarize = Blurred(True, 1.5, 7), Solarized(True, 100)
    there = apply_pixels(clip, drawn_of(blur, solarize))
    back = apply_pixels(clip, drawn_of(solarize, blur))
    assert (there == apply_pixels(apply_pixels(clip, drawn_of(blur)), drawn_of(solarize))).all()
    assert (there != back).any()


def test_grey_pixels_keep_their_level_under_hue_and_saturation_above_one(make_clip, drawn_of):
    clip = make_clip("grey", 2, 30)
    for step in (jitter("hue", 0.3), jitter("saturation", 1.9), jitter("saturation", 0.6), Greyed(True)):
        assert (apply_pixels(clip, drawn_of(step)) == clip).all()


def test_quarter_turns_are_a_group(make_clip, drawn_of):
    clip = make_clip("noise", 3, 31)
    turned = [apply_pixels(clip, drawn_of(Turned(k))) for k in range(4)]
    assert (turned[0] == clip).all()
    for j in range(4):
        for k in range(4):
            assert (apply_pixels(turned[k], drawn_of(Turned(j))) == turned[(j + k) % 4]).all()
        histograms = [np.bincount(view[..., 0].ravel(), minlength=256) for view in (turned[j], clip)]
        assert (histograms[0] == histograms[1]).all()
    marked = np.zeros((1, 9, 9, 3), np.uint8)
    marked[0, 0] = 255
    assert (apply_pixels(marked, drawn_of(Turned(1)))[0, :, 0] == 255).all()  # counter-clockwise


@pytest.mark.parametrize("weight", [0.0, 0.05, 0.1, 0.5, 1.0])
def test_temporal_mix_scales_every_difference(make_clip, drawn_of, weight):
    clip = make_clip("noise", 6, 24)
    weight = round(weight * 4096) / 4096
    found = apply_pixels(clip, drawn_of(Mixed(3, weight))).astype(np.float64)
    scaled = (1 - weight) * np.diff(clip.astype(np.float64), axis=0)
    assert np.abs(np.diff(found, axis=0) - scaled).max() <= 1  # two roundings of half a level
    assert (found[3] == clip[3]).all()


def test_wrong_clips_are_refused(make_clip, drawn_of):
    clip = make_clip("noise", 2, 20)
    with pytest.raises(ContractError, match=r"expected uint8 frames .* got float32"):
        apply_pixels(clip.astype(np.float32), drawn_of())
    with pytest.raises(ContractError, match=r"\(T, S, S, 3\); got uint8 \(2, 20, 10, 3\)"):
        apply_pixels(clip[:, :, :10], drawn_of())
    with pytest.raises(ContractError, match="drawn for a longer clip than this of 2 frames"):
        apply_pixels(clip, drawn_of(Mixed(2, 0.5)))
