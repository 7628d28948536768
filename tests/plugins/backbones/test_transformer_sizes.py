"""Parameters and multiply-accumulates of the transformers are those of the references, to the last digit.

The expected numbers were measured by building the named references (the authors' code at the commits named in
the plugins' docstrings, torchvision, Hugging Face), with a classifier of 101 classes.
"""

from __future__ import annotations

import pytest
import torch
from small_transformers import build, size
from torch import nn
from torch.utils.flop_counter import FlopCounterMode
from torchvision.models.video import mvit_v1_b, mvit_v2_s, swin3d_t

from vssl_core.interfaces import Backbone
from vssl_core.types import ClipSpec
from vssl_plugins.backbones.mvit import MViT
from vssl_plugins.backbones.timesformer import TimeSformer
from vssl_plugins.backbones.video_swin import VideoSwin
from vssl_plugins.backbones.vivit import ViViT

# class, options, frames, side, parameters with 101 classes, with 400, G multiply-accumulates with 101
SIZES = [
    (VideoSwin, {}, 16, 112, 27_928_139, 28_158_070, 11.363),
    (VideoSwin, {}, 32, 224, 27_928_139, 28_158_070, 87.764),
    (VideoSwin, {"size": "small"}, 16, 112, 49_586_747, 49_816_678, 21.103),
    (VideoSwin, {"size": "base"}, 16, 112, 87_742_509, 88_048_984, 35.894),
    (VideoSwin, {"size": "base"}, 32, 224, 87_742_509, 88_048_984, 281.333),
    (TimeSformer, {}, 8, 224, 121_336_421, 121_566_352, 195.830),
    (TimeSformer, {}, 16, 112, 121_229_669, 121_459_600, 96.275),
    (TimeSformer, {"attention": "joint"}, 8, 224, 85_882_469, 86_112_400, 179.563),
    (TimeSformer, {"attention": "joint"}, 16, 112, 85_775_717, 86_005_648, 78.494),
    (TimeSformer, {"attention": "space_only"}, 8, 224, 85_876_325, 86_106_256, 140.505),
    (TimeSformer, {"attention": "space_only"}, 16, 112, 85_763_429, 85_993_360, 69.148),
    (ViViT, {"attention": "joint"}, 32, 224, 88_724_069, 88_954_000, 451.525),
    (ViViT, {"attention": "joint"}, 16, 112, 86_616_677, 86_846_608, 36.689),
    (ViViT, {}, 32, 224, 114_832_997, 115_062_928, 283.342),
    (ViViT, {}, 16, 224, 114_826_853, 115_056_784, 141.685),
    (ViViT, {}, 16, 112, 114_713_957, 114_943_888, 35.060),
    (ViViT, {"size": "large"}, 32, 224, 606_521_445, 606_827_920, None),
    (MViT, {"variant": "v1_b"}, 16, 224, 36_380_741, 36_610_672, 70.599),
    (MViT, {"variant": "v1_b"}, 16, 112, 36_154_949, 36_384_880, 15.531),
    (MViT, {}, 16, 224, 34_307_813, 34_537_744, 64.224),
    (MViT, {}, 16, 112, 34_252_517, 34_482_448, 13.915),
]


def on_meta(cls: type[Backbone], frames: int, side: int, options: dict[str, str]) -> Backbone:
    """Without memory and arithmetic: only shapes."""
    with torch.device("meta"):
        return build(cls, ClipSpec(frames, 1, side), **options).eval()


def macs(net: nn.Module, frames: int, side: int) -> int:
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        net(torch.empty(1, 3, frames, side, side, device="meta"))
    assert counter.get_total_flops() % 2 == 0
    return counter.get_total_flops() // 2


@pytest.mark.parametrize(("cls", "options", "frames", "side", "p101", "p400", "gmacs"), SIZES)
def test_sizes_are_the_references(
    cls: type[Backbone],
    options: dict[str, str],
    frames: int,
    side: int,
    p101: int,
    p400: int,
    gmacs: float | None,
) -> None:
    net = on_meta(cls, frames, side, options)
    assert [size(net) + n * (net.embed_dim + 1) for n in (101, 400)] == [p101, p400]
    if gmacs is not None:
        assert round((macs(net, frames, side) + 101 * net.embed_dim) / 1e9, 3) == gmacs


TORCHVISION = [
    (swin3d_t, VideoSwin, {}),
    (mvit_v1_b, MViT, {"variant": "v1_b"}),
    (mvit_v2_s, MViT, {}),
]


@pytest.mark.parametrize(("reference", "cls", "options"), TORCHVISION)
def test_multiply_accumulates_equal_torchvisions_exactly(
    reference, cls: type[Backbone], options: dict[str, str]
) -> None:
    with torch.device("meta"):
        theirs = reference(weights=None).eval()
    head = theirs.head if isinstance(theirs.head, nn.Linear) else theirs.head[-1]
    if cls is VideoSwin:
        theirs.head = nn.Identity()
    else:
        theirs.head[-1] = nn.Identity()
    ours = on_meta(cls, 16, 224, options)
    assert size(ours) == size(theirs)
    assert ours.embed_dim == head.in_features
    assert macs(ours, 16, 224) == macs(theirs, 16, 224)
