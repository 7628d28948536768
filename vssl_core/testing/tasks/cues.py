"""A backbone that is quick to find what gives an answer away without any content."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from vssl_core.interfaces import Backbone
from vssl_core.types import ClipSpec

__all__ = ["CueBackbone"]

CELLS = 4  # along each side of the picture
SEGMENTS = 8  # along time
CUES = 6
EXTREMES = 2


class CueBackbone(Backbone):
    """Simple statistics of a clip, standardised over batches, and a linear layer on them.

    Brightness, colour, roughness along each axis and extremes of each cell of the picture and of each moment
    show marks, borders, interpolation, repeated frames and offsets at once, for which convolutions would have
    to be trained long. The map is the same everywhere.
    """

    def __init__(self, options: Any, clip: ClipSpec) -> None:
        super().__init__(options, clip)
        self.embed_dim = 32
        spatial, temporal = (CUES + EXTREMES) * CELLS**2, CUES * SEGMENTS
        self.standardise = nn.BatchNorm1d(6 + spatial + temporal, affine=False)
        self.project = nn.Linear(6 + spatial + temporal, self.embed_dim)

    def forward_features(self, video_BCTHW: Tensor) -> Tensor:
        """(B, 3, T, H, W) → (B, 32, T/2, H/4, W/4)."""
        with torch.autocast(video_BCTHW.device.type, enabled=False):
            features_BD = self.project(self.standardise(_statistics(video_BCTHW.float())))
        frames, height, width = video_BCTHW.shape[2:]
        size = (max(frames // 2, 1), max(height // 4, 1), max(width // 4, 1))
        features: Tensor = features_BD[:, :, None, None, None].expand(-1, -1, *size)
        return features

    def stages(self) -> Mapping[str, nn.Module]:
        """The linear layer."""
        return {"project": self.project}


@torch.no_grad()
def _statistics(video_BCTHW: Tensor) -> Tensor:
    """(B, 3, T, H, W) → (B, N)."""
    mean_BC, std_BC = video_BCTHW.mean(dim=(2, 3, 4)), video_BCTHW.std(dim=(2, 3, 4))
    level_B1, scale_B1 = mean_BC.mean(dim=1, keepdim=True), std_BC.mean(dim=1, keepdim=True)
    clip_BCTHW = (video_BCTHW - _like(level_B1)) / _like(scale_B1).clamp(min=1e-3)
    grey_B1THW = clip_BCTHW.mean(dim=1, keepdim=True)
    rough = [_roughness(grey_B1THW, axis) for axis in (2, 3, 4)]
    cues_BKTHW = torch.cat([clip_BCTHW, *rough], dim=1)
    still_BKHW = grey_B1THW.mean(dim=2)
    extremes_BKHW = torch.cat([still_BKHW, -still_BKHW], dim=1)
    parts = [
        mean_BC,
        std_BC,
        F.adaptive_avg_pool2d(cues_BKTHW.mean(dim=2), CELLS),
        F.adaptive_max_pool2d(extremes_BKHW, CELLS),
        F.adaptive_avg_pool1d(cues_BKTHW.mean(dim=(3, 4)), SEGMENTS),
    ]
    return torch.cat([part.flatten(1) for part in parts], dim=1)


def _like(value_BC: Tensor) -> Tensor:
    return value_BC[:, :, None, None, None]


def _roughness(grey_B1THW: Tensor, axis: int) -> Tensor:
    """Distance to the next one along an axis; that of the last one is zero."""
    change = grey_B1THW.diff(dim=axis).abs()
    return torch.cat([change, torch.zeros_like(grey_B1THW.narrow(axis, 0, 1))], dim=axis)
