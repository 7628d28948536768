"""Video Swin Transformer: attention inside 3D windows that shift from block to block; tiny, small and base.

Liu et al., Video Swin Transformer, CVPR 2022, as the authors configure it for Kinetics-400 from image
weights. Patches of 2 x 4 x 4 are normalised; windows are 8 x 7 x 7, and every second block shifts them by
half; a bias per head is learned for every distance inside a window; three patch mergings halve space and
leave time. There are no other positions, so that any clip size works. Initialisation is the authors', and so
is stochastic depth: 0.1 for tiny and small, 0.3 for base.

One correction. A map smaller than the window clips the window, and then both public codes (the authors' and
torchvision's) take the first rows and columns of the bias index of the full window. That is right where only
time is clipped. Where space is clipped it reads the biases of other distances: at 112 pixels the last stage
is 4 x 4, and 2.6 % of them are right. Here the index is made for the clipped window, so that a distance has
the same bias in every window. Weights trained by those codes at 224 pixels give their features here too, but
for clips whose last map is smaller than 7 x 7.

What both codes do is kept otherwise: zeros fill clips up to whole patches and normalised maps up to whole
windows, and tokens attend to the latter.

`forward` is the mean over the map, as in the reference.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any, Literal

import torch
from einops import rearrange
from pydantic import Field
from timm.layers import DropPath, Mlp, trunc_normal_
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from vssl_core.interfaces import Backbone
from vssl_core.options import Options
from vssl_core.types import ClipSpec
from vssl_plugins.backbones.attention import attend
from vssl_plugins.backbones.checkpointing import run
from vssl_plugins.backbones.clip_shape import Size3d
from vssl_plugins.backbones.tokens import check_and_pad, drop_path_rates, init_linear
from vssl_plugins.backbones.video_swin_weights import KEY_MAPS

__all__ = ["VideoSwin", "VideoSwinOptions", "bias_index"]

PATCH_THW: Size3d = (2, 4, 4)
WINDOW_THW: Size3d = (8, 7, 7)
SIZES = {
    "tiny": (96, (2, 2, 6, 2), (3, 6, 12, 24), 0.1),
    "small": (96, (2, 2, 18, 2), (3, 6, 12, 24), 0.1),
    "base": (128, (2, 2, 18, 2), (4, 8, 16, 32), 0.3),
}
"""Name → (width, blocks of each stage, heads of each stage, stochastic depth)."""


class VideoSwinOptions(Options):
    """The default is the tiny network."""

    size: Literal["tiny", "small", "base"] = "tiny"
    """27.9, 49.5 or 87.6 million parameters."""
    drop_path: float | None = Field(None, ge=0, lt=1)
    """Stochastic depth of the last block; null: the authors' 0.1, for `base` 0.3."""
    checkpointing: bool = False
    """Compute blocks again in the backward pass: less memory, more time, same gradient."""


@dataclass(frozen=True, slots=True)
class Windows:
    """How one stage cuts its map into windows.

    Args:
        size: Window, clipped to the map.
        shift: By how much every second block moves the map; 0 where the window covers the axis.
        index_NN: Row of the bias table for each pair of tokens of a window.
        mask_WNN: For shifted blocks -inf between tokens that were not neighbours before the shift; None
            where nothing shifts.
    """

    size: Size3d
    shift: Size3d
    index_NN: Tensor
    mask_WNN: Tensor | None


def bias_index(window_THW: Size3d, device: torch.device | None = None) -> Tensor:
    """Row of the bias table (15 · 13 · 13 distances) for each pair of tokens of a window, (N, N).

    Made from the coordinates of the window as it is, clipped or not: the part of the table that it uses is
    the middle of each axis.
    """
    places = [torch.arange(size, device=device) for size in window_THW]
    time, row, column = (
        place[:, None] - place + full - 1 for place, full in zip(places, WINDOW_THW, strict=True)
    )
    _, rows, columns = (2 * size - 1 for size in WINDOW_THW)
    index = time[:, None, None, :, None, None] * rows + row[None, :, None, None, :, None]
    index = index * columns + column[None, None, :, None, None, :]
    return index.flatten(3, 5).flatten(0, 2)


def shift_mask(padded_THW: Size3d, window_THW: Size3d, shift_THW: Size3d, device: torch.device) -> Tensor:
    """(W, N, N): 0 between tokens of a shifted window that were neighbours before the shift, -inf else.

    The shift brings the first places of an axis behind the last ones, into the last window of that axis. Both
    public codes write -100, whose exponential is a denormal number: a CPU takes many times as long for those.
    """
    regions = []
    for length, window, shift in zip(padded_THW, window_THW, shift_THW, strict=True):
        place = torch.arange(length, device=device)
        moved = place >= length - shift
        regions.append((place >= length - window).long() + moved if shift else torch.zeros_like(place))
    time, row, column = regions
    region_THW = (time[:, None, None] * 3 + row[:, None]) * 3 + column
    region_WN = cut(region_THW[None, ..., None], window_THW).squeeze(-1)
    strangers_WNN = region_WN[:, :, None] != region_WN[:, None]
    return torch.where(strangers_WNN, -torch.inf, 0.0)


def windows_of(size_THW: Size3d, device: torch.device) -> Windows:
    """The windows of a map of this size."""
    covered = [size <= window for size, window in zip(size_THW, WINDOW_THW, strict=True)]
    window = tuple(min(pair) for pair in zip(size_THW, WINDOW_THW, strict=True))
    shift = tuple(0 if whole else size // 2 for whole, size in zip(covered, WINDOW_THW, strict=True))
    padded = tuple(-(-size // part) * part for size, part in zip(size_THW, window, strict=True))
    mask_WNN = shift_mask(padded, window, shift, device) if any(shift) else None
    return Windows(window, shift, bias_index(window, device), mask_WNN)


def cut(x_BTHWC: Tensor, window_THW: Size3d) -> Tensor:
    """(B, T, H, W, C) of whole windows → (B·W, N, C), the windows of one clip following one another."""
    t, h, w = window_THW
    return rearrange(x_BTHWC, "b (a t) (c h) (e w) d -> (b a c e) (t h w) d", t=t, h=h, w=w)


def join(x_WNC: Tensor, window_THW: Size3d, padded_THW: Size3d) -> Tensor:
    """The inverse of `cut`."""
    t, h, w = window_THW
    a, c, e = (size // window for size, window in zip(padded_THW, window_THW, strict=True))
    return rearrange(x_WNC, "(b a c e) (t h w) d -> b (a t) (c h) (e w) d", a=a, c=c, e=e, t=t, h=h, w=w)


class WindowAttention(nn.Module):
    """Attention inside windows with a bias per head and distance: (B·W, N, C) → (B·W, N, C)."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        rows = prod(2 * size - 1 for size in WINDOW_THW)
        self.relative_position_bias_table = nn.Parameter(torch.zeros(rows, heads))
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)

    def forward(self, x_WNC: Tensor, index_NN: Tensor, mask_WNN: Tensor | None) -> Tensor:
        """Windows of B clips; with a mask of W windows, every W of them are those of one clip.

        The windows that a mask tells apart stand beside the heads, where one bias serves all clips.
        """
        apart = 1 if mask_WNN is None else mask_WNN.shape[0]
        parts = rearrange(self.qkv(x_WNC), "(b w) n (q h d) -> q b (w h) n d", q=3, w=apart, h=self.heads)
        bias_HNN = (
            self.relative_position_bias_table.index_select(0, index_NN.flatten())
            .unflatten(0, index_NN.shape)
            .permute(2, 0, 1)
        )
        bias_MNN = bias_HNN if mask_WNN is None else (mask_WNN[:, None] + bias_HNN).flatten(0, 1)
        query, key, value = parts.unbind(0)
        x_BMNC = attend(query, key, value, bias_MNN[None])
        return self.proj(rearrange(x_BMNC, "b (w h) n d -> (b w) n (h d)", w=apart))


class SwinBlock(nn.Module):
    """Window attention and MLP, each normalised before and added: (B, T, H, W, C) → the same shape."""

    def __init__(self, dim: int, heads: int, *, shifted: bool, drop_path: float) -> None:
        super().__init__()
        self.shifted = shifted
        self.norm1 = nn.LayerNorm(dim)
        self.attn = WindowAttention(dim, heads)
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = Mlp(dim, 4 * dim)
        self.drop_path = DropPath(drop_path) if drop_path else nn.Identity()

    def forward(self, x_BTHWC: Tensor, windows: Windows) -> Tensor:
        """(B, T, H, W, C) → (B, T, H, W, C)."""
        x_BTHWC = x_BTHWC + self.drop_path(self._attend(self.norm1(x_BTHWC), windows))
        return x_BTHWC + self.drop_path(self.mlp(self.norm2(x_BTHWC)))

    def _attend(self, x_BTHWC: Tensor, windows: Windows) -> Tensor:
        frames, height, width = x_BTHWC.shape[1:4]
        short = [-size % part for size, part in zip(x_BTHWC.shape[1:4], windows.size, strict=True)]
        if any(short):
            x_BTHWC = F.pad(x_BTHWC, (0, 0, 0, short[2], 0, short[1], 0, short[0]))
        padded = x_BTHWC.shape[1:4]
        shifts = self.shifted and any(windows.shift)
        if shifts:
            x_BTHWC = x_BTHWC.roll([-shift for shift in windows.shift], dims=(1, 2, 3))
        mask_WNN = windows.mask_WNN if shifts else None
        x_WNC = self.attn(cut(x_BTHWC, windows.size), windows.index_NN, mask_WNN)
        x_BTHWC = join(x_WNC, windows.size, padded)
        if shifts:
            x_BTHWC = x_BTHWC.roll(windows.shift, dims=(1, 2, 3))
        return x_BTHWC[:, :frames, :height, :width]


class PatchMerging(nn.Module):
    """2 x 2 neighbours become the channels of one, normalised and halved in number by a linear layer."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(4 * dim)
        self.reduction = nn.Linear(4 * dim, 2 * dim, bias=False)

    def forward(self, x_BTHWC: Tensor) -> Tensor:
        """(B, T, H, W, C) → (B, T, ceil(H/2), ceil(W/2), 2C)."""
        height, width = x_BTHWC.shape[2:4]
        if height % 2 or width % 2:
            x_BTHWC = F.pad(x_BTHWC, (0, 0, 0, width % 2, 0, height % 2))
        x_BTHWC = rearrange(x_BTHWC, "b t (h i) (w j) c -> b t h w (j i c)", i=2, j=2)
        return self.reduction(self.norm(x_BTHWC))


class SwinStage(nn.Module):
    """Blocks of one width, every second one shifted, and a merging unless it is the last stage."""

    def __init__(self, dim: int, heads: int, rates: list[float], *, merge: bool) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            SwinBlock(dim, heads, shifted=number % 2 == 1, drop_path=rate)
            for number, rate in enumerate(rates)
        )
        self.downsample = PatchMerging(dim) if merge else None

    def forward(self, x_BTHWC: Tensor, *, checkpointing: bool) -> Tensor:
        """(B, T, H, W, C) → (B, T, ceil(H/2), ceil(W/2), 2C), the last stage the shape that it was given."""
        frames, height, width = x_BTHWC.shape[1:4]
        windows = windows_of((frames, height, width), x_BTHWC.device)
        for block in self.blocks:
            x_BTHWC = run(block, x_BTHWC, windows, checkpointing=checkpointing)
        return x_BTHWC if self.downsample is None else self.downsample(x_BTHWC)


class PatchEmbed(nn.Module):
    """Patches of 2 x 4 x 4 and their norm: (B, 3, T, H, W) → (B, T/2, H/4, W/4, C)."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.proj = nn.Conv3d(3, dim, PATCH_THW, PATCH_THW)
        self.norm = nn.LayerNorm(dim)

    def forward(self, video_BCTHW: Tensor) -> Tensor:
        """(B, 3, T, H, W) of whole patches → (B, T/2, H/4, W/4, C)."""
        return self.norm(self.proj(video_BCTHW).movedim(1, -1))


class VideoSwin(Backbone):
    """Video Swin: clips (B, 3, T, H, W) → map (B, D, ceil(T/2), ceil(H/32), ceil(W/32)).

    D is 768, of `base` 1024. 27,850,470 parameters and 11.363 G multiply-accumulates for 16 x 112 x 112
    (small 49,509,078 and 21.103 G, base 87,638,984 and 35.894 G). Any clip size works; every halving rounds
    up.
    """

    api_version = 1
    Options = VideoSwinOptions
    key_maps = KEY_MAPS
    paper = "https://arxiv.org/abs/2106.13230"

    def __init__(self, options: Any, clip: ClipSpec) -> None:
        super().__init__(options, clip)
        dim, depths, heads, drop_path = SIZES[options.size]
        rates = drop_path_rates(drop_path if options.drop_path is None else options.drop_path, sum(depths))
        self.checkpointing = options.checkpointing
        self.patch_embed = PatchEmbed(dim)
        self.layers = nn.ModuleList()
        for number, depth in enumerate(depths):
            own, rates = rates[:depth], rates[depth:]
            self.layers.append(SwinStage(dim << number, heads[number], own, merge=number < len(depths) - 1))
        self.embed_dim = dim << (len(depths) - 1)
        self.norm = nn.LayerNorm(self.embed_dim)
        init_linear(self)
        for module in self.modules():
            if isinstance(module, WindowAttention):
                trunc_normal_(module.relative_position_bias_table, std=0.02)

    def forward_features(self, video_BCTHW: Tensor) -> Tensor:
        """(B, 3, T, H, W) → (B, D, ceil(T/2), ceil(H/32), ceil(W/32)).

        Raises:
            UsageError: Not (B, 3, T, H, W), or an empty axis.
        """
        video_BCTHW = check_and_pad(video_BCTHW, name="VideoSwin", patch_THW=PATCH_THW, repeat_frames=False)
        x_BTHWC = self.patch_embed(video_BCTHW)
        for layer in self.layers:
            x_BTHWC = layer(x_BTHWC, checkpointing=self.checkpointing)
        return self.norm(x_BTHWC).movedim(-1, 1)

    def stages(self) -> Mapping[str, nn.Module]:
        """Patches, every block and merging, and the last norm; maps between them are (B, T, H, W, C)."""
        stages: dict[str, nn.Module] = {"patch_embed": self.patch_embed}
        for number, layer in enumerate(self.layers):
            stages |= {f"layers.{number}.blocks.{depth}": block for depth, block in enumerate(layer.blocks)}
            if layer.downsample is not None:
                stages[f"layers.{number}.downsample"] = layer.downsample
        return stages | {"norm": self.norm}
