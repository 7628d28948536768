"""Clips as tokens: the boxes of pixels that tokens stand for, and where they are.

Axes beyond vssl's: L all tokens of a clip in the order of T', H', W'; N some of them; P pixels of a token.
"""

from __future__ import annotations

from functools import partial

import torch
from einops import rearrange
from timm.models.vision_transformer import Block
from torch import Tensor, nn

__all__ = ["Size3d", "blocks", "normalized", "sinusoids", "tubelets"]

Size3d = tuple[int, int, int]


def tubelets(video_BCTHW: Tensor, size_THW: Size3d) -> Tensor:
    """(B, C, T, H, W) → (B, L, P): boxes of t x h x w pixels, P = C·t·h·w in this order."""
    frames, height, width = size_THW
    return rearrange(video_BCTHW, "b c (T t) (H h) (W w) -> b (T H W) (c t h w)", t=frames, h=height, w=width)


def normalized(patches_BNP: Tensor, *, num_channels: int = 3) -> Tensor:
    """Each channel of each token with mean 0 and (unbiased) variance 1; 0 where it has one value alone."""
    pixels = patches_BNP.float().unflatten(-1, (num_channels, -1))
    centred = pixels - pixels.mean(dim=-1, keepdim=True)
    return (centred / (pixels.std(dim=-1, keepdim=True) + 1e-6)).flatten(-2)


def sinusoids(count: int, dim: int) -> Tensor:
    """Positions (count, dim) of tokens in a row: sin and cos in turn, as in Vaswani et al., section 3.5."""
    rates = 10000.0 ** (-(torch.arange(dim, dtype=torch.float64) // 2 * 2) / dim)
    angles_LD = torch.arange(count, dtype=torch.float64)[:, None] * rates
    even_D = torch.arange(dim) % 2 == 0
    return torch.where(even_D, angles_LD.sin(), angles_LD.cos()).float()


def blocks(dim: int, *, depth: int, num_heads: int) -> nn.Sequential:
    """`depth` transformer blocks as the authors start them: Xavier-uniform weights, biases of zero."""
    norm = partial(nn.LayerNorm, eps=1e-6)
    made = nn.Sequential(*(Block(dim, num_heads, qkv_bias=True, norm_layer=norm) for _ in range(depth)))
    for module in made.modules():
        if isinstance(module, nn.Linear):
            nn.init.xavier_uniform_(module.weight)
            nn.init.zeros_(module.bias)
    return made
