"""Drawing is a pure function of the key, the place and the op; and it draws what the op says."""

from __future__ import annotations

import json
import pickle
import random
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from math import log

import numpy as np
import pytest
import torch
from scipy import stats

from vssl_core.augmentation import DrawnView, draw_view
from vssl_core.augmentation.drawn import Box, Mixed, Turned
from vssl_core.augmentation.ops import (
    CenterCrop,
    ColorJitter,
    Gamma,
    GaussianBlur,
    Grayscale,
    HorizontalFlip,
    QuarterTurn,
    RandomCrop,
    ResizedCrop,
    RotationJitter,
    Solarize,
    TemporalMix,
    ViewAugmentation,
)
from vssl_core.errors import ContractError

EVERYTHING = ViewAugmentation(
    (
        RotationJitter(),
        ResizedCrop(),
        HorizontalFlip(),
        QuarterTurn(1),
        ColorJitter(p=0.8),
        Grayscale(),
        Gamma(),
        GaussianBlur(),
        Solarize(),
        TemporalMix(),
    )
)
GEOMETRY = {"num_frames": 16, "height": 128, "width": 171, "crop_size": 112}


def draw(view: ViewAugmentation, *key: str | int, **geometry: int) -> DrawnView:
    return draw_view(view, key=key, **{**GEOMETRY, **geometry})


def draws(op: object, count: int = 3000, **geometry: int) -> list:
    """The one step of `op`, drawn for `count` videos."""
    view = ViewAugmentation((CenterCrop(), op))
    return [draw(view, "view", i, **geometry).pixels[0] for i in range(count)]


def boxes(op: object, count: int = 3000, **geometry: int) -> list[Box]:
    return [draw(ViewAugmentation((op,)), "view", i, **geometry).crop for i in range(count)]


def rate_fits(happened: list[bool], p: float) -> bool:
    return stats.binomtest(sum(happened), len(happened), p).pvalue > 1e-4


def is_uniform(values: list[float], low: float, high: float) -> bool:
    return stats.kstest(values, stats.uniform(low, high - low).cdf).pvalue > 1e-4


# ------------------------------------------------------------------------------------------ a pure function


def test_same_key_same_draw_in_every_thread_and_after_pickling():
    first = draw(EVERYTHING, "view", 0, 3, "video_7", "anchor")
    with ThreadPoolExecutor(4) as pool:
        again = list(pool.map(lambda _: draw(EVERYTHING, "view", 0, 3, "video_7", "anchor"), range(20)))
    assert all(other == first for other in again)
    assert pickle.loads(pickle.dumps(first)) == first
    assert hash(first) == hash(again[0])


@pytest.mark.parametrize("changed", range(5))
def test_every_part_of_the_key_changes_the_draw(changed):
    key = ["view", 0, 3, "video_7", "anchor"]
    other = list(key)
    other[changed] = "other" if isinstance(key[changed], str) else key[changed] + 1
    assert draw(EVERYTHING, *key) != draw(EVERYTHING, *other)


def test_equal_ops_at_equal_places_share_the_draw_and_others_do_not_shift_it():
    a = ViewAugmentation((ResizedCrop(area=(0.3, 1)), HorizontalFlip(), ColorJitter(), GaussianBlur()))
    b = ViewAugmentation(
        (ResizedCrop(area=(0.3, 1.0)), HorizontalFlip(), ColorJitter(hue=0.3), GaussianBlur())
    )
    for i in range(50):
        one, two = draw(a, "group", i), draw(b, "group", i)
        assert one.crop == two.crop
        assert one.pixels[0] == two.pixels[0]
        assert one.pixels[1].brightness != two.pixels[1].brightness  # another op, other draws
        assert one.pixels[2] == two.pixels[2]


def test_equal_ops_at_two_places_draw_independently():
    view = ViewAugmentation((CenterCrop(), HorizontalFlip(), HorizontalFlip()))
    pairs = [tuple(step.applied for step in draw(view, i).pixels) for i in range(400)]
    assert {pairs.count(pair) > 60 for pair in ((0, 0), (0, 1), (1, 0), (1, 1))} == {True}


def test_global_generators_are_untouched():
    before = (random.getstate(), np.random.get_state()[1].tobytes(), torch.get_rng_state())
    draw(EVERYTHING, "view", 0)
    assert before[0] == random.getstate()
    assert before[1] == np.random.get_state()[1].tobytes()
    assert torch.equal(before[2], torch.get_rng_state())


def test_description_is_json_and_complete():
    drawn = draw(EVERYTHING, "view", 0)
    told = json.loads(json.dumps(drawn.describe()))
    assert told == drawn.describe()
    assert told["degrees"] == drawn.degrees
    assert Box(**told["crop"]) == drawn.crop
    for step, text in zip(drawn.pixels, told["pixels"], strict=True):
        assert text.pop("step") == type(step).__name__
        assert replace(step, **{k: tuple(v) if k == "order" else v for k, v in text.items()}) == step


@pytest.mark.parametrize("name", GEOMETRY)
def test_a_clip_without_extent_is_refused(name):
    with pytest.raises(ContractError, match="at least one frame and one pixel"):
        draw(EVERYTHING, "view", **{name: 0})


# ------------------------------------------------------------------------------ what is distributed how


@pytest.mark.parametrize(
    ("op", "p"),
    [
        (HorizontalFlip(), 0.5),
        (HorizontalFlip(p=0.1), 0.1),
        (ColorJitter(p=0.8), 0.8),
        (Grayscale(), 0.2),
        (Gamma(p=0.3), 0.3),
        (GaussianBlur(p=0.5), 0.5),
        (Solarize(p=0.2), 0.2),
    ],
)
def test_ops_happen_at_their_rate(op, p):
    assert rate_fits([step.applied for step in draws(op)], p)


@pytest.mark.parametrize("p", [0, 1])
def test_certain_ops_are_certain(p):
    assert {step.applied for step in draws(HorizontalFlip(p=p), 200)} == {bool(p)}


def test_resized_crop_covers_its_areas_and_aspects():
    area, aspect = (0.2, 0.6), (0.5, 2.0)
    found = boxes(ResizedCrop(area=area, aspect=aspect), height=2000, width=2000)
    assert is_uniform([box.height * box.width / 2000**2 for box in found], *area)
    assert is_uniform([log(box.width / box.height) for box in found], log(0.5), log(2.0))
    assert all(box.top + box.height <= 2000 and box.left + box.width <= 2000 for box in found)
    assert is_uniform([box.top / (2000 - box.height + 1) for box in found], 0, 1)
    assert is_uniform([box.left / (2000 - box.width + 1) for box in found], 0, 1)


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((100, 1000), Box(0, 400, 100, 200)),
        ((1000, 100), Box(400, 0, 200, 100)),
        ((100, 100), Box(0, 0, 100, 100)),
    ],
)
def test_resized_crop_that_cannot_fit_falls_back_to_the_largest_centred_box(size, expected):
    height, width = size
    op = ResizedCrop(area=(1.0, 1.0), aspect=(0.5, 2.0))
    found = boxes(op, 30, height=height, width=width)
    if height != width:
        assert set(found) == {expected}
    else:
        assert expected in found


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 500), (3, 2), (240, 320)])
@pytest.mark.parametrize(
    "op", [ResizedCrop(), ResizedCrop((0.001, 0.001), (0.001, 1000)), RandomCrop(50), CenterCrop(9)]
)
def test_boxes_always_lie_in_the_frame_and_are_not_empty(op, height, width):
    for box in boxes(op, 200, height=height, width=width):
        assert min(box.height, box.width) >= 1
        assert min(box.top, box.left) >= 0
        assert box.top + box.height <= height
        assert box.left + box.width <= width


def test_random_crop_is_a_square_of_fixed_side_at_every_place():
    found = boxes(RandomCrop(8 / 7), height=128, width=140)
    assert {(box.height, box.width) for box in found} == {(112, 112)}
    assert {box.top for box in found} == set(range(17))
    assert {box.left for box in found} == set(range(29))


def test_center_crop_is_centred():
    assert boxes(CenterCrop(), 1, height=128, width=171) == [Box(0, 21, 128, 128)]
    assert boxes(CenterCrop(2), 1, height=240, width=320) == [Box(60, 100, 120, 120)]


def test_ranges_are_uniform():
    turned = [draw(ViewAugmentation((RotationJitter(10), CenterCrop())), i).degrees for i in range(3000)]
    assert is_uniform(turned, -10, 10)
    assert is_uniform([step.sigma for step in draws(GaussianBlur((0.1, 2.0)))], 0.1, 2.0)
    assert is_uniform([log(step.gamma) for step in draws(Gamma((0.5, 3.0)))], log(0.5), log(3.0))
    jitters = draws(ColorJitter(0.4, 0.8, 1.0, 0.1))
    assert is_uniform([step.brightness for step in jitters], 0.6, 1.4)
    assert is_uniform([step.contrast for step in jitters], 0.2, 1.8)
    assert is_uniform([step.saturation for step in jitters], 0.0, 2.0)
    assert is_uniform([step.hue for step in jitters], -0.1, 0.1)
    mixes = draws(TemporalMix(0.1), num_frames=8)
    assert is_uniform([step.weight for step in mixes], 0, 0.1)
    assert stats.chisquare(np.bincount([step.frame for step in mixes], minlength=8)).pvalue > 1e-4


def test_jitter_takes_every_order_equally_often_and_leaves_out_what_has_no_strength():
    orders = [step.order for step in draws(ColorJitter(), 4800)]
    counts = np.unique(["".join(order) for order in orders], return_counts=True)[1]
    assert len(counts) == 24
    assert stats.chisquare(counts).pvalue > 1e-4
    assert {step.order for step in draws(ColorJitter(0.4, 0, 0, 0), 20)} == {("brightness",)}


def test_factors_lie_on_their_grids():
    for step in draws(ColorJitter(), 200):
        assert all((f * 4096).is_integer() for f in (step.brightness, step.contrast, step.saturation))
        assert round(step.hue * 1536) / 1536 == step.hue
    assert all((step.weight * 4096).is_integer() for step in draws(TemporalMix(), 200))


@pytest.mark.parametrize(("crop_size", "size"), [(112, 11), (224, 23), (7, 1), (20, 3), (120, 13)])
def test_blur_takes_the_odd_size_nearest_to_its_share(crop_size, size):
    assert draws(GaussianBlur(), 1, crop_size=crop_size)[0].size == size


def test_quarter_turn_and_center_crop_draw_nothing():
    view = ViewAugmentation((CenterCrop(), QuarterTurn(-1)))
    assert len({draw(view, i) for i in range(20)}) == 1
    assert draw(view, 0).pixels == (Turned(3),)


def test_mixing_a_single_frame_takes_that_frame():
    assert {step.frame for step in draws(TemporalMix(), 20, num_frames=1)} == {0}
    assert isinstance(draws(TemporalMix(), 1)[0], Mixed)
