"""Distillation: what a small network without pretraining learns from pretrained, finetuned teachers.

Section 5 of the benchmark paper (arXiv 2306.06010, supplementary) distils several self-supervised networks
into one by AE-KD (Du et al., NeurIPS 2020): a teacher is a network that was pretrained without labels and
then finetuned on the target; the student is trained on the target by labels and teachers,

    CE(z_s, y) + α · Σ w_m · T² · KL(softmax(z_m / T) ‖ softmax(z_s / T))

with α 0.9, T 4, and weights w_m that minimise ½ ‖Σ w_m g_m‖² for 0 ≤ w_m ≤ C = 0.6 and Σ w_m = 1 in every
batch (`ae_kd`) or are equal (`equal`); g_m is the gradient of teacher m's part by the student's logits, the
mean over the batch. The paper states none of these numbers; they are those of the authors' code of AE-KD.

The paper compares students with their teachers alone, so that what the same student would have learnt from
labels alone stays open. Here that control is always trained beside the student: same start, seeds, clips,
order and steps, cross-entropy alone. It is finetuning with the same options; `gain` is the difference.

Teachers are cells of the run folder, named by `teachers`; the student is the network of the cell that is
evaluated: in the cell of random initialisation, the floor, one without pretraining, as in the paper. The
paper's four set-ups differ in the cells that are the teachers:

- **A, architectures** (main paper's draft of November 2022, Table 8): `rspnet` on `shufflenet` and on
  `r2plus1d`, both on one subset of Kinetics-400; student `shufflenet`.
- **B, complexities** (Table 7): one task at its levels 1, 2 and 3; the student has the teachers' backbone.
- **C, sources** (Table 8): one task on `r2plus1d`, from `kinetics400` and from `ssv2`; student `r2plus1d`.
- **D, spatial and temporal tasks** (Table 9): `rotnet` and `vcop`, or `cvrl` and `tdl`, on `shufflenet`;
  student `shufflenet`.

Axes: V video, S step, M teacher, K class.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
from pydantic import Field, model_validator

from vssl_core.classifier import Classifier, ClassifierEvaluator
from vssl_core.errors import UsageError
from vssl_core.interfaces import (
    Backbone,
    EvaluationContext,
    EvaluationData,
    EvaluationPart,
    EvaluationResult,
    Evaluator,
    Metric,
)
from vssl_core.metrics import check_labels, classification_metrics, top_k_correct, unseen_classes
from vssl_plugins.evaluators.distillation_loss import DistillationLoss
from vssl_plugins.evaluators.finetune import Finetune, FinetuneOptions
from vssl_plugins.evaluators.training import TrainingOptions, cross_entropy, train_classifier

__all__ = ["Distill", "DistillOptions"]


class DistillOptions(TrainingOptions):
    """Options of distillation; those of the training hold for the student and for its control."""

    teachers: tuple[str, ...] = ()
    """Cells whose pretrained networks become the teachers: ids in the run folder, one at least."""
    classifier: str = "finetune"
    """Evaluator that fits the teachers on the target, with the options that it has in this run."""
    weights: Literal["ae_kd", "equal"] = "ae_kd"
    """Weights of the teachers: found anew for every batch, or equal."""
    alpha: float = Field(0.9, ge=0)
    """Factor of the teachers' part of the loss; that of the labels is 1."""
    temperature: float = Field(4.0, gt=0)
    """The logits of both sides are divided by it."""
    bound: float = Field(0.6, gt=0, le=1)
    """Largest weight of one of several teachers under `ae_kd`; with M teachers at least 1/M."""

    @model_validator(mode="after")
    def _possible(self) -> DistillOptions:
        twice = sorted({name for name in self.teachers if self.teachers.count(name) > 1})
        if twice:
            raise ValueError(f"teachers must be named once each; {', '.join(twice)} stands there twice")
        count = len(self.teachers)
        if self.weights == "ae_kd" and count > 1 and self.bound * count < 1.0 - 1e-9:
            raise ValueError(
                f"weights of {count} teachers up to bound {self.bound:g} cannot sum to 1; "
                f"bound must be at least {1.0 / count:.3g}"
            )
        return self


class Distill(Evaluator):
    """A student from several teachers by AE-KD, beside the same student from labels alone.

    `top1` is the student's, `top1_ce` the control's, `gain` their difference in points with its values per
    video. `top1_teacher_1`, … are the teachers' in the order of the option, `teacher_mean` is their mean and
    `teacher_best` that of the teacher with the best validation top-1; of the test part nothing is chosen.
    """

    api_version = 1
    Options = DistillOptions
    parts = {"classifier": "evaluator"}  # noqa: RUF012
    cells = frozenset({"teachers"})
    paper = "https://arxiv.org/abs/2306.06010"

    def __init__(self, options: DistillOptions) -> None:
        """Keep the options. Raises UsageError where they name no teacher."""
        if not options.teachers:
            raise UsageError(
                "distill needs a teacher: name pretrained cells of the run folder, "
                '-o \'eval/distill.teachers=["CELL", "CELL"]\'.'
            )
        self.options = options

    def evaluate(
        self, backbone: Backbone, data: EvaluationData, context: EvaluationContext
    ) -> EvaluationResult:
        """Fit the teachers, train student and control, score all of them on the test part.

        Returns:
            `top1`, `top5` (more than five classes) and `mean_class_accuracy` of the student, `top1_ce`,
            `gain`, `top1_teacher_1`, …, `teacher_mean`, `teacher_best` where validation videos are held out;
            arrays `scores` and `scores_ce` (V, K), `scores_teachers` (V, M, K), `labels` (V,), `weights`
            (S, M) of every step, `best_teacher` (1,) or (0,), counted from 0; curves of the student, those of
            the control ending in `_ce`, and the mean weight of each teacher in each epoch.

        Raises:
            UsageError: A cell that is not there or takes other clips, or a `classifier` that fits none.
            DatasetError: No two classes to fit, an unlabelled video, an empty part that is needed.
            DivergedError: A loss or a score is no finite number.
        """
        teachers = self._teachers(data, context)
        held_out = self.options.fit_on == "train" and len(data.validation.records) > 0
        best = _best(teachers, data, context) if held_out else []
        loss, start = self._loss(teachers, context), copy.deepcopy(backbone)
        student = train_classifier(start, data, context, options=self.options, loss=loss, name="distill")
        shared = {name: getattr(self.options, name) for name in TrainingOptions.model_fields}
        control = Finetune(FinetuneOptions(**shared)).fitted(backbone, data, context)
        test = data.test()
        labels_V = check_labels(test, data.classes, name="test")
        if unseen := unseen_classes(student.labels, labels_V, data.classes):
            context.progress.say(f"distill: no video to fit on has the test classes {', '.join(unseen)}.")
        arrays = {
            "scores": _scores(student, test, context),
            "scores_ce": _scores(control, test, context),
            "scores_teachers": np.stack([_scores(teacher, test, context) for teacher in teachers], axis=1),
            "labels": labels_V,
            "weights": loss.weights,
            "best_teacher": np.array(best, dtype=np.int64),
        }
        return EvaluationResult(
            metrics=self.recompute(arrays),
            video_ids=[record.video_id for record in test.records],
            arrays=arrays,
            curves=_curves(student, control, loss.weights),
        )

    def recompute(self, arrays: Mapping[str, np.ndarray]) -> Mapping[str, Metric]:
        """All metrics, from the scores of the student, its control and the teachers."""
        labels_V = arrays["labels"]
        metrics = classification_metrics(arrays["scores"], labels_V)
        metrics["top1_ce"] = control = classification_metrics(arrays["scores_ce"], labels_V)["top1"]
        gain_V = _per_video(metrics["top1"]) - _per_video(control)
        metrics["gain"] = Metric(float(gain_V.mean()), per_video=gain_V, unit="points")
        scores_MVK = np.moveaxis(arrays["scores_teachers"], 1, 0)
        teachers = [classification_metrics(scores_VK, labels_V)["top1"] for scores_VK in scores_MVK]
        metrics |= {f"top1_teacher_{number}": one for number, one in enumerate(teachers, start=1)}
        mean_V = np.mean([_per_video(one) for one in teachers], axis=0)
        metrics["teacher_mean"] = Metric(float(mean_V.mean()), per_video=mean_V, chance=teachers[0].chance)
        if arrays["best_teacher"].size:
            metrics["teacher_best"] = teachers[int(arrays["best_teacher"][0])]
        return metrics

    def _teachers(self, data: EvaluationData, context: EvaluationContext) -> list[Classifier]:
        """The networks of the cells, fitted on the target."""
        (evaluator,) = context.parts["classifier"]
        if not isinstance(evaluator, ClassifierEvaluator):
            raise UsageError(
                f"eval/distill.classifier is {self.options.classifier!r}, which fits no classifier; name an "
                "evaluator that does, such as finetune or linear."
            )
        return [evaluator.fitted(context.cell(name), data, context) for name in self.options.teachers]

    def _loss(self, teachers: Sequence[Classifier], context: EvaluationContext) -> DistillationLoss:
        options = self.options
        return DistillationLoss(
            teachers,
            context,
            labels_loss=cross_entropy(options.label_smoothing),
            weights=options.weights,
            alpha=options.alpha,
            temperature=options.temperature,
            bound=options.bound,
        )


def _best(teachers: Sequence[Classifier], data: EvaluationData, context: EvaluationContext) -> list[int]:
    """The teacher with the best validation top-1, of equal ones the first."""
    validation = data.validation
    labels_V = check_labels(validation, data.classes, name="validation")
    top1 = []
    for teacher in teachers:
        scores_VK = teacher.scores(validation, context, num_clips=context.num_test_clips)
        top1.append(float(top_k_correct(scores_VK, labels_V, k=1).mean()))
    return [int(np.argmax(top1))]


def _scores(classifier: Classifier, test: EvaluationPart, context: EvaluationContext) -> np.ndarray:
    return classifier.scores(test, context, num_clips=context.num_test_clips).astype(np.float32)


def _per_video(metric: Metric) -> np.ndarray:
    assert metric.per_video is not None
    return metric.per_video


def _curves(student: Classifier, control: Classifier, weights_SM: np.ndarray) -> dict[str, Sequence[float]]:
    """Of both trainings, and the teachers' mean weights; every epoch has as many steps."""
    curves = dict(student.curves)
    curves |= {f"{name}_ce": values for name, values in control.curves.items()}
    epochs = len(student.curves["train_loss"])
    weights_EM = weights_SM.reshape(epochs, -1, weights_SM.shape[1]).mean(axis=1)
    return curves | {f"weight_{m}": weights_EM[:, m - 1].tolist() for m in range(1, weights_SM.shape[1] + 1)}
