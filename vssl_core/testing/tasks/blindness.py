"""Check that labels and file names change nothing."""

from __future__ import annotations

import gc
from collections.abc import Sequence

import torch
from torch import Tensor

from vssl_core.testing.outcome import CheckFailed
from vssl_core.testing.tasks.steps import (
    backward,
    checked,
    copy_of,
    differing,
    listed,
    progress,
    seed_everything,
)
from vssl_core.testing.tasks.subject import TaskSubject, load_views
from vssl_core.testing.tasks.videos import moving_videos, renamed
from vssl_core.types import VideoRecord

__all__ = ["CHECKS"]

LABEL_KEYS = ("label", "labels", "class", "class_id", "category")
LABELS = (0, 1, 2, 0)
SHUFFLED = (2, 0, 2, 1)


def check_labels_and_file_names_change_nothing(subject: TaskSubject) -> None:
    """Videos of other labels, in other folders and under other names give the same bits, up to the gradient.

    Labels are handed to `forward`, too, as the supervised control gets them, and shuffled.
    """
    videos = moving_videos()[-len(LABELS) :]
    plain = _found(subject, videos, labels=None)
    first = _found(subject, renamed(videos, name="walk", labels=LABELS), labels=None)
    other = _found(subject, renamed(videos, name="jump", labels=SHUFFLED), labels=None)
    for found, what in ((first, "with labels"), (other, "with other labels")):
        if wrong := differing(plain, found):
            raise CheckFailed(
                f"expected the same videos {what}, in folders and files named after them, to give the same "
                f"bits, but {listed(wrong)} differ; a task may know nothing of a label, a folder or a file "
                "name."
            )
    for labels in (LABELS, SHUFFLED):
        handed = _found(subject, videos, labels=labels)
        if handed and (wrong := differing(plain, handed)):
            raise CheckFailed(
                f"expected labels in info to change nothing, but with them {listed(wrong)} differ; a task "
                "reads of info what its own sampler put there, and no label."
            )


def _found(
    subject: TaskSubject, records: Sequence[VideoRecord], *, labels: Sequence[int] | None
) -> dict[str, Tensor]:
    """Views, information, losses, metrics and gradient, computed where these records are at hand."""
    gc.collect()  # so that no record of another call is found in memory
    task, (views, info) = subject.task(), load_views(subject.pipeline(), records)
    found = {f"view {k!r}": v for k, v in views.items()} | {f"info[{k!r}]": v for k, v in info.items()}
    if labels is not None:
        info = {**dict.fromkeys(LABEL_KEYS, torch.tensor(labels)), **info}
    task.train()
    task.before_step(progress(0))
    for mode in (True, False):
        seed_everything(0)
        try:
            output = checked(task.train(mode)(*copy_of((views, info))))
        except (KeyError, TypeError, ValueError):
            if labels is None:
                raise
            return {}  # it refuses what it does not know
        name = "training" if mode else "evaluation"
        found |= {f"the loss in {name}": output.loss.detach()}
        found |= {f"metric {k!r} in {name}": v for k, v in output.metrics.items()}
        if mode:
            backward(output)
            gradients = {n: p.grad for n, p in task.named_parameters() if p.grad is not None}
            found |= {f"the gradient of {n}": grad.clone() for n, grad in gradients.items()}
    return found


CHECKS = (check_labels_and_file_names_change_nothing,)
