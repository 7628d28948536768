"""Evaluators that fit a classifier: how scores are made, and that a cell fits each one once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from vssl_core.classifier import Classifier, ClassifierEvaluator
from vssl_core.errors import DivergedError, UsageError
from vssl_core.evaluate import FeatureStore, TargetData, evaluate_copy
from vssl_core.interfaces import Backbone, EvaluationContext, EvaluationData
from vssl_core.options import Options
from vssl_core.testing.evaluator_target import NUM_CLASSES, ColourBackbone, target


class Weighted(Options):
    """Options of the evaluator below."""

    weight: float = 1.0
    """Of the logits."""


class FirstFeatures(Classifier):
    def __init__(self, backbone: Backbone, weight: float) -> None:
        self.backbone, self.weight = backbone.eval(), weight
        self.labels = np.arange(NUM_CLASSES)

    @torch.no_grad()
    def logits(self, video_NCTHW: Tensor) -> Tensor:
        return self.weight * self.backbone(video_NCTHW)[:, :NUM_CLASSES]


class Counting(ClassifierEvaluator):
    Options = Weighted
    fits = 0

    def fit(self, backbone: Backbone, data: EvaluationData, context: EvaluationContext) -> Classifier:
        type(self).fits += 1
        return FirstFeatures(backbone, self.options.weight)


@pytest.fixture
def data() -> TargetData:
    return TargetData(target().index, around=target().around, store=FeatureStore())


def network() -> ColourBackbone:
    torch.manual_seed(0)
    return ColourBackbone(None, target().around.protocol.clip.spec())


def test_a_video_scores_the_mean_softmax_of_its_clips(data: TargetData, tmp_path: Path) -> None:
    result = evaluate_copy(Counting(Weighted()), network(), data, around=target().around, folder=tmp_path)
    part = data.test()
    logits = torch.from_numpy(part.features(network(), num_clips=2)[..., :NUM_CLASSES])
    np.testing.assert_allclose(result.arrays["scores"], logits.softmax(2).mean(1).numpy(), atol=1e-5)
    assert result.arrays["labels"].tolist() == part.labels.tolist()
    assert result.video_ids == [record.video_id for record in part.records]


def test_equal_evaluators_of_a_cell_share_one_fit(tmp_path: Path) -> None:
    store, found = FeatureStore(), target()
    Counting.fits = 0
    for weight in (1.0, 1.0, 2.0):
        data = TargetData(found.index, around=found.around, store=store)
        evaluate_copy(
            Counting(Weighted(weight=weight)), network(), data, around=found.around, folder=tmp_path
        )
    assert Counting.fits == 2
    turned = found.with_labels(half="both", turn=1)
    data = TargetData(turned, around=found.around, store=store)
    evaluate_copy(Counting(Weighted()), network(), data, around=found.around, folder=tmp_path)
    assert Counting.fits == 3  # another target
    other = network()
    with torch.no_grad():
        next(other.parameters()).add_(1)
    evaluate_copy(Counting(Weighted()), other, data, around=found.around, folder=tmp_path)
    assert Counting.fits == 4  # other weights


def test_scores_that_are_not_finite_are_an_error(data: TargetData, tmp_path: Path) -> None:
    broken = network()
    with torch.no_grad():
        broken.last[0].weight.fill_(float("nan"))
    with pytest.raises(DivergedError, match="not finite"):
        evaluate_copy(Counting(Weighted()), broken, data, around=target().around, folder=tmp_path)


def test_outside_a_run_folder_there_is_no_other_cell(data: TargetData, tmp_path: Path) -> None:
    class Asks(Counting):
        def fit(self, backbone: Backbone, data: EvaluationData, context: EvaluationContext) -> Classifier:
            return FirstFeatures(context.cell("vcop-1"), 1.0)

    with pytest.raises(UsageError, match=r"'vcop-1' was asked for, but .* stands in no run folder"):
        evaluate_copy(Asks(Weighted()), network(), data, around=target().around, folder=tmp_path)
