"""TimeSformer: a ViT-B/16 over frames with attention divided into time and space.

Bertasius et al., Is Space-Time Attention All You Need for Video Understanding?, ICML 2021, wired and
initialised as the authors' code. Every frame is cut into 16 x 16 patches; patches get learned positions in
space and, added to them, in time. Three kinds of attention:

- `divided`: per block, first each patch attends to itself in all frames, through a linear layer
  (`temporal_fc`), then to its frame and the class token, which every frame sees as a copy; the class token
  takes the mean over the copies.
- `joint`: all patches of all frames at once.
- `space_only`: frames alone; there is no position in time, and the order of frames changes nothing but the
  order of the map.

`temporal_fc` and the positions in time start at zero, so that image weights give the image model's features:
in the first step temporal attention has no gradient, by design. The authors' stochastic depth of the temporal
branch acts per patch track and that of the spatial branch per frame, not per clip; so it does here.

Two differences that no published weights feel at their own size: positions of other sizes are interpolated
linearly (the authors take the nearest), and the map of `space_only` is normalised per frame before the mean
(they normalise the mean, as `pool="cls"` does here).

`forward` is the mean over the map, as for all backbones. The authors' classifier reads the class token;
`pool="cls"` gives that one.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, Literal

import torch
from einops import rearrange, reduce, repeat
from pydantic import Field, PositiveInt
from timm.layers import Attention, DropPath, Mlp, trunc_normal_
from timm.models.vision_transformer import Block
from torch import Tensor, nn

from vssl_core.interfaces import Backbone
from vssl_core.options import Options
from vssl_core.types import ClipSpec
from vssl_plugins.backbones.checkpointing import run
from vssl_plugins.backbones.clip_shape import Size3d
from vssl_plugins.backbones.timesformer_weights import KEY_MAPS
from vssl_plugins.backbones.tokens import (
    VIT_SIZES,
    Positions,
    check_and_pad,
    drop_path_rates,
    grid_of,
    init_linear,
    resize_table,
)

__all__ = ["DividedBlock", "TimeSformer", "TimeSformerOptions"]

PATCH_THW: Size3d = (1, 16, 16)
NORM = partial(nn.LayerNorm, eps=1e-6)


class TimeSformerOptions(Options):
    """The defaults are TimeSformer with divided attention."""

    attention: Literal["divided", "joint", "space_only"] = "divided"
    """`divided`: time, then space in every block; `joint`: all patches; `space_only`: frames alone."""
    size: Literal["tiny", "small", "base", "large"] = "base"
    """Width, heads and blocks of the ViT family: 192, 384, 768 or 1024 channels; `base` is the paper's."""
    depth: PositiveInt | None = None
    """Blocks; null: 12, or 24 of `large`."""
    drop_path: float = Field(0.1, ge=0, lt=1)
    """Stochastic depth of the last block; it rises from 0 at the first."""
    pool: Literal["mean", "cls"] = "mean"
    """What `forward` gives: the mean over the map, or the class token, which the authors classify by."""
    checkpointing: bool = False
    """Compute blocks again in the backward pass: less memory, more time, same gradient."""


class FrameTokens(nn.Module):
    """Frames → tokens: patches, class token, positions in space and, unless frames stay alone, in time."""

    def __init__(self, width: int, grid: Size3d, *, alone: bool) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, width, PATCH_THW[1:], PATCH_THW[1:])
        self.positions = Positions(width, grid[1:])
        self.time = None if alone else nn.Parameter(torch.zeros(grid[0], width))

    def forward(self, video_BCTHW: Tensor) -> tuple[Tensor, Size3d]:
        """(B, 3, T, H, W) → tokens (B, 1 + T·H'·W', D), frames alone (B·T, 1 + H'·W', D); their grid."""
        frames = video_BCTHW.shape[2]
        map_NDHW = self.proj(rearrange(video_BCTHW, "b c t h w -> (b t) c h w"))
        height, width = map_NDHW.shape[2:]
        tokens_NLD = self.positions(map_NDHW.flatten(2).transpose(1, 2), (height, width))
        if self.time is None:
            return tokens_NLD, (frames, height, width)
        cls_B1D = tokens_NLD[::frames, :1]  # the same in every frame
        patches_BTLD = rearrange(tokens_NLD[:, 1:], "(b t) l d -> b t l d", t=frames)
        patches_BTLD = patches_BTLD + resize_table(self.time, (frames,))[:, None]
        return torch.cat([cls_B1D, patches_BTLD.flatten(1, 2)], dim=1), (frames, height, width)


class DividedBlock(nn.Module):
    """Attention over time, then over space, then the MLP: (B, 1 + T·L, D) → (B, 1 + T·L, D)."""

    def __init__(self, width: int, heads: int, *, drop_path: float) -> None:
        super().__init__()
        self.temporal_norm1 = NORM(width)
        self.temporal_attn = Attention(width, heads, qkv_bias=True)
        self.temporal_fc = nn.Linear(width, width)
        self.norm1 = NORM(width)
        self.attn = Attention(width, heads, qkv_bias=True)
        self.norm2 = NORM(width)
        self.mlp = Mlp(width, 4 * width)
        self.drop_path = DropPath(drop_path) if drop_path else nn.Identity()

    def forward(self, tokens_BLD: Tensor, frames: int) -> Tensor:
        """Tokens with the class token first, then the patches of the first frame, of the second …"""
        batch = tokens_BLD.shape[0]
        cls_B1D, patches_BLD = tokens_BLD[:, :1], tokens_BLD[:, 1:]
        tracks_NTD = rearrange(patches_BLD, "b (t l) d -> (b l) t d", t=frames)
        tracks_NTD = self.drop_path(self.temporal_attn(self.temporal_norm1(tracks_NTD)))
        patches_BLD = patches_BLD + self.temporal_fc(rearrange(tracks_NTD, "(b l) t d -> b (t l) d", b=batch))
        frames_NLD = rearrange(patches_BLD, "b (t l) d -> (b t) l d", t=frames)
        frames_NLD = torch.cat([repeat(cls_B1D, "b 1 d -> (b t) 1 d", t=frames), frames_NLD], dim=1)
        frames_NLD = self.drop_path(self.attn(self.norm1(frames_NLD)))
        cls_B1D = cls_B1D + reduce(frames_NLD[:, 0], "(b t) d -> b 1 d", "mean", b=batch)
        patches_BLD = patches_BLD + rearrange(frames_NLD[:, 1:], "(b t) l d -> b (t l) d", b=batch)
        tokens_BLD = torch.cat([cls_B1D, patches_BLD], dim=1)
        return tokens_BLD + self.drop_path(self.mlp(self.norm2(tokens_BLD)))


class TimeSformer(Backbone):
    """TimeSformer: clips (B, 3, T, H, W) → map (B, 768, T, ceil(H/16), ceil(W/16)).

    121,152,000 parameters and 96.275 G multiply-accumulates for 16 x 112 x 112. Any clip size works: zeros
    fill the last patches below and to the right, and positions are interpolated.
    """

    api_version = 1
    Options = TimeSformerOptions
    key_maps = KEY_MAPS
    paper = "https://arxiv.org/abs/2102.05095"

    def __init__(self, options: Any, clip: ClipSpec) -> None:
        super().__init__(options, clip)
        width, heads, depth = VIT_SIZES[options.size]
        self.embed_dim = width
        self.attention = options.attention
        self.pool = options.pool
        self.checkpointing = options.checkpointing
        self.embed = FrameTokens(width, grid_of(clip, PATCH_THW), alone=options.attention == "space_only")
        rates = drop_path_rates(options.drop_path, options.depth or depth)
        if options.attention == "divided":
            self.blocks = nn.ModuleList(DividedBlock(width, heads, drop_path=rate) for rate in rates)
        else:
            self.blocks = nn.ModuleList(
                Block(width, heads, qkv_bias=True, drop_path=rate, norm_layer=NORM) for rate in rates
            )
        self.norm = NORM(width)
        self._initialise()

    def _initialise(self) -> None:
        init_linear(self)
        positions = self.embed.positions
        for parameter in (positions.cls_token, positions.cls_position, positions.table):
            trunc_normal_(parameter, std=0.02)
        for block in self.blocks:
            if isinstance(block, DividedBlock):
                nn.init.zeros_(block.temporal_fc.weight)

    def _encode(self, video_BCTHW: Tensor) -> tuple[Tensor, Size3d]:
        """Tokens before the last normalisation (B or B·T, 1 + L, D), and the grid of all frames.

        Raises:
            UsageError: Not (B, 3, T, H, W), or an empty axis.
        """
        video_BCTHW = check_and_pad(video_BCTHW, name="TimeSformer", patch_THW=PATCH_THW, repeat_frames=False)
        tokens_NLD, grid = self.embed(video_BCTHW)
        more = (grid[0],) if self.attention == "divided" else ()
        for block in self.blocks:
            tokens_NLD = run(block, tokens_NLD, *more, checkpointing=self.checkpointing)
        return tokens_NLD, grid

    def forward_features(self, video_BCTHW: Tensor) -> Tensor:
        """(B, 3, T, H, W) → (B, D, T, ceil(H/16), ceil(W/16)).

        Raises:
            UsageError: Not (B, 3, T, H, W), or an empty axis.
        """
        tokens_NLD, (frames, height, width) = self._encode(video_BCTHW)
        tokens_NLD = self.norm(tokens_NLD)[:, 1:]
        if self.attention == "space_only":
            return rearrange(tokens_NLD, "(b t) (h w) d -> b d t h w", t=frames, h=height)
        return rearrange(tokens_NLD, "b (t h w) d -> b d t h w", t=frames, h=height, w=width)

    def forward(self, video_BCTHW: Tensor) -> Tensor:
        """(B, 3, T, H, W) → (B, D): the mean over the map, or with `pool="cls"` the class token."""
        if self.pool == "mean":
            return super().forward(video_BCTHW)
        tokens_NLD, (frames, _, _) = self._encode(video_BCTHW)
        cls_ND = tokens_NLD[:, 0]
        if self.attention == "space_only":
            cls_ND = reduce(cls_ND, "(b t) d -> b d", "mean", t=frames)
        return self.norm(cls_ND)

    def stages(self) -> Mapping[str, nn.Module]:
        """Embedding, every block and the last normalisation; `space_only` blocks see (B·T, 1 + H'·W', D)."""
        blocks = {f"blocks.{number}": block for number, block in enumerate(self.blocks)}
        return {"embed": self.embed, **blocks, "norm": self.norm}
