"""3D ShuffleNet V1 2.0x with three groups, the small network of the benchmark (3.6 M parameters).

Zhang et al., ShuffleNet: An Extremely Efficient Convolutional Neural Network for Mobile Devices, CVPR
2018, inflated to clips by Köpüklü et al., Resource Efficient 3D Convolutional Neural Networks, ICCVW
2019. The unit is a grouped 1 x 1 x 1 convolution, a channel shuffle, a depthwise 3 x 3 x 3 convolution
and another grouped 1 x 1 x 1 convolution, beside a shortcut: an addition where the map keeps its size,
a concatenation with an average pool where the map is halved.

As in the 3D reference the first pointwise convolution is grouped wherever its input is wider than the
24 channels of the 1.0x network, and `mid` is a quarter of the unit's full output width.

One addition: the reference pools its shortcuts over two frames and loses the last one of an odd number
of frames, while the convolution beside it keeps it, so that it runs only where T/2, rounded up, is a
multiple of 8. Here the last frame of an odd number is repeated before it is pooled. Nothing changes where
the reference runs, and every other number of frames works too.

One correction: a single group is 144, 288 and 576 channels wide, as in the paper; the reference has 567.

Initialisation is PyTorch's default, as in the reference, with one exception: the last normalisation of
each unit with an addition starts at zero (Goyal et al., arXiv 1706.02677, section 5.1), so that the network
starts shallow. Without it the sixteen normalised units of a new network amplify noise to the size of the
signal, and small budgets end on the plateau before anything is learnt; `zero_init_residual=False` is the
reference's.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from vssl_core.interfaces import Backbone
from vssl_core.options import Options
from vssl_core.types import ClipSpec
from vssl_core.weights import KeyMap
from vssl_plugins.backbones.activations import ReLU
from vssl_plugins.backbones.checkpointing import run_stages
from vssl_plugins.backbones.clip_shape import Size3d, check_clips
from vssl_plugins.backbones.convolutions import join
from vssl_plugins.backbones.depthwise import DepthwiseConv3d

__all__ = ["ShuffleNet", "ShuffleNetOptions", "ShuffleUnit", "channel_shuffle"]

STEM_WIDTH = 24
STAGE_WIDTHS = {
    1: (144, 288, 576),
    2: (200, 400, 800),
    3: (240, 480, 960),
    4: (272, 544, 1088),
    8: (384, 768, 1536),
}
UNITS = (4, 8, 4)
STRIDE_THW: Size3d = (16, 32, 32)


class ShuffleNetOptions(Options):
    """Width of the network; the defaults are the benchmark's."""

    width: float = Field(2.0, gt=0)
    """Multiplier of all channel counts (2.0 is "2.0x")."""
    groups: Literal[1, 2, 3, 4, 8] = 3
    """Groups of the pointwise convolutions; the stage widths follow Table 1 of the paper."""
    zero_init_residual: bool = True
    """Start units with an addition as the identity: the weight of their last normalisation is zero."""
    checkpointing: bool = False
    """Keep the stages' inputs and compute the rest again in the backward pass: less memory, more time."""

    @model_validator(mode="after")
    def _channels_divide(self) -> ShuffleNetOptions:
        stem, *stages = self.widths()
        inputs = (stem, *stages[:-1])
        parts = [width // 4 for width in stages]
        parts += [out - into for into, out in zip(inputs, stages, strict=True)]
        parts += [into for into in inputs if into != STEM_WIDTH]
        if any(part <= 0 or part % self.groups for part in parts):
            raise ValueError(
                f"width {self.width} gives {stem}, {', '.join(map(str, stages))} channels, which "
                f"{self.groups} groups do not divide; use 0.5, 1, 1.5 or 2 with 3 groups, or 1 or 2"
            )
        return self

    def widths(self) -> tuple[int, ...]:
        """Channels after the stem and after each of the three stages."""
        return tuple(int(width * self.width) for width in (STEM_WIDTH, *STAGE_WIDTHS[self.groups]))


KOEPUEKLUE = KeyMap(
    "Köpüklü et al. ShuffleNet",
    recognise=(r"conv1\.0\.weight", r"layer1\.0\.bn3\.weight"),
    rename=(
        (r"^conv1\.([01])\.", r"stem.\1."),
        (r"^layer([123])\.", r"stage\1."),
        (r"\.bn([123])\.", r".norm\1."),
    ),
    drop=(r"classifier\.",),
)


def channel_shuffle(x_BCTHW: Tensor, groups: int) -> Tensor:
    """Deal the channels of `groups` groups out in turn: channel g·(C/G) + c moves to c·G + g.

    Goes through the channels-last layout, in which the shuffle is one pass over short runs of memory and
    the result keeps the layout that the next convolution is fast in.
    """
    x_BTHWC = x_BCTHW.movedim(1, -1)
    return x_BTHWC.unflatten(-1, (groups, -1)).transpose(-1, -2).flatten(-2).movedim(-1, 1)


def pool_shortcut(x_BCTHW: Tensor) -> Tensor:
    """Mean over 2 x 3 x 3 at stride 2, (B, C, T, H, W) → (B, C, ceil(T/2), ceil(H/2), ceil(W/2)).

    Beside the map there are zeros, which count, as in the reference. PyTorch refuses to pool a map that
    is smaller than the kernel even where the zeros fill it up, so that such a map is padded beforehand.
    """
    if x_BCTHW.shape[2] % 2:
        x_BCTHW = torch.cat([x_BCTHW, x_BCTHW[:, :, -1:]], dim=2)
    if min(x_BCTHW.shape[3:]) < 3:
        return F.avg_pool3d(F.pad(x_BCTHW, (1, 1, 1, 1)), (2, 3, 3), stride=2)
    return F.avg_pool3d(x_BCTHW, (2, 3, 3), stride=2, padding=(0, 1, 1))


class ShuffleUnit(nn.Module):
    """One unit: (B, in_planes, T, H, W) → (B, out_planes, T', H', W'), halved (rounded up) if `halve`."""

    def __init__(self, in_planes: int, out_planes: int, *, groups: int, halve: bool) -> None:
        super().__init__()
        self.groups = groups
        self.halve = halve
        mid = out_planes // 4
        main = out_planes - in_planes if halve else out_planes
        first_groups = 1 if in_planes == STEM_WIDTH else groups
        self.conv1 = nn.Conv3d(in_planes, mid, 1, groups=first_groups, bias=False)
        self.norm1 = nn.BatchNorm3d(mid)
        self.relu1 = ReLU()
        self.conv2 = DepthwiseConv3d(mid, stride=2 if halve else 1)
        self.norm2 = nn.BatchNorm3d(mid)
        self.conv3 = nn.Conv3d(mid, main, 1, groups=groups, bias=False)
        self.norm3 = nn.BatchNorm3d(main)
        self.relu3 = ReLU()

    def forward(self, x_BCTHW: Tensor) -> Tensor:
        """(B, in_planes, T, H, W) → (B, out_planes, T', H', W')."""
        main_BCTHW = self.relu1(self.norm1(self.conv1(x_BCTHW)))
        main_BCTHW = channel_shuffle(main_BCTHW, self.groups)
        main_BCTHW = self.norm2(self.conv2(main_BCTHW))
        main_BCTHW = self.norm3(self.conv3(main_BCTHW))
        if not self.halve:
            return self.relu3(main_BCTHW + x_BCTHW)
        return self.relu3(join(main_BCTHW, pool_shortcut(x_BCTHW)))


class ShuffleNet(Backbone):
    """3D ShuffleNet V1: clips (B, 3, T, H, W) → map (B, D, ceil(T/16), ceil(H/32), ceil(W/32)).

    D is 1920 at 2.0x with three groups: 3,606,288 parameters and 0.5135 G multiply-accumulates for
    16 x 112 x 112. Every halving rounds up, so any clip size works; in train mode one clip of at most
    16 x 32 x 32 is refused, because BatchNorm would see one value per channel.
    """

    api_version = 1
    Options = ShuffleNetOptions
    key_maps = (KOEPUEKLUE,)
    paper = "https://arxiv.org/abs/1904.02422"

    def __init__(self, options: Any, clip: ClipSpec) -> None:
        super().__init__(options, clip)
        widths = options.widths()
        self.checkpointing = options.checkpointing
        self.embed_dim = widths[-1]
        self.stem = nn.Sequential(
            nn.Conv3d(3, widths[0], 3, stride=(1, 2, 2), padding=1, bias=False),
            nn.BatchNorm3d(widths[0]),
            ReLU(),
            nn.MaxPool3d(3, stride=2, padding=1),
        )
        stages = [
            nn.Sequential(
                ShuffleUnit(in_planes, out_planes, groups=options.groups, halve=True),
                *(
                    ShuffleUnit(out_planes, out_planes, groups=options.groups, halve=False)
                    for _ in range(count - 1)
                ),
            )
            for in_planes, out_planes, count in zip(widths[:-1], widths[1:], UNITS, strict=True)
        ]
        self.stage1, self.stage2, self.stage3 = stages
        if options.zero_init_residual:
            for unit in self.modules():
                if isinstance(unit, ShuffleUnit) and not unit.halve:
                    nn.init.zeros_(unit.norm3.weight)

    def forward_features(self, video_BCTHW: Tensor) -> Tensor:
        """(B, 3, T, H, W) → (B, D, ceil(T/16), ceil(H/32), ceil(W/32)).

        Raises:
            UsageError: Clips of another shape, or one value per channel in train mode.
        """
        check_clips(video_BCTHW, name="ShuffleNet", stride_THW=STRIDE_THW, training=self.training)
        return run_stages(self.stages().values(), video_BCTHW, checkpointing=self.checkpointing)

    def stages(self) -> Mapping[str, nn.Module]:
        """Stem and the three stages, in the order of the data."""
        return {name: self.get_submodule(name) for name in ("stem", "stage1", "stage2", "stage3")}
