"""Every collective of vssl, in one place: what several processes do must equal what one does.

With W processes that hold B/W videos each, a step gives the same loss as one process with B: BatchNorm
uses the statistics of the whole batch, dropout and stochastic depth draw once for the whole batch,
contrastive losses see all embeddings, and gradients flow through all of it. In one process everything
here is the identity.

What is drawn for the whole batch goes by the place of a row, and with several clips of each video in one
batch the places of several processes lie between one another; `_Layout` says how they are found.
"""

from __future__ import annotations

import inspect
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from itertools import chain
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from vssl_core.errors import ContractError
from vssl_core.interfaces import Backbone

__all__ = [
    "alone",
    "any_process",
    "behind_norm",
    "gather_with_grad",
    "mean_over_processes",
    "meet",
    "of_first_process",
    "rank",
    "share_batch_layers",
    "sum_over_processes",
    "world_size",
]


Module = TypeVar("Module", bound=nn.Module)

_PATIENCE = timedelta(days=30)  # the first process may wait for another bench that is at the cell


_thread = threading.local()


def _active() -> bool:
    if getattr(_thread, "alone", False):
        return False
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


@contextmanager
def alone() -> Iterator[None]:
    """Within, in this thread, the process does what the only process of a cell would: it gathers nothing.

    For batches that every process has whole, without gradient. Every process must enter and leave it.
    """
    _thread.alone = True
    try:
        yield
    finally:
        _thread.alone = False


def rank() -> int:
    """This process's place among the processes of the cell, from 0."""
    return dist.get_rank() if _active() else 0


def world_size() -> int:
    """How many processes train the cell."""
    return dist.get_world_size() if _active() else 1


def meet(device: torch.device) -> Callable[[bool], bool]:
    """Join the processes that one launcher started for a cell, where there are several.

    Returns:
        Gives every process the decision of the first; each must call it once, and waits until the first does.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return lambda decision: decision
    from accelerate import PartialState

    PartialState(cpu=device.type == "cpu")
    group: Any = dist.new_group(backend="gloo", timeout=_PATIENCE)

    def decided(decision: bool) -> bool:
        shared = torch.tensor(int(decision))
        dist.broadcast(shared, src=0, group=group)
        return bool(shared)

    return decided


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


def of_first_process(value: float, *, on: torch.device) -> float:
    """The first process's value, on all of them: what each would measure differently."""
    if not _active():
        return value
    shared = torch.tensor(value, dtype=torch.float64, device=on)
    dist.broadcast(shared, src=0)
    return float(shared)


def any_process(flag: bool, *, on: torch.device) -> bool:
    """True on all processes when it is on one."""
    return bool(sum_over_processes(torch.tensor(float(flag), device=on))) if _active() else flag


def behind_norm(norm: nn.modules.batchnorm._BatchNorm) -> dict[str, nn.Module]:
    """What a layer of the BatchNorm family does with its normalised input, by name, in order.

    A layer that takes its place must do the same. torch's own do nothing; timm's BatchNormAct drops out and
    activates.

    Raises:
        ContractError: A class whose forward does what nobody here knows.
    """
    from timm.layers import BatchNormAct2d, SyncBatchNormAct  # type: ignore[attr-defined]

    forward = type(norm).forward
    if forward in (nn.modules.batchnorm._BatchNorm.forward, nn.SyncBatchNorm.forward, _BatchNorm.forward):
        return {}
    if forward in (BatchNormAct2d.forward, SyncBatchNormAct.forward):
        return dict(norm.named_children())
    raise ContractError(
        f"{type(norm).__module__}.{type(norm).__qualname__} is derived from BatchNorm with a forward of its "
        "own, so no layer can take its place where BatchNorm must work otherwise: on several processes and "
        "in a momentum encoder. Expected one of torch or timm; apply what it adds in a module behind it."
    )


class _BatchNorm(nn.modules.batchnorm._BatchNorm):
    """BatchNorm over the batches of all processes, on any device that the process group serves.

    Its children, where it has some, are what stood behind the normalisation in the layer that it replaces.
    """

    def _check_input_dim(self, input: Tensor) -> None:  # noqa: A002
        if input.ndim < 2:
            raise ValueError(f"expected at least 2 axes, got {input.ndim}")

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002
        shared = self.training and _active()
        y = self._normalise(input) if shared else super().forward(input)
        for layer in self.children():
            y = layer(y)
        return y

    def _normalise(self, input: Tensor) -> Tensor:  # noqa: A002
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


class _Layout:
    """How the rows of a layer stand to the videos of this process's part of the batch.

    A task that encodes k clips of each of B videos at once has k·B rows, the first clip of every video before
    the second ones (`torch.cat`), and a backbone may make k·B·m of them, m for each clip. Inside a backbone k
    is known from what the backbone was given. In the task's own layers m is taken for 1.
    """

    def __init__(self) -> None:
        self.videos = 0
        self.clips = 0  # k, within a call of a backbone

    def see_batch(self, _: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Before the task's forward pass: the rows of its first tensor are its videos."""
        self.videos = _rows(*args, *kwargs.values())

    def encode(self, method: Callable[..., Any], backbone: nn.Module, *args: Any, **kwargs: Any) -> Any:
        """A backbone's method, with the number of clips known to its layers."""
        if self.clips:  # one method of a backbone calls another
            return method(backbone, *args, **kwargs)
        self.clips = max(_rows(*args, *kwargs.values()) // max(self.videos, 1), 1)
        try:
            return method(backbone, *args, **kwargs)
        finally:
            self.clips = 0


def _rows(*values: Any) -> int:
    """Length of the first tensor, also where it stands in a mapping; 0 where there is none."""
    flat = chain.from_iterable(v.values() if isinstance(v, Mapping) else (v,) for v in values)
    return next((len(v) for v in flat if isinstance(v, Tensor) and v.ndim), 0)


class _Draws:
    """What one layer draws for the batch of all processes, of which it takes what is this process's.

    The core seeds the global generator alike on every process before each step.
    """

    def __init__(self, layout: _Layout) -> None:
        self._layout = layout
        self._seen: dict[int, int] = {}  # rows → clips: checkpointing comes again outside of the backbone

    def own(self, rows: int, draw: Callable[[int], Tensor]) -> Tensor:
        """This process's `rows` of what `draw` gives for the rows of all processes."""
        layout = self._layout
        if layout.clips:
            self._seen[rows] = layout.clips
        clips = self._seen.get(rows) or max(rows // max(layout.videos, 1), 1)
        if rows % clips:
            clips = 1
        own = rows // clips
        whole = draw(world_size() * rows)
        whole = whole.view(clips, -1, *whole.shape[1:])[:, rank() * own : (rank() + 1) * own]
        return whole.flatten(0, 1)


class _Dropout(nn.Dropout):
    """Dropout whose mask is this process's part of the mask of the whole batch."""

    def __init__(self, p: float, layout: _Layout) -> None:
        super().__init__(p)
        self._draws = _Draws(layout)

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002
        if not self.training:
            return input
        kept = partial(torch.ones, dtype=input.dtype, device=input.device)
        return input * self._draws.own(
            input.shape[0], lambda rows: F.dropout(kept(rows, *input.shape[1:]), self.p)
        )


class _DropPath(nn.Module):
    """timm's DropPath whose draws are this process's part of those for the whole batch."""

    def __init__(self, drop_prob: float, layout: _Layout, *, scale_by_keep: bool) -> None:
        super().__init__()
        self._draws = _Draws(layout)
        self.drop_prob = drop_prob
        self.scale_by_keep = scale_by_keep

    def forward(self, x: Tensor) -> Tensor:
        if not (self.training and self.drop_prob):
            return x
        keep, axes = 1 - self.drop_prob, [1] * (x.ndim - 1)
        mask = self._draws.own(x.shape[0], lambda rows: x.new_empty(rows, *axes).bernoulli_(keep))
        return x * (mask / keep if self.scale_by_keep and keep > 0 else mask)


def share_batch_layers(module: Module) -> Module:
    """Make BatchNorm, Dropout and DropPath act on the batch of all processes; in one process change nothing.

    Called with the videos of this process, the first tensor of its arguments, the module does as if they
    stood in the whole batch. Where its own layers (not a backbone's) get several rows of a video, the rows
    have to be those of `torch.cat` of the clips.

    A layer of the same parameters, buffers and children takes the place of each BatchNorm, on any device, so
    the state dict keeps its keys.

    Raises:
        ContractError: A layer derived from BatchNorm that no other can replace.
    """
    if not _active():
        return module
    from timm.layers import DropPath  # type: ignore[attr-defined]

    layout = _Layout()
    module.register_forward_pre_hook(layout.see_batch, with_kwargs=True)
    for parent in module.modules():
        for name, child in parent.named_children():
            if isinstance(child, nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d):
                behind_norm(child)  # refused where it does what the children do not say
                shared = _BatchNorm(
                    child.num_features, child.eps, child.momentum, child.affine, child.track_running_stats
                )
                shared.__dict__.update(child.__dict__)
                setattr(parent, name, shared)
            elif type(child) is nn.Dropout:
                setattr(parent, name, _Dropout(child.p, layout))
            elif isinstance(child, DropPath):
                setattr(parent, name, _DropPath(child.drop_prob, layout, scale_by_keep=child.scale_by_keep))
    for backbone in [child for child in module.modules() if isinstance(child, Backbone)]:
        for name, method in inspect.getmembers(type(backbone), inspect.isfunction):
            if name.startswith("forward"):
                setattr(backbone, name, partial(layout.encode, method, backbone))
    return module
