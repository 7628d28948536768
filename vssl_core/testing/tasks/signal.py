"""Checks of what a task learns where there is nothing to learn: no more than guessing gives."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
import torch
from scipy import stats
from torch import Tensor

from vssl_core.augmentation import CenterCrop, ViewAugmentation
from vssl_core.interfaces import Backbone, PretextTask, TaskOutput
from vssl_core.testing.outcome import CheckFailed, CheckSkipped
from vssl_core.testing.tasks.backbone import PlainBackbone, blinded
from vssl_core.testing.tasks.batching import goes_by_video
from vssl_core.testing.tasks.cues import CueBackbone
from vssl_core.testing.tasks.learning import shares
from vssl_core.testing.tasks.momentum import moved_by_hooks
from vssl_core.testing.tasks.steps import adamw, forward, state_of, train_step
from vssl_core.testing.tasks.subject import CLIP, Batch, TaskSubject, load_views
from vssl_core.testing.tasks.videos import NoiseReader
from vssl_core.types import VideoRecord

__all__ = ["CHECKS"]

PROBE_BATCH = 16
PROBE_STEPS = 36
PROBE_RATE = 5e-3
TRAINING_BATCHES = 12
HELD_OUT_BATCHES = 12
ERROR_RATE = 1e-5
"""How often a metric that only guesses fails, above its chance level or below it."""
SOME_BATCHES = 5

MakeBatch: TypeAlias = Callable[[TaskSubject, int], Batch]


@dataclass(frozen=True)
class _Score:
    """A metric on held-out samples: its mean over batches, what chance is, and what guessing can reach."""

    name: str
    mean: float
    chance: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.mean:.3g}, and guessing gives {self.low:.3g} … {self.high:.3g}"


def check_equal_videos_give_chance(subject: TaskSubject) -> None:
    """Where all clips are the same grey, every metric comes to the chance level that is stated for it.

    A metric that compares with queues or averages is scored without training: else older keys differ.
    """
    task, batches, names = _probed(subject, grey_batch)
    queued = moved_by_hooks(_probing_task(subject), batches[0])
    trained = _asking_info(task, names, batches) if queued else names
    scores = _scores(subject, grey_batch, trained) + _resting_scores(subject, grey_batch, names - trained)
    for score in scores:
        if not score.low <= score.mean <= score.high:
            cause = "What gives the answer away?" if score.mean > score.high else "Is the chance level right?"
            raise CheckFailed(
                f"expected {score.name!r} to be at its chance level of {score.chance:.3g} where all clips "
                f"are the same grey; on held-out draws it is {score}. {cause}"
            )
    if not scores:
        raise CheckSkipped(
            "no metric states a chance level that could be tested: queues are not filled in time"
        )


def check_noise_gives_chance(subject: TaskSubject) -> None:
    """Trained on videos of noise, which carry no signal, it does no better than guessing on held-out ones.

    What then still tells is no content: borders, interpolation, repeated frames, colours, shapes. A metric
    that compares videos is left out: what the frames of a clip have in common, drawn colours for instance, is
    what that asks for.
    """
    task, batches, names = _probed(subject, noise_batch)
    if moved_by_hooks(_probing_task(subject), batches[0]) or not goes_by_video(task, batches[0]):
        names = _asking_info(task, names, batches)
    if not names:
        raise CheckSkipped("the metrics with a chance level compare videos, or with queues or averages")
    for score in _scores(subject, noise_batch, names):
        if score.mean > score.high:
            raise CheckFailed(
                f"expected {score.name!r} to stay at its chance level of {score.chance:.3g} on videos of "
                f"noise; after {PROBE_STEPS} steps it is {score} on held-out ones. The way in which clips "
                "are made gives the answer away: look for borders, interpolation, repeated frames, offsets."
            )


# ------------------------------------------------------------------------------------ which metrics


def _probed(subject: TaskSubject, make: MakeBatch) -> tuple[PretextTask, list[Batch], set[str]]:
    """A task, some batches, and the metrics with a chance level whose answers are no property of the pixels.

    Raises:
        CheckSkipped: There are none.
    """
    task, batches = _probing_task(subject), [make(subject, -number) for number in range(1, SOME_BATCHES + 1)]
    names = set(shares(forward(task, batches[0]).chance))
    if not names:
        raise CheckSkipped("no metric states a chance level")
    names -= _answered_by_pixels(subject, names, batches)
    if not names:
        raise CheckSkipped("the answers are made from the clips, so that any clip carries its own")
    return task, batches, names


def _answered_by_pixels(subject: TaskSubject, names: set[str], batches: list[Batch]) -> set[str]:
    """Metrics that ask for what is in a clip: hidden pixels, their tokens, where most motion is.

    A backbone that sees nothing gives the same at every clip; where metric or loss change nevertheless when
    clips change and `info` does not, the answer did.
    """
    task, info = _probing_task(subject, blind=True), batches[0][1]
    expected, *found = [forward(task, (views, info)) for views, _ in batches]
    moved = {
        name
        for name in names
        for output in found
        if not torch.allclose(output.metrics[name], expected.metrics[name], atol=1e-6)
    }
    if all(torch.allclose(output.loss, expected.loss, rtol=1e-4, atol=1e-6) for output in found):
        return moved
    return moved | (names - _asking_info(_probing_task(subject), names, batches))


def _asking_info(task: PretextTask, names: set[str], batches: list[Batch]) -> set[str]:
    """Metrics that are other ones when the same clips get the information of others."""
    views = batches[0][0]
    own, *others = [forward(task, (views, info)).metrics for _, info in batches]
    return {name for name in names if any(not torch.equal(own[name], other[name]) for other in others)}


def _probing_task(subject: TaskSubject, *, blind: bool = False) -> PretextTask:
    """The task on a backbone that finds cues fast, where the task takes any; or on one that sees nothing."""

    def make_backbone() -> Backbone:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            takes_any = subject.backbone is PlainBackbone
            made = CueBackbone(CueBackbone.Options(), CLIP) if takes_any else subject.new_backbone()
            return blinded(made) if blind else made

    return subject.task(batch_size=PROBE_BATCH, make_backbone=make_backbone)


# ------------------------------------------------------------------------------------------- scores


def _scores(subject: TaskSubject, make: MakeBatch, names: set[str]) -> list[_Score]:
    """Train on what carries no signal, and score on more of it."""
    if not names:
        return []
    task = _probing_task(subject)
    optimizer, training = adamw(task, lr=PROBE_RATE), [make(subject, n) for n in range(TRAINING_BATCHES)]
    for step in range(PROBE_STEPS):
        train_step(task, training[step % TRAINING_BATCHES], optimizer, step=step)
    numbers = range(TRAINING_BATCHES, TRAINING_BATCHES + HELD_OUT_BATCHES)
    outputs = [forward(task, make(subject, number)) for number in numbers]
    return [_score(name, outputs) for name in sorted(names)]


def _resting_scores(subject: TaskSubject, make: MakeBatch, names: set[str]) -> list[_Score]:
    """Metrics beside queues and averages, while no weight is trained and queues fill with such clips."""
    if not names:
        return []
    task = _probing_task(subject)
    start, outputs = state_of(task), []
    optimizer = torch.optim.SGD([p for p in task.parameters() if p.requires_grad], lr=0.0)
    for step in range(PROBE_STEPS):
        outputs.append(train_step(task, make(subject, step), optimizer, step=step))
    end = state_of(task)
    stale = [n for n in start if _moves_in_rows(start[n], end[n]) and bool((start[n] == end[n]).any())]
    return [] if stale else [_score(name, outputs[-HELD_OUT_BATCHES:]) for name in sorted(names)]


def _moves_in_rows(start: Tensor, end: Tensor) -> bool:
    return start.ndim > 1 and not torch.equal(start, end)


def _score(name: str, outputs: list[TaskOutput]) -> _Score:
    """The mean, and the bounds that guesses pass with `ERROR_RATE`.

    Guesses that are independent count as a binomial variable; where those of a batch hang together, their
    batches do not, and the mean over batches follows Student's t.
    """
    values = np.array([float(output.metrics[name]) for output in outputs])
    chance, count = outputs[0].chance[name], PROBE_BATCH * len(outputs)
    spread = float(values.std(ddof=1)) / math.sqrt(len(values))
    margin = float(stats.t.isf(ERROR_RATE, len(values) - 1)) * spread
    low = min(float(stats.binom.ppf(ERROR_RATE, count, chance)) / count, chance - margin)
    high = max(float(stats.binom.isf(ERROR_RATE, count, chance)) / count, chance + margin)
    return _Score(name, float(values.mean()), chance, low, high)


# ------------------------------------------------------------------------------------------ no signal


def grey_batch(subject: TaskSubject, number: int) -> Batch:
    """Views of one grey, with a little noise so that nothing is exactly equal; information as ever."""
    plain = {
        name: ViewAugmentation((CenterCrop(),), frames=view.frames or name)
        for name, view in subject.augmentation.items()
    }
    views, info = load_views(subject.pipeline(frames=NoiseReader(), augmentation=plain), _videos(number))
    noise = torch.Generator().manual_seed(number + 1)
    return {k: 0.5 + 0.02 * torch.randn(v.shape, generator=noise) for k, v in views.items()}, info


def noise_batch(subject: TaskSubject, number: int) -> Batch:
    """Views of noise, each view of its own, so that no view tells of another; information as ever."""
    views: dict[str, Tensor] = {}
    info: dict[str, Tensor] = {}
    for name, view in subject.augmentation.items():
        source = view.frames or name
        alone = {name: replace(view, frames=source, draw=view.draw or name)}
        frames = NoiseReader(source, name=name)
        made, info = load_views(
            subject.pipeline(frames=frames, augmentation=alone), _videos(number), threads=2
        )
        views.update(made)
    return views, info


def _videos(number: int) -> list[VideoRecord]:
    return [VideoRecord(f"noise-{number}-{place}", "") for place in range(PROBE_BATCH)]


CHECKS = (check_equal_videos_give_chance, check_noise_gives_chance)
