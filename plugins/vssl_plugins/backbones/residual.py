"""The basic residual block and its four stages, around whatever convolution a backbone puts in.

He et al., Deep Residual Learning for Image Recognition, CVPR 2016, in the 3D form that Tran et al. (CVPR
2018) and VCOP (Xu et al., CVPR 2019) use: the first block of stages 2 to 4 halves T, H and W.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from torch import Tensor, nn

from vssl_plugins.backbones.activations import ReLU
from vssl_plugins.backbones.clip_shape import Size3d

__all__ = ["RESIDUAL_STRIDE", "RESIDUAL_WIDTHS", "MakeBlock", "ResidualBlock", "residual_stages"]

RESIDUAL_WIDTHS = (64, 128, 256, 512)
RESIDUAL_STRIDE: Size3d = (8, 16, 16)
"""Of stem and stages together."""


class ResidualBlock(nn.Module):
    """conv, BatchNorm, ReLU, conv, BatchNorm, plus the shortcut, ReLU: (B, C, T, H, W) → (B, planes, …).

    Args:
        conv1: Changes channels and size.
        conv2: Keeps both.
        shortcut: A convolution that does to the input what `conv1` does; None: the input itself.
        planes: Channels of the output.
    """

    def __init__(
        self, conv1: nn.Module, conv2: nn.Module, shortcut: nn.Module | None, *, planes: int
    ) -> None:
        super().__init__()
        self.conv1 = conv1
        self.norm1 = nn.BatchNorm3d(planes)
        self.relu1 = ReLU()
        self.conv2 = conv2
        self.norm2 = nn.BatchNorm3d(planes)
        self.shortcut: nn.Module = nn.Identity()
        if shortcut is not None:
            self.shortcut = nn.Sequential(shortcut, nn.BatchNorm3d(planes))
        self.relu2 = ReLU()

    def forward(self, x_BCTHW: Tensor) -> Tensor:
        """(B, C, T, H, W) → (B, planes, T', H', W')."""
        residual_BCTHW = self.relu1(self.norm1(self.conv1(x_BCTHW)))
        residual_BCTHW = self.norm2(self.conv2(residual_BCTHW))
        return self.relu2(self.shortcut(x_BCTHW) + residual_BCTHW)


class MakeBlock(Protocol):
    """Builds one block; `halve` says whether it halves the map."""

    def __call__(self, in_planes: int, out_planes: int, *, halve: bool) -> ResidualBlock: ...


def residual_stages(blocks: Sequence[int], make: MakeBlock) -> list[nn.Sequential]:
    """The four stages of `blocks` residual blocks each, 64 to 512 channels wide."""
    inputs = (RESIDUAL_WIDTHS[0], *RESIDUAL_WIDTHS[:-1])
    return [
        nn.Sequential(
            make(in_planes, out_planes, halve=number > 0),
            *(make(out_planes, out_planes, halve=False) for _ in range(count - 1)),
        )
        for number, (in_planes, out_planes, count) in enumerate(
            zip(inputs, RESIDUAL_WIDTHS, blocks, strict=True)
        )
    ]
