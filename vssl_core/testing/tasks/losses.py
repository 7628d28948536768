"""Checks of one forward pass: a loss to train on, metrics to log, gradient where it belongs."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from vssl_core.errors import ContractError
from vssl_core.interfaces import Backbone, TaskOutput
from vssl_core.optim import build_optimizer
from vssl_core.protocol import Optimizer
from vssl_core.testing.outcome import CheckFailed
from vssl_core.testing.tasks.backbone import PlainBackbone
from vssl_core.testing.tasks.steps import (
    PLANNED_STEPS,
    adamw,
    backward,
    forward,
    listed,
    progress,
    seed_everything,
    train_step,
)
from vssl_core.testing.tasks.subject import TaskSubject

__all__ = ["CHECKS"]

STEPS = 3
RESERVED = ("lr", "grad_norm", "step", "epoch", "fraction")
"""Names that the core writes beside the metrics of a step."""


def check_backbone_is_the_one_given(subject: TaskSubject) -> None:
    """`self.backbone` is what `make_backbone` made, with its weights: all methods start from them."""
    made: list[Backbone] = []

    def make() -> Backbone:
        made.append(subject.new_backbone())
        return made[-1]

    task = subject.task(make_backbone=make)
    backbone = getattr(task, "backbone", None)
    if not any(backbone is one for one in made):
        raise CheckFailed(
            "expected __init__ to set self.backbone = make_backbone(); self.backbone is "
            f"{type(backbone).__name__}."
        )
    assert isinstance(backbone, Backbone)
    fresh = subject.new_backbone().state_dict()
    own = backbone.state_dict()
    if fresh.keys() != own.keys() or any(fresh[name].shape != own[name].shape for name in fresh):
        raise CheckFailed(
            "expected the backbone to keep its layers, so that its weights fit a new one, but after __init__ "
            f"these differ: {listed(sorted(fresh.keys() ^ own.keys())) or 'shapes'}."
        )
    if changed := [name for name in fresh if not torch.equal(fresh[name], own[name])]:
        raise CheckFailed(
            "expected the backbone to start from the weights that it was made with, which are the same for "
            f"every task, but __init__ changed {listed(changed)}."
        )


def check_loss_is_a_finite_scalar(subject: TaskSubject) -> None:
    """In training and in evaluation, of black videos too, with a gradient in training."""
    task = subject.task()
    views, info = subject.batch()
    black = {name: torch.zeros_like(view) for name, view in views.items()}, info
    for given, mode, where in (
        ((views, info), True, "training"),
        ((views, info), False, "evaluation"),
        (black, True, "training on black videos"),
    ):
        output = forward(task, given, train=mode)
        if output.loss.ndim != 0 or not output.loss.is_floating_point():
            raise CheckFailed(
                f"expected a scalar loss in {where}, the mean over the videos; got {output.loss.dtype} "
                f"{tuple(output.loss.shape)}."
            )
        if not torch.isfinite(output.loss):
            raise CheckFailed(f"expected a finite loss in {where}; got {output.loss.item()}.")
        if mode and not output.loss.requires_grad:
            raise CheckFailed(
                "expected a loss with gradient in training; it has none: is something detached?"
            )


def check_metrics_can_be_logged(subject: TaskSubject) -> None:
    """Parts of the loss and metrics are detached finite scalars, the same ones in every batch."""
    task = subject.task()
    for mode in (True, False):
        outputs = [forward(task, subject.batch(epoch=epoch), train=mode) for epoch in range(2)]
        for output in outputs:
            _check_values(output)
        first, other = ({*output.losses, *output.metrics} for output in outputs)
        if first != other:
            raise CheckFailed(
                f"expected the same losses and metrics in every batch; {', '.join(sorted(first ^ other))} "
                "are not always there."
            )


def _check_values(output: TaskOutput) -> None:
    for name, value in [*output.losses.items(), *output.metrics.items()]:
        if not isinstance(value, Tensor) or value.ndim != 0:
            what = f"a tensor {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
            raise CheckFailed(f"expected {name!r} to be a scalar tensor; got {what}.")
        if value.requires_grad:
            raise CheckFailed(
                f"expected {name!r} to be detached; it holds the graph of the step: use .detach()."
            )
        if not torch.isfinite(value):
            raise CheckFailed(f"expected {name!r} to be finite; got {float(value)}.")
    twice = (output.losses.keys() & output.metrics.keys()) | ({*output.losses, *output.metrics} & {*RESERVED})
    for name in ("loss", *sorted(twice)):
        own = output.losses.get(name, output.metrics.get(name))
        if name == "loss" and (own is None or torch.equal(own, output.loss.detach())):
            continue
        raise CheckFailed(
            f"expected names of losses and metrics that are not taken; {name!r} stands twice. The core "
            f"itself writes loss, {', '.join(RESERVED)}."
        )
    _check_chance(output.chance, output.metrics)


def _check_chance(chance: Mapping[str, float], metrics: Mapping[str, Tensor]) -> None:
    for name, value in chance.items():
        if name not in metrics:
            raise CheckFailed(
                f"expected chance levels of metrics that there are; there is no metric {name!r}."
            )
        if not isinstance(value, float | int) or not math.isfinite(value):
            raise CheckFailed(f"expected the chance level of {name!r} to be a number; got {value!r}.")


def check_bf16_autocast_is_finite(subject: TaskSubject) -> None:
    """Loss, metrics and gradient stay finite in bfloat16.

    Without oneDNN: some of its gradients are not finite on some processors (`vssl_core.precision`).
    """
    task, batch = subject.task(), subject.batch()
    task.train()
    task.before_step(progress(0))
    seed_everything(0)
    torch.backends.mkldnn.enabled = False  # type: ignore[assignment]
    with torch.autocast("cpu", torch.bfloat16):
        output = task(*batch)
    backward(output)
    values = {"the loss": output.loss, **output.losses, **output.metrics}
    values |= {f"the gradient of {n}": p.grad for n, p in task.named_parameters() if p.grad is not None}
    if wrong := [name for name, value in values.items() if not torch.isfinite(value).all()]:
        raise CheckFailed(
            f"expected finite numbers under bfloat16 autocast; {listed(wrong)} are not. Compute softmax, "
            "logarithms and norms in float32: .float(), in torch.autocast(device, enabled=False) where "
            "needed."
        )


# ------------------------------------------------------------------------------------------ gradient


def check_param_groups_hold_every_trained_parameter(subject: TaskSubject) -> None:
    """Every trainable parameter is in one group, with scales that are numbers."""
    task = subject.task()
    for group in task.param_groups():
        for name in ("lr_scale", "weight_decay_scale"):
            value = group.get(name, 1.0)
            if not isinstance(value, float | int) or not math.isfinite(value) or value < 0:
                raise CheckFailed(
                    f"expected {name} of each parameter group to be a number >= 0; got {value!r}."
                )
    try:
        build_optimizer(task, Optimizer())
    except ContractError as error:
        raise CheckFailed(f"expected parameter groups that the core can train, but {error}") from error


def check_gradient_reaches_the_backbone(subject: TaskSubject) -> None:
    """Every trainable parameter of the backbone learns at the start, amidst or at the end of training."""
    task = subject.task()
    lacking = {name for name, p in task.backbone.named_parameters() if p.requires_grad}
    if not lacking:
        raise CheckFailed("expected a backbone that is trained; all of its parameters are frozen.")
    everything = set(lacking)
    optimizer = adamw(task)
    optimizer.register_step_pre_hook(lambda *_: lacking.difference_update(_with_gradient(task.backbone)))
    for step in range(STEPS):
        train_step(task, subject.batch(epoch=step), optimizer, step=step * PLANNED_STEPS // (STEPS - 1))
    # Another backbone may have layers that this kind of task does not use.
    if lacking == everything or (lacking and isinstance(task.backbone, PlainBackbone)):
        raise CheckFailed(
            f"expected gradient in every trainable parameter of the backbone within {STEPS} steps; "
            f"{listed(sorted(lacking))} got none. Is self.backbone the network that the loss is computed "
            "with?"
        )


def _with_gradient(module: nn.Module) -> list[str]:
    return [name for name, p in module.named_parameters() if p.grad is not None and bool(p.grad.any())]


CHECKS = (
    check_backbone_is_the_one_given,
    check_loss_is_a_finite_scalar,
    check_metrics_can_be_logged,
    check_bf16_autocast_is_finite,
    check_param_groups_hold_every_trained_parameter,
    check_gradient_reaches_the_backbone,
)
