"""Checks of what steps of training reach: every parameter, the backbone by its rate, and no more memory."""

from __future__ import annotations

import gc

import torch
from torch import Tensor

from vssl_core.optim import build_optimizer, set_rate
from vssl_core.protocol import Optimizer
from vssl_core.testing.outcome import CheckFailed
from vssl_core.testing.tasks.backbone import PlainBackbone
from vssl_core.testing.tasks.steps import (
    PLANNED_STEPS,
    adamw,
    backward,
    checked,
    copy_of,
    listed,
    progress,
    seed_everything,
    train_step,
)
from vssl_core.testing.tasks.subject import TaskSubject

__all__ = ["CHECKS"]

STEPS = (0, PLANNED_STEPS // 3, 2 * PLANNED_STEPS // 3)
"""At the start and amidst training; at its end the rate is nothing."""
OPTIMIZER = Optimizer(name="adamw", lr=1e-3)
WARM_STEPS, MORE_STEPS = 2, 3


def check_every_parameter_takes_part_in_each_step(subject: TaskSubject) -> None:
    """Backward gives every trainable parameter a gradient, be it zero: several processes wait for all."""
    task = subject.task()
    exempt: set[int] = set()
    if not isinstance(task.backbone, PlainBackbone):  # it may have layers that this kind of task does not use
        exempt = {id(parameter) for parameter in task.backbone.parameters()}
    task.train()
    for number, step in enumerate(STEPS):
        seed_everything(step)
        task.before_step(progress(step))
        task.zero_grad()
        backward(checked(task(*copy_of(subject.batch(epoch=number)))))
        trained = {name: p for name, p in task.named_parameters() if p.requires_grad and id(p) not in exempt}
        if left_out := [name for name, parameter in trained.items() if parameter.grad is None]:
            raise CheckFailed(
                "expected every trainable parameter to take part in each step, but backward gives "
                f"{listed(left_out)} no gradient; training on several GPUs would stop there. Leave out what "
                "nothing uses, freeze what is not trained by requires_grad_(False), and multiply what does "
                "not count in a step by zero."
            )
        task.after_step(progress(step))


def check_the_optimiser_trains_the_backbone(subject: TaskSubject) -> None:
    """With the groups and rates of `param_groups` the core's optimiser moves the exported backbone."""
    task = subject.task()
    optimizer, moved = build_optimizer(task, OPTIMIZER), list[bool]()
    weights = [parameter for parameter in task.backbone.parameters() if parameter.requires_grad]
    before: list[Tensor] = []

    def note(*_: object) -> None:
        before[:] = [weight.detach().clone() for weight in weights]

    def compare(*_: object) -> None:
        moved.append(any(not torch.equal(*pair) for pair in zip(before, weights, strict=True)))

    optimizer.register_step_pre_hook(note)
    optimizer.register_step_post_hook(compare)
    for number, step in enumerate(STEPS):
        set_rate(optimizer, OPTIMIZER, progress(step).fraction)
        train_step(task, subject.batch(epoch=number), optimizer, step=step)
    if not any(moved):
        raise CheckFailed(
            f"expected the optimiser to train the backbone, but {len(STEPS)} steps leave its weights as they "
            "were; give it an lr_scale above 0 in param_groups, and let the loss depend on it."
        )


def check_steps_leave_nothing_behind(subject: TaskSubject) -> None:
    """No step keeps its graph: memory would grow until it is used up."""
    task, batch = subject.task(), subject.batch()
    optimizer = adamw(task)
    for step in range(WARM_STEPS):
        train_step(task, batch, optimizer, step=step)
    before = _tensors_with_graph()
    for step in range(WARM_STEPS, WARM_STEPS + MORE_STEPS):
        train_step(task, batch, optimizer, step=step)
    more = _tensors_with_graph() - before
    if more >= MORE_STEPS:
        raise CheckFailed(
            f"expected steps to leave nothing behind, but after {MORE_STEPS} more of them {more} more "
            "tensors hold the graph of their step, so that memory grows without end; keep "
            "value.detach(), and of the last steps alone."
        )


def _tensors_with_graph() -> int:
    gc.collect()
    found = [thing for thing in gc.get_objects() if issubclass(type(thing), Tensor)]
    return sum(tensor.grad_fn is not None for tensor in found)


CHECKS = (
    check_every_parameter_takes_part_in_each_step,
    check_the_optimiser_trains_the_backbone,
    check_steps_leave_nothing_behind,
)
