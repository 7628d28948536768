"""An evaluator in one file, without packaging: the class with the nearest mean feature.

    vssl bench --task vcop --eval examples/my_evaluator.py:MyEvaluator

Nothing is trained: every class is the mean of its training videos (Mensink et al., TPAMI 2013).
"""

import numpy as np
from pydantic import Field

from vssl_core import (
    Backbone,
    EvaluationContext,
    EvaluationData,
    EvaluationPart,
    EvaluationResult,
    Evaluator,
    Options,
)
from vssl_core.metrics import check_features, check_labels, classification_metrics


class MyEvaluatorOptions(Options):
    num_train_clips: int = Field(1, ge=1, description="Evenly spaced clips of each training video.")


class MyEvaluator(Evaluator):
    Options = MyEvaluatorOptions

    def __init__(self, options: MyEvaluatorOptions) -> None:
        self.options = options

    def evaluate(
        self, backbone: Backbone, data: EvaluationData, context: EvaluationContext
    ) -> EvaluationResult:
        labels_V = check_labels(data.train, data.classes, name="train")
        features_VD = unit_features(data.train, backbone, num_clips=self.options.num_train_clips)

        test = data.test()  # from here on the training videos are closed: fit first, score last
        test_labels_V = check_labels(test, data.classes, name="test")
        test_VD = unit_features(test, backbone, num_clips=context.num_test_clips)
        scores_VK = np.full((len(test_VD), len(data.classes)), -np.inf)  # classes without a video
        for label in np.unique(labels_V):
            mean_D = features_VD[labels_V == label].mean(axis=0)
            scores_VK[:, label] = -np.linalg.norm(test_VD - mean_D, axis=1)
        return EvaluationResult(
            metrics=classification_metrics(scores_VK, test_labels_V),
            video_ids=[record.video_id for record in test.records],
            arrays={"scores": scores_VK, "labels": test_labels_V},
        )


def unit_features(part: EvaluationPart, backbone: Backbone, *, num_clips: int) -> np.ndarray:
    """The mean feature of each video's clips, at length 1: (V, D)."""
    features = part.features(backbone, num_clips=num_clips)
    check_features(features, num_videos=len(part.records), num_clips=num_clips, name="a part's")
    mean_VD: np.ndarray = features.astype(np.float64).mean(axis=1)
    return mean_VD / np.maximum(np.linalg.norm(mean_VD, axis=1, keepdims=True), 1e-12)
