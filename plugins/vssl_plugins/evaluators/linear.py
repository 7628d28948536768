"""Linear probe: how well one linear layer on frozen features tells the classes apart.

The benchmark paper trains a linear layer on a frozen backbone (arXiv 2306.06010, supplementary, Table 2).
Here it is a multinomial logistic regression, a convex problem that has one solution: it is fitted by
full-batch L-BFGS in float64 until it has converged, so that no learning rate, batch size, number of epochs
or seed stands between two backbones (Kornblith, Shlens and Le, arXiv 1805.08974, section 3, fit theirs so).

Axes: V video, N clip, D embedding, K class.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from pydantic import Field, field_validator
from torch import Tensor

from vssl_core.classifier import Classifier, ClassifierEvaluator
from vssl_core.errors import DatasetError
from vssl_core.interfaces import Backbone, EvaluationContext, EvaluationData, EvaluationPart
from vssl_core.metrics import check_labels, top_k_correct
from vssl_core.options import Options
from vssl_plugins.evaluators.frozen_features import frozen_features
from vssl_plugins.evaluators.logistic_regression import LogisticRegression

__all__ = ["Linear", "LinearOptions"]


class LinearOptions(Options):
    """Options of the linear probe."""

    num_train_clips: int = Field(1, ge=1)
    """Evenly spaced clips of each training and validation video, every one a sample of the fit."""
    l2: tuple[float, ...] = (1.0, 1e-1, 1e-2, 1e-3, 1e-4)
    """L2 strengths to choose from on the validation part; with a single one nothing is chosen. The loss is
    mean cross-entropy + l2/2 · ‖weights‖², on features of mean squared norm 1."""
    max_iterations: int = Field(1000, ge=1)
    """L-BFGS iterations of one fit; it stops earlier when it has converged."""

    @field_validator("l2")
    @classmethod
    def _positive(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        if not value or not all(0 < strength < float("inf") for strength in value):
            raise ValueError("l2 must be one or more finite strengths above 0")
        return tuple(sorted(set(value), reverse=True))


@dataclass(frozen=True, slots=True)
class _Samples:
    """Clips to fit on or to choose by: features (V, N, D) float64 and labels (V,)."""

    features: Tensor
    labels: Tensor


class _Probe(Classifier):
    """The regression on features of the frozen backbone."""

    def __init__(
        self,
        backbone: Backbone,
        regression: LogisticRegression,
        labels: np.ndarray,
        arrays: Mapping[str, np.ndarray],
    ) -> None:
        self.backbone, self.regression, self.labels, self.arrays = backbone, regression, labels, arrays

    @torch.no_grad()
    def logits(self, video_NCTHW: Tensor) -> Tensor:
        """(N, 3, T, H, W) → (N, K) float64; -inf for a class that no video to fit on has."""
        self.backbone.eval()
        features_ND = self.backbone(video_NCTHW).float()
        return self.regression.logits(features_ND.to(self.regression.weight.device, torch.float64))

    def scores(self, part: EvaluationPart, context: EvaluationContext, *, num_clips: int) -> np.ndarray:
        """Mean softmax score (V, K) of every video's clips, from features that all evaluators share."""
        features_VND = frozen_features(part, self.backbone, num_clips, "scored", context)
        scores_VK: np.ndarray = self.regression.scores(features_VND).cpu().numpy()
        return scores_VK


class Linear(ClassifierEvaluator):
    """Logistic regression on frozen features of evenly spaced centre crops.

    The L2 strength is the one with the best validation top-1 (of equal ones the one with the lower
    cross-entropy). The probe is then fitted again, with that strength, on training and validation videos
    together, and scores a test video by the mean of its clips' softmax scores. The paper leaves all of this
    open (paper, supplementary, Table 2; the ten test clips follow the code of its methods).
    """

    api_version = 1
    Options = LinearOptions
    paper = "https://arxiv.org/abs/2306.06010"

    def fit(self, backbone: Backbone, data: EvaluationData, context: EvaluationContext) -> Classifier:
        """Choose the strength and fit; the backbone is not changed.

        Returns:
            With the arrays `l2` and `validation_top1` per strength tried (the latter only where there was
            a choice) and `chosen_l2` (1,).

        Raises:
            DatasetError: No two classes to fit, an unlabelled video, an empty part that is needed.
            DivergedError: Features are not finite.
        """
        num_classes = len(data.classes)
        train = self._samples(data.train, backbone, data.classes, name="train", context=context)
        if len(classes := train.labels.unique()) < 2:
            raise DatasetError(
                f"a probe needs training videos of at least two classes; all {len(train.labels)} are "
                f"{data.classes[classes[0]]!r}. Give the dataset's train split more classes."
            )
        validation = None
        if data.validation.records:
            validation = self._samples(
                data.validation, backbone, data.classes, name="validation", context=context
            )
        chosen, validation_top1 = self._choose(train, validation, num_classes)
        samples = train if validation is None else _join(train, validation)
        regression = LogisticRegression.fit(
            *_flat(samples), l2=(chosen,), num_classes=num_classes, max_iterations=self.options.max_iterations
        )[0]
        if not regression.converged:
            context.progress.say(
                f"linear: the fit stopped after {self.options.max_iterations} iterations before it had "
                "converged; raise -o eval/linear.max_iterations."
            )
        arrays = {"l2": np.array(self.options.l2), "chosen_l2": np.array([chosen])}
        if validation_top1:
            arrays["validation_top1"] = np.array(validation_top1)
        return _Probe(backbone, regression, samples.labels.cpu().numpy(), arrays)

    def _samples(
        self,
        part: EvaluationPart,
        backbone: Backbone,
        classes: Sequence[str],
        *,
        name: str,
        context: EvaluationContext,
    ) -> _Samples:
        labels = check_labels(part, classes, name=name)
        features = frozen_features(part, backbone, self.options.num_train_clips, name, context)
        return _Samples(features, torch.from_numpy(labels).to(features.device))

    def _choose(
        self, train: _Samples, validation: _Samples | None, num_classes: int
    ) -> tuple[float, list[float]]:
        """The strength with the best validation top-1, and the top-1 of every strength."""
        strengths = self.options.l2
        if len(strengths) == 1:
            return strengths[0], []
        if validation is None:
            raise DatasetError(
                f"linear chooses among {len(strengths)} L2 strengths on the validation part, which is empty. "
                f"Give the dataset a validation split, or one strength: -o 'eval/linear.l2=[{strengths[0]}]'."
            )
        probes = LogisticRegression.fit(
            *_flat(train), l2=strengths, num_classes=num_classes, max_iterations=self.options.max_iterations
        )
        labels_V = validation.labels.cpu().numpy()
        quality: list[tuple[float, float]] = []
        for probe in probes:
            scores_VK = probe.scores(validation.features).cpu().numpy()
            own = np.take_along_axis(scores_VK, labels_V[:, None], axis=1)
            top1 = 100.0 * float(top_k_correct(scores_VK, labels_V, k=1).mean())
            quality.append((top1, float(np.log(np.maximum(own, 1e-12)).mean())))
        best = max(range(len(strengths)), key=lambda index: quality[index])
        return strengths[best], [top1 for top1, _ in quality]


def _join(first: _Samples, second: _Samples) -> _Samples:
    return _Samples(torch.cat([first.features, second.features]), torch.cat([first.labels, second.labels]))


def _flat(samples: _Samples) -> tuple[Tensor, Tensor]:
    """Every clip as a sample of its own: features (N, D), labels (N,)."""
    num_clips = samples.features.shape[1]
    return samples.features.flatten(0, 1), samples.labels.repeat_interleave(num_clips)
