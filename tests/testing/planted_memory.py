"""Evaluators with a bug each in which network they score."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from planted_evaluators import Nearest, features, neighbours, report

from vssl_core import EvaluationPart, EvaluationResult, Metric

__all__ = ["PLANTED", "FindsTheOtherClip", "ScoresColours"]

_KEPT: dict[tuple[str, ...], np.ndarray] = {}


def pixels(part: EvaluationPart) -> np.ndarray:
    """Mean colours (V, 3)."""
    found = np.zeros((len(part.records), 3))
    for video_BCTHW, _, rows in part.batches(batch_size=8):
        found[rows] = video_BCTHW.mean(dim=(2, 3, 4)).double().cpu().numpy()
    return found


class KeepsFeatures(Nearest):
    """By the ids of the videos, in the module: the next cell gets them, too."""

    def evaluate(self, *given: Any) -> EvaluationResult:
        backbone, data, _ = given
        gallery, labels = self.kept(data.train, backbone), data.train.labels
        test = data.test()
        predicted = neighbours(gallery, labels, self.kept(test, backbone), 3)
        return report(predicted, test, len(data.classes))

    def kept(self, part: EvaluationPart, backbone: Any) -> np.ndarray:
        key = tuple(record.video_id for record in part.records)
        if key not in _KEPT:
            _KEPT[key] = features(part, backbone)
        return _KEPT[key]


class KeepsTheGallery(Nearest):
    """Features of the training videos alone, in the class: the next cell is scored against them."""

    gallery: ClassVar[list[np.ndarray]] = []

    def evaluate(self, *given: Any) -> EvaluationResult:
        backbone, data, context = given
        if not self.gallery:
            self.gallery.append(features(data.train, backbone))
        labels, test = data.train.labels, data.test()
        predicted = neighbours(self.gallery[0], labels, features(test, backbone, context.num_test_clips), 3)
        return report(predicted, test, len(data.classes))


class LooksAtPixels(Nearest):
    """Scores colours, and not the backbone."""

    def evaluate(self, *given: Any) -> EvaluationResult:
        _, data, _ = given
        gallery, labels = pixels(data.train), data.train.labels
        test = data.test()
        return report(neighbours(gallery, labels, pixels(test), 3), test, len(data.classes))


class ScoresColours(LooksAtPixels):
    """Not broken: it says that its scores are not those of the backbone."""

    of_the_backbone = False


class DisownsTheBackbone(Nearest):
    """It says that its scores are not those of the backbone, and they are."""

    of_the_backbone = False


class FindsTheOtherClip(Nearest):
    """Not broken: of which test video is a second clip? No label is for that, and chance is 1 of V."""

    def evaluate(self, *given: Any) -> EvaluationResult:
        backbone, data, _ = given
        test = data.test()
        clips_VND = test.features(backbone, num_clips=2).astype(float)
        distance_VV = np.linalg.norm(clips_VND[:, None, 0] - clips_VND[None, :, 1], axis=2)
        hits_V = 100.0 * (distance_VV.argmin(axis=1) == np.arange(len(distance_VV)))
        metric = Metric(float(hits_V.mean()), per_video=hits_V, chance=100.0 / len(hits_V))
        return EvaluationResult({"instance": metric}, [record.video_id for record in test.records])


PLANTED = dict.fromkeys(
    (KeepsFeatures, KeepsTheGallery, LooksAtPixels, DisownsTheBackbone),
    "check_another_network_gets_its_own_scores",
)
