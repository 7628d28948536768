"""Confusions, accuracies of classes and the hardest videos, against counting by hand."""

from __future__ import annotations

import numpy as np
import pytest

from vssl_core.outcomes import (
    are_neighbours,
    are_scores,
    class_accuracies,
    confusion,
    hardest,
    true_class_scores,
)

SCORES_VK = np.array([[0.7, 0.2, 0.1], [0.5, 0.4, 0.1], [0.1, 0.1, 0.8], [0.4, 0.4, 0.2]], np.float32)
LABELS_V = np.array([0, 1, 2, 1])


def test_confusion_counts_true_by_predicted_and_the_lower_class_wins_a_tie() -> None:
    assert confusion(SCORES_VK, LABELS_V).tolist() == [[1, 0, 0], [2, 0, 0], [0, 0, 1]]


def test_accuracies_are_those_of_each_class_and_nothing_is_said_of_an_absent_one() -> None:
    accuracies_K = class_accuracies(np.array([[3, 1, 0], [0, 0, 0], [1, 0, 1]]))
    np.testing.assert_allclose(accuracies_K, [75.0, np.nan, 50.0])


def test_distributions_are_judged_by_their_probability_and_the_worst_comes_first() -> None:
    values, name = true_class_scores(SCORES_VK, LABELS_V)
    assert name == "probability"
    np.testing.assert_allclose(values, [0.7, 0.4, 0.8, 0.4], rtol=1e-6)
    assert hardest(SCORES_VK, LABELS_V, count=3).tolist() == [1, 3, 0]


def test_other_scores_are_judged_by_their_margin() -> None:
    values, name = true_class_scores(np.array([[3.0, -1.0], [2.0, 5.0]]), np.array([1, 1]))
    assert name == "margin"
    assert values.tolist() == [-4.0, 3.0]


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"scores": SCORES_VK[:3]}, "videos are missing"),
        ({"scores": SCORES_VK[:, :2]}, "a class is missing"),
        ({"scores": np.full_like(SCORES_VK, np.nan)}, "not finite"),
        ({"labels": LABELS_V.astype(float)}, "labels are no integers"),
        ({"labels": LABELS_V + 2}, "a label is out of range"),
    ],
)
def test_arrays_of_another_meaning_are_left_alone(changed: dict[str, np.ndarray], why: str) -> None:
    arrays = {"scores": SCORES_VK, "labels": LABELS_V}
    assert are_scores(arrays, num_videos=4, num_classes=3)
    assert not are_scores({**arrays, **changed}, num_videos=4, num_classes=3), why


def test_neighbours_are_places_in_the_gallery() -> None:
    indices_VR = np.array([[0, 4], [1, 2]])
    assert are_neighbours({"indices": indices_VR}, num_videos=2, num_gallery=5)
    for array in (indices_VR - 1, indices_VR + 1, indices_VR[0], indices_VR.astype(float), indices_VR[:1]):
        assert not are_neighbours({"indices": array}, num_videos=2, num_gallery=5)
    assert not are_neighbours({}, num_videos=2, num_gallery=5)
