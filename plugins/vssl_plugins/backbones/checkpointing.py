"""Gradient checkpointing: keep the stages' inputs, and compute the rest again in the backward pass.

Memory for time: one more forward pass per step, and only one stage's activations at a time. Features,
gradients and BatchNorm statistics are those of a step without it, and dropout draws the same twice.
torch.compile refuses what keeps the statistics, so it takes checkpoints of networks without BatchNorm alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint

__all__ = ["run", "run_stages"]


def run_stages(stages: Iterable[nn.Module], x_BCTHW: Tensor, *, checkpointing: bool) -> Tensor:
    """Pass clips or maps (B, C, T, H, W) through the stages, one after the other."""
    for stage in stages:
        x_BCTHW = run(stage, x_BCTHW, checkpointing=checkpointing)
    return x_BCTHW


def run(stage: nn.Module, *inputs: Any, checkpointing: bool) -> Any:
    """`stage(*inputs)`; with `checkpointing` it runs a second time in the backward pass."""
    if not (checkpointing and torch.is_grad_enabled()):
        return stage(*inputs)
    if any(isinstance(module, _BatchNorm) for module in stage.modules()):
        return checkpoint(stage, *inputs, use_reentrant=False, context_fn=partial(_contexts, stage))
    return checkpoint(stage, *inputs, use_reentrant=False)


def _contexts(stage: nn.Module) -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
    return nullcontext(), _statistics_kept(stage)


@contextmanager
def _statistics_kept(stage: nn.Module) -> Iterator[None]:
    """BatchNorm normalises by the batch as it did before, but learns nothing from it a second time."""
    norms = [module for module in stage.modules() if isinstance(module, _BatchNorm)]
    before = [(norm, norm.momentum, _copy(norm.num_batches_tracked)) for norm in norms]
    for norm in norms:
        norm.momentum = 0.0
    try:
        yield
    finally:
        for norm, momentum, count in before:
            norm.momentum = momentum
            if norm.num_batches_tracked is not None:
                norm.num_batches_tracked.copy_(count)


def _copy(count: Tensor | None) -> Tensor | None:
    return None if count is None else count.clone()
