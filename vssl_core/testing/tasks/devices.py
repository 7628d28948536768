"""Check that a task works where its module is moved to, without a GPU to move it to."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from vssl_core.interfaces import PretextTask
from vssl_core.testing.fake_device import DEVICE, fake_device, first_line, stays_behind
from vssl_core.testing.outcome import CheckFailed, CheckSkipped
from vssl_core.testing.tasks.steps import checked, progress
from vssl_core.testing.tasks.subject import Batch, TaskSubject

__all__ = ["CHECKS"]


def check_everything_moves_with_the_task(subject: TaskSubject) -> None:
    """Nothing stays behind on the CPU: tensors are parameters, buffers, or made where the views are."""
    task, batch = subject.task(), subject.batch()
    torch.use_deterministic_algorithms(False)  # which operations have such algorithms is not the question
    task.train()
    with fake_device(task):
        given = _moved(batch)
        _followed(lambda: task.before_step(progress(0)))
        problem = _followed(lambda: _place_of_the_loss(task, given))
        _followed(lambda: task.after_step(progress(0)))
    if problem:
        raise CheckSkipped(f"this task cannot be followed without a GPU: {problem}")


def _moved(batch: Batch) -> Batch:
    """Tensors of the same shapes on the device."""

    def fake(value: Tensor) -> Tensor:
        return torch.empty(value.shape, dtype=value.dtype, device=DEVICE)

    views, info = batch
    return {k: fake(v) for k, v in views.items()}, {k: fake(v) for k, v in info.items()}


def _place_of_the_loss(task: PretextTask, batch: Batch) -> None:
    output = checked(task(*batch))
    if output.loss.device.type != DEVICE.type:
        raise CheckFailed(f"expected a loss where the views are; got it on {output.loss.device.type}.")


def _followed(act: Callable[[], None]) -> str:
    """Do it; what keeps it from being followed without values, empty for nothing.

    Raises:
        CheckFailed: A tensor stays on the CPU.
    """
    try:
        act()
    except CheckFailed:
        raise
    except Exception as error:
        if stays_behind(error):
            raise CheckFailed(
                "expected the task to work on another device, but a tensor stays on the CPU "
                f"({first_line(error)}); register_buffer what is kept, and give "
                "device=view.device to what is made."
            ) from error
        return first_line(error)
    return ""


CHECKS = (check_everything_moves_with_the_task,)
