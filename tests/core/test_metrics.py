"""Scores to metrics: values by hand, ties, chance, and labels that cannot be scored."""

from __future__ import annotations

from itertools import combinations
from types import SimpleNamespace

import numpy as np
import pytest

from vssl_core.errors import ContractError, DatasetError, DivergedError
from vssl_core.metrics import (
    average_clips,
    check_features,
    check_labels,
    classification_metrics,
    recall_at_k,
    recall_chance,
    top_k_correct,
    unseen_classes,
)
from vssl_core.types import VideoRecord


def part(labels: list[int | None]) -> SimpleNamespace:
    records = [VideoRecord(f"v{row}", f"/v{row}", label) for row, label in enumerate(labels)]
    return SimpleNamespace(records=records, labels=np.array([-1 if x is None else x for x in labels]))


def test_clip_scores_are_averaged_per_video_in_any_order() -> None:
    scores = np.array([[1.0, 0.0], [0.0, 1.0], [0.5, 0.5], [0.1, 0.9]])
    rows = np.array([1, 0, 1, 0])
    mean = average_clips(scores, rows, num_videos=2)
    np.testing.assert_allclose(mean, [[0.05, 0.95], [0.75, 0.25]])
    order = np.array([3, 1, 0, 2])
    np.testing.assert_array_equal(average_clips(scores[order], rows[order], num_videos=2), mean)


@pytest.mark.parametrize("rows", [[0, 0, 0], [0, 0, 1], [0, 1, 2], [-1, 0, 1], [0, 1]])
def test_clips_that_do_not_cover_the_videos_evenly_are_refused(rows: list[int]) -> None:
    with pytest.raises(ContractError, match=r"needs a row|same number of clips"):
        average_clips(np.zeros((3, 2)), np.array(rows), num_videos=2)


def test_top_k_by_hand_with_ties_going_to_the_lower_class() -> None:
    scores = np.array([[0.1, 0.7, 0.2], [0.5, 0.5, 0.0], [0.5, 0.5, 0.0], [1 / 3, 1 / 3, 1 / 3]])
    labels = np.array([2, 0, 1, 2])
    assert top_k_correct(scores, labels, k=1).tolist() == [False, True, False, False]
    assert top_k_correct(scores, labels, k=2).tolist() == [True, True, True, False]
    assert top_k_correct(scores, labels, k=3).all()


def test_top_1_is_argmax() -> None:
    generator = np.random.default_rng(0)
    scores = generator.integers(0, 4, (200, 7)) / 4.0
    labels = generator.integers(0, 7, 200)
    np.testing.assert_array_equal(top_k_correct(scores, labels, k=1), scores.argmax(axis=1) == labels)


def test_nan_scores_are_refused() -> None:
    with pytest.raises(ContractError, match="1 NaN"):
        top_k_correct(np.array([[np.nan, 1.0]]), np.array([0]), k=1)


def test_classification_metrics_by_hand() -> None:
    scores = np.eye(6)[[0, 0, 0, 1]]
    metrics = classification_metrics(scores, np.array([0, 0, 0, 5]))
    assert list(metrics) == ["top1", "top5", "mean_class_accuracy"]
    assert metrics["top1"].value == 75.0
    assert metrics["top1"].per_video.tolist() == [100.0, 100.0, 100.0, 0.0]
    assert metrics["top1"].chance == pytest.approx(100 / 6)
    # Class 5 ties with three zeros of lower classes and stands behind the one that was predicted: fifth is 4.
    assert metrics["top5"].value == 75.0
    assert metrics["top5"].chance == pytest.approx(500 / 6)
    assert metrics["mean_class_accuracy"].value == 50.0
    assert metrics["mean_class_accuracy"].per_video is None


def test_top5_needs_more_than_five_classes() -> None:
    assert "top5" not in classification_metrics(np.eye(5), np.arange(5))


def test_recall_by_hand() -> None:
    neighbours = np.array([[0, 1, 1], [0, 0, 1], [0, 0, 0]])
    recall = recall_at_k(
        neighbours, np.array([0, 1, 1]), gallery_labels_G=np.array([0, 0, 0, 1, 1]), ks=[1, 3]
    )
    assert recall["R@1"].per_video.tolist() == [100.0, 0.0, 0.0]
    assert recall["R@3"].per_video.tolist() == [100.0, 100.0, 0.0]
    with pytest.raises(ContractError, match="R@4 needs 4 neighbours; got 3"):
        recall_at_k(neighbours, np.array([0, 1, 1]), gallery_labels_G=np.array([0, 1]), ks=[4])


@pytest.mark.parametrize("k", [1, 2, 4, 6])
def test_recall_chance_is_the_share_of_all_subsets_that_hit(k: int) -> None:
    gallery, queries = np.array([0, 0, 1, 2, 2, 2]), np.array([0, 2, 2, 3])
    subsets = list(combinations(gallery, k))
    hits = [sum(label in subset for subset in subsets) / len(subsets) for label in queries]
    assert recall_chance(queries, gallery, k=k) == pytest.approx(100 * np.mean(hits))


def test_labels_pass_through() -> None:
    labels = check_labels(part([0, 1, 1]), ["a", "b"], name="test")
    assert labels.tolist() == [0, 1, 1]
    assert labels.dtype == np.int64
    assert unseen_classes(np.array([0, 0]), labels, ["a", "b"]) == ["b"]


@pytest.mark.parametrize(
    ("labels", "classes", "error", "says"),
    [
        ([0, None, None], ["a", "b"], DatasetError, "2 of 3 have none, the first is 'v1'"),
        ([], ["a", "b"], DatasetError, "the test part of the target dataset holds no video"),
        ([0, 0], ["a"], DatasetError, "at least two classes; got 1"),
        ([0], [], DatasetError, "got 0 .it is unlabelled"),
        ([0, 2], ["a", "b"], ContractError, "from 0 to 1; got 0 to 2"),
    ],
)
def test_labels_that_cannot_be_scored(
    labels: list[int | None], classes: list[str], error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says):
        check_labels(part(labels), classes, name="test")


def test_features_are_checked() -> None:
    features = np.zeros((2, 3, 4), np.float32)
    assert check_features(features, num_videos=2, num_clips=3, name="test") is features
    with pytest.raises(ContractError, match=r"\(2, 1, D\); got \(2, 3, 4\)"):
        check_features(features, num_videos=2, num_clips=1, name="test")
    features[1, 0, 0] = np.inf
    with pytest.raises(DivergedError, match="1 of 2 test videos"):
        check_features(features, num_videos=2, num_clips=3, name="test")
