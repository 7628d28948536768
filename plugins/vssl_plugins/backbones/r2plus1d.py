"""R(2+1)D with one block per stage, the medium network of the benchmark (14.4 M parameters).

Tran et al., A Closer Look at Spatiotemporal Convolutions for Action Recognition, CVPR 2018, in the
form that VCOP (Xu et al., CVPR 2019) used and the benchmark took over. Every t x k x k convolution is
a 1 x k x k convolution to `mid` channels, BatchNorm, ReLU and a t x 1 x 1 convolution, where `mid` keeps
the number of weights of the full convolution (section 3.5 of Tran et al.).

This form differs from torchvision's `r2plus1d_18` in three ways that change the weights: the stem is
3 x 7 x 7 and follows the `mid` rule (83 instead of 45), each convolution has its own `mid` instead of
one per block, and the shortcuts are factorised too, with a BatchNorm and ReLU of their own.
`form="torchvision"` with `blocks=[2,2,2,2]` is torchvision's, whose published weights it loads.

Initialisation is PyTorch's default, as in VCOP; torchvision's form starts by Kaiming's rule, as there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal

from pydantic import Field, PositiveInt
from torch import Tensor, nn

from vssl_core.interfaces import Backbone
from vssl_core.options import Options
from vssl_core.types import ClipSpec
from vssl_core.weights import KeyMap
from vssl_plugins.backbones.activations import ReLU
from vssl_plugins.backbones.checkpointing import run_stages
from vssl_plugins.backbones.clip_shape import Size3d, check_clips
from vssl_plugins.backbones.convolutions import conv3d, start_fan_out
from vssl_plugins.backbones.residual import (
    RESIDUAL_STRIDE,
    RESIDUAL_WIDTHS,
    ResidualBlock,
    residual_stages,
)
from vssl_plugins.backbones.residual_maps import (
    TORCHVISION_BLOCK,
    TORCHVISION_BLOCK_BACK,
    TORCHVISION_HEAD,
    vcop_maps,
)

__all__ = ["FactorizedConv3d", "R2Plus1D", "R2Plus1DOptions", "mid_planes"]

KERNEL: Size3d = (3, 3, 3)
TORCHVISION_STEM_MID = 45


class R2Plus1DOptions(Options):
    """Depth and form of the network; the defaults are the benchmark's."""

    blocks: tuple[PositiveInt, PositiveInt, PositiveInt, PositiveInt] = Field((1, 1, 1, 1))
    """Residual blocks in each of the four stages; 2,2,2,2 has the depth of an 18-layer network."""
    form: Literal["vcop", "torchvision"] = "vcop"
    """Whose widths inside the convolutions and shortcuts: VCOP's, or torchvision's `r2plus1d_18`."""
    checkpointing: bool = False
    """Keep the stages' inputs and compute the rest again in the backward pass: less memory, more time."""


TORCHVISION = KeyMap(
    "torchvision r2plus1d",
    recognise=(r"layer1\.0\.conv1\.0\.0\.weight",),
    rename=(
        (r"^stem\.0\.", "stem.0.spatial."),
        (r"^stem\.1\.", "stem.0.norm."),
        (r"^stem\.3\.", "stem.0.temporal."),
        (r"^stem\.4\.", "stem.1."),
        (r"\.conv([12])\.0\.0\.", r".conv\1.spatial."),
        (r"\.conv([12])\.0\.1\.", r".conv\1.norm."),
        (r"\.conv([12])\.0\.3\.", r".conv\1.temporal."),
        *TORCHVISION_BLOCK,
    ),
    drop=TORCHVISION_HEAD,
)
TORCHVISION_AND_BACK = replace(
    TORCHVISION,
    back=(
        (r"^stem\.1\.", "stem.4."),
        (r"^stem\.0\.temporal\.", "stem.3."),
        (r"^stem\.0\.norm\.", "stem.1."),
        (r"^stem\.0\.spatial\.", "stem.0."),
        (r"\.conv([12])\.spatial\.", r".conv\1.0.0."),
        (r"\.conv([12])\.norm\.", r".conv\1.0.1."),
        (r"\.conv([12])\.temporal\.", r".conv\1.0.3."),
        *TORCHVISION_BLOCK_BACK,
    ),
)
"""Of torchvision's form alone: the other has no counterpart there."""


def mid_planes(in_planes: int, out_planes: int, kernel: Size3d) -> int:
    """Channels between the spatial and the temporal part that keep the weights of the full kernel."""
    time, height, width = kernel
    area = height * width
    return time * area * in_planes * out_planes // (area * in_planes + time * out_planes)


class FactorizedConv3d(nn.Sequential):
    """1 x k x k convolution, BatchNorm, ReLU, t x 1 x 1 convolution; "same" padding, no bias.

    (B, C, T, H, W) → (B, out_planes, ceil(T/s_T), ceil(H/s_H), ceil(W/s_W)). Without `mid` the channels
    between the two are those of `mid_planes`.
    """

    def __init__(
        self, in_planes: int, out_planes: int, *, kernel: Size3d, stride: Size3d, mid: int | None = None
    ) -> None:
        mid = mid or mid_planes(in_planes, out_planes, kernel)
        super().__init__()
        self.spatial = conv3d(in_planes, mid, (1, *kernel[1:]), stride=(1, *stride[1:]))
        self.norm = nn.BatchNorm3d(mid)
        self.relu = ReLU()
        self.temporal = conv3d(mid, out_planes, (kernel[0], 1, 1), stride=(stride[0], 1, 1))


def vcop_block(in_planes: int, out_planes: int, *, halve: bool) -> ResidualBlock:
    """Every convolution factorised with its own `mid`, the shortcut too."""
    stride: Size3d = (2, 2, 2) if halve else (1, 1, 1)
    conv1 = FactorizedConv3d(in_planes, out_planes, kernel=KERNEL, stride=stride)
    conv2 = FactorizedConv3d(out_planes, out_planes, kernel=KERNEL, stride=(1, 1, 1))
    shortcut = FactorizedConv3d(in_planes, out_planes, kernel=(1, 1, 1), stride=stride) if halve else None
    return ResidualBlock(conv1, conv2, shortcut, planes=out_planes)


def torchvision_block(in_planes: int, out_planes: int, *, halve: bool) -> ResidualBlock:
    """Both convolutions with the `mid` of the first, and a plain 1 x 1 x 1 convolution as the shortcut."""
    stride: Size3d = (2, 2, 2) if halve else (1, 1, 1)
    mid = mid_planes(in_planes, out_planes, KERNEL)
    conv1 = FactorizedConv3d(in_planes, out_planes, kernel=KERNEL, stride=stride, mid=mid)
    conv2 = FactorizedConv3d(out_planes, out_planes, kernel=KERNEL, stride=(1, 1, 1), mid=mid)
    shortcut = conv3d(in_planes, out_planes, (1, 1, 1), stride=stride) if halve else None
    return ResidualBlock(conv1, conv2, shortcut, planes=out_planes)


class R2Plus1D(Backbone):
    """R(2+1)D, one block per stage: clips (B, 3, T, H, W) → map (B, 512, ceil(T/8), ceil(H/16), ceil(W/16)).

    14,365,303 parameters and 21.362 G multiply-accumulates for 16 x 112 x 112. Every halving rounds up,
    so any clip size works; in train mode one clip of at most 8 x 16 x 16 is refused, because BatchNorm
    would see one value per channel.
    """

    api_version = 1
    Options = R2Plus1DOptions
    key_maps = (
        *vcop_maps(
            "R(2+1)D",
            (
                (r"\.spatial_conv\.", ".spatial."),
                (r"\.bn\.", ".norm."),
                (r"\.temporal_conv\.", ".temporal."),
            ),
        ),
        TORCHVISION,
    )
    paper = "https://arxiv.org/abs/1711.11248"

    def __init__(self, options: Any, clip: ClipSpec) -> None:
        super().__init__(options, clip)
        self.checkpointing = options.checkpointing
        self.embed_dim = RESIDUAL_WIDTHS[-1]
        published = options.form == "torchvision"
        mid = TORCHVISION_STEM_MID if published else None
        self.stem = nn.Sequential(
            FactorizedConv3d(3, RESIDUAL_WIDTHS[0], kernel=(3, 7, 7), stride=(1, 2, 2), mid=mid),
            nn.BatchNorm3d(RESIDUAL_WIDTHS[0]),
            ReLU(),
        )
        stages = residual_stages(options.blocks, torchvision_block if published else vcop_block)
        self.stage1, self.stage2, self.stage3, self.stage4 = stages
        if published:
            self.key_maps = (TORCHVISION_AND_BACK,)
            start_fan_out(self)

    def forward_features(self, video_BCTHW: Tensor) -> Tensor:
        """(B, 3, T, H, W) → (B, 512, ceil(T/8), ceil(H/16), ceil(W/16)).

        Raises:
            UsageError: Clips of another shape, or one value per channel in train mode.
        """
        check_clips(video_BCTHW, name="R2Plus1D", stride_THW=RESIDUAL_STRIDE, training=self.training)
        return run_stages(self.stages().values(), video_BCTHW, checkpointing=self.checkpointing)

    def stages(self) -> Mapping[str, nn.Module]:
        """Stem and the four residual stages, in the order of the data."""
        names = ("stem", "stage1", "stage2", "stage3", "stage4")
        return {name: self.get_submodule(name) for name in names}
