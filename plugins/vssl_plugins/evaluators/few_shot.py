"""Few-shot probing: how well frozen features tell the classes apart after k labelled videos of each.

A linear probe on all labels rewards features in which a class can be found somehow; with few labels the
classes must lie apart from the start (Tian et al., arXiv 2003.11539, fit a logistic regression on frozen
features, too). Which videos are the labelled ones matters as much as the features do, so several draws are
made and their mean is reported with its spread.

A draw puts the training videos of each class in the order of a hash of (seed, draw, video id) and takes the
first k: draws are balanced, the videos of a smaller k are among those of a larger one, and every task and
backbone of one seed gets the same ones. They come from the train part alone, which shares no group with the
test part; the validation part stays unused, because labels to choose by would be further labelled videos.

Axes: V test video, N sample of the fit, D embedding, K class, R draw.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from pydantic import Field, field_validator
from torch import Tensor

from vssl_core.errors import DatasetError
from vssl_core.files import write_json
from vssl_core.interfaces import (
    Backbone,
    EvaluationContext,
    EvaluationData,
    EvaluationPart,
    EvaluationResult,
    Evaluator,
    Metric,
)
from vssl_core.metrics import check_labels, unseen_classes
from vssl_core.options import Options
from vssl_core.seeding import key_seed
from vssl_plugins.evaluators.frozen_features import frozen_features
from vssl_plugins.evaluators.logistic_regression import LogisticRegression

__all__ = ["FewShot", "FewShotOptions"]


class FewShotOptions(Options):
    """Options of few-shot probing."""

    ks: tuple[int, ...] = (1, 5)
    """Labelled videos of each class. The first is what tables show. Those that no class has are left out and
    said so."""
    draws: int = Field(10, ge=2)
    """Independent draws of the labelled videos for each k."""
    num_train_clips: int = Field(1, ge=1)
    """Evenly spaced clips of each labelled video, every one a sample of the fit."""
    l2: float = Field(1e-2, gt=0)
    """L2 strength. The loss is mean cross-entropy + l2/2 · ‖weights‖², on features of mean squared norm 1."""
    max_iterations: int = Field(1000, ge=1)
    """L-BFGS iterations of one fit; it stops earlier when it has converged."""

    @field_validator("ks")
    @classmethod
    def _counts(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if not value or any(k < 1 for k in value):
            raise ValueError("ks must be one or more numbers of videos of at least 1")
        return tuple(dict.fromkeys(value))


class FewShot(Evaluator):
    """Logistic regression on frozen features of k labelled videos per class, over several draws.

    `k_shot_top1` is the mean over the draws, for every test video and so for their mean; `k_shot_sd` is the
    standard deviation of the draws' top-1 in points. A class with fewer than k videos gives all that it has.
    """

    api_version = 1
    Options = FewShotOptions
    paper = "https://arxiv.org/abs/2306.06010"

    def __init__(self, options: FewShotOptions) -> None:
        self.options = options

    def evaluate(
        self, backbone: Backbone, data: EvaluationData, context: EvaluationContext
    ) -> EvaluationResult:
        """Draw and fit, then score; the backbone is not changed.

        Writes `shots.json`: the ids of the labelled videos per k and draw, and which ks were left out.

        Returns:
            `k_shot_top1` and `k_shot_sd` for every k; arrays `predicted_k_shot` (V, R) int32, `labels` (V,)
            and `num_classes`.

        Raises:
            DatasetError: Fewer than two classes, an unlabelled video, an empty part, or no class with any k.
            DivergedError: Features are not finite.
        """
        train, num_classes = data.train, len(data.classes)
        fit_labels = check_labels(train, data.classes, name="train")
        if len(np.unique(fit_labels)) < 2:
            raise DatasetError(
                f"few_shot needs training videos of at least two classes; all {len(fit_labels)} are "
                f"{data.classes[fit_labels[0]]!r}. Give the dataset's train split more classes."
            )
        kept = self._kept(fit_labels, data.classes, context)
        features = frozen_features(train, backbone, self.options.num_train_clips, "train", context)
        orders = [_order(train, context.seed, draw) for draw in range(self.options.draws)]
        shots = {k: [_first(order, fit_labels, k) for order in orders] for k in kept}
        labels = torch.from_numpy(fit_labels).to(features.device)
        probes = {
            k: [self._fit(features, labels, rows, num_classes, context) for rows in shots[k]] for k in kept
        }
        ids = [record.video_id for record in train.records]
        write_json(
            context.folder / "shots.json",
            {
                "shots": {str(k): [[ids[row] for row in rows] for rows in shots[k]] for k in kept},
                "left_out": [k for k in self.options.ks if k not in kept],
            },
        )

        test = data.test()
        labels_V = check_labels(test, data.classes, name="test")
        if unseen := unseen_classes(fit_labels, labels_V, data.classes):
            context.progress.say(f"few_shot: no training video has the test classes {', '.join(unseen)}.")
        queries = frozen_features(test, backbone, context.num_test_clips, "test", context)
        arrays = {f"predicted_{k}_shot": _predicted(probes[k], queries) for k in kept}
        arrays |= {"labels": labels_V, "num_classes": np.array(num_classes)}
        return EvaluationResult(
            metrics=self.recompute(arrays),
            video_ids=[record.video_id for record in test.records],
            arrays=arrays,
        )

    def recompute(self, arrays: Mapping[str, np.ndarray]) -> Mapping[str, Metric]:
        """All metrics, from what every draw predicted."""
        metrics = {}
        for k in self.options.ks:
            if f"predicted_{k}_shot" not in arrays:
                continue
            hit_VR = 100.0 * (arrays[f"predicted_{k}_shot"] == arrays["labels"][:, None])
            mean_V = hit_VR.mean(axis=1)
            chance = 100.0 / int(arrays["num_classes"])
            metrics[f"{k}_shot_top1"] = Metric(float(mean_V.mean()), per_video=mean_V, chance=chance)
            spread = float(hit_VR.mean(axis=0).std(ddof=1))
            metrics[f"{k}_shot_sd"] = Metric(spread, unit="points", higher_is_better=False)
        return metrics

    def _kept(self, labels: np.ndarray, classes: Sequence[str], context: EvaluationContext) -> list[int]:
        """The ks that a class has videos for; says which classes have fewer."""
        counts_K = np.bincount(labels, minlength=len(classes))
        kept = []
        for k in self.options.ks:
            if counts_K.max() < k:
                context.progress.say(
                    f"few_shot: k = {k} is left out, no class has more than {counts_K.max()} training videos."
                )
                continue
            kept.append(k)
            few = [f"{classes[c]} ({counts_K[c]})" for c in np.flatnonzero((counts_K > 0) & (counts_K < k))]
            if few:
                context.progress.say(
                    f"few_shot: classes with fewer than {k} training videos give all that they have: "
                    f"{', '.join(few)}."
                )
        if not kept:
            raise DatasetError(
                f"few_shot: no class has {min(self.options.ks)} training videos, the most is "
                f"{counts_K.max()}. Lower -o eval/few_shot.ks."
            )
        return kept

    def _fit(
        self, features: Tensor, labels: Tensor, rows: np.ndarray, num_classes: int, context: EvaluationContext
    ) -> LogisticRegression:
        chosen = torch.from_numpy(rows).to(features.device)
        (probe,) = LogisticRegression.fit(
            features[chosen].flatten(0, 1),
            labels[chosen].repeat_interleave(features.shape[1]),
            l2=(self.options.l2,),
            num_classes=num_classes,
            max_iterations=self.options.max_iterations,
        )
        if not probe.converged:
            context.progress.say(
                f"few_shot: a fit stopped after {self.options.max_iterations} iterations before it had "
                "converged; raise -o eval/few_shot.max_iterations."
            )
        return probe


def _order(train: EvaluationPart, seed: int, draw: int) -> np.ndarray:
    """Rows of the training videos in the order of this draw."""
    keys = [key_seed("few_shot", seed, draw, record.video_id) for record in train.records]
    return np.argsort(np.array(keys, dtype=np.int64), kind="stable")


def _first(order: np.ndarray, labels: np.ndarray, k: int) -> np.ndarray:
    """Rows of the first k videos of each class in this order, or of all that a class has."""
    return np.concatenate([order[labels[order] == label][:k] for label in np.unique(labels)])


def _predicted(probes: Sequence[LogisticRegression], queries: Tensor) -> np.ndarray:
    """The class (V, R) int32 that each draw's probe scores highest; of equal ones the lower."""
    columns = [probe.scores(queries).cpu().numpy().argmax(axis=1) for probe in probes]
    return np.stack(columns, axis=1).astype(np.int32)
