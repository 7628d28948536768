"""What a classifier's stored scores say of each class and each video; needs neither torch nor any plugin.

Axes: V video, K class, R rank (nearest first).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

__all__ = ["are_neighbours", "are_scores", "class_accuracies", "confusion", "hardest", "true_class_scores"]


def are_scores(arrays: Mapping[str, np.ndarray], *, num_videos: int, num_classes: int) -> bool:
    """Whether an evaluation left finite `scores` (V, K) and the `labels` (V,) that they are held against."""
    scores, labels = arrays.get("scores"), arrays.get("labels")
    if scores is None or labels is None or num_videos == 0:
        return False
    return (
        scores.shape == (num_videos, num_classes)
        and scores.dtype.kind == "f"
        and bool(np.isfinite(scores).all())
        and _are_indices(labels, (num_videos,), bound=num_classes)
    )


def are_neighbours(arrays: Mapping[str, np.ndarray], *, num_videos: int, num_gallery: int) -> bool:
    """Whether an evaluation left `indices` (V, R) into the training videos, nearest first."""
    indices = arrays.get("indices")
    if indices is None or indices.ndim != 2 or 0 in indices.shape:
        return False
    return _are_indices(indices, (num_videos, indices.shape[1]), bound=num_gallery)


def _are_indices(array: np.ndarray, shape: tuple[int, ...], *, bound: int) -> bool:
    whole = array.shape == shape and array.dtype.kind in "iu"
    return whole and bool((array >= 0).all() and (array < bound).all())


def confusion(scores_VK: np.ndarray, labels_V: np.ndarray) -> np.ndarray:
    """Videos (K, K) of each true class (row) by predicted class; of equal scores the lower class wins."""
    num_classes = scores_VK.shape[1]
    counts_KK = np.zeros((num_classes, num_classes), dtype=np.int64)
    np.add.at(counts_KK, (labels_V, scores_VK.argmax(axis=1)), 1)
    return counts_KK


def class_accuracies(confusion_KK: np.ndarray) -> np.ndarray:
    """Accuracy (K,) of each class in percent; NaN for classes without a test video."""
    totals_K = confusion_KK.sum(axis=1)
    shares_K = 100.0 * np.diag(confusion_KK) / np.maximum(totals_K, 1)
    return np.where(totals_K > 0, shares_K, np.nan)


def true_class_scores(scores_VK: np.ndarray, labels_V: np.ndarray) -> tuple[np.ndarray, str]:
    """How well each video's own class did (V,), and what that is: `probability`, or `margin`.

    Where every row is a distribution it is the probability of the true class; else the score of the true
    class minus the highest other one, which needs no scale.
    """
    own_V = np.take_along_axis(scores_VK, labels_V[:, None], axis=1)[:, 0].astype(np.float64)
    if (scores_VK >= 0).all() and np.allclose(scores_VK.sum(axis=1), 1.0, atol=1e-3):
        return own_V, "probability"
    others_VK = scores_VK.astype(np.float64)
    others_VK[np.arange(len(labels_V)), labels_V] = -np.inf
    return own_V - others_VK.max(axis=1), "margin"


def hardest(scores_VK: np.ndarray, labels_V: np.ndarray, *, count: int) -> np.ndarray:
    """Rows of the videos whose own class did worst, the worst first; ties in the order of the videos."""
    return np.argsort(true_class_scores(scores_VK, labels_V)[0], kind="stable")[:count]
