"""Retrieval: do the nearest training videos of a test video show the same class?

Nothing is trained. Following the benchmark paper (arXiv 2306.06010, supplementary, clip retrieval; its
methods' code for the details) each video is the mean feature of its evenly spaced centre crops, videos are
compared by cosine, queries are the test videos, the gallery is the train part, and a query is a hit at k
when one of its k nearest shares its class. The weighted kNN vote is that of Wu et al. (arXiv 1805.01978,
section 3.4).

Axes: V query video, G gallery video, R rank (nearest first), D embedding, K class.
"""

from __future__ import annotations

from collections.abc import Sequence

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
    check_features,
    check_labels,
    classification_metrics,
    recall_at_k,
    unseen_classes,
)
from vssl_core.options import Options

__all__ = ["Retrieval", "RetrievalOptions"]

_QUERIES_AT_ONCE = 512  # bounds the similarities that are in memory


class RetrievalOptions(Options):
    """Options of retrieval."""

    ks: tuple[int, ...] = (1, 5, 10, 20, 50)
    """Neighbours within which a video of the same class counts as a hit; 1 is always among them. Those
    larger than the gallery are left out and said so."""
    knn_k: int = Field(20, ge=1)
    """Neighbours that vote in the kNN classifier; all of a smaller gallery."""
    temperature: float = Field(0.07, gt=0)
    """A neighbour's vote is exp(cosine / temperature)."""

    @field_validator("ks")
    @classmethod
    def _counts(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if any(k < 1 for k in value):
            raise ValueError("ks must be numbers of neighbours of at least 1")
        return tuple(sorted({1, *value}))


class Retrieval(Evaluator):
    """R@k by cosine on mean features, and a weighted kNN vote over the same neighbours.

    The gallery is the train part alone: videos to choose by stay out of it, although nothing is chosen here,
    so that the gallery is the one of the dataset's own split (paper: test queries against train gallery).
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
            `labels` (V,).

        Raises:
            DatasetError: Fewer than two classes, an unlabelled video, an empty part.
            DivergedError: Features are not finite.
        """
        gallery = data.train
        gallery_labels_G = check_labels(gallery, data.classes, name="train")
        if len(np.unique(gallery_labels_G)) < 2:
            raise DatasetError(
                f"retrieval needs a gallery of at least two classes; all {len(gallery_labels_G)} training "
                f"videos are {data.classes[gallery_labels_G[0]]!r}. Give the train split more classes."
            )
        gallery_GD = _mean_features(gallery, backbone, "train", context)
        gallery_ids = [record.video_id for record in gallery.records]

        queries = data.test()
        labels_V = check_labels(queries, data.classes, name="test")
        queries_VD = _mean_features(queries, backbone, "test", context)
        kept, left_out = _split_ks(self.options.ks, len(gallery_ids))
        depth = min(max(*kept, self.options.knn_k), len(gallery_ids))
        indices_VR, cosine_VR = _nearest(queries_VD, gallery_GD, depth=depth)
        neighbours_VR = gallery_labels_G[indices_VR]

        metrics = dict(recall_at_k(neighbours_VR, labels_V, gallery_labels_G=gallery_labels_G, ks=kept))
        metrics["knn_top1"] = self._vote(neighbours_VR, cosine_VR, labels_V, num_classes=len(data.classes))
        for name, why in left_out.items():
            context.progress.say(f"retrieval: {name} is left out, {why}.")
        if unseen := unseen_classes(gallery_labels_G, labels_V, data.classes):
            context.progress.say(f"retrieval: no gallery video has the test classes {', '.join(unseen)}.")
        write_json(
            context.folder / "gallery.json",
            {"video_ids": gallery_ids, "labels": gallery_labels_G.tolist(), "left_out": left_out},
        )
        return EvaluationResult(
            metrics=metrics,
            video_ids=[record.video_id for record in queries.records],
            arrays={"indices": indices_VR[:, : kept[-1]].astype(np.int32), "labels": labels_V},
        )

    def _vote(
        self, neighbours_VR: np.ndarray, cosine_VR: np.ndarray, labels_V: np.ndarray, *, num_classes: int
    ) -> Metric:
        """Top-1 of the votes of the nearest `knn_k`, each of weight exp(cosine / temperature)."""
        voters = neighbours_VR[:, : self.options.knn_k]
        cosine = cosine_VR[:, : self.options.knn_k]
        # Relative to the nearest one, so that no temperature overflows.
        weights = np.exp((cosine - cosine[:, :1]) / self.options.temperature)
        votes_VK = np.zeros((len(voters), num_classes))
        np.add.at(votes_VK, (np.arange(len(voters))[:, None], voters), weights)
        return classification_metrics(votes_VK, labels_V)["top1"]


def _mean_features(part: EvaluationPart, backbone: Backbone, name: str, context: EvaluationContext) -> Tensor:
    """Unit vectors (V, D) float64 along the mean of each video's clip features, on the run's GPU if any."""
    features = part.features(backbone, num_clips=context.num_test_clips)
    check_features(features, num_videos=len(part.records), num_clips=context.num_test_clips, name=name)
    device = context.device if context.device.type == "cuda" else torch.device("cpu")
    means_VD = torch.from_numpy(features).to(device, torch.float64).mean(dim=1)
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
