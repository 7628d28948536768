"""The convolutional backbones, built alike, for the tests of this folder."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from vssl_core.interfaces import Backbone
from vssl_core.types import ClipSpec
from vssl_plugins.backbones.c3d import C3D
from vssl_plugins.backbones.mobilenetv2 import MobileNetV2
from vssl_plugins.backbones.r2plus1d import R2Plus1D
from vssl_plugins.backbones.r3d import R3D
from vssl_plugins.backbones.shufflenet import ShuffleNet
from vssl_plugins.backbones.squeezenet import SqueezeNet

CLIP = ClipSpec(num_frames=16, frame_stride=1, crop_size=112)
STRIDES = {
    C3D: (8, 16, 16),
    MobileNetV2: (16, 32, 32),
    R2Plus1D: (8, 16, 16),
    R3D: (8, 16, 16),
    ShuffleNet: (16, 32, 32),
    SqueezeNet: (16, 32, 32),
}
"""Input size over map size, rounded up."""

ALL = pytest.mark.parametrize("cls", list(STRIDES))


def make(cls: type[Backbone], **options: object) -> Backbone:
    """A backbone with the weights of seed 0."""
    torch.manual_seed(0)
    return cls(cls.Options(**options), CLIP)


def size(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def settle(net: nn.Module, shape_THW: tuple[int, int, int] = (8, 32, 48)) -> nn.Module:
    """Give every BatchNorm the statistics of noise and an affine of its own, so that a swap shows.

    The statistics fit the convolutions before them, so that the signal reaches the end of the network.
    """
    generator = torch.Generator().manual_seed(1)
    norms = [module for module in net.modules() if isinstance(module, nn.BatchNorm3d)]
    for norm in norms:
        norm.weight.data.copy_(torch.rand(norm.weight.shape, generator=generator) + 0.5)
        norm.bias.data.copy_(torch.randn(norm.bias.shape, generator=generator) / 4)
        norm.momentum = 1.0
    with torch.no_grad():
        net.train()(torch.randn(2, 3, *shape_THW, generator=generator))
    for norm in norms:
        spread = torch.rand(norm.weight.shape, generator=generator) + 0.5
        norm.running_var.copy_(norm.running_var.mean() * spread)  # few values per channel may vary little
        norm.momentum = 0.1
    return net.eval()
