"""What the transformers share: whole patches, learned positions of any grid, initial values.

A grid is how many tokens there are along each axis, (T', H', W') or a part of it. Tokens are (N, L, D) with
the grid flattened in that order and, where there is one, the class token in front.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from timm.layers import trunc_normal_
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from vssl_core.errors import UsageError
from vssl_core.types import ClipSpec
from vssl_plugins.backbones.clip_shape import Size3d

__all__ = [
    "VIT_SIZES",
    "Positions",
    "check_and_pad",
    "drop_path_rates",
    "grid_of",
    "init_linear",
    "resize_table",
]

VIT_SIZES = {"tiny": (192, 3, 12), "small": (384, 6, 12), "base": (768, 12, 12), "large": (1024, 16, 24)}
"""Name → (width, heads, blocks) of the ViT family; `base` is the one of the video papers."""


def check_and_pad(video_BCTHW: Tensor, *, name: str, patch_THW: Size3d, repeat_frames: bool) -> Tensor:
    """Clips that fill whole patches: zeros below and to the right, and frames at the end.

    Args:
        video_BCTHW: Clips (B, 3, T, H, W) of any size.
        name: The backbone, for the error.
        patch_THW: Frames and pixels of a patch.
        repeat_frames: The last frame again instead of frames of zeros.

    Raises:
        UsageError: Not (B, 3, T, H, W), or an empty axis.
    """
    if video_BCTHW.ndim != 5 or video_BCTHW.shape[1] != 3 or 0 in video_BCTHW.shape:
        raise UsageError(
            f"{name} takes float clips (B, 3, T, H, W) with B, T, H and W of 1 or more, which it pads to "
            f"whole patches of {patch_THW[0]} x {patch_THW[1]} x {patch_THW[2]}; got "
            f"{tuple(video_BCTHW.shape)}."
        )
    frames, below, right = (
        -size % patch for size, patch in zip(video_BCTHW.shape[2:], patch_THW, strict=True)
    )
    if repeat_frames and frames:
        last_BCTHW = video_BCTHW[:, :, -1:].expand(-1, -1, frames, -1, -1)
        video_BCTHW, frames = torch.cat([video_BCTHW, last_BCTHW], dim=2), 0
    if frames or below or right:
        video_BCTHW = F.pad(video_BCTHW, (0, right, 0, below, 0, frames))
    return video_BCTHW


def grid_of(clip: ClipSpec, patch_THW: Size3d) -> Size3d:
    """Tokens along each axis of a clip, the last ones padded."""
    sizes = (clip.num_frames, clip.crop_size, clip.crop_size)
    frames, height, width = (-(-size // patch) for size, patch in zip(sizes, patch_THW, strict=True))
    return frames, height, width


def resize_table(table: Tensor, grid: Sequence[int]) -> Tensor:
    """Linear interpolation of a table (*old grid, D) to (*grid, D), as `F.interpolate(align_corners=False)`.

    Axis after axis, so that a grid may have any number of them and its gradient is the same on every run.
    """
    for axis, size in enumerate(grid):
        old = table.shape[axis]
        if old == size:
            continue
        place = (torch.arange(size, device=table.device) + 0.5) * (old / size) - 0.5
        place = place.clamp(0, old - 1)
        low = place.long()
        share = (place - low).to(table.dtype).view([-1 if a == axis else 1 for a in range(table.ndim)])
        high = (low + 1).clamp(max=old - 1)
        table = torch.lerp(table.index_select(axis, low), table.index_select(axis, high), share)
    return table


class Positions(nn.Module):
    """A class token in front of the tokens of a grid, and learned positions added to both.

    The table keeps the form of its grid, (*grid, D): other grids interpolate it, and a file of weights says
    for which grid it was made. All zero until the backbone initialises it.
    """

    def __init__(self, width: int, grid: Sequence[int]) -> None:
        super().__init__()
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.cls_position = nn.Parameter(torch.zeros(1, 1, width))
        self.table = nn.Parameter(torch.zeros(*grid, width))

    def forward(self, tokens_NLD: Tensor, grid: Sequence[int]) -> Tensor:
        """(N, L, D) of this grid → (N, 1 + L, D)."""
        cls_N1D = (self.cls_token + self.cls_position).expand(tokens_NLD.shape[0], -1, -1)
        table_LD = resize_table(self.table, grid).flatten(0, -2)
        return torch.cat([cls_N1D, tokens_NLD + table_LD], dim=1)


def drop_path_rates(last: float, depth: int) -> list[float]:
    """Stochastic depth of each block, rising in equal steps from 0 to `last`."""
    return [last * block / max(depth - 1, 1) for block in range(depth)]


def init_linear(net: nn.Module) -> None:
    """Linear layers as in timm's ViT: weights from a normal of 0.02, cut at ±2, and no bias."""
    for module in net.modules():
        if isinstance(module, nn.Linear):
            trunc_normal_(module.weight, std=0.02)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
