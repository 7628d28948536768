"""Stored arrays of an evaluation as what they say of classes and videos.

Axes: V video, K class.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vssl_core.errors import StoreError
from vssl_core.examples import read_names
from vssl_core.outcomes import are_scores, class_accuracies, confusion, true_class_scores
from vssl_core.rows import Row

__all__ = ["Judged", "most_confused", "read_judged"]


@dataclass(frozen=True, slots=True)
class Judged:
    """What a classifier said of every test video.

    Args:
        classes: Names of the classes; their numbers where the bundle, an older one, does not name them.
        video_ids: The test videos.
        labels_V: True classes.
        predicted_V: Predicted classes.
        own_V: How well each video's own class did.
        measure: What that is: `probability` or `margin`.
        confusion_KK: Videos by true and predicted class.
    """

    classes: tuple[str, ...]
    video_ids: tuple[str, ...]
    labels_V: np.ndarray
    predicted_V: np.ndarray
    own_V: np.ndarray
    measure: str
    confusion_KK: np.ndarray

    @property
    def accuracies(self) -> list[tuple[str, float, int]]:
        """Class, accuracy in percent and videos, of every class with test videos; the worst first."""
        totals_K = self.confusion_KK.sum(axis=1)
        found = zip(self.classes, class_accuracies(self.confusion_KK), totals_K, strict=True)
        kept = [(name, float(share), int(count)) for name, share, count in found if count]
        return sorted(kept, key=lambda entry: (entry[1], entry[0]))

    def hardest(self, count: int) -> list[int]:
        """Rows of the videos whose own class did worst."""
        return [int(row) for row in np.argsort(self.own_V, kind="stable")[:count]]


def most_confused(confusion_KK: np.ndarray, classes: Sequence[str], *, count: int) -> list[tuple[Any, ...]]:
    """(true, predicted, videos, share of the true class in percent) of the most frequent mistakes."""
    wrong_KK = confusion_KK - np.diag(np.diag(confusion_KK))
    order = np.argsort(-wrong_KK, axis=None, kind="stable")[:count]
    pairs = [divmod(int(place), len(classes)) for place in order]
    totals_K = confusion_KK.sum(axis=1)
    return [
        (classes[own], classes[other], int(wrong_KK[own, other]), 100 * wrong_KK[own, other] / totals_K[own])
        for own, other in pairs
        if wrong_KK[own, other]
    ]


def read_judged(folder: Path, rows: Sequence[Row]) -> Judged | None:
    """An evaluation's scores; None where it left none that can be understood.

    Args:
        folder: The evaluation's folder.
        rows: Its rows; one with values per video names the videos of an older bundle.

    Raises:
        StoreError: A file that is there cannot be read.
    """
    arrays = {name: _array(folder / f"{name}.npy") for name in ("scores", "labels")}
    known = {name: array for name, array in arrays.items() if array is not None}
    if len(known) < len(arrays) or known["scores"].ndim != 2:
        return None
    classes, video_ids = _names(folder, rows, num_classes=known["scores"].shape[1])
    if not are_scores(known, num_videos=len(video_ids), num_classes=len(classes)):
        return None
    scores_VK, labels_V = known["scores"], known["labels"]
    own_V, measure = true_class_scores(scores_VK, labels_V)
    return Judged(
        classes=classes,
        video_ids=video_ids,
        labels_V=labels_V,
        predicted_V=scores_VK.argmax(axis=1),
        own_V=own_V,
        measure=measure,
        confusion_KK=confusion(scores_VK, labels_V),
    )


def _array(path: Path) -> np.ndarray | None:
    if not path.exists():
        return None
    try:
        array: np.ndarray = np.load(path, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise StoreError(f"cannot read {str(path)!r}: {error}.") from error
    return array


def _names(folder: Path, rows: Sequence[Row], *, num_classes: int) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Classes and videos; an older bundle gives their number, and a file of values per video."""
    names = read_names(folder)
    if names is not None:
        return names.classes, tuple(video.video_id for video in names.videos)
    classes = tuple(f"class {number}" for number in range(num_classes))
    file = next((folder / Path(row.per_video).name for row in rows if row.per_video), None)
    if file is None or not file.exists():
        return classes, ()
    with file.open(encoding="utf-8", newline="") as lines:
        return classes, tuple(line.get("video_id") or "" for line in csv.DictReader(lines))
