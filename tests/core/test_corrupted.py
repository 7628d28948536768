"""Videos made worse: which frames a corruption sees, what it may give, and that draws need no order."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from vssl_core.corruption import Corruption, CorruptionSource
from vssl_core.errors import ContractError
from vssl_core.evaluate import FeatureStore, Surroundings, TargetData
from vssl_core.interfaces import EvaluationPart
from vssl_core.options import Options
from vssl_core.protocol import load_protocol
from vssl_core.testing.evaluator_target import target
from vssl_core.video import FrameReader


class Plain(Corruption):
    def __init__(self, options: Any = None) -> None:
        self.seen: list[tuple[int, ...]] = []


class Backwards(Plain):
    def frames(self, frames_T: np.ndarray, source: CorruptionSource, severity: int) -> np.ndarray:
        return frames_T[::-1]


class Grain(Plain):
    Options = Options
    severities = (1, 2)

    def pixels(self, frames_N: np.ndarray, source: CorruptionSource, severity: int) -> np.ndarray:
        pictures = source.read(frames_N).astype(np.int64)
        self.seen.append(pictures.shape)
        for picture, frame in zip(pictures, frames_N, strict=True):
            picture[:] += source.generator(frame).integers(-20 * severity, 20 * severity, picture.shape)
        return pictures.clip(0, 255).astype(np.uint8)


def surroundings(short_side: int | None = None) -> Surroundings:
    around = target().around
    protocol = load_protocol("smoke", {"data.short_side": short_side} if short_side else None)
    return replace(around, protocol=protocol, reader=FrameReader(short_side=short_side))


def videos(short_side: int | None = None) -> EvaluationPart:
    return TargetData(target().index, around=surroundings(short_side), store=FeatureStore()).test()


def clips(part: EvaluationPart, *, batch_size: int = 8, num_clips: int = 2) -> np.ndarray:
    return np.concatenate([v.numpy() for v, *_ in part.batches(batch_size=batch_size, num_clips=num_clips)])


@pytest.mark.parametrize("short_side", [None, 32])
@pytest.mark.parametrize("order", ["native", "post_resize"])
def test_nothing_done_along_the_same_path_changes_nothing(order: Any, short_side: int | None) -> None:
    part = videos(short_side)
    clean, same = clips(part), clips(part.corrupted(None, order=order))
    if short_side and order == "native":  # made smaller from RGB instead of the file's own colour
        np.testing.assert_allclose(same, clean, atol=0.25)
        assert np.abs(same - clean).mean() < 0.03
    else:
        np.testing.assert_array_equal(same, clean)


def test_each_clip_shows_the_frames_that_the_corruption_names() -> None:
    part = videos()
    np.testing.assert_array_equal(clips(part.corrupted(Backwards())), clips(part)[:, :, ::-1])


def test_native_frames_have_the_size_of_the_file_and_others_that_of_the_clip() -> None:
    for order, size in (("native", 36), ("post_resize", 32)):
        grain = Grain()
        clips(videos(32).corrupted(grain, order=order))
        assert {shape[1:] for shape in grain.seen} == {(size, size, 3)}


def test_noise_is_the_same_whatever_is_read_with_it() -> None:
    part = videos()
    one, two = (part.corrupted(Grain(), severity=2, seed=3) for _ in range(2))
    np.testing.assert_array_equal(clips(one, batch_size=2), clips(two, batch_size=16))
    single = clips(part.corrupted(Grain(), severity=2, seed=3), num_clips=1)
    assert len(single) == len(part.records)
    assert not np.array_equal(clips(part.corrupted(Grain(), severity=2, seed=4)), clips(one))
    assert not np.array_equal(clips(part.corrupted(Grain(), severity=1, seed=3)), clips(one))


def test_features_of_corrupted_videos_are_their_own() -> None:
    from vssl_core.testing.evaluator_target import ColourBackbone

    part = videos()
    network = ColourBackbone(None, part._around.protocol.clip.spec())
    clean = part.features(network, num_clips=1)
    worse = part.corrupted(Grain(), severity=2).features(network, num_clips=1)
    assert not np.allclose(clean, worse)
    np.testing.assert_array_equal(part.features(network, num_clips=1), clean)


class TooFew(Plain):
    def pixels(self, frames_N: np.ndarray, source: CorruptionSource, severity: int) -> np.ndarray:
        return source.read(frames_N)[1:]


class Floats(Plain):
    def pixels(self, frames_N: np.ndarray, source: CorruptionSource, severity: int) -> np.ndarray:
        return source.read(frames_N) / 255.0


class Beyond(Plain):
    def frames(self, frames_T: np.ndarray, source: CorruptionSource, severity: int) -> np.ndarray:
        return frames_T + source.num_frames


class Shorter(Plain):
    def frames(self, frames_T: np.ndarray, source: CorruptionSource, severity: int) -> np.ndarray:
        return frames_T[:-1]


@pytest.mark.parametrize(
    ("corruption", "words"),
    [
        (TooFew, r"TooFew.pixels must give uint8 \(8, H, W, 3\); got uint8 \(7, 36"),
        (Floats, r"Floats.pixels must give uint8 .*; got float64"),
        (Beyond, "Beyond.frames must give numbers from 0 to 7; got 8 to"),
        (Shorter, r"Shorter.frames must give integers \(4,\); got int64 \(3,\)"),
    ],
)
def test_what_a_corruption_gives_is_checked(corruption: type[Plain], words: str) -> None:
    with pytest.raises(ContractError, match=words):
        clips(videos().corrupted(corruption()))


def test_a_severity_that_there_is_not_and_training_are_refused() -> None:
    part = videos()
    with pytest.raises(ContractError, match="Grain has the severities 1, 2; got 3"):
        part.corrupted(Grain(), severity=3)
    worse = part.corrupted(Grain())
    with pytest.raises(ContractError, match="for scoring"):
        next(worse.batches(batch_size=2, train=True))
    with pytest.raises(ContractError, match="corrupted already"):
        worse.corrupted(Grain())
