"""Retrieval: do the nearest training videos of a test video show the same class?

Nothing is trained. Following the benchmark paper (arXiv 2306.06010, supplementary, clip retrieval; its
methods' code for the details) each video is the mean feature of its evenly spaced centre crops, videos are
compared by cosine, queries are the test videos, the gallery is the train part, and a query is a hit at k
when one of its k nearest shares its class. The weighted kNN vote is that of Wu et al. (arXiv 1805.01978,
section 3.4).

Axes: V query video, G gallery video, R rank (nearest first), D embedding, K class.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

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
from vssl_core.metrics import (
    check_labels,
    classification_metrics,
    recall_at_k,
    unseen_classes,
)
from vssl_core.options import Options
from vssl_plugins.evaluators.frozen_features import frozen_features

__all__ = ["Retrieval", "RetrievalOptions"]

_QUERIES_AT_ONCE = 512  # bounds the similarities that are in memory


class RetrievalOptions(Options):
    """Options of retrieval."""

    ks: tuple[int, ...] = (1, 5, 10, 20, 50)
    """Neighbours within which a video of the same class counts as a hit; 1 is always among them. Those
    larger than the gallery are left out and said so."""
    gallery: Literal["train", "train_and_validation"] = "train"
    """The training videos that are searched: the train part, or the validation part, too, which is the whole
    official training split where a dataset's validation part was carved out of it."""
    knn_k: tuple[int, ...] = (20,)
    """Neighbours that vote in the kNN classifier, one number or several; all of a smaller gallery. The first
    one's top-1 is `knn_top1`, that of each other k `knn_top1@k`."""
    vote: Literal["weighted", "equal"] = "weighted"
    """A neighbour's vote is exp(cosine / temperature), or 1."""
    temperature: float = Field(0.07, gt=0)
    """Of weighted votes."""

    @field_validator("ks")
    @classmethod
    def _counts(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if any(k < 1 for k in value):
            raise ValueError("ks must be numbers of neighbours of at least 1")
        return tuple(sorted({1, *value}))

    @field_validator("knn_k", mode="before")
    @classmethod
    def _one_or_several(cls, value: Any) -> Any:
        return (value,) if isinstance(value, int) and not isinstance(value, bool) else value

    @field_validator("knn_k")
    @classmethod
    def _voters(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if not value or any(k < 1 for k in value):
            raise ValueError("knn_k must be one or more numbers of neighbours of at least 1")
        return tuple(dict.fromkeys(value))


class Retrieval(Evaluator):
    """R@k by cosine on mean features, and a weighted kNN vote over the same neighbours.

    The gallery is the train part alone unless `gallery` says otherwise: it is then the same for datasets with
    a validation part of their own and for those without (paper: test queries against train gallery).
    """

    api_version = 1
    Options = RetrievalOptions
    paper = "https://arxiv.org/abs/2306.06010"

    def __init__(self, options: RetrievalOptions) -> None:
        self.options = options

    def evaluate(
        self, backbone: Backbone, data: EvaluationData, context: EvaluationContext
    ) -> EvaluationResult:
        """Rank the train videos for every test video; the backbone is not changed.

        Writes `gallery.json` with the ids and labels of the gallery videos and with the ks that were left
        out.

        Returns:
            `R@1`, `R@5`, …, `knn_top1`; arrays `indices` (V, R) int32 of the gallery's nearest videos and
            their `cosines` (V, R), `labels` (V,), `gallery_labels` (G,) and `num_classes`.

        Raises:
            DatasetError: Fewer than two classes, an unlabelled video, an empty part.
            DivergedError: Features are not finite.
        """
        parts = {"train": data.train}
        if self.options.gallery == "train_and_validation" and data.validation.records:
            parts["validation"] = data.validation
        labels = [check_labels(part, data.classes, name=name) for name, part in parts.items()]
        gallery_labels_G = np.concatenate(labels)
        if len(np.unique(gallery_labels_G)) < 2:
            raise DatasetError(
                f"retrieval needs a gallery of at least two classes; all {len(gallery_labels_G)} training "
                f"videos are {data.classes[gallery_labels_G[0]]!r}. Give the train split more classes."
            )
        gallery_GD = torch.cat(
            [_mean_features(part, backbone, name, context) for name, part in parts.items()]
        )
        gallery_ids = [record.video_id for part in parts.values() for record in part.records]

        queries = data.test()
        labels_V = check_labels(queries, data.classes, name="test")
        queries_VD = _mean_features(queries, backbone, "test", context)
        kept, left_out = _split_ks(self.options.ks, len(gallery_ids))
        depth = min(max(*kept, *self.options.knn_k), len(gallery_ids))
        indices_VR, cosine_VR = _nearest(queries_VD, gallery_GD, depth=depth)
        arrays = {
            "indices": indices_VR.astype(np.int32),
            "cosines": cosine_VR,
            "labels": labels_V,
            "gallery_labels": gallery_labels_G,
            "num_classes": np.array(len(data.classes)),
        }
        for name, why in left_out.items():
            context.progress.say(f"retrieval: {name} is left out, {why}.")
        if unseen := unseen_classes(gallery_labels_G, labels_V, data.classes):
            context.progress.say(f"retrieval: no gallery video has the test classes {', '.join(unseen)}.")
        write_json(
            context.folder / "gallery.json",
            {"video_ids": gallery_ids, "labels": gallery_labels_G.tolist(), "left_out": left_out},
        )
        return EvaluationResult(
            metrics=self.recompute(arrays),
            video_ids=[record.video_id for record in queries.records],
            arrays=arrays,
        )

    def recompute(self, arrays: Mapping[str, np.ndarray]) -> Mapping[str, Metric]:
        """All metrics, from the neighbours that each query has."""
        gallery_labels_G, labels_V = arrays["gallery_labels"], arrays["labels"]
        neighbours_VR = gallery_labels_G[arrays["indices"]]
        kept, _ = _split_ks(self.options.ks, len(gallery_labels_G))
        metrics = dict(recall_at_k(neighbours_VR, labels_V, gallery_labels_G=gallery_labels_G, ks=kept))
        votes = _votes(neighbours_VR, arrays["cosines"], self.options)
        for number, k in enumerate(self.options.knn_k):
            scores_VK = _tally(neighbours_VR[:, :k], votes[:, :k], num_classes=int(arrays["num_classes"]))
            name = "knn_top1" if number == 0 else f"knn_top1@{k}"
            metrics[name] = classification_metrics(scores_VK, labels_V)["top1"]
        return metrics


def _votes(neighbours_VR: np.ndarray, cosine_VR: np.ndarray, options: RetrievalOptions) -> np.ndarray:
    """What each neighbour's vote weighs (V, R)."""
    if options.vote == "equal":
        return np.ones(neighbours_VR.shape)
    # Relative to the nearest one, so that no temperature overflows.
    weights_VR: np.ndarray = np.exp((cosine_VR - cosine_VR[:, :1]) / options.temperature)
    return weights_VR


def _tally(voters_VR: np.ndarray, votes_VR: np.ndarray, *, num_classes: int) -> np.ndarray:
    """Sums of votes (V, K) by the voters' class."""
    sums_VK = np.zeros((len(voters_VR), num_classes))
    np.add.at(sums_VK, (np.arange(len(voters_VR))[:, None], voters_VR), votes_VR)
    return sums_VK


def _mean_features(part: EvaluationPart, backbone: Backbone, name: str, context: EvaluationContext) -> Tensor:
    """Unit vectors (V, D) float64 along the mean of each video's clip features, on the run's GPU if any."""
    means_VD = frozen_features(part, backbone, context.num_test_clips, name, context).mean(dim=1)
    return torch.nn.functional.normalize(means_VD, dim=1)


def _split_ks(ks: Sequence[int], size: int) -> tuple[list[int], dict[str, str]]:
    """The ks that a gallery of this size can answer, and why the others are left out."""
    left_out = {f"R@{k}": f"the gallery has {size} videos" for k in ks if k > size}
    return [k for k in ks if k <= size], left_out


def _nearest(queries_VD: Tensor, gallery_GD: Tensor, *, depth: int) -> tuple[np.ndarray, np.ndarray]:
    """Indices (V, R) int64 of the nearest gallery videos and their cosines; ties in gallery order."""
    indices: list[Tensor] = []
    cosines: list[Tensor] = []
    for chunk in queries_VD.split(_QUERIES_AT_ONCE):
        cosine, index = torch.sort(chunk @ gallery_GD.T, dim=1, descending=True, stable=True)
        indices.append(index[:, :depth].cpu())
        cosines.append(cosine[:, :depth].cpu())
    return torch.cat(indices).numpy(), torch.cat(cosines).numpy()
