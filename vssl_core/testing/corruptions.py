"""Checks of corruptions, on little videos in memory."""

from __future__ import annotations

import itertools
import pickle
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from vssl_core.registry import PluginRef, load
from vssl_core.testing.component import OPTION_CHECKS
from vssl_core.testing.corruption_videos import VIDEOS, CorruptionSubject, LittleVideo, clips_of, frames_of
from vssl_core.testing.outcome import CheckFailed, CheckSkipped
from vssl_core.testing.process_state import isolated, unchanged

__all__ = ["CHECKS", "subject"]

_LENGTHS = (*range(1, 20), 40, 101)
_DRAW = "draw from source.generator(frame), which is the same whichever frames are read with it"


def subject(ref: PluginRef, values: Mapping[str, Any]) -> CorruptionSubject:
    """Load a corruption. Raises what `load` raises."""
    return CorruptionSubject(ref, load(ref), values)


def check_it_says_what_it_is(subject: CorruptionSubject) -> None:
    """It states its severities, ascending whole numbers from 1 on, and its family, a word."""
    severities, family = subject.severities, subject.cls.family
    whole = all(isinstance(value, int) and not isinstance(value, bool) for value in severities)
    if not severities or not whole or severities[0] < 1 or list(severities) != sorted(set(severities)):
        raise CheckFailed(f"expected severities such as (1, 2, 3, 4, 5), ascending; got {severities!r}.")
    if not isinstance(family, str) or not family.isidentifier():
        raise CheckFailed(f"expected family to be a word such as 'noise' or 'temporal'; got {family!r}.")


def check_frames_are_of_the_video(subject: CorruptionSubject) -> None:
    """`frames` names as many frames as it is given, all of the video, for every length from one on."""
    for num_frames in _LENGTHS:
        video = LittleVideo(num_frames, 4, 4)
        for severity in subject.severities:
            for frames_T in clips_of(num_frames):
                before = frames_T.copy()
                subject.frames(subject.made(), frames_T, video, severity)
                if not np.array_equal(before, frames_T):
                    raise CheckFailed("expected frames to leave its argument alone, but it changed it.")


def check_pictures_keep_size_and_type(subject: CorruptionSubject) -> None:
    """`pixels` gives uint8 pictures of the size that `read` gives, also of odd sizes and single frames."""
    for video in VIDEOS:
        for severity in subject.severities:
            subject.pixels(subject.made(), frames_of(video), video, severity)


def check_equal_calls_give_equal_pictures(subject: CorruptionSubject) -> None:
    """The same frames of the same video look the same at every call and in every object."""
    video = VIDEOS[0]
    severity, wanted = subject.severities[-1], frames_of(video)
    kept = subject.made()
    first = subject.pixels(kept, wanted, video, severity).copy()
    subject.pixels(kept, wanted, LittleVideo(12, 32, 48, number=1), subject.severities[0])
    for corruption, where in ((kept, "at a second call"), (subject.made(), "in a second object")):
        if not np.array_equal(first, subject.pixels(corruption, wanted, video, severity)):
            raise CheckFailed(
                f"expected equal pictures, but {where} they differ; {_DRAW}, and keep no state."
            )
    shown = [subject.frames(c, np.arange(12), video, severity) for c in (kept, kept, subject.made())]
    if not all(np.array_equal(shown[0], other) for other in shown[1:]):
        raise CheckFailed(
            "expected frames to name the same frames at every call, but it did not; draw from "
            "source.generator(...), and keep no state."
        )


def check_frames_look_the_same_whatever_is_read(subject: CorruptionSubject) -> None:
    """A frame looks the same whichever others are read with it, before it and after it."""
    video = VIDEOS[0]
    for severity in subject.severities:
        corruption = subject.made()
        together = subject.pixels(corruption, np.arange(video.num_frames), video, severity).copy()
        for some in ([4, 7, 11], [7], [0], [11], [3, 4]):
            if not np.array_equal(subject.pixels(corruption, some, video, severity), together[some]):
                raise CheckFailed(
                    f"expected frames {some} to look as they do among all {video.num_frames}, but at "
                    f"severity {severity} they differ; {_DRAW}."
                )


def check_threads_do_not_meet(subject: CorruptionSubject) -> None:
    """One object serves several threads, each with a video of its own."""
    corruption, severity = subject.made(), subject.severities[-1]
    videos = [LittleVideo(5 + number % 2, 32, 48, number=number) for number in range(8)]
    alone = [subject.shown(subject.made(), video, severity) for video in videos]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda video: subject.shown(corruption, video, severity), videos))
    if not all(np.array_equal(one, other) for one, other in zip(alone, together, strict=True)):
        raise CheckFailed(
            "expected the same pictures from several threads, but they differ; keep what belongs to one "
            "video in local variables, not in the object."
        )


def check_global_generators_are_left_alone(subject: CorruptionSubject) -> None:
    """Nothing is drawn from the global generators of Python, NumPy and torch, and no setting changes."""
    with unchanged("making videos worse"):
        subject.shown(subject.made(), VIDEOS[0], subject.severities[-1])


def check_what_is_read_is_not_changed(subject: CorruptionSubject) -> None:
    """The pictures that `read` gives are not changed in place: others read them, too."""
    video, severity = VIDEOS[0], subject.severities[-1]
    pictures = video.pictures.copy()
    before = pictures.copy()
    source = video.source(subject.cls, severity)
    shared = type(source)(
        source.num_frames, source.fps, lambda frames_N: pictures[: len(frames_N)], source.generator
    )
    subject.made().pixels(np.arange(video.num_frames), shared, severity)
    if not np.array_equal(pictures, before):
        raise CheckFailed("expected pixels to work on a copy, but it changed what source.read gave in place.")


def check_it_changes_something(subject: CorruptionSubject) -> None:
    """At its largest severity a video does not look as before."""
    for number in range(4):
        video = LittleVideo(12, 32, 48, number=number)
        if not np.array_equal(subject.shown(subject.made(), video, subject.severities[-1]), video.pictures):
            return
    raise CheckFailed(
        f"expected videos to look different at severity {subject.severities[-1]}, but four of four are "
        "as before."
    )


def check_a_larger_severity_changes_more(subject: CorruptionSubject) -> str:
    """Pictures are farther from the clean ones at every larger severity, on average over some videos."""
    if len(subject.severities) < 2:
        raise CheckSkipped("it has one severity")
    if "pixels" not in subject.overrides:
        raise CheckSkipped("it changes when frames are shown, not what they look like")
    videos = [LittleVideo(24, 64, 96, number=number) for number in range(4)]
    distances = []
    for severity in subject.severities:
        pairs = [(subject.shown(subject.made(), video, severity), video.pictures) for video in videos]
        distances.append(float(np.mean([np.abs(one.astype(np.float64) - two).mean() for one, two in pairs])))
    said = ", ".join(f"{value:.2f}" for value in distances)
    if any(later <= sooner for sooner, later in itertools.pairwise(distances)):
        raise CheckFailed(
            "expected every larger severity to change pictures more; the mean changes in grey levels are "
            f"{said} at the severities {', '.join(map(str, subject.severities))}."
        )
    return f"mean change in grey levels by severity: {said}"


def check_it_can_be_pickled(subject: CorruptionSubject) -> None:
    """It travels to another process and does the same there."""
    corruption, video, severity = subject.made(), VIDEOS[0], subject.severities[-1]
    try:
        copy = pickle.loads(pickle.dumps(corruption))
    except Exception as error:  # whatever a component raises is what is to be reported
        raise CheckFailed(
            f"expected the corruption to be picklable; got {type(error).__name__}: {error}. Keep options and "
            "plain values, no lambdas, open files or codecs."
        ) from error
    if not np.array_equal(subject.shown(corruption, video, severity), subject.shown(copy, video, severity)):
        raise CheckFailed("expected the same pictures after pickling, but they differ.")


CHECKS = isolated(
    (
        *OPTION_CHECKS,
        check_it_says_what_it_is,
        check_frames_are_of_the_video,
        check_pictures_keep_size_and_type,
        check_equal_calls_give_equal_pictures,
        check_frames_look_the_same_whatever_is_read,
        check_threads_do_not_meet,
        check_global_generators_are_left_alone,
        check_what_is_read_is_not_changed,
        check_it_changes_something,
        check_a_larger_severity_changes_more,
        check_it_can_be_pickled,
    )
)
