"""Checks of the sampler: which frames it names, and that nothing but its arguments decides about them."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from typing import Any

import numpy as np

from vssl_core.errors import VsslError
from vssl_core.seeding import generator
from vssl_core.testing.outcome import CheckFailed
from vssl_core.testing.process_state import unchanged
from vssl_core.testing.tasks.elsewhere import elsewhere
from vssl_core.testing.tasks.interpreter import importable, in_another_interpreter
from vssl_core.testing.tasks.plain import RATES, draw, plain
from vssl_core.testing.tasks.subject import CLIP, TaskSubject
from vssl_core.types import ClipSpec, Sampled

__all__ = ["CHECKS"]

CLIPS = (CLIP, ClipSpec(16, 2, 112), ClipSpec(4, 1, 32), ClipSpec(1, 1, 32))
LENGTHS = (*range(1, 100), 128, 129, 256, 300, 1000, 20_011)
DRAWS = 24


def check_sampler_works_for_every_length(subject: TaskSubject) -> None:
    """Frames that exist, and equal shapes, for videos of any length from one frame up."""
    for clip in CLIPS:
        try:
            sampler = subject.cls.sampler(subject.options, clip)
            views = subject.cls.augmentation(subject.options, clip)
        except VsslError:
            if clip == CLIP:
                raise
            continue  # it says that it does not take such clips
        sources = {view.frames or name for name, view in views.items()}
        first: dict[str, Any] | None = None
        for n_frames in LENGTHS:
            rate = RATES[n_frames % len(RATES)]
            for number in range(2):
                sampled = sampler(n_frames, rate, generator("check-length", n_frames, number))
                where = f"a video of {n_frames} frames and {clip}"
                _check_frames(sampled, n_frames, sources, where)
                shapes = _shapes(sampled, where)
                first = first or shapes
                _check_equal_shapes(first, shapes, where)


def _check_frames(sampled: Any, n_frames: int, sources: set[str], where: str) -> None:
    if not isinstance(sampled, Sampled):
        raise CheckFailed(f"expected the sampler to give a Sampled; for {where} it gave {sampled!r:.100}.")
    if missing := sorted(sources - sampled.frames.keys()):
        raise CheckFailed(
            f"expected a clip for every view, but for {where} the sampler gave {sorted(sampled.frames)} and "
            f"the augmentation makes views of {', '.join(missing)} besides."
        )
    for name, frames in sampled.frames.items():
        array = np.asarray(frames)
        if array.ndim != 1 or not array.size or array.dtype.kind not in "iu":
            raise CheckFailed(
                f"expected the frames of clip {name!r} as integers (T,); for {where} the sampler gave "
                f"{array.dtype}{array.shape}."
            )
        if array.min() < 0 or array.max() >= n_frames:
            raise CheckFailed(
                f"expected frames in 0 … {n_frames - 1} for {where}; the sampler asked for {array.min()} … "
                f"{array.max()} of clip {name!r}. Loop or clamp where a video is too short."
            )


def _shapes(sampled: Sampled, where: str) -> dict[str, Any]:
    shapes: dict[str, Any] = {f"clip {name!r}": np.shape(frames) for name, frames in sampled.frames.items()}
    for key, value in sampled.info.items():
        array = np.asarray(value)
        if array.dtype.kind not in "iufb" or not np.isfinite(array.astype(float)).all():
            raise CheckFailed(
                f"expected finite numbers in info[{key!r}], which become tensors; for {where} it is "
                f"{value!r:.80}."
            )
        shapes[f"info[{key!r}]"] = (array.shape, "float" if array.dtype.kind == "f" else "int")
    return shapes


def _check_equal_shapes(first: Mapping[str, Any], shapes: Mapping[str, Any], where: str) -> None:
    names = sorted(first.keys() | shapes.keys())
    if wrong := [name for name in names if first.get(name) != shapes.get(name)]:
        raise CheckFailed(
            f"expected samples of all videos to stack, but {wrong[0]} is {first.get(wrong[0], 'missing')} "
            f"for some and {shapes.get(wrong[0], 'missing')} for {where}; give every video the same clips "
            "and shapes."
        )


# ------------------------------------------------------------------------------------------- purity


def check_sampler_is_pure(subject: TaskSubject) -> None:
    """Length, frame rate and generator alone decide; not what was drawn before, nor when or where."""
    used = subject.sampler
    drawn, expected = [], []
    for number in range(DRAWS):
        drawn.append(draw(used, number))
        expected.append(plain(drawn[-1]))
    if [plain(sampled) for sampled in drawn] != expected:
        raise CheckFailed(
            "expected what the sampler gave to stay as it is, but later calls changed it; give new arrays "
            "each time."
        )
    with elsewhere():
        fresh = subject.sampler
        for number in reversed(range(DRAWS)):
            for sampler, what in ((used, "called again"), (fresh, "made anew")):
                if plain(draw(sampler, number)) != expected[number]:
                    raise CheckFailed(
                        f"expected equal arguments to give equal frames and info, but the sampler {what} "
                        "gave others; draw from the generator that it is given, and keep no state, clock, "
                        "rank or global generator in it."
                    )


def check_sampler_leaves_global_random_state_alone(subject: TaskSubject) -> None:
    """The global generators of Python, numpy and torch are neither drawn from nor seeded."""
    with unchanged("the sampler"):
        sampler = subject.sampler
        for number in range(DRAWS):
            draw(sampler, number)


def check_sampler_is_picklable(subject: TaskSubject) -> None:
    """A pickled copy gives the same, in another Python too, where a name leads to the class."""
    sampler = subject.sampler
    try:
        content = pickle.dumps(sampler)
        copy = pickle.loads(content)
    except Exception as error:
        raise CheckFailed(
            f"expected the sampler to be picklable, but pickle says: {error}; make it a class or function at "
            "the top of its file, with plain values in it."
        ) from error
    expected = [plain(draw(sampler, number)) for number in range(DRAWS)]
    if [plain(draw(copy, number)) for number in range(DRAWS)] != expected:
        raise CheckFailed(
            "expected a pickled copy of the sampler to give the same frames, but it gives others."
        )
    if importable(subject) and in_another_interpreter(subject, content, DRAWS) != expected:
        raise CheckFailed(
            "expected the sampler to give the same frames in another Python, but it gave others there; let "
            "nothing of the process decide, such as hash() of text, id() or an environment variable."
        )


CHECKS = (
    check_sampler_works_for_every_length,
    check_sampler_is_pure,
    check_sampler_leaves_global_random_state_alone,
    check_sampler_is_picklable,
)
