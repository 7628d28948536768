"""R3D: a residual network of full 3 x 3 x 3 convolutions, one block per stage (14.4 M parameters).

Tran et al., A Closer Look at Spatiotemporal Convolutions for Action Recognition, CVPR 2018, in the one-block
form that VCOP (Xu et al., CVPR 2019) used and the benchmark took over. `blocks=[2,2,2,2]` is the network
of 18 layers; its tensors are those of torchvision's `r3d_18`, whose published weights it loads.

Initialisation is PyTorch's default, as in VCOP (torchvision draws by Kaiming's rule instead).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field, PositiveInt
from torch import Tensor, nn

from vssl_core.interfaces import Backbone
from vssl_core.options import Options
from vssl_core.types import ClipSpec
from vssl_core.weights import KeyMap
from vssl_plugins.backbones.activations import ReLU
from vssl_plugins.backbones.checkpointing import run_stages
from vssl_plugins.backbones.clip_shape import Size3d, check_clips
from vssl_plugins.backbones.convolutions import conv3d
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

__all__ = ["R3D", "R3DOptions"]

KERNEL: Size3d = (3, 3, 3)


class R3DOptions(Options):
    """Depth of the network; the default is the benchmark's."""

    blocks: tuple[PositiveInt, PositiveInt, PositiveInt, PositiveInt] = Field((1, 1, 1, 1))
    """Residual blocks in each of the four stages; 2,2,2,2 is the network of 18 layers."""
    checkpointing: bool = False
    """Keep the stages' inputs and compute the rest again in the backward pass: less memory, more time."""


TORCHVISION = KeyMap(
    "torchvision r3d",
    recognise=(r"layer1\.0\.conv1\.0\.weight",),
    rename=((r"\.conv([12])\.0\.", r".conv\1."), *TORCHVISION_BLOCK),
    drop=TORCHVISION_HEAD,
    back=((r"\.conv([12])\.", r".conv\1.0."), *TORCHVISION_BLOCK_BACK),
)


def plain_block(in_planes: int, out_planes: int, *, halve: bool) -> ResidualBlock:
    """Two 3 x 3 x 3 convolutions, and a 1 x 1 x 1 convolution as the shortcut where the map is halved."""
    stride: Size3d = (2, 2, 2) if halve else (1, 1, 1)
    conv1 = conv3d(in_planes, out_planes, KERNEL, stride=stride)
    conv2 = conv3d(out_planes, out_planes, KERNEL)
    shortcut = conv3d(in_planes, out_planes, (1, 1, 1), stride=stride) if halve else None
    return ResidualBlock(conv1, conv2, shortcut, planes=out_planes)


class R3D(Backbone):
    """R3D, one block per stage: clips (B, 3, T, H, W) → map (B, 512, ceil(T/8), ceil(H/16), ceil(W/16)).

    14,361,792 parameters and 19.887 G multiply-accumulates for 16 x 112 x 112. Every halving rounds up,
    so any clip size works; in train mode one clip of at most 8 x 16 x 16 is refused, because BatchNorm
    would see one value per channel.
    """

    api_version = 1
    Options = R3DOptions
    key_maps = (*vcop_maps("R3D", ((r"\.temporal_spatial_conv\.", "."),)), TORCHVISION)
    paper = "https://arxiv.org/abs/1711.11248"

    def __init__(self, options: Any, clip: ClipSpec) -> None:
        super().__init__(options, clip)
        self.checkpointing = options.checkpointing
        self.embed_dim = RESIDUAL_WIDTHS[-1]
        self.stem = nn.Sequential(
            conv3d(3, RESIDUAL_WIDTHS[0], (3, 7, 7), stride=(1, 2, 2)),
            nn.BatchNorm3d(RESIDUAL_WIDTHS[0]),
            ReLU(),
        )
        self.stage1, self.stage2, self.stage3, self.stage4 = residual_stages(options.blocks, plain_block)

    def forward_features(self, video_BCTHW: Tensor) -> Tensor:
        """(B, 3, T, H, W) → (B, 512, ceil(T/8), ceil(H/16), ceil(W/16)).

        Raises:
            UsageError: Clips of another shape, or one value per channel in train mode.
        """
        check_clips(video_BCTHW, name="R3D", stride_THW=RESIDUAL_STRIDE, training=self.training)
        return run_stages(self.stages().values(), video_BCTHW, checkpointing=self.checkpointing)

    def stages(self) -> Mapping[str, nn.Module]:
        """Stem and the four residual stages, in the order of the data."""
        names = ("stem", "stage1", "stage2", "stage3", "stage4")
        return {name: self.get_submodule(name) for name in names}
