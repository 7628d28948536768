"""R(2+1)D with one block per stage, the medium network of the benchmark (14.4 M parameters).

Tran et al., A Closer Look at Spatiotemporal Convolutions for Action Recognition, CVPR 2018, in the
form that VCOP (Xu et al., CVPR 2019) used and the benchmark took over. Every t x k x k convolution is
a 1 x k x k convolution to `mid` channels, BatchNorm, ReLU and a t x 1 x 1 convolution, where `mid` keeps
the number of weights of the full convolution (section 3.5 of Tran et al.).

This form differs from torchvision's `r2plus1d_18` in three ways that change the weights: the stem is
3 x 7 x 7 and follows the `mid` rule (83 instead of 45), each convolution has its own `mid` instead of
one per block, and the shortcuts are factorised too, with a BatchNorm and ReLU of their own.

Initialisation is PyTorch's default, as in the reference.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field, PositiveInt
from torch import Tensor, nn

from vssl_core.interfaces import Backbone
from vssl_core.options import Options
from vssl_core.types import ClipSpec
from vssl_plugins.backbones.clip_shape import Size3d, check_clips

__all__ = ["FactorizedConv3d", "R2Plus1D", "R2Plus1DOptions", "mid_planes"]

WIDTHS = (64, 128, 256, 512)
STRIDE_THW: Size3d = (8, 16, 16)


class R2Plus1DOptions(Options):
    """Depth of the network; the default is the benchmark's."""

    blocks: tuple[PositiveInt, PositiveInt, PositiveInt, PositiveInt] = Field((1, 1, 1, 1))
    """Residual blocks in each of the four stages; 2,2,2,2 has the depth of an 18-layer network."""


def mid_planes(in_planes: int, out_planes: int, kernel: Size3d) -> int:
    """Channels between the spatial and the temporal part that keep the weights of the full kernel."""
    time, height, width = kernel
    area = height * width
    return time * area * in_planes * out_planes // (area * in_planes + time * out_planes)


class FactorizedConv3d(nn.Sequential):
    """1 x k x k convolution, BatchNorm, ReLU, t x 1 x 1 convolution; "same" padding, no bias.

    (B, C, T, H, W) → (B, out_planes, ceil(T/s_T), ceil(H/s_H), ceil(W/s_W)).
    """

    def __init__(self, in_planes: int, out_planes: int, *, kernel: Size3d, stride: Size3d) -> None:
        mid = mid_planes(in_planes, out_planes, kernel)
        super().__init__()
        self.spatial = nn.Conv3d(
            in_planes,
            mid,
            (1, *kernel[1:]),
            stride=(1, *stride[1:]),
            padding=(0, kernel[1] // 2, kernel[2] // 2),
            bias=False,
        )
        self.norm = nn.BatchNorm3d(mid)
        self.relu = nn.ReLU()
        self.temporal = nn.Conv3d(
            mid,
            out_planes,
            (kernel[0], 1, 1),
            stride=(stride[0], 1, 1),
            padding=(kernel[0] // 2, 0, 0),
            bias=False,
        )


class ResidualBlock(nn.Module):
    """Two factorised 3 x 3 x 3 convolutions and a shortcut, factorised where the block halves the map."""

    def __init__(self, in_planes: int, out_planes: int, *, halve: bool) -> None:
        super().__init__()
        kernel: Size3d = (3, 3, 3)
        stride: Size3d = (2, 2, 2) if halve else (1, 1, 1)
        self.conv1 = FactorizedConv3d(in_planes, out_planes, kernel=kernel, stride=stride)
        self.norm1 = nn.BatchNorm3d(out_planes)
        self.relu1 = nn.ReLU()
        self.conv2 = FactorizedConv3d(out_planes, out_planes, kernel=kernel, stride=(1, 1, 1))
        self.norm2 = nn.BatchNorm3d(out_planes)
        self.shortcut: nn.Module = nn.Identity()
        if halve:
            self.shortcut = nn.Sequential(
                FactorizedConv3d(in_planes, out_planes, kernel=(1, 1, 1), stride=stride),
                nn.BatchNorm3d(out_planes),
            )
        self.relu2 = nn.ReLU()

    def forward(self, x_BCTHW: Tensor) -> Tensor:
        """(B, C, T, H, W) → (B, out_planes, T', H', W')."""
        residual_BCTHW = self.relu1(self.norm1(self.conv1(x_BCTHW)))
        residual_BCTHW = self.norm2(self.conv2(residual_BCTHW))
        return self.relu2(self.shortcut(x_BCTHW) + residual_BCTHW)


class R2Plus1D(Backbone):
    """R(2+1)D, one block per stage: clips (B, 3, T, H, W) → map (B, 512, ceil(T/8), ceil(H/16), ceil(W/16)).

    14,365,303 parameters and 21.362 G multiply-accumulates for 16 x 112 x 112. Every halving rounds up,
    so any clip size works; in train mode one clip of at most 8 x 16 x 16 is refused, because BatchNorm
    would see one value per channel.
    """

    api_version = 1
    Options = R2Plus1DOptions
    paper = "https://arxiv.org/abs/1711.11248"

    def __init__(self, options: Any, clip: ClipSpec) -> None:
        super().__init__(options, clip)
        self.embed_dim = WIDTHS[-1]
        self.stem = nn.Sequential(
            FactorizedConv3d(3, WIDTHS[0], kernel=(3, 7, 7), stride=(1, 2, 2)),
            nn.BatchNorm3d(WIDTHS[0]),
            nn.ReLU(),
        )
        inputs = (WIDTHS[0], *WIDTHS[:-1])
        stages = [
            nn.Sequential(
                ResidualBlock(in_planes, out_planes, halve=number > 0),
                *(ResidualBlock(out_planes, out_planes, halve=False) for _ in range(count - 1)),
            )
            for number, (in_planes, out_planes, count) in enumerate(
                zip(inputs, WIDTHS, options.blocks, strict=True)
            )
        ]
        self.stage1, self.stage2, self.stage3, self.stage4 = stages

    def forward_features(self, video_BCTHW: Tensor) -> Tensor:
        """(B, 3, T, H, W) → (B, 512, ceil(T/8), ceil(H/16), ceil(W/16)).

        Raises:
            UsageError: Clips of another shape, or one value per channel in train mode.
        """
        check_clips(video_BCTHW, name="R2Plus1D", stride_THW=STRIDE_THW, training=self.training)
        x_BCTHW = video_BCTHW
        for stage in self.stages().values():
            x_BCTHW = stage(x_BCTHW)
        return x_BCTHW

    def stages(self) -> Mapping[str, nn.Module]:
        """Stem and the four residual stages, in the order of the data."""
        names = ("stem", "stage1", "stage2", "stage3", "stage4")
        return {name: self.get_submodule(name) for name in names}
