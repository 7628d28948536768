"""Checks of the batch: its size, its order and what is taken over it."""

from __future__ import annotations

import math

import torch

from vssl_core.interfaces import PretextTask
from vssl_core.testing.outcome import CheckFailed, CheckSkipped
from vssl_core.testing.tasks.steps import backward, draws_in_forward, forward, shake
from vssl_core.testing.tasks.subject import BATCH, Batch, TaskSubject, rows

__all__ = ["CHECKS", "goes_by_video"]


def check_batch_of_one(subject: TaskSubject) -> None:
    """A held-out batch may hold one video, a training batch two."""
    task, batch = subject.task(), subject.batch()
    for count, mode in ((1, False), (2, True)):
        output = forward(task, rows(batch, slice(0, count)), train=mode)
        what = f"a batch of {count} in {'training' if mode else 'evaluation'}"
        if output.loss.ndim != 0 or not torch.isfinite(output.loss):
            raise CheckFailed(f"expected a finite scalar loss for {what}; got {output.loss}.")
        for name, value in [*output.losses.items(), *output.metrics.items()]:
            if not torch.isfinite(torch.as_tensor(value)).all():
                raise CheckFailed(f"expected a finite {name!r} for {what}; got {value}.")
        if mode and output.loss.requires_grad:
            backward(output)


def check_loss_is_a_mean_over_videos(subject: TaskSubject) -> None:
    """The loss neither grows nor shrinks with the batch; where videos count one by one, each counts alike."""
    task, batch = subject.task(), subject.batch()
    shake(task)
    whole, half = _loss(task, batch, 0, BATCH), _loss(task, batch, 0, BATCH // 2)
    ratios = [
        whole / _mean(task, batch, 0, BATCH) if whole else 1.0,
        half / _mean(task, batch, 0, BATCH // 2) if half else 1.0,
    ]
    for ratio, how in ((2.0, "grows"), (0.5, "shrinks")):
        if all(math.isclose(found, ratio, rel_tol=1e-3) for found in ratios):
            raise CheckFailed(
                f"expected the loss to be the mean over the videos, but that of {BATCH} is {ratio:g} times "
                f"the mean of those of its halves ({whole:.4g}): it {how} with the batch. Divide by the "
                "number of videos, once."
            )
    if not draws_in_forward(task, batch) and goes_by_video(task, batch):
        single = sum(_loss(task, batch, place, place + 1) for place in range(BATCH)) / BATCH
        if not math.isclose(whole, single, rel_tol=1e-3, abs_tol=1e-5):
            raise CheckFailed(
                f"expected the loss of a batch to be the mean of those of its videos, {single:.5g}, as it is "
                f"of its halves; got {whole:.5g}. Does a target go by the place in the batch?"
            )


def goes_by_video(task: PretextTask, batch: Batch) -> bool:
    """Whether the loss of a batch is the mean of those of its halves: no video is compared with another."""
    whole = _loss(task, batch, 0, BATCH)
    return abs(whole) > 1e-6 and math.isclose(whole, _mean(task, batch, 0, BATCH), rel_tol=2e-5)


def _mean(task: PretextTask, batch: Batch, start: int, stop: int) -> float:
    middle = (start + stop) // 2
    return 0.5 * (_loss(task, batch, start, middle) + _loss(task, batch, middle, stop)) or math.inf


def _loss(task: PretextTask, batch: Batch, start: int, stop: int) -> float:
    return float(forward(task, rows(batch, slice(start, stop))).loss)


def check_order_in_the_batch_does_not_matter(subject: TaskSubject) -> None:
    """A batch whose halves change places has the same loss."""
    task, batch = subject.task(), subject.batch()
    if draws_in_forward(task, batch):
        raise CheckSkipped(
            "forward draws in evaluation, masks for instance, and draws go by place in the batch"
        )
    order = torch.arange(BATCH).roll(BATCH // 2)
    first, other = (float(forward(task, given).loss) for given in (batch, rows(batch, order)))
    if not math.isclose(first, other, rel_tol=1e-4, abs_tol=1e-6):
        raise CheckFailed(
            f"expected the loss not to depend on the order of the batch, but with its halves exchanged it is "
            f"{other:.6g} instead of {first:.6g}; every video must count alike."
        )


CHECKS = (
    check_batch_of_one,
    check_loss_is_a_mean_over_videos,
    check_order_in_the_batch_does_not_matter,
)
