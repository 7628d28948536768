"""Evaluators that fit a classifier: what they share, and what others (noise, controls, teachers) build on."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from torch import Tensor, nn

from vssl_core.checkpoint import weights_digest
from vssl_core.errors import DivergedError
from vssl_core.files import canonical_json
from vssl_core.interfaces import (
    Backbone,
    EvaluationContext,
    EvaluationData,
    EvaluationPart,
    EvaluationResult,
    Evaluator,
    Metric,
)
from vssl_core.metrics import average_clips, check_labels, classification_metrics, unseen_classes

__all__ = ["Classifier", "ClassifierEvaluator"]

_CLIPS_AT_ONCE = 16


class Classifier(ABC):
    """A fitted model that tells the classes of a target apart. It is not trained any more.

    Args:
        labels: Of the videos that it was fitted on.
        arrays: What the fit leaves behind beside scores.
        curves: Name → values over the epochs of the fit.
    """

    labels: np.ndarray
    arrays: Mapping[str, np.ndarray] = {}
    curves: Mapping[str, Sequence[float]] = {}

    @abstractmethod
    def logits(self, video_NCTHW: Tensor) -> Tensor:
        """(N, 3, T, H, W) normalised, on the device of the run → (N, K), without gradient."""

    def scores(self, part: EvaluationPart, context: EvaluationContext, *, num_clips: int) -> np.ndarray:
        """Mean softmax score (V, K) float64 of every video's evenly spaced centre crops.

        Raises:
            DivergedError: A score is no finite number.
        """
        scores: list[np.ndarray] = []
        rows: list[np.ndarray] = []
        for video_NCTHW, _, rows_N in part.batches(batch_size=_CLIPS_AT_ONCE, num_clips=num_clips):
            with context.autocast():
                logits_NK = self.logits(video_NCTHW)
            scores.append(nn.functional.softmax(logits_NK.float(), dim=1).cpu().numpy())
            rows.append(rows_N)
        scores_NK = np.concatenate(scores)
        if not np.isfinite(scores_NK).all():
            raise DivergedError("the fitted model gives scores that are not finite: its training diverged.")
        return average_clips(scores_NK, np.concatenate(rows), num_videos=len(part.records))


class ClassifierEvaluator(Evaluator):
    """An evaluator that fits a classifier on train and validation videos and scores the test videos."""

    def __init__(self, options: Any) -> None:
        self.options = options

    @abstractmethod
    def fit(self, backbone: Backbone, data: EvaluationData, context: EvaluationContext) -> Classifier:
        """Fit on `data.train`, choose on `data.validation`; may train the given backbone in place."""

    def fitted(self, backbone: Backbone, data: EvaluationData, context: EvaluationContext) -> Classifier:
        """`fit`, once for all evaluators of a cell that need the same classifier on this target.

        Raises:
            VsslError: As `fit`.
        """
        cls = type(self)
        options = self.options.model_dump(mode="json")
        key = [f"{cls.__module__}.{cls.__qualname__}", options, context.seed, weights_digest(backbone)]
        return data.keep(canonical_json(key), lambda: self.fit(backbone, data, context))

    def evaluate(
        self, backbone: Backbone, data: EvaluationData, context: EvaluationContext
    ) -> EvaluationResult:
        """Fit, then score the test part.

        Returns:
            `top1`, `top5` (more than five classes), `mean_class_accuracy`; arrays `scores` (V, K) and
            `labels` (V,), and what the fit left behind.

        Raises:
            DatasetError: No two classes to fit, an unlabelled video, an empty part that is needed.
            DivergedError: The fit or a score is no finite number.
        """
        classifier = self.fitted(backbone, data, context)
        test = data.test()
        labels_V = check_labels(test, data.classes, name="test")
        if unseen := unseen_classes(classifier.labels, labels_V, data.classes):
            name = type(self).__name__.lower()
            context.progress.say(f"{name}: no video to fit on has the test classes {', '.join(unseen)}.")
        scores_VK = classifier.scores(test, context, num_clips=context.num_test_clips).astype(np.float32)
        return EvaluationResult(
            metrics=classification_metrics(scores_VK, labels_V),
            video_ids=[record.video_id for record in test.records],
            arrays={"scores": scores_VK, "labels": labels_V, **classifier.arrays},
            curves=classifier.curves,
        )

    def recompute(self, arrays: Mapping[str, np.ndarray]) -> Mapping[str, Metric]:
        """All metrics, from `scores` and `labels`."""
        return classification_metrics(arrays["scores"], arrays["labels"])
