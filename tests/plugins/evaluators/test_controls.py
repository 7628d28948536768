"""Controls of time: what each version shows, gains by hand from the stored scores, other classifiers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from vssl_core import (
    Backbone,
    Classifier,
    ClassifierEvaluator,
    EvaluationContext,
    EvaluationData,
    EvaluationResult,
    Options,
)
from vssl_core.evaluate import FeatureStore, TargetData, run_evaluator
from vssl_core.testing.evaluator_target import ColourBackbone, target
from vssl_plugins.evaluators.controls import Controls, ControlsOptions


class Watching(Classifier):
    """Class 0 for a clip that moves in its own order, else class 1; remembers the clips that it saw."""

    def __init__(self, labels: np.ndarray) -> None:
        self.labels, self.seen = labels, []

    def logits(self, video_NCTHW: Tensor) -> Tensor:
        self.seen.append(video_NCTHW)
        moves = (video_NCTHW[:, :, 1:] != video_NCTHW[:, :, :-1]).flatten(1).any(dim=1)
        return torch.nn.functional.one_hot(1 - moves.long(), 6).float()


class Strange(ClassifierEvaluator):
    """A stranger's classifier."""

    Options = Options

    def fit(self, backbone: Backbone, data: EvaluationData, context: EvaluationContext) -> Classifier:
        self.classifier = Watching(data.train.labels)
        return self.classifier


def evaluate(folder: Path, evaluator: ClassifierEvaluator, **options: Any) -> EvaluationResult:
    backbone = ColourBackbone(None, target().around.protocol.clip.spec())
    data = TargetData(target().index, around=target().around, store=FeatureStore())
    controls = Controls(ControlsOptions(**options))
    return run_evaluator(
        controls, backbone, data, around=target().around, folder=folder, parts={"classifier": (evaluator,)}
    )


def seen(result: EvaluationResult, strange: Strange) -> Mapping[str, np.ndarray]:
    """What the classifier saw of every version, in the order in which they are scored."""
    clips = torch.cat(strange.classifier.seen).numpy()
    names = [name.removeprefix("scores_") for name in result.arrays if name.startswith("scores_")]
    return dict(zip(names, np.split(clips, len(names)), strict=True))


def test_each_version_shows_the_same_pictures_at_other_times(tmp_path: Path) -> None:
    strange = Strange(Options())
    clips = seen(evaluate(tmp_path, strange), strange)
    normal = clips["normal"]  # (N, 3, T, H, W)
    np.testing.assert_array_equal(clips["reversed"], normal[:, :, ::-1])
    middle = normal.shape[2] // 2
    np.testing.assert_array_equal(clips["static"], np.repeat(normal[:, :, middle : middle + 1], 4, axis=2))
    moved = 0
    for one, other in zip(normal, clips["shuffled"], strict=True):
        places = [[bool((a == b).all()) for b in other.swapaxes(0, 1)] for a in one.swapaxes(0, 1)]
        assert np.array(places).sum() >= 4
        assert np.array(places).any(axis=0).all()
        assert np.array(places).any(axis=1).all()
        moved += not np.array_equal(one, other)
    assert moved > len(normal) // 2


def test_gains_are_points_by_video(tmp_path: Path) -> None:
    result = evaluate(tmp_path, Strange(Options()))
    labels = result.arrays["labels"]
    right = {
        name: 100 * (result.arrays[f"scores_{name}"].argmax(axis=1) == labels)
        for name in ("normal", "static", "shuffled", "reversed")
    }
    assert list(result.metrics) == ["time_gain", "order_gain", *right]
    for name, values in right.items():
        assert result.metrics[name].value == pytest.approx(values.mean())
    assert right["normal"].mean() == pytest.approx(100 / 6)  # all are called class 0
    for gain, other in (("time_gain", "static"), ("order_gain", "shuffled")):
        np.testing.assert_array_equal(result.metrics[gain].per_video, right["normal"] - right[other])
        assert result.metrics[gain].unit == "points"
    assert right["static"].mean() == pytest.approx(100 / 6)  # nothing moves: class 1
    assert not np.array_equal(right["static"], right["normal"])


def test_the_seed_draws_the_orders(tmp_path: Path) -> None:
    strange = [Strange(Options()) for _ in range(3)]
    first, again, other = (
        seen(evaluate(tmp_path, one, seed=seed), one)["shuffled"]
        for one, seed in zip(strange, (0, 0, 1), strict=True)
    )
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
