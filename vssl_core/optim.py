"""Optimiser and schedule of pretraining: SGD or AdamW, linear warm-up, cosine to zero."""

from __future__ import annotations

import math
from typing import Any

import torch

from vssl_core.errors import ContractError
from vssl_core.interfaces import PretextTask
from vssl_core.protocol import Optimizer

__all__ = ["build_optimizer", "rate_at", "set_rate"]


def build_optimizer(task: PretextTask, options: Optimizer) -> torch.optim.Optimizer:
    """The protocol's optimiser over the task's parameter groups.

    Raises:
        ContractError: A trainable parameter is in no group, or in two.
    """
    groups: list[dict[str, Any]] = []
    for group in task.param_groups():
        if group["params"]:
            groups.append(
                {
                    "params": list(group["params"]),
                    "weight_decay": options.weight_decay * group.get("weight_decay_scale", 1.0),
                    "lr_scale": group.get("lr_scale", 1.0),
                }
            )
    _check_groups(task, groups)
    if options.name == "sgd":
        return torch.optim.SGD(groups, lr=options.lr, momentum=options.momentum, fused=True)
    return torch.optim.AdamW(groups, lr=options.lr, betas=options.betas, fused=True)


def _check_groups(task: PretextTask, groups: list[dict[str, Any]]) -> None:
    grouped = [id(p) for group in groups for p in group["params"]]
    trainable = {id(p): name for name, p in task.named_parameters() if p.requires_grad}
    missing = [name for key, name in trainable.items() if key not in grouped]
    if missing or len(grouped) != len(set(grouped)):
        what = f"without a group: {', '.join(missing[:3])}" if missing else "in two groups"
        raise ContractError(
            f"param_groups of {type(task).__name__} must hold every trainable parameter once; {what}."
        )


def rate_at(fraction: float, warmup: float) -> float:
    """Share of the peak rate when this fraction of the budget is used."""
    if fraction < warmup:
        # Never zero, so that the first step already learns.
        return max(fraction / warmup, 0.01)
    done = (fraction - warmup) / (1.0 - warmup)
    return 0.5 * (1.0 + math.cos(math.pi * min(done, 1.0)))


def set_rate(optimizer: torch.optim.Optimizer, options: Optimizer, fraction: float) -> float:
    """Set every group's rate for this step; gives the rate of a group with scale 1."""
    rate = options.lr * rate_at(fraction, options.warmup)
    for group in optimizer.param_groups:
        group["lr"] = rate * group["lr_scale"]
    return rate
