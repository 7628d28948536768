"""C3D with BatchNorm and global pooling, the large network of the benchmark (27.7 M parameters).

Tran et al., Learning Spatiotemporal Features with 3D Convolutional Networks, ICCV 2015, in the form that VCOP
(Xu et al., CVPR 2019) used and the benchmark took over: eight 3 x 3 x 3 convolutions with bias, each with
BatchNorm and ReLU, four max-pools, and no fully connected layers.

Where a map has an odd size the reference's pools lose the last frame, row or column, and a clip of fewer
than eight frames vanishes; here the last one is pooled by itself. 16 x 112 x 112, and whatever divides by
8 x 16 x 16, gives the reference's map.

Initialisation is PyTorch's default, as in the reference.
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
from vssl_plugins.backbones.convolutions import conv3d

__all__ = ["C3D", "C3DOptions"]

WIDTHS = (64, 128, 256, 512, 512)
CONVOLUTIONS = (1, 1, 2, 2, 2)
STAGES = ("stem", "stage1", "stage2", "stage3", "stage4")
STRIDE_THW: Size3d = (8, 16, 16)


class C3DOptions(Options):
    """The benchmark's network has no other options."""

    checkpointing: bool = False
    """Keep the stages' inputs and compute the rest again in the backward pass: less memory, more time."""


def _published_names() -> tuple[tuple[str, str], ...]:
    """VCOP's `conv3b`, `bn3b` and so on → ours."""
    rules = []
    for number, (stage, count) in enumerate(zip(STAGES, CONVOLUTIONS, strict=True), start=1):
        for place in range(1, count + 1):
            letter = "ab"[place - 1] if count > 1 else ""
            rules += [
                (rf"^conv{number}{letter}\.", f"{stage}.conv{place}."),
                (rf"^bn{number}{letter}\.", f"{stage}.norm{place}."),
            ]
    return tuple(rules)


VCOP = KeyMap(
    "VCOP C3D",
    recognise=(r"(base_network\.)?conv5b\.weight", r"(base_network\.)?bn5b\.weight"),
    rename=((r"^base_network\.", ""), *_published_names()),
    drop=(r"(base_network\.)?linear\.", r"fc[78]\."),
)
RSPNET = KeyMap(
    "RSPNet C3D",
    recognise=(r"(encoder_q\.)?encoder\.conv5b\.weight", r"(encoder_q\.)?encoder\.bn5b\.weight"),
    rename=((r"^(encoder_q\.)?encoder\.", ""), *_published_names()),
    drop=(r"encoder_k\.", r"queue", r"(encoder_q\.)?(encoder\.linear|fc\d?)\."),
)


def stage(in_planes: int, out_planes: int, *, convolutions: int, pool: Size3d | None) -> nn.Sequential:
    """3 x 3 x 3 convolutions with BatchNorm and ReLU, then a max-pool, whose odd sizes round up."""
    layers = nn.Sequential()
    for place in range(1, convolutions + 1):
        layers.add_module(f"conv{place}", conv3d(in_planes, out_planes, (3, 3, 3), bias=True))
        layers.add_module(f"norm{place}", nn.BatchNorm3d(out_planes))
        layers.add_module(f"relu{place}", ReLU())
        in_planes = out_planes
    if pool is not None:
        layers.add_module("pool", nn.MaxPool3d(pool, ceil_mode=True))
    return layers


class C3D(Backbone):
    """C3D: clips (B, 3, T, H, W) → map (B, 512, ceil(T/8), ceil(H/16), ceil(W/16)).

    27,661,440 parameters and 38.497 G multiply-accumulates for 16 x 112 x 112. Every halving rounds up,
    so any clip size works; in train mode one clip of at most 8 x 16 x 16 is refused, because BatchNorm
    would see one value per channel.
    """

    api_version = 1
    Options = C3DOptions
    key_maps = (VCOP, RSPNET)
    paper = "https://arxiv.org/abs/1412.0767"

    def __init__(self, options: Any, clip: ClipSpec) -> None:
        super().__init__(options, clip)
        self.checkpointing = options.checkpointing
        self.embed_dim = WIDTHS[-1]
        pools: tuple[Size3d | None, ...] = ((1, 2, 2), (2, 2, 2), (2, 2, 2), (2, 2, 2), None)
        inputs = (3, *WIDTHS[:-1])
        for name, *planes, convolutions, pool in zip(
            STAGES, inputs, WIDTHS, CONVOLUTIONS, pools, strict=True
        ):
            self.add_module(name, stage(*planes, convolutions=convolutions, pool=pool))

    def forward_features(self, video_BCTHW: Tensor) -> Tensor:
        """(B, 3, T, H, W) → (B, 512, ceil(T/8), ceil(H/16), ceil(W/16)).

        Raises:
            UsageError: Clips of another shape, or one value per channel in train mode.
        """
        check_clips(video_BCTHW, name="C3D", stride_THW=STRIDE_THW, training=self.training)
        return run_stages(self.stages().values(), video_BCTHW, checkpointing=self.checkpointing)

    def stages(self) -> Mapping[str, nn.Module]:
        """The five stages in the order of the data; the paper's conv1 is `stem`."""
        return {name: self.get_submodule(name) for name in STAGES}
