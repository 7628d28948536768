"""Checks of what the hooks move: momentum encoders are found by it, and the backbone is not theirs."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from vssl_core.interfaces import Backbone, PretextTask
from vssl_core.testing.outcome import CheckFailed, CheckSkipped
from vssl_core.testing.tasks.steps import (
    backward,
    copy_of,
    differing,
    is_batch_statistic,
    listed,
    progress,
    seed_everything,
    shake,
    state_of,
)
from vssl_core.testing.tasks.subject import Batch, TaskSubject

__all__ = ["CHECKS", "moved_by_hooks"]

_ALONG = 0.999  # cosine between what a parameter moved and the way to another one


def moved_by_hooks(task: PretextTask, batch: Batch) -> list[str]:
    """State that a step without optimiser changes: queues and averages. BatchNorm statistics are left out."""
    shake(task)
    before = state_of(task)
    _step_without_optimizer(task, batch)
    return [name for name in differing(before, state_of(task)) if not is_batch_statistic(name)]


def _followers(task: PretextTask, batch: Batch) -> list[str]:
    """Parameters that the hooks move towards another parameter, which is what an average does.

    A parameter that is moved otherwise, prototypes that are normalised for instance, does not count.
    """
    named = dict(task.named_parameters())
    shake(task)
    start = {name: value.detach().clone() for name, value in named.items()}
    _step_without_optimizer(task, batch)
    return [
        name
        for name, value in named.items()
        if _follows(start[name], value.detach(), [other for k, other in named.items() if k != name])
    ]


def _follows(start: Tensor, end: Tensor, others: list[Tensor]) -> bool:
    way = (end - start).flatten().double()
    if way.numel() < 2 or not way.any():
        return False
    return any(
        float(F.cosine_similarity(way, (other.detach() - start).flatten().double(), dim=0)) > _ALONG
        for other in others
        if other.shape == start.shape
    )


def _step_without_optimizer(task: PretextTask, batch: Batch) -> None:
    seed_everything(0)
    task.train()
    task.before_step(progress(0))
    with torch.no_grad():
        task(*copy_of(batch))
    task.after_step(progress(0))


def check_hooks_leave_the_backbone_alone(subject: TaskSubject) -> None:
    """The optimiser alone moves the weights of the exported backbone, under the rate that holds for all."""
    task, batch = subject.task(), subject.batch()
    shake(task)
    before = {name: value.detach().clone() for name, value in task.backbone.named_parameters()}
    _step_without_optimizer(task, batch)
    if changed := differing(before, dict(task.backbone.named_parameters())):
        raise CheckFailed(
            "expected before_step and after_step to leave the exported backbone to the optimiser, but they "
            f"move {listed(changed)}; decay and rates are the protocol's, scaled in param_groups."
        )


def check_no_second_backbone_stands_still(subject: TaskSubject) -> None:
    """A second backbone is trained, follows in a hook, or is kept in eval mode: else it is forgotten."""
    task, batch = subject.task(), subject.batch()
    others = {n: m for n, m in task.named_modules() if isinstance(m, Backbone) and m is not task.backbone}
    if not others:
        raise CheckSkipped("the task has one backbone")
    moved = moved_by_hooks(task, batch)
    task.train()
    for name, backbone in others.items():
        own = [f"{name}.{inner}" for inner, _ in backbone.named_parameters()]
        trained = any(p.requires_grad for p in backbone.parameters())
        if not trained and backbone.training and not set(own) & set(moved):
            raise CheckFailed(
                f"expected the second backbone {name!r} to be trained or to follow the first one, but it "
                "stands still: neither before_step nor after_step moves it. One that is to stand still "
                "says so by staying in eval mode: let the task's train() call its eval()."
            )


def check_no_gradient_into_momentum_parts(subject: TaskSubject) -> None:
    """What follows the trained weights in a hook is not trained itself."""
    task, batch = subject.task(), subject.batch()
    following = _followers(task, batch)
    if not following:
        raise CheckSkipped("no parameter follows another one in before_step or after_step")
    seed_everything(0)
    task.train()
    task.before_step(progress(0))
    backward(task(*copy_of(batch)))
    trained = [
        n for n, p in task.named_parameters() if n in following and p.grad is not None and bool(p.grad.any())
    ]
    if trained:
        raise CheckFailed(
            "expected no gradient into what follows the trained weights as an average, but "
            f"{listed(trained)} got some; set requires_grad_(False) and encode in torch.no_grad()."
        )


CHECKS = (
    check_no_gradient_into_momentum_parts,
    check_no_second_backbone_stands_still,
    check_hooks_leave_the_backbone_alone,
)
