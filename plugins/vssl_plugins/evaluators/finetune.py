"""Finetuning: the backbone and a new linear head trained end to end on the labelled target.

The benchmark paper finetunes all weights almost everywhere (arXiv 2306.06010, supplementary; the length,
100 epochs, is stated once, for its out-of-distribution experiment) and scores ten evenly spaced centre
crops of each test video, as the code of its methods does. Its optimiser, rates and schedule are not stated;
the defaults here are for small data and a few epochs, and a protocol states its own.
"""

from __future__ import annotations

from pydantic import Field

from vssl_core.classifier import Classifier, ClassifierEvaluator
from vssl_core.interfaces import Backbone, EvaluationContext, EvaluationData
from vssl_plugins.evaluators.training import TrainingOptions, cross_entropy, train_classifier

__all__ = ["Finetune", "FinetuneOptions"]


class FinetuneOptions(TrainingOptions):
    """Options of finetuning."""

    patience: int = Field(0, ge=0)
    """With `select` best, stop after this many validations without improvement; 0: never."""


class Finetune(ClassifierEvaluator):
    """End-to-end training with cross-entropy, seeded by the cell's seed.

    With `select` best, the epoch with the highest validation top-1 is scored (of equal ones the one with
    the higher likelihood, of equal ones the earlier). A test video's score is the mean of its clips' softmax
    scores (paper, supplementary: full finetuning, ten evenly spaced centre crops).
    """

    api_version = 1
    Options = FinetuneOptions
    paper = "https://arxiv.org/abs/2306.06010"

    def fit(self, backbone: Backbone, data: EvaluationData, context: EvaluationContext) -> Classifier:
        """Train with cross-entropy; see `train_classifier`, also for what it raises."""
        return train_classifier(
            backbone,
            data,
            context,
            options=self.options,
            loss=cross_entropy(self.options.label_smoothing),
            name="finetune",
            patience=self.options.patience,
        )
