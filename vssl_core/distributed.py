"""Every collective of vssl, in one place: what several processes do must equal what one does.

With W processes that hold B/W videos each, a step gives the same loss as one process with B: BatchNorm
uses the statistics of the whole batch, dropout and stochastic depth draw once for the whole batch,
contrastive losses see all embeddings, and gradients flow through all of it. In one process everything
here is the identity.
"""

from __future__ import annotations

from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

__all__ = [
    "gather_with_grad",
    "mean_over_processes",
    "rank",
    "share_batch_layers",
    "sum_over_processes",
    "world_size",
]


Module = TypeVar("Module", bound=nn.Module)


def _active() -> bool:
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


def rank() -> int:
    """This process's place among the processes of the cell, from 0."""
    return dist.get_rank() if _active() else 0


def world_size() -> int:
    """How many processes train the cell."""
    return dist.get_world_size() if _active() else 1


class _AllGather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x_ND: Tensor) -> Tensor:
        ctx.rows = x_ND.shape[0]
        parts = [torch.empty_like(x_ND) for _ in range(world_size())]
        dist.all_gather(parts, x_ND.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        grad = grads[0].contiguous().clone()
        dist.all_reduce(grad)
        return grad[rank() * ctx.rows : (rank() + 1) * ctx.rows]


class _AllSum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        total = x.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        total = grads[0].contiguous().clone()
        dist.all_reduce(total)
        return total


def gather_with_grad(x_ND: Tensor) -> Tensor:
    """Rows of all processes in order of rank, (N, …) → (world·N, …), with gradient to all of them.

    Every process must call it with the same shape.
    """
    if not _active():
        return x_ND
    gathered: Tensor = _AllGather.apply(x_ND)
    return gathered


def sum_over_processes(x: Tensor) -> Tensor:
    """Sum over the processes, without gradient."""
    if not _active():
        return x
    total = x.detach().clone()
    dist.all_reduce(total)
    return total


def mean_over_processes(x: Tensor) -> Tensor:
    """Mean over the processes, without gradient."""
    return sum_over_processes(x) / world_size()


class _BatchNorm(nn.modules.batchnorm._BatchNorm):
    """BatchNorm over the batches of all processes, on any device that the process group serves."""

    def _check_input_dim(self, input: Tensor) -> None:  # noqa: A002
        if input.ndim < 2:
            raise ValueError(f"expected at least 2 axes, got {input.ndim}")

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002
        if not (self.training and _active()):
            return super().forward(input)
        axes = [axis for axis in range(input.ndim) if axis != 1]
        shape = [1, -1] + [1] * (input.ndim - 2)
        count = world_size() * input.numel() // input.shape[1]
        half = input.dtype in (torch.float16, torch.bfloat16)
        x = input.float() if half else input
        mean_C: Tensor = _AllSum.apply(x.sum(axes)) / count
        centred = x - mean_C.view(shape)
        var_C: Tensor = _AllSum.apply(centred.square().sum(axes)) / count
        self._update(mean_C.detach(), var_C.detach() * count / max(count - 1, 1))
        y = centred * (var_C + self.eps).rsqrt().view(shape)
        if self.affine:
            y = y * self.weight.view(shape) + self.bias.view(shape)
        return y.to(input.dtype)

    @torch.no_grad()
    def _update(self, mean_C: Tensor, unbiased_C: Tensor) -> None:
        if not self.track_running_stats or self.num_batches_tracked is None:
            return
        if self.running_mean is None or self.running_var is None:
            return
        self.num_batches_tracked += 1
        rate = self.momentum if self.momentum is not None else 1.0 / float(self.num_batches_tracked)
        self.running_mean.lerp_(mean_C, rate)
        self.running_var.lerp_(unbiased_C, rate)


class _Dropout(nn.Dropout):
    """Dropout whose mask is this process's part of the mask of the whole batch.

    The core seeds the global generator alike on every process before each step.
    """

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002
        if not (self.training and _active()):
            return super().forward(input)
        rows = input.shape[0]
        whole = torch.ones(world_size() * rows, *input.shape[1:], dtype=input.dtype, device=input.device)
        return input * F.dropout(whole, self.p)[rank() * rows : (rank() + 1) * rows]


class _DropPath(nn.Module):
    """timm's DropPath whose draws are this process's part of those for the whole batch."""

    def __init__(self, drop_prob: float, *, scale_by_keep: bool) -> None:
        super().__init__()
        self.drop_prob = drop_prob
        self.scale_by_keep = scale_by_keep

    def forward(self, x: Tensor) -> Tensor:
        if not (self.training and self.drop_prob):
            return x
        rows, keep = x.shape[0], 1 - self.drop_prob
        whole = x.new_empty(world_size() * rows, *[1] * (x.ndim - 1)).bernoulli_(keep)
        if self.scale_by_keep and keep > 0:
            whole.div_(keep)
        return x * whole[rank() * rows : (rank() + 1) * rows]


def share_batch_layers(module: Module) -> Module:
    """Make BatchNorm, Dropout and DropPath act on the batch of all processes; in one process change nothing.

    On CUDA BatchNorm becomes `torch.nn.SyncBatchNorm`, which refuses CPUs; elsewhere a layer of the
    same parameters and buffers takes its place, so the state dict keeps its keys.
    """
    if not _active():
        return module
    from timm.layers import DropPath  # type: ignore[attr-defined]

    if next(module.parameters()).is_cuda:
        module = nn.SyncBatchNorm.convert_sync_batchnorm(module)  # type: ignore[no-untyped-call]
    for parent in module.modules():
        for name, child in parent.named_children():
            if isinstance(child, nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d):
                shared = _BatchNorm(
                    child.num_features, child.eps, child.momentum, child.affine, child.track_running_stats
                )
                shared.__dict__.update(child.__dict__)
                setattr(parent, name, shared)
            elif type(child) is nn.Dropout:
                setattr(parent, name, _Dropout(child.p, child.inplace))
            elif isinstance(child, DropPath):
                setattr(parent, name, _DropPath(child.drop_prob, scale_by_keep=child.scale_by_keep))
    return module
