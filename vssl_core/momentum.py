"""Parts of methods that compare with a slowly moving copy of their own encoder (the MoCo family).

He et al., Momentum Contrast for Unsupervised Visual Representation Learning, CVPR 2020: keys come from
an encoder whose weights are an exponential moving average of the trained one, and negatives from a queue
of past keys. All state is in parameters and buffers, so that checkpoints hold it, and is equal on every
process.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from vssl_core import distributed
from vssl_core.errors import ContractError
from vssl_core.interfaces import TaskContext

__all__ = ["FeatureQueue", "KeyNorm", "MomentumEncoder", "contrast_accuracy", "queue_size"]

KeyNorm = Literal["running", "batch"]
"""How BatchNorm of a key encoder normalises while training; see `MomentumEncoder`."""


class _RunningNorm(nn.Module):
    """BatchNorm that normalises by the statistics of the batches before, and learns this one's afterwards.

    The very first batch, before which there is none, is normalised by itself. Parameters, buffers and
    children have the names of the layer that it replaces; the children, an activation for instance, are
    applied to what is normalised.
    """

    weight: Tensor | None
    bias: Tensor | None
    running_mean: Tensor
    running_var: Tensor
    num_batches_tracked: Tensor

    def __init__(self, norm: nn.modules.batchnorm._BatchNorm) -> None:
        super().__init__()
        self.eps = norm.eps
        self.momentum = 0.1 if norm.momentum is None else norm.momentum
        self.register_parameter("weight", norm.weight)
        self.register_parameter("bias", norm.bias)
        for name in ("running_mean", "running_var", "num_batches_tracked"):
            self.register_buffer(name, getattr(norm, name))
        for name, layer in distributed.behind_norm(norm).items():
            self.add_module(name, layer)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, …) → the same shape."""
        y = self._learn(x) if self.training else self._normalise(x)
        for layer in self.children():
            y = layer(y)
        return y

    def _learn(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            mean_C, var_C = _batch_statistics(x)
            if self.num_batches_tracked == 0:
                self.running_mean.copy_(mean_C)
                self.running_var.copy_(var_C)
        y = self._normalise(x)
        with torch.no_grad():
            self.num_batches_tracked += 1
            self.running_mean.lerp_(mean_C, self.momentum)
            self.running_var.lerp_(var_C, self.momentum)
        return y

    def _normalise(self, x: Tensor) -> Tensor:
        return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps)


def _batch_statistics(x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean (C,) and unbiased variance (C,) over the batches of all processes."""
    axes = [axis for axis in range(x.ndim) if axis != 1]
    shape = [1, -1] + [1] * (x.ndim - 2)
    count = distributed.world_size() * x.numel() // x.shape[1]
    x = x.float()
    mean_C = distributed.sum_over_processes(x.sum(axes)) / count
    square_C = distributed.sum_over_processes((x - mean_C.view(shape)).square().sum(axes))
    return mean_C, square_C / max(count - 1, 1)


class MomentumEncoder(nn.Module):
    """A copy of an encoder whose weights follow it slowly; gives keys without gradient.

    With `norm="batch"` its BatchNorm uses the statistics of the current batch. They are a signature that the
    positive shares with its query and the queue does not, so that contrast is solved without looking (He et
    al., section 3.3, who shuffle samples between GPUs against it, which one GPU cannot). With `"running"`
    it uses statistics of the batches before, which sign nothing, on any number of processes.

    Args:
        encoder: A module of its own with the weights of the online encoder; taken over, not copied.
        momentum: Share m of its own weights that it keeps at each `follow`: w ← m·w + (1-m)·w_online.
        norm: How its BatchNorm normalises in train mode.
    """

    def __init__(self, encoder: nn.Module, *, momentum: float, norm: KeyNorm = "running") -> None:
        super().__init__()
        self.momentum = momentum
        self.encoder = _with_running_norm(encoder) if norm == "running" else encoder
        self.encoder.requires_grad_(False)

    @torch.no_grad()
    def forward(self, x: Tensor) -> Tensor:
        """What the encoder gives, detached."""
        keys: Tensor = self.encoder(x)
        return keys

    @torch.no_grad()
    def follow(self, online: nn.Module) -> None:
        """Move the weights towards those of `online`. BatchNorm statistics are the encoder's own.

        Raises:
            ContractError: The two do not have the same parameters.
        """
        own, goal = dict(self.encoder.named_parameters()), dict(online.named_parameters())
        if [(k, p.shape) for k, p in own.items()] != [(k, p.shape) for k, p in goal.items()]:
            raise ContractError(
                "a momentum encoder must have the parameters of the encoder that it follows; these differ: "
                f"{', '.join(sorted(own.keys() ^ goal.keys())) or 'the shapes'}."
            )
        targets = [goal[name].detach() for name in own]
        torch._foreach_lerp_(list(own.values()), targets, 1 - self.momentum)


def _with_running_norm(module: nn.Module) -> nn.Module:
    if isinstance(module, nn.modules.batchnorm._BatchNorm):
        return _RunningNorm(module)
    for name, child in module.named_children():
        setattr(module, name, _with_running_norm(child))
    return module


def queue_size(wanted: int, context: TaskContext) -> int:
    """Entries of a queue: `wanted`, but no more than there are videos to pretrain on.

    A queue holds older keys of the very video that asks, as negatives of itself, the more often the larger it
    is: one as long as the data for a little more than half of the queries (epochs differ in their order), a
    longer one for nearly all, and several of them. The bound keeps it to about one; it does not keep it
    out. A queue that is made smaller for this reason is announced by a warning.
    """
    size = min(wanted, context.num_videos)
    if size < wanted:
        warnings.warn(
            f"a queue of {size} keys instead of {wanted}, because there are {context.num_videos} videos: so "
            "it holds an older key of the video that asks, as its negative, for about half of the queries; a "
            "longer one would for nearly all, and several",
            stacklevel=2,
        )
    return size


class FeatureQueue(nn.Module):
    """The last `size` unit vectors (K, D), oldest overwritten first; begins with random ones.

    Args:
        size: Entries K.
        dim: Length D of each.
    """

    features: Tensor
    pointer: Tensor

    def __init__(self, size: int, dim: int) -> None:
        super().__init__()
        self.register_buffer("features", F.normalize(torch.randn(size, dim), dim=1))
        self.register_buffer("pointer", torch.zeros((), dtype=torch.int64))

    @torch.no_grad()
    def push(self, parts: Iterable[Tensor]) -> None:
        """Put vectors (N, D) of every process in the queue, part by part, in order of rank within a part."""
        for part_ND in parts:
            self._push(distributed.gather_with_grad(part_ND.detach()))

    def _push(self, rows_ND: Tensor) -> None:
        size, count = self.features.shape[0], rows_ND.shape[0]
        kept = min(size, count)
        places = (self.pointer + count - kept + torch.arange(kept, device=rows_ND.device)) % size
        self.features[places] = rows_ND[count - kept :].to(self.features.dtype)
        self.pointer.add_(count).remainder_(size)

    def similarity(self, query_BD: Tensor) -> Tensor:
        """Products (B, K) of queries with every entry."""
        return query_BD @ self.features.T


def contrast_accuracy(logits_BK: Tensor, target_B: Tensor | None = None) -> Tensor:
    """Share of rows whose positive has the largest logit; among m equal ones it counts 1/m.

    So an encoder that gives the same for every clip is right as often as a guess, not always or never.

    Args:
        logits_BK: Of the positive and the negatives; -inf for what is neither.
        target_B: Place of the positive in each row; the first where it is left out.
    """
    best_B1 = logits_BK.max(dim=1, keepdim=True).values
    ties_B = (logits_BK == best_B1).sum(dim=1)
    positive_B = logits_BK[:, 0] if target_B is None else logits_BK.gather(1, target_B[:, None])[:, 0]
    return ((positive_B == best_B1[:, 0]) / ties_B).mean()
