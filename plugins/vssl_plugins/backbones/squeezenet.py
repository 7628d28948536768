"""3D SqueezeNet 1.1 with simple bypass, the smallest network of the benchmark (1.8 M parameters).

Iandola et al., SqueezeNet: AlexNet-level accuracy with 50x fewer parameters and <0.5MB model size, 2016,
inflated to clips by Köpüklü et al., Resource Efficient 3D Convolutional Neural Networks, ICCVW 2019. A Fire
module squeezes to few channels by 1 x 1 x 1 and expands beside each other by 1 x 1 x 1 and 3 x 3 x 3; every
second one adds its input.

As in the 3D reference every convolution has BatchNorm and keeps its bias, ReLU follows the squeeze and the
sum but neither expansion by itself, and all maps are halved by max-pools. The reference's head, a
convolution to the classes, is left out.

Initialisation is the reference's: Kaiming's rule by fan-out for the weights, PyTorch's default for the
biases.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from vssl_core.interfaces import Backbone
from vssl_core.options import Options
from vssl_core.types import ClipSpec
from vssl_core.weights import KeyMap
from vssl_plugins.backbones.activations import ReLU
from vssl_plugins.backbones.checkpointing import run_stages
from vssl_plugins.backbones.clip_shape import Size3d, check_clips
from vssl_plugins.backbones.convolutions import conv3d, join, start_fan_out

__all__ = ["Fire", "SqueezeNet", "SqueezeNetOptions"]

STEM_WIDTH = 64
SQUEEZES = (16, 32, 48, 64)
EXPANSION = 8
STRIDE_THW: Size3d = (16, 32, 32)
FIRST_FIRE = 2
"""The paper numbers Fire modules from 2, after the first convolution."""


class SqueezeNetOptions(Options):
    """The benchmark's network has no other options."""

    checkpointing: bool = False
    """Keep the stages' inputs and compute the rest again in the backward pass: less memory, more time."""


# Places in the reference's `features`: stem 0 to 2, then a pool and two Fire modules for each stage.
KOEPUEKLUE = KeyMap(
    "Köpüklü et al. SqueezeNet 1.1",
    recognise=(r"features\.4\.squeeze\.weight",),
    rename=(
        (r"^features\.([01])\.", r"stem.\1."),
        *(
            (rf"^features\.{3 * number + place}\.", f"stage{number}.fire{2 * number + place - 1}.")
            for number in range(1, 5)
            for place in (1, 2)
        ),
    ),
    drop=(r"classifier\.",),
)


class Fire(nn.Module):
    """Squeeze and expand: (B, in_planes, T, H, W) → (B, 8 · squeeze, T, H, W), plus the input if `bypass`."""

    def __init__(self, in_planes: int, squeeze: int, *, bypass: bool) -> None:
        super().__init__()
        self.bypass = bypass
        expand = squeeze * EXPANSION // 2
        self.squeeze = conv3d(in_planes, squeeze, (1, 1, 1), bias=True)
        self.squeeze_bn = nn.BatchNorm3d(squeeze)
        self.squeeze_relu = ReLU()
        self.expand1x1 = conv3d(squeeze, expand, (1, 1, 1), bias=True)
        self.expand1x1_bn = nn.BatchNorm3d(expand)
        self.expand3x3 = conv3d(squeeze, expand, (3, 3, 3), bias=True)
        self.expand3x3_bn = nn.BatchNorm3d(expand)
        self.relu = ReLU()

    def forward(self, x_BCTHW: Tensor) -> Tensor:
        """(B, in_planes, T, H, W) → (B, 8 · squeeze, T, H, W)."""
        squeezed_BCTHW = self.squeeze_relu(self.squeeze_bn(self.squeeze(x_BCTHW)))
        point_BCTHW = self.expand1x1_bn(self.expand1x1(squeezed_BCTHW))
        around_BCTHW = self.expand3x3_bn(self.expand3x3(squeezed_BCTHW))
        expanded_BCTHW = join(point_BCTHW, around_BCTHW)
        return self.relu(expanded_BCTHW + x_BCTHW if self.bypass else expanded_BCTHW)


def stage(in_planes: int, squeeze: int, *, first: int) -> nn.Sequential:
    """A max-pool that halves T, H and W, and two Fire modules, of which the second has the bypass."""
    layers = nn.Sequential()
    layers.add_module("pool", nn.MaxPool3d(3, stride=2, padding=1))
    layers.add_module(f"fire{first}", Fire(in_planes, squeeze, bypass=False))
    layers.add_module(f"fire{first + 1}", Fire(squeeze * EXPANSION, squeeze, bypass=True))
    return layers


class SqueezeNet(Backbone):
    """3D SqueezeNet 1.1: clips (B, 3, T, H, W) → map (B, 512, ceil(T/16), ceil(H/32), ceil(W/32)).

    1,837,760 parameters and 0.8977 G multiply-accumulates for 16 x 112 x 112 (0.8985 with the reference's
    convolution to 101 classes). Every halving rounds up, so any clip size works; in train mode one clip of
    at most 16 x 32 x 32 is refused, because BatchNorm would see one value per channel.
    """

    api_version = 1
    Options = SqueezeNetOptions
    key_maps = (KOEPUEKLUE,)
    paper = "https://arxiv.org/abs/1904.02422"

    def __init__(self, options: Any, clip: ClipSpec) -> None:
        super().__init__(options, clip)
        self.checkpointing = options.checkpointing
        self.embed_dim = SQUEEZES[-1] * EXPANSION
        self.stem = nn.Sequential(
            conv3d(3, STEM_WIDTH, (3, 3, 3), stride=(1, 2, 2), bias=True),
            nn.BatchNorm3d(STEM_WIDTH),
            ReLU(),
        )
        in_planes = STEM_WIDTH
        for number, squeeze in enumerate(SQUEEZES):
            made = stage(in_planes, squeeze, first=FIRST_FIRE + 2 * number)
            self.add_module(f"stage{number + 1}", made)
            in_planes = squeeze * EXPANSION
        start_fan_out(self)

    def forward_features(self, video_BCTHW: Tensor) -> Tensor:
        """(B, 3, T, H, W) → (B, 512, ceil(T/16), ceil(H/32), ceil(W/32)).

        Raises:
            UsageError: Clips of another shape, or one value per channel in train mode.
        """
        check_clips(video_BCTHW, name="SqueezeNet", stride_THW=STRIDE_THW, training=self.training)
        return run_stages(self.stages().values(), video_BCTHW, checkpointing=self.checkpointing)

    def stages(self) -> Mapping[str, nn.Module]:
        """Stem and the four stages of Fire modules, in the order of the data."""
        return {name: self.get_submodule(name) for name in ("stem", "stage1", "stage2", "stage3", "stage4")}
