"""Each label set needs what it claims: a still frame tells appearance alone, movement motion alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import stats
from shapes_probes import Seen, look, movement_accuracy, single_frame_accuracy

from vssl_core.interfaces import DatasetContext, VideoDataset
from vssl_core.progress import quiet_progress
from vssl_plugins.datasets.shapes import ShapesAppearance, ShapesMotion
from vssl_plugins.datasets.shapes_render.options import ShapesOptions

OPTIONS = ShapesOptions(size=64, num_frames=32, train_videos=640, validation_videos=0, test_videos=320)
CHANCE = 1 / 8
NEAR_CHANCE = stats.binom.ppf(0.999, 320, CHANCE) / 320  # 18.4 %: guessing exceeds it once in a thousand

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Seen, Seen]:
    cache = tmp_path_factory.mktemp("labels")
    data = ShapesMotion(OPTIONS, DatasetContext(cache, quiet_progress()))
    data.prepare()
    return cache, look(data.records("train")), look(data.records("test"))


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> object:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def labels(kind: type[VideoDataset], cache: Path) -> tuple[np.ndarray, np.ndarray]:
    data = kind(OPTIONS, DatasetContext(cache, quiet_progress()))
    train, test = ([r.label for r in data.records(split)] for split in ("train", "test"))
    return np.array(train), np.array(test)


def test_a_single_frame_tells_appearance_and_not_motion(seen: tuple[Path, Seen, Seen]) -> None:
    cache, train, test = seen
    looks, moves = labels(ShapesAppearance, cache), labels(ShapesMotion, cache)
    assert single_frame_accuracy(train, looks[0], test, looks[1]) > 0.45
    assert single_frame_accuracy(train, moves[0], test, moves[1]) <= NEAR_CHANCE


def test_frame_differences_in_order_tell_motion_and_not_appearance(seen: tuple[Path, Seen, Seen]) -> None:
    cache, train, test = seen
    looks, moves = labels(ShapesAppearance, cache), labels(ShapesMotion, cache)
    assert movement_accuracy(train, moves[0], test, moves[1]) > 0.75
    assert movement_accuracy(train, looks[0], test, looks[1]) <= NEAR_CHANCE


def test_without_their_order_frame_differences_tell_no_direction(seen: tuple[Path, Seen, Seen]) -> None:
    cache, train, test = seen
    fit, score = labels(ShapesMotion, cache)
    rng = np.random.default_rng(0)
    shuffled = [Seen(part.frames, rng.permuted(part.tracks, axis=1)) for part in (train, test)]
    assert movement_accuracy(shuffled[0], fit, shuffled[1], score) < 0.6
