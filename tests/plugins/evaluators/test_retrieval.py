"""Retrieval: neighbours against a plain loop, ks and galleries of every size, and bad data."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from vssl_core.errors import ContractError, DatasetError, DivergedError
from vssl_plugins.evaluators.retrieval import Retrieval, RetrievalOptions


def retrieval(**options: object) -> Retrieval:
    return Retrieval(RetrievalOptions(**options))


def test_neighbours_and_metrics_are_those_of_a_plain_loop(make_data, backbone, context) -> None:
    data = make_data(signal=0.3)
    gallery = data.train.features(backbone, num_clips=3).astype(np.float64).mean(axis=1)
    gallery_labels = data.train.labels
    result = retrieval(ks=(1, 5), knn_k=4, temperature=0.5).evaluate(backbone, data, context)
    test = data.test()
    hits: dict[str, list[float]] = {"R@1": [], "R@5": [], "knn_top1": []}
    for row, query in enumerate(test.features(backbone, num_clips=3).astype(np.float64).mean(axis=1)):
        cosine = [query @ g / np.linalg.norm(query) / np.linalg.norm(g) for g in gallery]
        nearest = sorted(range(len(cosine)), key=lambda i: -cosine[i])
        assert result.arrays["indices"][row].tolist() == nearest[:5]
        label = test.labels[row]
        hits["R@1"].append(100.0 * (gallery_labels[nearest[0]] == label))
        hits["R@5"].append(100.0 * (label in gallery_labels[nearest[:5]]))
        votes = np.zeros(3)
        for i in nearest[:4]:
            votes[gallery_labels[i]] += np.exp(cosine[i] / 0.5)
        hits["knn_top1"].append(100.0 * (votes.argmax() == label))
    assert list(result.metrics) == list(hits)
    for name, expected in hits.items():
        assert result.metrics[name].per_video.tolist() == expected
        assert result.metrics[name].value == pytest.approx(np.mean(expected))
    assert 0 < result.metrics["R@1"].value < 100  # else the loop would prove little


def test_several_numbers_of_voters_weighted_or_equal(make_data, backbone, context) -> None:
    data = make_data(signal=0.3)
    result = retrieval(knn_k=(9, 1, 4), vote="equal").evaluate(backbone, data, context)
    assert list(result.metrics)[-3:] == ["knn_top1", "knn_top1@1", "knn_top1@4"]
    nearest = data.parts["train"].labels[result.arrays["indices"]]
    for name, k in (("knn_top1", 9), ("knn_top1@1", 1), ("knn_top1@4", 4)):
        counts = np.stack([(nearest[:, :k] == label).sum(axis=1) for label in range(3)], axis=1)
        hit = 100.0 * (counts.argmax(axis=1) == data.test().labels)
        np.testing.assert_array_equal(result.metrics[name].per_video, hit)
    alone = retrieval(knn_k=9, vote="equal").evaluate(backbone, make_data(signal=0.3), context)
    assert alone.metrics["knn_top1"].value == result.metrics["knn_top1"].value
    weighted = retrieval(knn_k=9, temperature=0.01).evaluate(backbone, make_data(signal=0.3), context)
    assert not np.array_equal(weighted.metrics["knn_top1"].per_video, alone.metrics["knn_top1"].per_video)


def test_the_validation_part_joins_the_gallery_where_it_is_wanted(make_data, backbone, context) -> None:
    # Class 2 is shown by validation videos alone.
    data = make_data(train=[0, 1] * 8, validation=[2] * 4)
    result = retrieval(gallery="train_and_validation").evaluate(backbone, data, context)
    stored = json.loads((context.folder / "gallery.json").read_text())
    records = [*data.parts["train"].records, *data.parts["validation"].records]
    assert stored["video_ids"] == [record.video_id for record in records]
    assert stored["labels"] == [0, 1] * 8 + [2] * 4
    of_two = data.test().labels == 2
    assert result.metrics["R@1"].per_video[of_two].mean() > 50
    apart = retrieval().evaluate(backbone, make_data(train=[0, 1] * 8, validation=[2] * 4), context)
    assert apart.metrics["R@1"].per_video[of_two].max() == 0


def test_it_finds_known_classes(make_data, backbone, context) -> None:
    result = retrieval().evaluate(backbone, make_data(), context)
    assert result.metrics["R@1"].value > 90
    assert result.metrics["R@1"].chance == pytest.approx(100 / 3)
    assert result.metrics["knn_top1"].value > 90


def test_recall_grows_with_k(make_data, backbone, context) -> None:
    result = retrieval().evaluate(backbone, make_data(signal=0.0), context)
    values = [result.metrics[f"R@{k}"].value for k in (1, 5, 10, 20)]
    assert values == sorted(values)
    assert values[0] < values[-1]


def test_ks_beyond_the_gallery_are_left_out_with_a_reason(make_data, backbone, context, said) -> None:
    result = retrieval().evaluate(backbone, make_data(train=[0, 1, 2] * 4), context)
    assert list(result.metrics) == ["R@1", "R@5", "R@10", "knn_top1"]
    assert result.arrays["indices"].shape == (15, 12)  # as many as vote
    assert result.arrays["indices"].dtype == np.int32
    reason = "the gallery has 12 videos"
    assert said.lines == [f"retrieval: R@{k} is left out, {reason}." for k in (20, 50)]
    stored = json.loads((context.folder / "gallery.json").read_text())
    assert stored["left_out"] == {"R@20": reason, "R@50": reason}


def test_the_gallery_is_the_train_part_alone_and_is_stored(make_data, backbone, context) -> None:
    data = make_data()
    ids, labels = [record.video_id for record in data.train.records], data.train.labels
    retrieval().evaluate(backbone, data, context)
    stored = json.loads((context.folder / "gallery.json").read_text())
    assert stored["video_ids"] == ids
    assert stored["labels"] == labels.tolist()
    assert data.parts["validation"].asked == []
    assert data.parts["train"].asked == data.parts["test"].asked == [("features", context.num_test_clips)]


def test_ties_go_to_the_earlier_gallery_video(make_data, backbone, context) -> None:
    with torch.no_grad():
        for parameter in backbone.last.parameters():
            parameter.fill_(1.0)
        backbone.last[0].weight.zero_()  # every clip has the same features
    result = retrieval().evaluate(backbone, make_data(), context)
    assert (result.arrays["indices"] == np.arange(20)).all()


def test_the_number_of_queries_at_once_changes_nothing(make_data, backbone, context, monkeypatch) -> None:
    usual = retrieval().evaluate(backbone, make_data(signal=0.3), context)
    monkeypatch.setattr("vssl_plugins.evaluators.retrieval._QUERIES_AT_ONCE", 2)
    chunked = retrieval().evaluate(backbone, make_data(signal=0.3), context)
    np.testing.assert_array_equal(usual.arrays["indices"], chunked.arrays["indices"])


def test_a_small_temperature_does_not_overflow(make_data, backbone, context) -> None:
    nearest_only = retrieval(temperature=1e-6).evaluate(backbone, make_data(signal=0.3), context)
    np.testing.assert_array_equal(
        nearest_only.metrics["knn_top1"].per_video, nearest_only.metrics["R@1"].per_video
    )


def test_a_test_class_outside_the_gallery_is_said_and_missed(make_data, backbone, context, said) -> None:
    data = make_data(train=[0, 1] * 30, test=[0, 1, 2])
    result = retrieval().evaluate(backbone, data, context)
    assert result.metrics["R@50"].per_video[2] == 0
    assert said.lines == ["retrieval: no gallery video has the test classes class 2."]


@pytest.mark.parametrize(
    ("parts", "says"),
    [
        ({"train": [0, None]}, "every train video; 1 of 2 have none"),
        ({"test": [0, None]}, "every test video"),
        ({"train": []}, "the train part .* holds no video"),
        ({"test": []}, "the test part .* holds no video"),
        ({"train": [1, 1]}, "at least two classes; all 2 training videos are 'class 1'"),
        ({"num_classes": 1}, "at least two classes; got 1"),
    ],
)
def test_data_that_cannot_be_searched(make_data, backbone, context, parts, says) -> None:
    with pytest.raises(DatasetError, match=says):
        retrieval().evaluate(backbone, make_data(**parts), context)


def test_diverged_weights_are_named(make_data, backbone, context) -> None:
    with torch.no_grad():
        backbone.last[0].bias.fill_(float("inf"))
    with pytest.raises(DivergedError, match="not finite"):
        retrieval().evaluate(backbone, make_data(), context)


def test_after_the_test_part_the_others_are_closed(make_data, backbone, context) -> None:
    data = make_data()
    retrieval().evaluate(backbone, data, context)
    with pytest.raises(ContractError, match="closed"):
        _ = data.train


def test_options() -> None:
    assert RetrievalOptions(ks=(20, 5, 5)).ks == (1, 5, 20)
    with pytest.raises(ValidationError, match="at least 1"):
        RetrievalOptions(ks=(0, 1))
