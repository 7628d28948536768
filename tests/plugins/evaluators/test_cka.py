"""The CKA evaluator: which clips it takes, what it writes, and the numbers that it gives."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import nn

from vssl_core.errors import DatasetError, DivergedError, UsageError
from vssl_plugins.evaluators.cka import CKA, CKAOptions, compare

NAMES = ["stem.0", "stem.1", "stem.2", "last.0", "last.1", "last.2"]


def cka(**options: object) -> CKA:
    return CKA(CKAOptions(**options))


def layers_file(context) -> dict:
    return json.loads((context.folder / "layers.json").read_text())


def test_a_map_of_a_network_with_itself(make_data, backbone, context) -> None:
    result = cka().evaluate(backbone, make_data(test=[0, 1, 2] * 8), context)
    found = result.arrays["cka"]
    assert found.shape == (6, 6)
    np.testing.assert_allclose(np.diag(found), 1, atol=1e-9)
    assert list(result.metrics) == [
        "block_share", "block_layers", "num_blocks", "grid_share", "off_diagonal_mean",
        "first_component_mean", "first_component_max",
    ]  # fmt: skip
    metrics = {name: metric.value for name, metric in result.metrics.items()}
    assert metrics["off_diagonal_mean"] == pytest.approx(found[~np.eye(6, dtype=bool)].mean())
    assert metrics["block_share"] == pytest.approx(metrics["block_layers"] / 6)
    shares = result.arrays["first_component"]
    assert metrics["first_component_mean"] == pytest.approx(shares.mean())
    assert metrics["first_component_max"] == pytest.approx(shares.max())
    assert result.arrays["block_share_by_threshold"].shape[1] == 2
    assert all(m.higher_is_better is None and m.unit != "%" for m in result.metrics.values())
    document = layers_file(context)
    assert document["layers"] == NAMES
    assert document["batch_sizes"] == [24]
    assert sorted(document["video_ids"]) == [f"test/{row:03d}" for row in range(24)]


def test_it_is_what_compare_gives_for_the_same_clips(make_data, backbone, context) -> None:
    data = make_data(test=[0, 1, 2] * 8)
    result = cka(num_clips=2, batch_size=20).evaluate(backbone, data, context)
    document = layers_file(context)
    assert document["batch_sizes"] == [16, 16, 16]  # 48 clips in batches of at most 20
    rows = [int(name.split("/")[1]) for name in document["video_ids"]]
    assert rows != sorted(rows)  # drawn across classes
    clips = data.test().clips[rows, :2].flatten(0, 1)
    again = compare(backbone, batches=clips.split(16))
    np.testing.assert_allclose(result.arrays["cka"], again.cka, atol=1e-6)


def test_videos_do_not_depend_on_the_order_of_records(make_data, backbone, context) -> None:
    data = make_data(test=[0, 1, 2] * 8)
    first = cka(num_videos=10, batch_size=5).evaluate(backbone, data, context).arrays["cka"]
    names = layers_file(context)["video_ids"]
    assert len(names) == 10
    part = data.test()
    turned = make_data(test=[0, 1, 2] * 8)
    turned.parts["test"].records = part.records[::-1]
    turned.parts["test"].labels = part.labels[::-1].copy()
    turned.parts["test"].clips = part.clips.flip(0)
    second = cka(num_videos=10, batch_size=5).evaluate(backbone, turned, context).arrays["cka"]
    assert layers_file(context)["video_ids"] == names
    np.testing.assert_allclose(first, second, atol=1e-6)


@pytest.mark.parametrize(("videos", "size", "expected"), [(9, 4, [5, 4]), (7, 4, [7]), (4, 256, [4])])
def test_no_clip_is_dropped_and_no_batch_is_too_small(
    make_data, backbone, context, videos, size, expected
) -> None:
    cka(batch_size=size).evaluate(backbone, make_data(test=[0, 1, 2] * 3, num_classes=3), context)
    assert sum(layers_file(context)["batch_sizes"]) == 9
    cka(batch_size=size, num_videos=videos).evaluate(backbone, make_data(test=[0, 1, 2] * 3), context)
    assert layers_file(context)["batch_sizes"] == expected


def test_two_networks(make_data, backbone, context) -> None:
    other = type(backbone)()
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
    asked: list[str] = []

    def cell(cell_id: str):
        asked.append(cell_id)
        return other

    result = cka(other="some-cell").evaluate(
        backbone, make_data(test=[0, 1, 2] * 8), replace(context, cell=cell)
    )
    assert asked == ["some-cell"]
    found = result.arrays["cka"]
    assert list(result.metrics) == ["mean", "best_match_mean", "same_layer_mean"]
    assert result.metrics["mean"].value == pytest.approx(found.mean())
    assert result.metrics["best_match_mean"].value == pytest.approx(found.max(axis=1).mean())
    assert result.metrics["same_layer_mean"].value == pytest.approx(np.diag(found).mean())
    assert result.metrics["same_layer_mean"].value < 1
    assert np.abs(found - found.T).max() > 1e-4
    document = layers_file(context)
    assert document["other"] == "some-cell"
    assert document["other_layers"]["layers"] == NAMES


def test_a_cell_that_is_not_there_is_said(make_data, backbone, context) -> None:
    with pytest.raises(UsageError, match="'missing' was asked for"):
        cka(other="missing").evaluate(backbone, make_data(), context)


def test_hooks(make_data, backbone, context) -> None:
    data = make_data(test=[0, 1, 2] * 4)
    assert cka(hooks="block").evaluate(backbone, data, context).arrays["cka"].shape == (2, 2)
    assert layers_file(context)["layers"] == ["stem", "last"]
    found = cka(hooks="all").evaluate(backbone, data, context).arrays["cka"]
    document = layers_file(context)
    assert document["layers"] == [*NAMES[:3], "stem", *NAMES[3:], "last", "(whole)"]
    assert document["twins"] == {"stem": "stem.2", "last": "last.2"}
    assert found[2, 3] == pytest.approx(1.0)


def test_blocks_stand_in_the_file(make_data, backbone, context) -> None:
    result = cka(threshold=0.01).evaluate(backbone, make_data(test=[0, 1, 2] * 8), context)
    (begin, end), *rest = layers_file(context)["blocks"]
    assert end - begin == result.metrics["block_layers"].value
    assert len(rest) + 1 == result.metrics["num_blocks"].value


def test_too_few_clips_and_dead_networks_are_refused(make_data, backbone, context) -> None:
    with pytest.raises(DatasetError, match=r"at least 4 clips.*has 3 videos"):
        cka().evaluate(backbone, make_data(test=[0, 1, 2]), context)
    assert cka(num_clips=2).evaluate(backbone, make_data(test=[0, 1, 2]), context).metrics
    nn.init.zeros_(backbone.stem[0].weight)
    with pytest.raises(DivergedError, match="tells the clips apart"):
        cka().evaluate(backbone, make_data(), context)


def test_a_dead_layer_leaves_numbers_finite(make_data, backbone, context) -> None:
    nn.init.zeros_(backbone.last[0].weight)
    result = cka().evaluate(backbone, make_data(), context)
    assert np.isnan(result.arrays["cka"][3:]).all()
    assert all(np.isfinite(metric.value) for metric in result.metrics.values())


@pytest.mark.parametrize(
    "options", [{"batch_size": 3}, {"num_videos": 3}, {"threshold": 1.0}, {"hooks": "some"}]
)
def test_options_that_cannot_be_meant_are_refused(options) -> None:
    with pytest.raises(ValidationError):
        CKAOptions(**options)
