"""Transformers small enough for a test: the published wiring with fewer blocks and channels.

Video Swin and MViT have no options for depth and width, so that their tables of sizes are replaced here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from unittest.mock import patch

import pytest
import torch
from torch import Tensor, nn

from vssl_core.interfaces import Backbone
from vssl_core.types import ClipSpec
from vssl_plugins.backbones import mvit, video_swin
from vssl_plugins.backbones.mvit import MViT
from vssl_plugins.backbones.timesformer import DividedBlock, TimeSformer
from vssl_plugins.backbones.timm_image import TimmImage
from vssl_plugins.backbones.video_swin import VideoSwin
from vssl_plugins.backbones.vivit import ViViT

Make = Callable[..., Backbone]
SMALL = ClipSpec(num_frames=4, frame_stride=1, crop_size=64)


def build(cls: type[Backbone], clip: ClipSpec = SMALL, **options: object) -> Backbone:
    torch.manual_seed(0)
    return cls(cls.Options(**options), clip)


@contextmanager
def small_tables() -> Iterator[None]:
    """Inside, Video Swin and MViT are built with few blocks and channels."""
    with ExitStack() as stack:
        stack.enter_context(patch.dict(video_swin.SIZES, tiny=(16, (2, 1, 2, 2), (1, 2, 4, 4), 0.1)))
        stack.enter_context(patch.multiple(mvit, DEPTH=5, WIDENING=(1, 2, 4), WIDTH=16))
        yield


def small(cls: type[Backbone], **fixed: object) -> Make:
    """Builds a network of this class with few blocks and channels."""

    def make(clip: ClipSpec = SMALL, **more: object) -> Backbone:
        with small_tables():
            return build(cls, clip, **{**fixed, **more})

    return make


SHALLOW = {"size": "tiny", "depth": 2}
NETS: dict[str, tuple[type[Backbone], dict[str, object]]] = {
    "vivit": (ViViT, {**SHALLOW, "temporal_depth": 1}),
    "vivit_joint": (ViViT, {**SHALLOW, "attention": "joint"}),
    "timesformer": (TimeSformer, SHALLOW),
    "timesformer_joint": (TimeSformer, {**SHALLOW, "attention": "joint"}),
    "timesformer_space": (TimeSformer, {**SHALLOW, "attention": "space_only"}),
    "video_swin": (VideoSwin, {}),
    "mvit_v1": (MViT, {"variant": "v1_b"}),
    "mvit_v2": (MViT, {}),
    "timm_resnet": (TimmImage, {"model": "test_resnet"}),
    "timm_vit": (TimmImage, {"model": "test_vit"}),
}
MAKERS = {name: small(cls, **options) for name, (cls, options) in NETS.items()}
TRANSFORMERS = [name for name in MAKERS if not name.startswith("timm")]
LIGHT = [name for name in TRANSFORMERS if name.startswith(("vivit", "timesformer"))]


def each(*names: str) -> pytest.MarkDecorator:
    """One run of the test per network."""
    return pytest.mark.parametrize("make", [MAKERS[name] for name in names], ids=names)


def size(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def settle(net: nn.Module) -> nn.Module:
    """Values of their own for all that starts at zero or one, so that a swap of two would show."""
    generator = torch.Generator().manual_seed(1)
    for parameter in net.parameters():
        parameter.data += 0.02 * torch.randn(parameter.shape, generator=generator)
    for module in net.modules():
        if isinstance(module, DividedBlock):
            module.temporal_fc.weight.data.normal_(std=0.05, generator=generator)
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.running_mean.normal_(std=0.1, generator=generator)
    return net.eval()


def clips(*shape: int, seed: int = 0) -> Tensor:
    """Random clips (B, 3, T, H, W) of shape (B, T, H, W)."""
    batch, *rest = shape
    return torch.randn(batch, 3, *rest, generator=torch.Generator().manual_seed(seed))
