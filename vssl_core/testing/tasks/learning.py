"""Check that a task can be learnt at all: eight clips by heart."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from vssl_core.interfaces import TaskOutput
from vssl_core.testing.outcome import CheckFailed
from vssl_core.testing.tasks.steps import PLANNED_STEPS, adamw, progress, train_step
from vssl_core.testing.tasks.subject import TaskSubject

__all__ = ["CHECKS", "shares"]

TRIALS = ((5e-3, 40, 0), (1e-3, 80, 0), (5e-3, 40, PLANNED_STEPS // 2))
"""Learning rate, steps, and where training stands; a task that learns with one of them learns.

Amidst training the parts of a loss count that are faded in.
"""
LATEST = 5  # steps whose losses and metrics count
SMALLEST_FALL = 0.15  # of the first loss
LOWER_IS_BETTER = ("error", "loss", "distance", "perplexity")


def shares(chance: Mapping[str, float]) -> dict[str, float]:
    """Chance levels of the metrics that are higher when more is right, such as an accuracy."""
    return {
        name: level
        for name, level in chance.items()
        if 0 < level < 1 and not any(word in name for word in LOWER_IS_BETTER)
    }


def check_eight_clips_are_overfitted(subject: TaskSubject) -> None:
    """On one batch with fixed draws the loss falls clearly, and one metric at least beats guessing.

    Queues and averages stand still meanwhile: else older keys of the same eight clips would be negatives.
    """
    problem = ""
    for rate, steps, stand in TRIALS:
        outputs: list[TaskOutput] = []
        for output in _by_heart(subject, rate, steps, stand=stand):
            outputs.append(output)
            if len(outputs) % LATEST == 0:
                problem = _problem(outputs)
                if not problem:
                    return
    raise CheckFailed(problem)


def _by_heart(subject: TaskSubject, rate: float, steps: int, *, stand: int) -> Iterator[TaskOutput]:
    """What each step of a training on the same eight clips gives."""
    task, batch = subject.task(), subject.batch()
    task.train()
    task.before_step(progress(stand))
    optimizer = adamw(task, lr=rate)
    for _ in range(steps):
        yield train_step(task, batch, optimizer, step=0, hooks=False)


def _problem(outputs: list[TaskOutput]) -> str:
    """What is wrong with such a training so far; empty where nothing is."""
    losses = [float(output.loss.detach()) for output in outputs]
    first, last = losses[0], max(losses[-LATEST:])
    needed = SMALLEST_FALL * first if first > 0 else 0.01 * max(abs(first), 1.0)
    if not first - last > needed:
        return (
            f"expected {len(outputs)} steps on the same eight clips with fixed draws to lower the loss from "
            f"{first:.4g} by {needed:.2g} at least; it came to {last:.4g}. Is the loss that of the right "
            "target?"
        )
    chance = shares(outputs[-1].chance)
    reached = {
        name: float(np.mean([float(output.metrics[name]) for output in outputs[-LATEST:]])) for name in chance
    }
    if chance and all(reached[name] <= chance[name] for name in chance):
        name = next(iter(chance))
        return (
            "expected a metric to get better than guessing on eight clips that are learnt by heart, but the "
            f"loss fell from {first:.4g} to {last:.4g} while {name!r} came to {reached[name]:.3g}, chance "
            f"{chance[name]:.3g}. Does the loss have the right sign, and the metric the right target?"
        )
    return ""


CHECKS = (check_eight_clips_are_overfitted,)
