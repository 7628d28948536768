"""Two corruptions that keep their contract, and broken ones, each by one bug."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from vssl_core import Corruption, CorruptionSource


class Grain(Corruption):
    """Noise of each frame's own."""

    severities: ClassVar[Sequence[int]] = (1, 2, 3)
    family = "noise"

    def __init__(self, options: Any) -> None:
        self.options = options

    def pixels(self, frames_N: np.ndarray, source: CorruptionSource, severity: int) -> np.ndarray:
        pictures = source.read(frames_N).astype(np.float64)
        for row, frame in enumerate(frames_N):
            pictures[row] += self.noise(source, frame, pictures.shape[1:]) * 6 * self.weight(severity)
        return pictures.clip(0, 255).round().astype(np.uint8)

    def noise(self, source: CorruptionSource, frame: int, shape: tuple[int, ...]) -> np.ndarray:
        return source.generator(frame).standard_normal(shape)

    def weight(self, severity: int) -> float:
        return float(severity)


class Stutter(Corruption):
    """Every second frame shows the one before it."""

    severities: ClassVar[Sequence[int]] = (1,)
    family = "temporal"

    def __init__(self, options: Any) -> None:
        self.options = options

    def frames(self, frames_T: np.ndarray, source: CorruptionSource, severity: int) -> np.ndarray:
        return frames_T - frames_T % 2


# ------------------------------------------------------------------------------------------- what it says


class FromZero(Grain):
    severities = (0, 1, 2)


class NoSeverities(Grain):
    severities = ()


class NoFamily(Grain):
    family = ""


# ------------------------------------------------------------------------------------------------- frames


class BeyondTheEnd(Stutter):
    def frames(self, frames_T: np.ndarray, source: CorruptionSource, severity: int) -> np.ndarray:
        return frames_T + 1


class BeforeTheStart(Stutter):
    def frames(self, frames_T: np.ndarray, source: CorruptionSource, severity: int) -> np.ndarray:
        return frames_T - 1


class LeavesFramesOut(Stutter):
    def frames(self, frames_T: np.ndarray, source: CorruptionSource, severity: int) -> np.ndarray:
        return np.unique(frames_T)


class BetweenFrames(Stutter):
    def frames(self, frames_T: np.ndarray, source: CorruptionSource, severity: int) -> np.ndarray:
        return frames_T / 2


class TurnsItsArgument(Stutter):
    def frames(self, frames_T: np.ndarray, source: CorruptionSource, severity: int) -> np.ndarray:
        frames_T[:] = frames_T[::-1].copy()
        return frames_T


# ----------------------------------------------------------------------------------------------- pictures


class Floats(Grain):
    def pixels(self, frames_N: np.ndarray, source: CorruptionSource, severity: int) -> np.ndarray:
        return super().pixels(frames_N, source, severity) / 255.0


class CutsOddSizes(Grain):
    def pixels(self, frames_N: np.ndarray, source: CorruptionSource, severity: int) -> np.ndarray:
        pictures = super().pixels(frames_N, source, severity)
        return pictures[:, : pictures.shape[1] // 2 * 2, : pictures.shape[2] // 2 * 2]


class NeedsTwoFrames(Grain):
    def pixels(self, frames_N: np.ndarray, source: CorruptionSource, severity: int) -> np.ndarray:
        following = source.read(np.array([1]))
        return super().pixels(frames_N, source, severity) + following[0] * np.uint8(0)


class Inverts(Grain):
    def pixels(self, frames_N: np.ndarray, source: CorruptionSource, severity: int) -> np.ndarray:
        pictures = source.read(np.arange(source.num_frames))
        np.subtract(255, pictures, out=pictures)
        return pictures[frames_N]


# --------------------------------------------------------------------------------------------------- draws


class Global(Grain):
    def noise(self, source: CorruptionSource, frame: int, shape: tuple[int, ...]) -> np.ndarray:
        np.random.seed(int(frame))
        return np.random.standard_normal(shape)


class Unseeded(Grain):
    def noise(self, source: CorruptionSource, frame: int, shape: tuple[int, ...]) -> np.ndarray:
        return np.random.default_rng().standard_normal(shape)


class Counts(Grain):
    """A generator per call, numbered."""

    def __init__(self, options: Any) -> None:
        super().__init__(options)
        self.calls = 0

    def noise(self, source: CorruptionSource, frame: int, shape: tuple[int, ...]) -> np.ndarray:
        self.calls += 1
        return source.generator(self.calls).standard_normal(shape)


class RestlessFrames(Stutter):
    def frames(self, frames_T: np.ndarray, source: CorruptionSource, severity: int) -> np.ndarray:
        return np.random.default_rng().permutation(frames_T)


class OneDraw(Grain):
    """One generator for all the frames that are read together."""

    def pixels(self, frames_N: np.ndarray, source: CorruptionSource, severity: int) -> np.ndarray:
        pictures = source.read(frames_N).astype(np.float64)
        pictures += 6 * severity * source.generator("all").standard_normal(pictures.shape)
        return pictures.clip(0, 255).round().astype(np.uint8)


class OfTheNumber(Grain):
    """The first picture that is read gets the noise of the first frame."""

    def pixels(self, frames_N: np.ndarray, source: CorruptionSource, severity: int) -> np.ndarray:
        pictures = source.read(frames_N).astype(np.float64)
        for row in range(len(pictures)):
            pictures[row] += 6 * severity * self.noise(source, row, pictures.shape[1:])
        return pictures.clip(0, 255).round().astype(np.uint8)


class KeepsTheSource(Grain):
    def pixels(self, frames_N: np.ndarray, source: CorruptionSource, severity: int) -> np.ndarray:
        self.source = source
        time.sleep(0.02)
        return super().pixels(frames_N, self.source, severity)


# ------------------------------------------------------------------------------------------------- degrees


class Nothing(Grain):
    severities = (1,)

    def weight(self, severity: int) -> float:
        return 0.0


class TheOtherWayRound(Grain):
    def weight(self, severity: int) -> float:
        return 4.0 - severity


class AllAlike(Grain):
    def weight(self, severity: int) -> float:
        return 1.0 if severity > 1 else 0.5

    def noise(self, source: CorruptionSource, frame: int, shape: tuple[int, ...]) -> np.ndarray:
        return np.ones(shape)


class HoldsALambda(Grain):
    def __init__(self, options: Any) -> None:
        super().__init__(options)
        self.double = lambda value: 2 * value


PLANTED = {
    FromZero: "check_it_says_what_it_is",
    NoSeverities: "check_it_says_what_it_is",
    NoFamily: "check_it_says_what_it_is",
    BeyondTheEnd: "check_frames_are_of_the_video",
    BeforeTheStart: "check_frames_are_of_the_video",
    LeavesFramesOut: "check_frames_are_of_the_video",
    BetweenFrames: "check_frames_are_of_the_video",
    TurnsItsArgument: "check_frames_are_of_the_video",
    Floats: "check_pictures_keep_size_and_type",
    CutsOddSizes: "check_pictures_keep_size_and_type",
    NeedsTwoFrames: "check_pictures_keep_size_and_type",
    Global: "check_global_generators_are_left_alone",
    Unseeded: "check_equal_calls_give_equal_pictures",
    Counts: "check_equal_calls_give_equal_pictures",
    RestlessFrames: "check_equal_calls_give_equal_pictures",
    OneDraw: "check_frames_look_the_same_whatever_is_read",
    OfTheNumber: "check_frames_look_the_same_whatever_is_read",
    KeepsTheSource: "check_threads_do_not_meet",
    Inverts: "check_what_is_read_is_not_changed",
    Nothing: "check_it_changes_something",
    TheOtherWayRound: "check_a_larger_severity_changes_more",
    AllAlike: "check_a_larger_severity_changes_more",
    HoldsALambda: "check_it_can_be_pickled",
}
