"""Check that the length of a video says nothing about the answer."""

from __future__ import annotations

import numpy as np
import torch
from scipy import stats
from torch import Tensor

from vssl_core.seeding import generator
from vssl_core.testing.outcome import CheckFailed
from vssl_core.testing.tasks.plain import RATES
from vssl_core.testing.tasks.steps import forward
from vssl_core.testing.tasks.subject import TaskSubject

__all__ = ["CHECKS"]

SHORT, LONG = 24, 2000  # frames; a clip of the checks is 15 long
DRAWS = 500
MOST_VALUES = 32  # of an answer with classes; a place in the video takes more
ERROR_RATE = 1e-6
SOME_EPOCHS = 4


def check_the_length_of_a_video_does_not_tell_the_answer(subject: TaskSubject) -> None:
    """Classes in `info` that decide about the loss are drawn alike for short and for long videos.

    Otherwise the repeated frames of a short video, or their lack, tell the answer, and no content has to.
    """
    short, long = (_classes(subject, n_frames) for n_frames in (SHORT, LONG))
    for key in sorted(short.keys() & long.keys()):
        if _differ(short[key], long[key]) and _decides(subject, key):
            raise CheckFailed(
                f"expected info[{key!r}], by which the loss goes, to be drawn alike for every video, but of "
                f"{DRAWS} draws for videos of {SHORT} and of {LONG} frames it has the values "
                f"{_told(short[key])} and {_told(long[key])}. The length would tell the answer: draw it "
                "first, and repeat or reflect frames where the video is too short for it."
            )


def _classes(subject: TaskSubject, n_frames: int) -> dict[str, np.ndarray]:
    """Name → values (draws, numbers) of every whole number in `info`, for videos of this length."""
    sampler, found = subject.sampler, dict[str, list[np.ndarray]]()
    for number in range(DRAWS):
        sampled = sampler(n_frames, RATES[0], generator("check-length", n_frames, number))
        for key, value in sampled.info.items():
            if np.asarray(value).dtype.kind in "iub":
                found.setdefault(key, []).append(np.asarray(value).ravel())
    return {key: np.stack(rows) for key, rows in found.items()}


def _differ(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether a number has few values, and these come more often in one than in the other."""
    return any(_apart(*columns) for columns in zip(one.T, other.T, strict=True))


def _apart(one: np.ndarray, other: np.ndarray) -> bool:
    values = np.union1d(one, other)
    if not 1 < len(values) <= MOST_VALUES:
        return False
    counts = [[int((draws == value).sum()) for value in values] for draws in (one, other)]
    return float(stats.chi2_contingency(counts).pvalue) < ERROR_RATE


def _decides(subject: TaskSubject, key: str) -> bool:
    """Whether the loss of a batch changes when it gets this information of other draws."""
    task, (views, info) = subject.task(), subject.batch()

    def loss(value: Tensor) -> Tensor:
        return forward(task, (views, {**info, key: value})).loss

    own = loss(info[key])
    others = (subject.batch(epoch=epoch)[1][key] for epoch in range(1, SOME_EPOCHS))
    return any(not torch.equal(loss(other), own) for other in others)


def _told(draws: np.ndarray) -> str:
    values, counts = np.unique(draws[:, 0] if draws.shape[1] == 1 else draws, return_counts=True)
    return ", ".join(f"{value} ({count} times)" for value, count in zip(values, counts, strict=True))


CHECKS = (check_the_length_of_a_video_does_not_tell_the_answer,)
