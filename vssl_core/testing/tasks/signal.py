"""Checks of what a task learns: eight clips by heart, and nothing where there is nothing to learn."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor

from vssl_core.augmentation import CenterCrop, ViewAugmentation
from vssl_core.interfaces import Backbone, PretextTask, TaskOutput
from vssl_core.testing.outcome import CheckFailed, CheckSkipped
from vssl_core.testing.tasks.backbone import PlainBackbone
from vssl_core.testing.tasks.batching import goes_by_video
from vssl_core.testing.tasks.cues import CueBackbone
from vssl_core.testing.tasks.momentum import moved_by_hooks
from vssl_core.testing.tasks.steps import adamw, forward, progress, state_of, train_step
from vssl_core.testing.tasks.subject import CLIP, Batch, TaskSubject, load_views
from vssl_core.testing.tasks.videos import NoiseReader
from vssl_core.types import VideoRecord

__all__ = ["CHECKS"]

OVERFIT_STEPS = 40
SMALLEST_FALL = 0.15  # of the first loss
PROBE_BATCH = 16
PROBE_STEPS = 36
PROBE_RATE = 5e-3
TRAINING_BATCHES = 12
HELD_OUT_BATCHES = 12
TOLERANCE = 4.5  # standard errors
LOWER_IS_BETTER = ("error", "loss", "distance", "perplexity")


def check_eight_clips_are_overfitted(subject: TaskSubject) -> None:
    """On one batch with fixed draws the loss falls clearly, and metrics get better than guessing.

    Queues and averages stand still meanwhile: else older keys of the same eight clips would be negatives.
    """
    task, batch = subject.task(), subject.batch()
    task.train()
    task.before_step(progress(0))
    optimizer = adamw(task, lr=5e-3)
    outputs = [train_step(task, batch, optimizer, step=0, hooks=False) for _ in range(OVERFIT_STEPS)]
    losses = [float(output.loss.detach()) for output in outputs]
    first, last = losses[0], min(losses[-5:])
    needed = SMALLEST_FALL * first if first > 0 else 0.01 * max(abs(first), 1.0)
    if not first - last > needed:
        raise CheckFailed(
            f"expected {OVERFIT_STEPS} steps on the same eight clips with fixed draws to lower the loss from "
            f"{first:.4g} by {needed:.2g} at least; it came to {last:.4g}. Is the loss that of the right "
            "target?"
        )
    chance = {name: value for name, value in outputs[-1].chance.items() if _is_share(name, value)}
    reached = {name: np.mean([float(o.metrics[name]) for o in outputs[-5:]]) for name in chance}
    if chance and all(reached[name] <= chance[name] for name in chance):
        name = next(iter(chance))
        raise CheckFailed(
            "expected a metric to get better than guessing on eight clips that are learnt by heart, but the "
            f"loss fell from {first:.4g} to {last:.4g} while {name!r} came to {reached[name]:.3g}, chance "
            f"{chance[name]:.3g}. Does the loss have the right sign, and the metric the right target?"
        )


def _is_share(name: str, chance: float) -> bool:
    """Whether a metric is one that is higher when more is right."""
    return 0 <= chance < 1 and not any(word in name for word in LOWER_IS_BETTER)


# ------------------------------------------------------------------------------- nothing to learn


@dataclass(frozen=True)
class _Score:
    """A metric on held-out samples: its mean over batches, what chance is, and how exact the mean is."""

    name: str
    mean: float
    chance: float
    error: float

    @property
    def above(self) -> bool:
        """Whether it is better than guessing can be."""
        return self.mean - self.chance > TOLERANCE * self.error

    @property
    def below(self) -> bool:
        """Whether it is worse."""
        return self.chance - self.mean > TOLERANCE * self.error


def check_equal_videos_give_chance(subject: TaskSubject) -> None:
    """Where all clips are the same grey, every metric comes to the chance level that is stated for it."""
    scores = _scores(subject, grey_batch)
    rest = _resting_scores(subject, grey_batch, without={score.name for score in scores})
    for score in [*scores, *rest]:
        if score.above or score.below:
            cause = "What gives the answer away?" if score.above else "Is the chance level right?"
            raise CheckFailed(
                f"expected {score.name!r} to be at its chance level of {score.chance:.3g} where all clips "
                f"are the same grey; on held-out draws it is {score.mean:.3g} ± {score.error:.2g}. {cause}"
            )
    if not scores and not rest:
        raise CheckSkipped(
            "no metric states a chance level that could be tested: queues are not filled in time"
        )


def check_noise_gives_chance(subject: TaskSubject) -> None:
    """Trained on videos of noise, which carry no signal, it does no better than guessing on held-out ones.

    What then still tells is no content: borders, interpolation, repeated frames, colours, shapes.
    """
    scores = _scores(subject, noise_batch, by_video=True)
    if not scores:
        raise CheckSkipped("the metrics with a chance level compare videos, or with queues or averages")
    for score in scores:
        if score.above:
            raise CheckFailed(
                f"expected {score.name!r} to stay at its chance level of {score.chance:.3g} on videos of "
                f"noise; after {PROBE_STEPS} steps it is {score.mean:.3g} ± {score.error:.2g} on held-out "
                "ones. The way in which clips are made gives the answer away: look for borders, "
                "interpolation, repeated frames, offsets."
            )


MakeBatch: TypeAlias = Callable[[TaskSubject, int], Batch]


def _scores(subject: TaskSubject, make: MakeBatch, *, by_video: bool = False) -> list[_Score]:
    """Train on what carries no signal, and score on more of it every metric that this leaves at chance.

    A metric that compares with queues or averages, which the hooks move, is left out: it may rise without any
    signal, since older keys are less like new ones. With `by_video` one that compares videos with each other
    is left out, too: what the frames of a clip have in common, drawn colours for instance, is what that asks
    for. A metric that asks for `info` is of neither kind.

    Raises:
        CheckSkipped: No metric states a chance level.
    """
    task, first = _probing_task(subject), make(subject, -1)
    names = _names(task, first)
    if moved_by_hooks(_probing_task(subject), first) or (by_video and not goes_by_video(task, first)):
        names = {name for name in names if _asks_info(task, name, first)}
    if not names:
        return []
    optimizer, training = adamw(task, lr=PROBE_RATE), [make(subject, n) for n in range(TRAINING_BATCHES)]
    for step in range(PROBE_STEPS):
        train_step(task, training[step % TRAINING_BATCHES], optimizer, step=step)
    numbers = range(TRAINING_BATCHES, TRAINING_BATCHES + HELD_OUT_BATCHES)
    outputs = [forward(task, make(subject, number)) for number in numbers]
    return [_score(name, outputs) for name in sorted(names)]


def _resting_scores(subject: TaskSubject, make: MakeBatch, *, without: set[str]) -> list[_Score]:
    """Metrics beside queues and averages, while no weight is trained and queues fill with such clips."""
    task = _probing_task(subject)
    names = _names(task, make(subject, -1)) - without
    if not names:
        return []
    start, outputs = state_of(task), []
    optimizer = torch.optim.SGD([p for p in task.parameters() if p.requires_grad], lr=0.0)
    for step in range(PROBE_STEPS):
        outputs.append(train_step(task, make(subject, step), optimizer, step=step))
    end = state_of(task)
    stale = [n for n in start if _moves_in_rows(start[n], end[n]) and bool((start[n] == end[n]).any())]
    return [] if stale else [_score(name, outputs[-HELD_OUT_BATCHES:]) for name in sorted(names)]


def _moves_in_rows(start: Tensor, end: Tensor) -> bool:
    return start.ndim > 1 and not torch.equal(start, end)


def _names(task: PretextTask, batch: Batch) -> set[str]:
    names = {name for name, chance in forward(task, batch).chance.items() if _is_share(name, chance)}
    if not names:
        raise CheckSkipped("no metric states a chance level")
    return names


def _probing_task(subject: TaskSubject) -> PretextTask:
    """The task on a backbone that finds cues fast, where the task takes any."""

    def make_backbone() -> Backbone:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            return CueBackbone(CueBackbone.Options(), CLIP)

    takes_any = subject.backbone is PlainBackbone
    return subject.task(batch_size=PROBE_BATCH, make_backbone=make_backbone if takes_any else None)


def _asks_info(task: PretextTask, name: str, batch: Batch) -> bool:
    """Whether the metric is another one when every video gets the information of its neighbour."""
    views, info = batch
    shifted = {key: value.roll(1, 0) for key, value in info.items()}
    values = [forward(task, given).metrics[name] for given in (batch, (views, shifted))]
    return not torch.equal(*values)


def _score(name: str, outputs: list[TaskOutput]) -> _Score:
    values = np.array([float(output.metrics[name]) for output in outputs])
    chance = outputs[0].chance[name]
    guessing = math.sqrt(chance * (1 - chance) / (PROBE_BATCH * len(outputs)))
    spread = float(values.std(ddof=1)) / math.sqrt(len(values))
    return _Score(name, float(values.mean()), chance, max(guessing, spread))


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


CHECKS = (
    check_eight_clips_are_overfitted,
    check_equal_videos_give_chance,
    check_noise_gives_chance,
)
