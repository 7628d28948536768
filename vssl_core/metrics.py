"""From scores per clip to metrics per video: what evaluators share.

Shares are in percent. A video counts once however many clips it gives, and every share keeps its value
per video, which is what intervals are made from.

Axes: N clip, V video, K class, R rank (nearest first), G gallery video.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from scipy.special import gammaln

from vssl_core.errors import ContractError, DatasetError, DivergedError
from vssl_core.interfaces import EvaluationPart, Metric

__all__ = [
    "average_clips",
    "check_features",
    "check_labels",
    "classification_metrics",
    "recall_at_k",
    "recall_chance",
    "top_k_correct",
    "unseen_classes",
]


# ---------------------------------------------------------------------------------- before any scoring


def check_labels(part: EvaluationPart, classes: Sequence[str], *, name: str) -> np.ndarray:
    """The labels (V,) int64 of a part that can be scored; `name` is its word in messages.

    Raises:
        DatasetError: The target has fewer than two classes, the part is empty, or a video of it has no
            label.
        ContractError: Labels and records differ in number, or a label is no index into `classes`.
    """
    if len(classes) < 2:
        raise DatasetError(
            f"scoring needs a target dataset of at least two classes; got {len(classes)} "
            f"({', '.join(classes) or 'it is unlabelled'}). Choose another target dataset."
        )
    if not part.records:
        raise DatasetError(
            f"the {name} part of the target dataset holds no video. Give its split at least one labelled "
            "video that can be read."
        )
    unlabelled = [record.video_id for record in part.records if record.label is None]
    if unlabelled:
        raise DatasetError(
            f"scoring needs a label for every {name} video; {len(unlabelled)} of {len(part.records)} have "
            f"none, the first is {unlabelled[0]!r}. Label them, leave them out, or choose another target."
        )
    labels = np.asarray(part.labels, dtype=np.int64)
    if labels.shape != (len(part.records),):
        raise ContractError(
            f"the {name} part must have one label per record, ({len(part.records)},); got {labels.shape}."
        )
    if labels.min() < 0 or labels.max() >= len(classes):
        raise ContractError(
            f"labels of the {name} part must be class indices from 0 to {len(classes) - 1}; got "
            f"{labels.min()} to {labels.max()}. Correct the dataset's `records` or `classes`."
        )
    return labels


def check_features(features: np.ndarray, *, num_videos: int, num_clips: int, name: str) -> np.ndarray:
    """The features (V, N, D) as they came, once they are known to be whole and finite.

    Raises:
        ContractError: The shape is not (num_videos, num_clips, D).
        DivergedError: A feature is NaN or infinite.
    """
    if features.ndim != 3 or features.shape[:2] != (num_videos, num_clips):
        raise ContractError(
            f"{name} features must have shape ({num_videos}, {num_clips}, D); got {features.shape}."
        )
    if not np.isfinite(features).all():
        bad = int((~np.isfinite(features)).any(axis=(1, 2)).sum())
        raise DivergedError(
            f"the backbone's features of {bad} of {num_videos} {name} videos are not finite. Its weights "
            "have diverged: pretrain again with a lower learning rate or with gradient clipping."
        )
    return features


def unseen_classes(fit_labels: np.ndarray, test_labels: np.ndarray, classes: Sequence[str]) -> list[str]:
    """Names of the classes of test videos that no video to fit on has: their videos are always missed."""
    return [classes[label] for label in np.setdiff1d(test_labels, fit_labels)]


# -------------------------------------------------------------------------------------- classification


def average_clips(scores_NK: np.ndarray, rows_N: np.ndarray, *, num_videos: int) -> np.ndarray:
    """Mean score (V, K) float64 of each video's clips; `rows_N` says which video a clip belongs to.

    Raises:
        ContractError: A row is out of range, or videos have different numbers of clips.
    """
    if rows_N.shape != scores_NK.shape[:1] or ((rows_N < 0) | (rows_N >= num_videos)).any():
        raise ContractError(
            f"every one of {len(scores_NK)} clips needs a row in [0, {num_videos}); got {rows_N.shape} rows "
            f"from {rows_N.min(initial=0)} to {rows_N.max(initial=0)}."
        )
    counts_V = np.bincount(rows_N, minlength=num_videos)
    if counts_V.min(initial=1) < 1 or len(np.unique(counts_V)) > 1:
        raise ContractError(
            f"every video must give the same number of clips, at least one; got {counts_V.min()} to "
            f"{counts_V.max()}."
        )
    sums_VK = np.zeros((num_videos, scores_NK.shape[1]))
    np.add.at(sums_VK, rows_N, scores_NK)
    return sums_VK / counts_V[:, None]


def top_k_correct(scores_VK: np.ndarray, labels_V: np.ndarray, *, k: int) -> np.ndarray:
    """Whether the label is among the k highest scores, bool (V,); of equal scores the lower class wins.

    Raises:
        ContractError: A score is NaN, or the shapes do not fit.
    """
    if scores_VK.ndim != 2 or labels_V.shape != scores_VK.shape[:1] or np.isnan(scores_VK).any():
        raise ContractError(
            f"top-k needs scores (V, K) without NaN and labels (V,); got {scores_VK.shape} and "
            f"{labels_V.shape}, {int(np.isnan(scores_VK).sum())} NaN."
        )
    own_V1 = np.take_along_axis(scores_VK, labels_V[:, None], axis=1)
    lower_K = np.arange(scores_VK.shape[1])[None, :] < labels_V[:, None]
    ahead = (scores_VK > own_V1) | ((scores_VK == own_V1) & lower_K)
    correct: np.ndarray = ahead.sum(axis=1) < k
    return correct


def classification_metrics(scores_VK: np.ndarray, labels_V: np.ndarray) -> dict[str, Metric]:
    """`top1`, `top5` where there are more than five classes, and `mean_class_accuracy`, in percent.

    Mean class accuracy averages the accuracies of the classes that occur; it is no mean over videos and
    so has no values per video.
    """
    num_classes = scores_VK.shape[1]
    correct_V = top_k_correct(scores_VK, labels_V, k=1)
    metrics = {"top1": _share(correct_V, chance=100.0 / num_classes)}
    if num_classes > 5:
        metrics["top5"] = _share(top_k_correct(scores_VK, labels_V, k=5), chance=500.0 / num_classes)
    by_class = [correct_V[labels_V == label].mean() for label in np.unique(labels_V)]
    metrics["mean_class_accuracy"] = Metric(100.0 * float(np.mean(by_class)), chance=100.0 / num_classes)
    return metrics


def _share(hit_V: np.ndarray, *, chance: float) -> Metric:
    per_video = 100.0 * hit_V.astype(np.float64)
    return Metric(float(per_video.mean()), per_video=per_video, chance=chance)


# ------------------------------------------------------------------------------------------- retrieval


def recall_at_k(
    neighbour_labels_VR: np.ndarray, labels_V: np.ndarray, *, gallery_labels_G: np.ndarray, ks: Sequence[int]
) -> Mapping[str, Metric]:
    """`R@k` in percent for each k: is one of the k nearest gallery videos of the query's class?

    Raises:
        ContractError: A k needs more neighbours than there are.
    """
    if max(ks) > neighbour_labels_VR.shape[1]:
        raise ContractError(f"R@{max(ks)} needs {max(ks)} neighbours; got {neighbour_labels_VR.shape[1]}.")
    same_VR = neighbour_labels_VR == labels_V[:, None]
    return {
        f"R@{k}": _share(same_VR[:, :k].any(axis=1), chance=recall_chance(labels_V, gallery_labels_G, k=k))
        for k in ks
    }


def recall_chance(labels_V: np.ndarray, gallery_labels_G: np.ndarray, *, k: int) -> float:
    """R@k of k random gallery videos, in percent: 1 - C(G - g, k) / C(G, k), g of them of the class."""
    size = len(gallery_labels_G)
    classes, where_V = np.unique(labels_V, return_inverse=True)
    others = size - (gallery_labels_G[None, :] == classes[:, None]).sum(axis=1)
    kept = np.maximum(others, k)  # with fewer others than k a miss is impossible, whatever stands here
    log_miss = gammaln(kept + 1) - gammaln(kept - k + 1) - gammaln(size + 1) + gammaln(size - k + 1)
    hit = 1.0 - np.where(others >= k, np.exp(log_miss), 0.0)
    return 100.0 * float(hit[where_V].mean())
