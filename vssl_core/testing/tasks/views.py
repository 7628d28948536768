"""Checks of what a task is shown: views are a function of seed, epoch and video, and of nothing else."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from vssl_core.testing.outcome import CheckFailed, CheckSkipped
from vssl_core.testing.tasks.backbone import watched
from vssl_core.testing.tasks.elsewhere import elsewhere
from vssl_core.testing.tasks.steps import copy_of, differing, listed, progress, seed_everything
from vssl_core.testing.tasks.subject import Batch, TaskSubject, load_views, rows
from vssl_core.testing.tasks.videos import moving_videos, static_videos
from vssl_core.views import ViewPipeline

__all__ = ["CHECKS"]

EPOCH = 3


def check_views_are_declared(subject: TaskSubject) -> None:
    """The augmentation is the same at each call, and `forward` asks for no view that is not in it."""
    declared = subject.augmentation
    if not declared:
        raise CheckFailed("expected the augmentation to declare a view at least; it is empty.")
    if dict(declared) != dict(subject.augmentation):
        raise CheckFailed(
            "expected the augmentation to be the same at each call; draws are the core's, so declare ranges "
            "and probabilities instead of drawing."
        )
    task, asked = subject.task(), _Asked(subject.batch()[0])
    seed_everything(0)
    try:
        task.train()(asked, subject.batch()[1])
    except KeyError as error:
        if asked.missing:
            raise CheckFailed(
                f"expected forward to use the declared views {', '.join(declared)}; it asks for {error}."
            ) from error
        raise


class _Asked(dict[str, Tensor]):
    """Views that remember which of them were asked for in vain."""

    def __init__(self, views: dict[str, Tensor]) -> None:
        super().__init__(views)
        self.missing: list[str] = []

    def __missing__(self, name: str) -> Tensor:
        self.missing.append(name)
        raise KeyError(name)


def check_same_generator_same_views(subject: TaskSubject) -> None:
    """Drawn twice for one seed, epoch and video, views and information are the same bits."""
    expected = _flat(subject.batch(epoch=EPOCH))
    with elsewhere():
        found = _flat(subject.batch(epoch=EPOCH))
    if wrong := differing(expected, found):
        raise CheckFailed(
            f"expected the same seed, epoch and videos to give the same bits, but {listed(wrong)} differ; "
            "every draw must come from the generator that the sampler is given."
        )


def check_views_do_not_depend_on_the_batch(subject: TaskSubject) -> None:
    """Neither neighbours in the batch nor order, earlier batches or threads change the views of a video."""
    records = moving_videos()
    alone = [_flat(load_views(subject.pipeline(), [record], epoch=EPOCH)) for record in records]
    pipeline = subject.pipeline()
    load_views(pipeline, records, epoch=EPOCH + 1)
    ways = {
        "in one batch": load_views(pipeline, records, epoch=EPOCH, threads=4),
        "in batches of two, the last one first": _in_pairs(subject, epoch=EPOCH),
    }
    for way, batch in ways.items():
        for place, expected in enumerate(alone):
            if wrong := differing(expected, _flat(rows(batch, slice(place, place + 1)))):
                raise CheckFailed(
                    f"expected a video's views and info to be those that it has alone, but {way} "
                    f"{listed(wrong)} of {records[place].video_id!r} differ; keep no state in the sampler."
                )


def _in_pairs(subject: TaskSubject, *, epoch: int) -> Batch:
    """The moving videos, loaded by one sampler two by two from the end, in their usual order."""
    pipeline, records = subject.pipeline(), moving_videos()
    pairs = [
        load_views(pipeline, records[start : start + 2][::-1], epoch=epoch)
        for start in reversed(range(0, len(records), 2))
    ]
    views = {name: torch.cat([p[0][name] for p in pairs]).flip(0) for name in pairs[0][0]}
    return views, {name: torch.cat([p[1][name] for p in pairs]).flip(0) for name in pairs[0][1]}


def _flat(batch: Batch) -> dict[str, Tensor]:
    views, info = batch
    return {f"view {k!r}": v for k, v in views.items()} | {f"info[{k!r}]": v for k, v in info.items()}


# -------------------------------------------------------------------------------- one draw per clip


def check_all_frames_of_a_clip_share_their_draws(subject: TaskSubject) -> None:
    """What does not move in a video does not move in what the backbone sees of it.

    Masks and independent noise, which a method may put on clips by itself, are no augmentation: they leave
    pixels as they were, or differ from each pixel to the next.
    """
    batch = load_views(subject.pipeline(), static_videos(), epoch=EPOCH)
    for name, view in batch[0].items():
        if _jumps(view) > 0:
            raise CheckFailed(
                f"expected view {name!r} of a video that stands still to stand still; its frames differ."
            )
    seen = _seen(subject, batch, step=0)
    if not seen:
        raise CheckSkipped("no clip of two frames or more reaches the backbone")
    jumping = [place for place, clip in enumerate(seen) if _jumps(clip) > 0.5]
    if not jumping:
        return
    drawn_in_forward = _seen(subject, batch, step=1)
    shared = _seen(subject, load_views(_with_shared_draws(subject), static_videos(), epoch=EPOCH), step=0)
    for place in jumping:
        if len(drawn_in_forward) != len(seen) or not torch.equal(seen[place], drawn_in_forward[place]):
            raise CheckFailed(
                "expected one draw for all frames of a clip, but the frames of a video that stands still "
                "differ in what forward gives the backbone, differently at each draw; declare the "
                "augmentation, so that the core draws it per clip."
            )
        if len(shared) != len(seen) or _jumps(shared[place]) <= 0.5:
            raise CheckFailed(
                "expected one draw for all frames of a clip, but forward joins views that are drawn one by "
                "one to a clip; make the clip one view, or give its parts one `draw` group."
            )


def _seen(subject: TaskSubject, batch: Batch, *, step: int) -> list[Tensor]:
    """Clips (B, 3, T, H, W) of two frames or more that reach a backbone in training."""
    seen: list[Tensor] = []
    task = subject.task(make_backbone=lambda: watched(subject.new_backbone(), seen))
    seed_everything(step)
    task.train()
    task.before_step(progress(0))
    task(*copy_of(batch))
    return [clip for clip in seen if clip.shape[2] > 1]


def _with_shared_draws(subject: TaskSubject) -> ViewPipeline:
    views = {name: replace(view, draw="shared") for name, view in subject.augmentation.items()}
    return subject.pipeline(augmentation=views)


def _jumps(clip_BCTHW: Tensor) -> float:
    """Share of steps from frame to frame at which most of the picture changes, and neighbours alike."""
    change_NCHW = clip_BCTHW.diff(dim=2).transpose(1, 2).flatten(0, 1).float()
    moved_NHW = (change_NCHW.abs() > 1e-4).any(dim=1)
    mostly_N = moved_NHW.float().mean(dim=(1, 2)) > 0.75  # masks leave half of the pixels alike at least
    energy_N = change_NCHW.square().sum(dim=(1, 2, 3)).clamp(min=1e-12)
    beside_N = (change_NCHW[..., 1:] * change_NCHW[..., :-1]).sum(dim=(1, 2, 3)) / energy_N
    return (mostly_N & (beside_N > 0.3)).float().mean().item()


CHECKS = (
    check_views_are_declared,
    check_same_generator_same_views,
    check_views_do_not_depend_on_the_batch,
    check_all_frames_of_a_clip_share_their_draws,
)
