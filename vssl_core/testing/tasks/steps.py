"""One training step as the core takes it, and what a module's state was before and after."""

from __future__ import annotations

import functools
import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from vssl_core.interfaces import PretextTask, TaskOutput, TrainProgress
from vssl_core.precision import deterministic
from vssl_core.seeding import key_seed
from vssl_core.testing.outcome import Check, CheckFailed
from vssl_core.testing.process_state import generator_states, preserved
from vssl_core.testing.tasks.subject import Batch, TaskSubject

__all__ = [
    "adamw",
    "as_in_the_core",
    "backward",
    "checked",
    "copy_of",
    "differing",
    "draws_in_forward",
    "forward",
    "in_the_core",
    "is_batch_statistic",
    "listed",
    "progress",
    "same_bits",
    "seed_everything",
    "shake",
    "state_of",
    "train_step",
]

PLANNED_STEPS = 100
_BATCH_STATISTICS = ("running_mean", "running_var", "num_batches_tracked")


@contextmanager
def in_the_core() -> Iterator[None]:
    """What holds while the core trains on a CPU: algorithms are deterministic, gradients are computed."""
    with preserved(), torch.enable_grad(), deterministic(torch.device("cpu")):
        yield


def seed_everything(number: int) -> None:
    """The global generators as a function of the step, as the core sets them before each."""
    seed = key_seed("step", 0, number)
    torch.manual_seed(seed)
    random.seed(seed)
    np.random.seed(seed % 2**32)


def progress(step: int) -> TrainProgress:
    """Where a training of `PLANNED_STEPS` steps stands, four to an epoch."""
    return TrainProgress(step=step, epoch=step // 4, fraction=min(step / PLANNED_STEPS, 1.0))


def forward(task: PretextTask, batch: Batch, *, step: int = 0, train: bool = False) -> TaskOutput:
    """One forward pass on copies of the batch, in eval mode without gradient unless `train`."""
    seed_everything(step)
    task.train(train)
    views, info = copy_of(batch)
    with torch.set_grad_enabled(train):
        output = task(views, info)
    return checked(output)


def checked(output: Any) -> TaskOutput:
    """The output, if it is one."""
    if not isinstance(output, TaskOutput) or not isinstance(output.loss, Tensor):
        raise CheckFailed(
            f"expected forward to return a TaskOutput whose loss is a tensor; got {output!r:.200}."
        )
    return output


def backward(output: TaskOutput) -> None:
    """Gradient of the loss."""
    output.loss.backward()  # type: ignore[no-untyped-call]


def train_step(
    task: PretextTask,
    batch: Batch,
    optimizer: torch.optim.Optimizer,
    *,
    step: int,
    hooks: bool = True,
    seeded: bool = True,
) -> TaskOutput:
    """The core's step: seeds, hook, forward, backward, optimiser, hook; two flags leave parts out."""
    if seeded:
        seed_everything(step)
    task.train()
    if hooks:
        task.before_step(progress(step))
    output = checked(task(*copy_of(batch)))
    backward(output)
    optimizer.step()
    optimizer.zero_grad()
    if hooks:
        task.after_step(progress(step))
    return output


def adamw(task: PretextTask, *, lr: float = 1e-3) -> torch.optim.Optimizer:
    """AdamW over every trainable parameter."""
    return torch.optim.AdamW([p for p in task.parameters() if p.requires_grad], lr=lr)


def draws_in_forward(task: PretextTask, batch: Batch, *, train: bool = False) -> bool:
    """Whether a forward pass draws from the global generators."""
    seed_everything(0)
    before = generator_states()
    forward(task, batch, train=train)
    return before != generator_states()


def copy_of(batch: Batch) -> Batch:
    """Tensors of their own, in the same memory layout."""
    views, info = batch
    return {k: v.clone() for k, v in views.items()}, {k: v.clone() for k, v in info.items()}


# --------------------------------------------------------------------------------------------- state


def state_of(module: nn.Module) -> dict[str, Tensor]:
    """Every parameter and buffer, copied; those that `state_dict` leaves out, too."""
    named = {**dict(module.named_parameters()), **dict(module.named_buffers()), **module.state_dict()}
    return {name: value.detach().clone() for name, value in named.items() if isinstance(value, Tensor)}


@torch.no_grad()
def shake(task: PretextTask) -> None:
    """Move every parameter a little, so that videos differ in a new head and an average has a way to go."""
    noise = torch.Generator().manual_seed(7)
    for value in task.parameters():
        value.add_(0.1 * torch.randn(value.shape, generator=noise))


def is_batch_statistic(name: str) -> bool:
    """Whether this entry of a state is kept by a BatchNorm."""
    return name.rpartition(".")[2] in _BATCH_STATISTICS


def differing(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> list[str]:
    """Names of entries that are not the same bits in both."""
    names = sorted(one.keys() | other.keys())
    return [n for n in names if n not in one or n not in other or not same_bits(one[n], other[n])]


def same_bits(one: Tensor, other: Tensor) -> bool:
    """Whether two tensors are equal, what is not a number included."""
    if one.shape != other.shape or one.dtype != other.dtype:
        return False
    return torch.equal(one, other) or bool(((one == other) | ((one != one) & (other != other))).all())  # noqa: PLR0124


def listed(names: list[str]) -> str:
    """The first three of them, for a sentence."""
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more


def as_in_the_core(check: Check[TaskSubject]) -> Check[TaskSubject]:
    """The check, which runs under `in_the_core`."""

    @functools.wraps(check)
    def run(subject: TaskSubject) -> str | None:
        with in_the_core():
            return check(subject)

    return run
