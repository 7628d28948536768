"""Convolution layers that several backbones are made of, and the start that most of them share."""

from __future__ import annotations

from math import prod, sqrt

import torch
from torch import Tensor, nn

from vssl_plugins.backbones.clip_shape import Size3d

__all__ = ["conv3d", "join", "start_fan_out"]


def conv3d(
    in_planes: int,
    out_planes: int,
    kernel: Size3d,
    *,
    stride: Size3d = (1, 1, 1),
    groups: int = 1,
    bias: bool = False,
) -> nn.Conv3d:
    """Convolution with "same" padding: (B, C, T, H, W) → (B, out_planes, ceil(T/s_T), ceil(H/s_H), …)."""
    padding = (kernel[0] // 2, kernel[1] // 2, kernel[2] // 2)
    return nn.Conv3d(in_planes, out_planes, kernel, stride=stride, padding=padding, groups=groups, bias=bias)


def join(*maps_BCTHW: Tensor) -> Tensor:
    """Maps (B, C_i, T, H, W) one behind the other: (B, ΣC_i, T, H, W).

    Each gets its gradient in its own memory format. A slice of a channels-last gradient is strided, and over
    that the backward pass of BatchNorm takes four times as long (torch 2.15, CPU).
    """
    if not torch.compiler.is_compiling():
        for map_BCTHW in maps_BCTHW:
            if map_BCTHW.requires_grad:
                map_BCTHW.register_hook(_dense)
    return torch.cat(maps_BCTHW, dim=1)


def _dense(grad_BCTHW: Tensor) -> Tensor:
    last = grad_BCTHW.stride(1) == 1 and grad_BCTHW.shape[1] > 1
    return grad_BCTHW.contiguous(memory_format=torch.channels_last_3d if last else torch.contiguous_format)


def start_fan_out(network: nn.Module) -> None:
    """Draw the weights of every convolution from N(0, sqrt(2 / (k_T·k_H·k_W·out))); biases stay as they are.

    Kaiming's rule by fan-out, in which a depthwise convolution counts all its output channels, as PyTorch
    and the references count. Drawn in double precision, so that it is equal on every machine: PyTorch's
    single-precision normal numbers depend on the vector units of the processor.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv3d):
            std = sqrt(2.0 / (prod(module.kernel_size) * module.out_channels))
            drawn = torch.empty(module.weight.shape, dtype=torch.float64).normal_(0.0, std)
            with torch.no_grad():
                module.weight.copy_(drawn)
