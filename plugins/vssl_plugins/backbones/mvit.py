"""MViT: a transformer whose attention pools its tokens; v1 B and v2 S for 16 frames at stride 4.

Fan et al., Multiscale Vision Transformers, ICCV 2021, and Li et al., MViTv2, CVPR 2022. A convolution makes
tokens of 96 channels; in blocks 1, 3 and 14 of 16 the queries are pooled by two in space while channels and
heads double; keys and values are pooled everywhere to the size that queries have at the end. Pooling is a
depthwise 3 x 3 x 3 convolution per head and a norm; the class token passes by the former.

- `v1_b`: learned positions, those of space and time added; a block's MLP widens the channels for the next.
- `v2_s`: no positions but a bias on attention from the distances along time, height and width, each of which
  multiplies the query; the query is pooled in every block and added to what attention gives; channels widen
  inside attention.

Wiring as in the authors' SlowFast and in torchvision, which agree. Initialisation as in torchvision and
pytorchvideo: linear layers, positions and distances from a normal of 0.02, biases zero (SlowFast sets biases
to 0.02), convolutions by PyTorch's default.

The tables of distances have the length that the reference gives them, which rounds halvings down while the
pooling rounds up: at 112 pixels the last block has 5 rows for maps of 4 x 4, which need 7. Like the reference
it interpolates them, and so it does for every other size.

`forward` is the mean over the map, as for all backbones. The authors' classifier reads the class token;
`pool="cls"` gives that one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import torch
from einops import rearrange
from pydantic import Field
from timm.layers import DropPath, Mlp, trunc_normal_
from torch import Tensor, nn

from vssl_core.interfaces import Backbone
from vssl_core.options import Options
from vssl_core.types import ClipSpec
from vssl_plugins.backbones.checkpointing import run
from vssl_plugins.backbones.clip_shape import Size3d
from vssl_plugins.backbones.mvit_attention import NORM, PooledAttention, pool_map, pooled_size
from vssl_plugins.backbones.mvit_weights import KEY_MAPS
from vssl_plugins.backbones.tokens import (
    check_and_pad,
    drop_path_rates,
    grid_of,
    init_linear,
    resize_table,
)

__all__ = ["MViT", "MViTOptions"]

DEPTH = 16
WIDENING = (1, 3, 14)  # blocks that halve the map and double channels and heads
WIDTH = 96
STRIDE_THW: Size3d = (2, 4, 4)
FIRST_KV_STRIDE = 8


class MViTOptions(Options):
    """The default is MViTv2-S."""

    variant: Literal["v1_b", "v2_s"] = "v2_s"
    """`v1_b`: MViTv1-B 16x4; `v2_s`: MViTv2-S 16x4."""
    drop_path: float = Field(0.2, ge=0, lt=1)
    """Stochastic depth of the last block; it rises from 0 at the first."""
    pool: Literal["mean", "cls"] = "mean"
    """What `forward` gives: the mean over the map, or the class token, which the authors classify by."""
    checkpointing: bool = False
    """Compute blocks again in the backward pass: less memory, more time, same gradient."""


class MultiscaleBlock(nn.Module):
    """Pooled attention and MLP: (B, 1 + L, dim) → (B, 1 + L', dim_out).

    Where the channels change, a projection of the normalised tokens takes the shortcut: before attention in
    v2 (`widen_first`), before the MLP in v1.
    """

    def __init__(
        self, dim: int, dim_out: int, *, halve: bool, widen_first: bool, drop_path: float, **attention: Any
    ) -> None:
        super().__init__()
        self.widen_first = widen_first
        inner = dim_out if widen_first else dim
        self.norm1 = NORM(dim)
        self.attn = PooledAttention(dim, inner, **attention)
        self.norm2 = NORM(inner)
        self.mlp = Mlp(inner, 4 * inner, dim_out)
        self.proj = nn.Linear(dim, dim_out) if dim != dim_out else None
        self.pool_skip = nn.MaxPool3d((1, 3, 3), (1, 2, 2), (0, 1, 1)) if halve else None
        self.drop_path = DropPath(drop_path) if drop_path else nn.Identity()

    def forward(self, x_BLD: Tensor, size_THW: Size3d) -> Tensor:
        """Tokens of a map of this size, the class token first."""
        normed_BLD = self.norm1(x_BLD)
        attended_BLD = self.attn(normed_BLD, size_THW)
        if self.proj is not None and self.widen_first:
            x_BLD = self.proj(normed_BLD)
        if self.pool_skip is not None:
            x_BLD = pool_map(self.pool_skip, x_BLD[:, None], size_THW)[:, 0]
        x_BLD = x_BLD + self.drop_path(attended_BLD)
        normed_BLD = self.norm2(x_BLD)
        if self.proj is not None and not self.widen_first:
            x_BLD = self.proj(normed_BLD)
        return x_BLD + self.drop_path(self.mlp(normed_BLD))


class SeparatePositions(nn.Module):
    """A class token in front and, in v1, positions in space and in time, whose sum is added."""

    def __init__(self, grid: Size3d, *, learned: bool) -> None:
        super().__init__()
        self.learned = learned
        self.cls_token = nn.Parameter(torch.zeros(1, 1, WIDTH))
        if learned:
            self.cls_position = nn.Parameter(torch.zeros(1, 1, WIDTH))
            self.space = nn.Parameter(torch.zeros(*grid[1:], WIDTH))
            self.time = nn.Parameter(torch.zeros(grid[0], WIDTH))

    def forward(self, tokens_BLD: Tensor, grid: Size3d) -> Tensor:
        """(B, L, D) of this grid → (B, 1 + L, D)."""
        cls_B1D = self.cls_token.expand(tokens_BLD.shape[0], -1, -1)
        if self.learned:
            cls_B1D = cls_B1D + self.cls_position
            space_HWD = resize_table(self.space, grid[1:])
            table_THWD = resize_table(self.time, grid[:1])[:, None, None] + space_HWD
            tokens_BLD = tokens_BLD + table_THWD.flatten(0, 2)
        return torch.cat([cls_B1D, tokens_BLD], dim=1)


class MViT(Backbone):
    """MViT: clips (B, 3, T, H, W) → map (B, 768, ceil(T/2), ceil(H/32), ceil(W/32)).

    v2 S: 34,174,848 parameters and 13.915 G multiply-accumulates for 16 x 112 x 112 (v1 B: 36,077,280 and
    15.531 G). Any clip size works; every halving rounds up, and positions and distances are interpolated.
    """

    api_version = 1
    Options = MViTOptions
    key_maps = KEY_MAPS
    paper = "https://arxiv.org/abs/2112.01526"

    def __init__(self, options: Any, clip: ClipSpec) -> None:
        super().__init__(options, clip)
        second = options.variant == "v2_s"
        self.embed_dim = WIDTH << len(WIDENING)
        self.pool = options.pool
        self.checkpointing = options.checkpointing
        grid = grid_of(clip, STRIDE_THW)
        self.patch_embed = nn.Conv3d(3, WIDTH, (3, 7, 7), STRIDE_THW, (1, 3, 3))
        self.positions = SeparatePositions(grid, learned=not second)
        self.blocks = _blocks(grid, second=second, rates=drop_path_rates(options.drop_path, DEPTH))
        self.norm = NORM(self.embed_dim)
        init_linear(self)
        for name, parameter in self.named_parameters():
            if name.startswith("positions.") or "rel_pos" in name:
                trunc_normal_(parameter, std=0.02)

    def _encode(self, video_BCTHW: Tensor) -> tuple[Tensor, Size3d]:
        """Normalised tokens (B, 1 + L, D), the class token first, and their grid.

        Raises:
            UsageError: Not (B, 3, T, H, W), or an empty axis.
        """
        video_BCTHW = check_and_pad(video_BCTHW, name="MViT", patch_THW=(1, 1, 1), repeat_frames=False)
        map_BDTHW = self.patch_embed(video_BCTHW)
        frames, height, width = map_BDTHW.shape[2:]
        size = (frames, height, width)
        x_BLD = self.positions(map_BDTHW.flatten(2).transpose(1, 2), size)
        for block in self.blocks:
            x_BLD = run(block, x_BLD, size, checkpointing=self.checkpointing)
            size = pooled_size(size, block.attn.query_stride)
        return self.norm(x_BLD), size

    def forward_features(self, video_BCTHW: Tensor) -> Tensor:
        """(B, 3, T, H, W) → (B, D, ceil(T/2), ceil(H/32), ceil(W/32)).

        Raises:
            UsageError: Not (B, 3, T, H, W), or an empty axis.
        """
        x_BLD, (frames, height, width) = self._encode(video_BCTHW)
        return rearrange(x_BLD[:, 1:], "b (t h w) d -> b d t h w", t=frames, h=height, w=width)

    def forward(self, video_BCTHW: Tensor) -> Tensor:
        """(B, 3, T, H, W) → (B, D): the mean over the map, or with `pool="cls"` the class token."""
        if self.pool == "mean":
            return super().forward(video_BCTHW)
        return self._encode(video_BCTHW)[0][:, 0]

    def stages(self) -> Mapping[str, nn.Module]:
        """Patches, positions, every block and the last norm; blocks take and give (B, 1 + L, D)."""
        blocks = {f"blocks.{number}": block for number, block in enumerate(self.blocks)}
        embed = {"patch_embed": self.patch_embed, "positions": self.positions}
        return {**embed, **blocks, "norm": self.norm}


def _blocks(size_THW: Size3d, *, second: bool, rates: list[float]) -> nn.ModuleList:
    """The sixteen blocks for a first map of this size; halvings round down here, as the reference counts."""
    blocks = nn.ModuleList()
    key_stride, heads, dim = FIRST_KV_STRIDE, 1, WIDTH
    for number, rate in enumerate(rates):
        halve = number in WIDENING
        if halve:
            key_stride, heads = key_stride // 2, 2 * heads
        widens = halve if second else number + 1 in WIDENING
        query_stride = 2 if halve else (1 if second else None)
        block = MultiscaleBlock(
            dim,
            2 * dim if widens else dim,
            halve=halve,
            widen_first=second,
            drop_path=rate,
            heads=heads,
            query_stride=query_stride,
            key_stride=key_stride,
            distances_THW=size_THW if second else None,
        )
        blocks.append(block)
        dim = 2 * dim if widens else dim
        if halve:
            size_THW = (size_THW[0], size_THW[1] // 2, size_THW[2] // 2)
    return blocks
