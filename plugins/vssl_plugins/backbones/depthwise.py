"""Depthwise 3 x 3 x 3 convolution whose backward pass is not ten times as slow as its forward pass.

On a CPU torch (2.15) computes the forward pass of a depthwise 3D convolution by a kernel made for it, and
both gradients by general ones. At stride 1 there are faster ways to the same sums: the gradient of the input
is a forward pass with the kernel mirrored, and that of the weight is three gradients of 2D depthwise
convolutions, one for each frame of the kernel, over the frames that it meets. At other strides the general
kernels are fair in float32 and four to thirty times as slow in bfloat16, so that float32 is taken there.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from torch.utils._python_dispatch import is_in_torch_dispatch_mode

__all__ = ["DepthwiseConv3d"]


class DepthwiseConv3d(nn.Conv3d):
    """Every channel by itself, "same" padding, no bias: (B, C, T, H, W) → (B, C, ceil(T/s), ceil(H/s), …).

    The quicker ways are taken on a CPU in eager mode; elsewhere, and where FLOPs are counted, this is
    `nn.Conv3d`. Under autocast the result has autocast's type, as that of `nn.Conv3d` has.
    """

    def __init__(self, planes: int, *, stride: int | tuple[int, int, int] = 1) -> None:
        super().__init__(planes, planes, 3, stride=stride, padding=1, groups=planes, bias=False)

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002
        """(B, C, T, H, W) → (B, C, T', H', W')."""
        if not self._eager(input):
            return super().forward(input)
        dtype = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else input.dtype
        if self.stride == (1, 1, 1) and self._trained(input):
            filtered: Tensor = _Depthwise.apply(input.to(dtype), self.weight.to(dtype))
            return filtered
        if self.stride != (1, 1, 1) and dtype == torch.bfloat16:
            with torch.autocast("cpu", enabled=False):
                weight = self.weight.float()
                return F.conv3d(input.float(), weight, None, self.stride, 1, 1, self.groups).to(dtype)
        return super().forward(input)

    def _eager(self, x_BCTHW: Tensor) -> bool:
        if x_BCTHW.device.type != "cpu" or torch.compiler.is_compiling() or torch.jit.is_tracing():
            return False
        watched = is_in_torch_dispatch_mode()  # FLOPs are those of the convolution, whatever computes it
        return not watched and (torch.is_autocast_enabled("cpu") or x_BCTHW.dtype == self.weight.dtype)

    def _trained(self, x_BCTHW: Tensor) -> bool:
        return torch.is_grad_enabled() and (x_BCTHW.requires_grad or self.weight.requires_grad)


class _Depthwise(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x_BCTHW: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(x_BCTHW, weight)
        return _filtered(x_BCTHW, weight)

    @staticmethod
    def backward(ctx: Any, grad_BCTHW: Tensor) -> tuple[Tensor | None, Tensor | None]:
        x_BCTHW, weight = ctx.saved_tensors
        wanted = ctx.needs_input_grad
        if torch.is_grad_enabled():  # a gradient of gradients is asked for
            return _differentiable(grad_BCTHW, x_BCTHW, weight, wanted)
        grad_x = _filtered(grad_BCTHW, weight.flip(2, 3, 4)) if wanted[0] else None
        return grad_x, _weight_gradient(grad_BCTHW, x_BCTHW, weight) if wanted[1] else None


def _filtered(x_BCTHW: Tensor, weight: Tensor) -> Tensor:
    return F.conv3d(x_BCTHW, weight, padding=1, groups=len(weight))


def _weight_gradient(grad_BCTHW: Tensor, x_BCTHW: Tensor, weight: Tensor) -> Tensor:
    """(C, 1, 3, 3, 3): the kernel's frame k meets frame t + k - 1 of the input where the output has t."""
    frames = x_BCTHW.shape[2]
    parts = []
    for k in range(3):
        first, last = max(0, 1 - k), min(frames, frames + 1 - k)  # of the output
        if last <= first:
            parts.append(torch.zeros_like(weight[:, :, k]))
            continue
        grad_NCHW = _as_images(grad_BCTHW[:, :, first:last])
        x_NCHW = _as_images(x_BCTHW[:, :, first + k - 1 : last + k - 1])
        parts.append(_image_weight_gradient(grad_NCHW, x_NCHW, weight[:, :, k]))
    return torch.stack(parts, dim=2)


def _as_images(x_BCTHW: Tensor) -> Tensor:
    """(B, C, T, H, W) → (B·T, C, H, W), in channels-last memory without a copy where B or T is alone."""
    return x_BCTHW.movedim(2, 1).flatten(0, 1)


def _image_weight_gradient(grad_NCHW: Tensor, x_NCHW: Tensor, weight: Tensor) -> Tensor:
    arguments = ([1, 1], [1, 1], [1, 1], False, [0, 0], len(weight), [False, True, False])
    gradients = torch.ops.aten.convolution_backward(grad_NCHW, x_NCHW, weight.contiguous(), None, *arguments)
    found: Tensor = gradients[1]
    return found


def _differentiable(
    grad_BCTHW: Tensor, x_BCTHW: Tensor, weight: Tensor, wanted: tuple[bool, ...]
) -> tuple[Tensor | None, Tensor | None]:
    arguments = ([1] * 3, [1] * 3, [1] * 3, False, [0] * 3, len(weight), [wanted[0], wanted[1], False])
    grad_x, grad_weight, _ = torch.ops.aten.convolution_backward(
        grad_BCTHW, x_BCTHW, weight, None, *arguments
    )
    return grad_x, grad_weight
