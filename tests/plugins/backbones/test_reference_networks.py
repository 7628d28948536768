"""Whole networks with the weights of their references' implementations give their outputs, to 1e-4.

Outside the default suite: `pytest -m reference`. torchvision's take a minute; those of transformers and
pytorchvideo, which vssl does not install, skip where they are missing.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from small_transformers import build, clips, settle
from torch import Tensor, nn
from torchvision.models import video as torchvision

from vssl_core.interfaces import Backbone
from vssl_core.types import ClipSpec
from vssl_core.weights import load_into
from vssl_plugins.backbones.mvit import MViT
from vssl_plugins.backbones.timesformer import TimeSformer
from vssl_plugins.backbones.video_swin import VideoSwin
from vssl_plugins.backbones.vivit import ViViT

pytestmark = pytest.mark.reference


def compare(
    ours: Backbone, theirs: nn.Module, run: Callable[[Tensor], Tensor], *, key_map: str, folder: Path
) -> None:
    """Load the state of theirs, as it is saved, into ours, and compare the outputs of one clip."""
    settle(theirs)
    torch.save(theirs.state_dict(), folder / "theirs.pth")
    loaded = load_into(ours.eval(), folder / "theirs.pth", ours.key_maps)
    assert (loaded.key_map, loaded.initial) == (key_map, ())
    assert loaded.tensors == len(ours.state_dict())
    with torch.no_grad():
        video = clips(1, *ours.shape)
        expected = run(video)
        assert expected.abs().max() > 0.1
        torch.testing.assert_close(ours(video), expected, rtol=1e-4, atol=1e-4)


def ours(cls: type[Backbone], frames: int, side: int, **options: object) -> Backbone:
    net = build(cls, ClipSpec(frames, 1, side), **options)
    net.shape = (frames, side, side)
    return net


def before_the_head(net: nn.Module, head: nn.Module) -> Callable[[Tensor], Tensor]:
    """What a network hands to its classifier."""

    def run(video: Tensor) -> Tensor:
        seen: list[Tensor] = []
        hook = head.register_forward_pre_hook(lambda _m, inputs: seen.append(inputs[0]))
        net(video)
        hook.remove()
        return seen[0]

    return run


@pytest.mark.parametrize("size", ["tiny", "small", "base"])
def test_video_swin_of_torchvision(size: str, tmp_path: Path) -> None:
    theirs = getattr(torchvision, f"swin3d_{size[0]}")(weights=None)
    net, run = ours(VideoSwin, 4, 224, size=size), before_the_head(theirs, theirs.head)
    compare(net, theirs, run, key_map="torchvision swin3d", folder=tmp_path)


@pytest.mark.parametrize("variant", ["v1_b", "v2_s"])
def test_mvit_of_torchvision(variant: str, tmp_path: Path) -> None:
    theirs = getattr(torchvision, f"mvit_{variant}")(weights=None)
    net, run = ours(MViT, 16, 224, variant=variant, pool="cls"), before_the_head(theirs, theirs.head)
    compare(net, theirs, run, key_map="torchvision mvit", folder=tmp_path)


def test_mvit_v1_of_pytorchvideo(tmp_path: Path) -> None:
    transformers = pytest.importorskip("pytorchvideo.models.vision_transformers")
    twice = [[1, 2.0], [3, 2.0], [14, 2.0]]
    theirs = transformers.create_multiscale_vision_transformers(
        spatial_size=112,
        temporal_size=16,
        embed_dim_mul=twice,
        atten_head_mul=twice,
        pool_q_stride_size=[[1, 1, 2, 2], [3, 1, 2, 2], [14, 1, 2, 2]],
        pool_kv_stride_adaptive=[1, 8, 8],
        pool_kvq_kernel=[3, 3, 3],
    )
    for name, module in theirs.named_modules():
        if name.rpartition(".")[2] in {"norm_q", "norm_k", "norm_v"}:
            module.eps = 1e-6  # 1e-5 there alone; SlowFast and torchvision have what all other norms have
    net, run = ours(MViT, 16, 112, variant="v1_b", pool="cls"), before_the_head(theirs, theirs.head.proj)
    compare(net, theirs, run, key_map="pytorchvideo MViT", folder=tmp_path)


def test_joint_vivit_of_transformers(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    config = transformers.VivitConfig(image_size=112, num_frames=16)
    theirs = transformers.VivitForVideoClassification(config)
    net = ours(ViViT, 16, 112, attention="joint", pool="cls")

    def run(video: Tensor) -> Tensor:
        return theirs.vivit(video.transpose(1, 2)).last_hidden_state[:, 0]

    compare(net, theirs, run, key_map="Hugging Face ViViT, saved by transformers 5", folder=tmp_path)


@pytest.mark.parametrize("attention", ["divided", "joint", "space_only"])
def test_timesformer_of_transformers(attention: str, tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    word = attention if attention == "space_only" else f"{attention}_space_time"
    config = transformers.TimesformerConfig(image_size=112, num_frames=4, attention_type=word)
    theirs = transformers.TimesformerForVideoClassification(config)
    alone = attention == "space_only"  # theirs keeps the class tokens of the frames apart
    net = ours(TimeSformer, 4, 112, attention=attention, pool="mean" if alone else "cls")

    def run(video: Tensor) -> Tensor:
        tokens = theirs.timesformer(video.transpose(1, 2)).last_hidden_state
        return tokens[:, 1:].mean((0, 1))[None] if alone else tokens[:, 0]

    compare(net, theirs, run, key_map="Hugging Face TimeSformer", folder=tmp_path)
