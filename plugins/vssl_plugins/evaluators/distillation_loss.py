"""The loss of a student that learns from labels and from several teachers.

    CE(z_s, y) + α · Σ w_m · T² · KL(softmax(z_m / T) ‖ softmax(z_s / T))

as in the code of AE-KD (Du et al., NeurIPS 2020), with γ = 1 before the cross-entropy; KL is the mean over
the batch. All teachers see the very clips of the student, in eval mode and without gradient.

Axes: B clip of a batch, M teacher, S step, K class.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from vssl_core.classifier import Classifier
from vssl_core.interfaces import EvaluationContext
from vssl_plugins.evaluators.ae_kd import bounded_weights, logit_gradients
from vssl_plugins.evaluators.training import Loss

__all__ = ["DistillationLoss", "teacher_divergences"]


class DistillationLoss:
    """A `Loss` that remembers what it weighed.

    Args:
        teachers: Fitted classifiers.
        labels_loss: The part that looks at the labels.
        weights: `ae_kd` finds them anew for every batch, `equal` are 1 / M.
        alpha: Factor of the teachers' part.
        temperature: T.
        bound: Largest weight of one teacher under `ae_kd`.
    """

    def __init__(
        self,
        teachers: Sequence[Classifier],
        context: EvaluationContext,
        *,
        labels_loss: Loss,
        weights: Literal["ae_kd", "equal"],
        alpha: float,
        temperature: float,
        bound: float,
    ) -> None:
        self._teachers, self._context, self._labels_loss = tuple(teachers), context, labels_loss
        self._rule, self._alpha, self._temperature, self._bound = weights, alpha, temperature, bound
        self._seen: list[np.ndarray] = []

    def __call__(self, video_BCTHW: Tensor, logits_BK: Tensor, labels_B: Tensor) -> Tensor:
        """The loss of one batch."""
        teachers_MBK = self._teacher_logits(video_BCTHW, logits_BK)
        weights_M = self._weigh(logits_BK, teachers_MBK)
        self._seen.append(weights_M.numpy())
        soft_M = teacher_divergences(logits_BK, teachers_MBK, temperature=self._temperature)
        hard = self._labels_loss(video_BCTHW, logits_BK, labels_B)
        return hard + self._alpha * (weights_M.to(soft_M) * soft_M).sum()

    @property
    def weights(self) -> np.ndarray:
        """The teachers' weights in every step so far, (S, M) float64."""
        return np.stack(self._seen)

    @torch.no_grad()
    def _teacher_logits(self, video_BCTHW: Tensor, logits_BK: Tensor) -> Tensor:
        with self._context.autocast():
            given = [teacher.logits(video_BCTHW) for teacher in self._teachers]
        return torch.stack([logits.to(logits_BK) for logits in given])

    def _weigh(self, logits_BK: Tensor, teachers_MBK: Tensor) -> Tensor:
        count = len(self._teachers)
        if self._rule == "equal":
            return torch.full((count,), 1.0 / count, dtype=torch.float64)
        gradients_MK = logit_gradients(logits_BK, teachers_MBK, temperature=self._temperature)
        return bounded_weights(gradients_MK, bound=self._bound)


def teacher_divergences(student_BK: Tensor, teachers_MBK: Tensor, *, temperature: float) -> Tensor:
    """T² · KL(softmax(z_m / T) ‖ softmax(z_s / T)) of each teacher (M,), the mean over the batch.

    A class that a teacher rules out (a logit of -inf) adds nothing.
    """
    student = (student_BK / temperature).log_softmax(dim=1)
    teachers = (teachers_MBK / temperature).softmax(dim=2)
    point_MBK = nn.functional.kl_div(student.expand_as(teachers), teachers, reduction="none")
    return temperature**2 * point_MBK.sum(dim=2).mean(dim=1)
