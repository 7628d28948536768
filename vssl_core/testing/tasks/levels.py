"""Check that every complexity level of a task can be trained."""

from __future__ import annotations

import torch

from vssl_core.options import build_options
from vssl_core.testing.outcome import CheckFailed, CheckSkipped
from vssl_core.testing.tasks.steps import forward
from vssl_core.testing.tasks.subject import TaskSubject

__all__ = ["CHECKS"]


def check_levels_work(subject: TaskSubject) -> None:
    """The options of each level are valid, and give a finite loss on their own views."""
    if not subject.cls.levels:
        raise CheckSkipped("the task has no complexity levels")
    for level in subject.cls.levels:
        values = {k: v for k, v in subject.values.items() if k not in subject.cls.levels[level]}
        options = build_options(
            subject.cls.Options, {**values, "level": level}, owner="task", levels=subject.cls.levels
        )
        one = TaskSubject(subject.ref, subject.cls, options.model_dump())
        try:
            output = forward(one.task(), one.batch(), train=True)
        except (CheckFailed, CheckSkipped):
            raise
        except Exception as error:
            raise CheckFailed(
                f"expected a loss at level {level}; it raised {type(error).__name__}: {error}"
            ) from error
        if output.loss.ndim != 0 or not torch.isfinite(output.loss):
            raise CheckFailed(f"expected a finite scalar loss at level {level}; got {output.loss}.")


CHECKS = (check_levels_work,)
