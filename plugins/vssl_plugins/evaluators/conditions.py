"""One fitted classifier on several versions of the test videos: what `noise` and `controls` share.

Axes: V video, K class.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from vssl_core.classifier import Classifier, ClassifierEvaluator
from vssl_core.errors import OptionError
from vssl_core.interfaces import (
    Backbone,
    EvaluationContext,
    EvaluationData,
    EvaluationPart,
    EvaluationResult,
    Metric,
)
from vssl_core.metrics import check_labels, top_k_correct, unseen_classes

__all__ = ["Conditions", "accuracies", "accuracy", "fitted_classifier"]


def fitted_classifier(
    backbone: Backbone, data: EvaluationData, context: EvaluationContext, *, name: str
) -> Classifier:
    """The classifier that the option `classifier` names, fitted once for all evaluators that share it.

    Raises:
        OptionError: It fits no classifier.
        VsslError: As its `fit`.
    """
    (evaluator,) = context.parts["classifier"]
    if not isinstance(evaluator, ClassifierEvaluator):
        raise OptionError(
            f"eval/{name}.classifier: expected an evaluator that fits a classifier, such as 'finetune' or "
            f"'linear'; {type(evaluator).__name__} does not."
        )
    return evaluator.fitted(backbone, data, context)


@dataclass
class Conditions:
    """Scores (V, K) float32 of one classifier on each version of the test videos, by the version's name."""

    test: EvaluationPart
    labels_V: np.ndarray
    classifier: Classifier
    context: EvaluationContext
    scores: dict[str, np.ndarray]

    @classmethod
    def of(
        cls, classifier: Classifier, data: EvaluationData, context: EvaluationContext, *, name: str
    ) -> Conditions:
        """Open the test videos.

        Raises:
            DatasetError: An unlabelled video, or no video.
        """
        test = data.test()
        labels_V = check_labels(test, data.classes, name="test")
        if unseen := unseen_classes(classifier.labels, labels_V, data.classes):
            context.progress.say(f"{name}: no video to fit on has the test classes {', '.join(unseen)}.")
        return cls(test, labels_V, classifier, context, {})

    def score(self, name: str, part: EvaluationPart) -> None:
        """Score a version of the test videos."""
        context = self.context
        scores_VK = self.classifier.scores(part, context, num_clips=context.num_test_clips)
        self.scores[name] = scores_VK.astype(np.float32)

    @property
    def arrays(self) -> dict[str, np.ndarray]:
        """What metrics follow from: labels, the names of the versions, and `scores_NAME` of each."""
        scores = {f"scores_{name}": scores_VK for name, scores_VK in self.scores.items()}
        return {**scores, "labels": self.labels_V, "versions": np.array(list(self.scores))}

    def result(self, metrics: Mapping[str, Metric], **more: np.ndarray) -> EvaluationResult:
        """With the arrays that the metrics can be computed from again; `more` are further ones."""
        return EvaluationResult(
            metrics=metrics,
            video_ids=[record.video_id for record in self.test.records],
            arrays={**self.arrays, **more, **self.classifier.arrays},
            curves=self.classifier.curves,
        )


def accuracies(arrays: Mapping[str, np.ndarray]) -> dict[str, Metric] | None:
    """Version → accuracy, from `Conditions.arrays` as they were stored.

    Results of an earlier version lack the array `versions`. They were judged in float64 and stored in
    float32, so that a tie of two stored scores may have been none.

    Returns:
        None where the stored scores do not say what was judged.

    Raises:
        KeyError: An array is missing.
        ContractError: Scores and labels do not fit each other.
    """
    labels_V = arrays["labels"]
    if "versions" in arrays:
        names = [str(name) for name in arrays["versions"]]
        return {name: accuracy(arrays[f"scores_{name}"], labels_V) for name in names}
    found = {}
    for name in (name for name in arrays if name.startswith("scores_")):
        scores_VK = arrays[name]
        own_V1 = np.take_along_axis(scores_VK, labels_V[:, None], axis=1)
        if ((scores_VK == own_V1).sum(axis=1) > 1).any():
            return None
        found[name.removeprefix("scores_")] = accuracy(scores_VK, labels_V)
    return found


def accuracy(scores_VK: np.ndarray, labels_V: np.ndarray) -> Metric:
    """Top-1 accuracy in percent."""
    per_video_V = 100.0 * top_k_correct(scores_VK, labels_V, k=1)
    return Metric(float(per_video_V.mean()), per_video=per_video_V, chance=100.0 / scores_VK.shape[1])
