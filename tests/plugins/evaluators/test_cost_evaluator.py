"""Cost: counts against sums by hand, what a step touches, clips that are too few, and what is written.

No time is asserted: only that there are as many as were asked for, and which rate follows from them.
"""

from __future__ import annotations

import json
from typing import ClassVar

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from vssl_core.cost import count_flops
from vssl_core.errors import DatasetError
from vssl_core.precision import FORMATS
from vssl_core.types import ClipSpec
from vssl_plugins.backbones.r3d import R3D, R3DOptions
from vssl_plugins.evaluators import cost as cost_evaluator
from vssl_plugins.evaluators.cost import Cost, CostOptions, Timing, _clips, measure


def cost(**options: object) -> Cost:
    return Cost(CostOptions(**{"batch_sizes": (4,), "warmup": 1, "repeats": 3, **options}))


@pytest.fixture
def tiny(backbone) -> type:
    """The class of the tiny backbone, to derive from."""
    return type(backbone)


def test_counts_are_those_of_a_sum_by_hand(make_data, backbone, context) -> None:
    result = cost().evaluate(backbone, make_data(), context)
    weights = 8 * 3 * 27 + 8 + 2 * 8 + 12 * 8 * 27 + 12 + 2 * 12
    assert result.metrics["parameters"].value == pytest.approx(weights / 1e6)
    multiplies = (1 * 4 * 4) * 8 * 3 * 27 + (1 * 1 * 1) * 12 * 8 * 27
    norms = 2 * (1 * 4 * 4) * 8 + 2 * 12  # fvcore counts two for each value of a normalisation
    assert result.metrics["gflops"].value * 1e9 == pytest.approx(2 * (multiplies + norms), rel=0.02)
    assert {name: metric.unit for name, metric in result.metrics.items()} == {
        "forward@4": "clips/s",
        "training@4": "clips/s",
        "peak_memory@4": "MiB",
        "gflops": "GFLOPs",
        "parameters": "M",
    }
    better = {name for name, metric in result.metrics.items() if metric.higher_is_better}
    assert better == {"forward@4", "training@4"}


def test_rates_are_those_of_the_median_repeat(make_data, backbone, context) -> None:
    result = cost(batch_sizes=(4, 2), repeats=5).evaluate(backbone, make_data(), context)
    assert result.arrays["batch_sizes"].tolist() == [4, 2]
    for name in ("forward", "training"):
        seconds_SR = result.arrays[f"{name}_seconds"]
        assert seconds_SR.shape == (2, 5)
        assert (seconds_SR > 0).all()
        for size, seconds_R in zip((4, 2), seconds_SR, strict=True):
            rate = result.metrics[f"{name}@{size}"].value
            assert rate == pytest.approx(size / sorted(seconds_R)[2])
    assert next(iter(result.metrics)) == "forward@4"


def test_quartiles_are_stated_slowest_first() -> None:
    seconds = np.array([1.0, 2.0, 4.0, 8.0, 16.0])
    timing = Timing(8, seconds, seconds / 2, before_mib=1.0, peak_mib=2.0, peak_counted_anew=True)
    assert timing.rate(seconds) == 2.0
    assert timing.summary()["clips_per_second_quartiles"] == {
        "forward": [1.0, 2.0, 4.0],
        "training": [2.0, 4.0, 8.0],
    }


def test_forward_is_scoring_and_training_is_training_on_batches_of_the_size(make_data, tiny, context) -> None:
    class Watched(tiny):
        seen: ClassVar[list[object]] = []

        def forward_features(self, video_BCTHW: Tensor) -> Tensor:
            if not torch.jit.is_tracing():
                self.seen.append((len(video_BCTHW), self.training, torch.is_grad_enabled()))
            return super().forward_features(video_BCTHW)

    backbone = Watched()
    cost(batch_sizes=(5,), warmup=2, repeats=3).evaluate(backbone, make_data(), context)
    assert backbone.seen == [(5, False, False)] * 5 + [(5, True, True)] * 5


def test_the_optimiser_works_on_every_weight_and_changes_none(backbone, monkeypatch) -> None:
    before = [weight.clone() for weight in backbone.parameters()]
    given: list[Tensor] = []
    step = torch.optim.AdamW.step

    def noting(self, *rest):
        given.extend(p for group in self.param_groups for p in group["params"] if p.grad is not None)
        return step(self, *rest)

    monkeypatch.setattr(torch.optim.AdamW, "step", noting)
    measure(backbone, torch.randn(4, 3, 2, 8, 8), warmup=1, repeats=2)
    assert len(given) == 3 * len(before)
    for weight, kept in zip(backbone.parameters(), before, strict=True):
        assert torch.equal(weight, kept)


def test_fewer_videos_than_a_batch_are_taken_again_in_the_runs_memory_format(make_data) -> None:
    part = make_data(train=[0, 1, 2]).train
    part.clips = part.clips.clone()
    first = part.clips[:, 0].contiguous(memory_format=FORMATS["channels_last_3d"])
    part.batches = lambda **_: iter([(first[:2], None, None), (first[2:], None, None)])
    video = _clips(part, 7)
    assert torch.equal(video, first[[0, 1, 2, 0, 1, 2, 0]])
    assert video.is_contiguous(memory_format=FORMATS["channels_last_3d"])
    assert torch.equal(_clips(part, 2), first[:2])


def test_labels_and_test_videos_are_not_needed(make_data, backbone, context) -> None:
    data = make_data(train=[None] * 6)
    cost().evaluate(backbone, data, context)
    assert not data.opened
    with pytest.raises(DatasetError, match="train part holds none"):
        cost().evaluate(backbone, make_data(train=[]), context)


def test_what_cannot_be_counted_is_named_by_the_run_and_in_the_file(make_data, tiny, context, said) -> None:
    class Sorting(tiny):
        def forward_features(self, video_BCTHW: Tensor) -> Tensor:
            return super().forward_features(video_BCTHW).sort(1)[0]

    cost().evaluate(Sorting(), make_data(), context)
    document = json.loads((context.folder / "cost.json").read_text())
    assert document["unsupported_operators"] == {"aten::sort": 1}
    assert any("aten::sort (1 x)" in line for line in said.lines)
    (measured,) = document["measured"]
    assert measured["batch_size"] == 4
    assert measured["peak_memory_mib"] >= measured["memory_before_mib"] > 0
    assert measured["peak_counted_anew"] in (True, False)


def test_a_backbone_that_can_be_counted_whole_is_not_complained_about(
    make_data, backbone, context, said
) -> None:
    cost().evaluate(backbone, make_data(), context)
    assert json.loads((context.folder / "cost.json").read_text())["unsupported_operators"] == {}
    assert not any("cannot be counted" in line for line in said.lines)


def test_the_precision_is_that_of_the_run(tiny) -> None:
    dtypes = []

    class Noting(tiny):
        def forward_features(self, video_BCTHW: Tensor) -> Tensor:
            features = super().forward_features(video_BCTHW)
            dtypes.append(features.dtype)
            return features

    def autocast() -> torch.autocast:
        return torch.autocast("cpu", torch.bfloat16)

    measure(Noting(), torch.randn(2, 3, 2, 8, 8), warmup=1, repeats=1, autocast=autocast)
    assert dtypes == [torch.bfloat16] * 4


@pytest.mark.parametrize(
    "options", [{"batch_sizes": ()}, {"batch_sizes": (0,)}, {"warmup": 0}, {"repeats": 0}]
)
def test_options_out_of_range_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        CostOptions(**options)


def test_the_example_of_the_page_runs(capsys) -> None:
    names = {
        "R3D": R3D, "R3DOptions": R3DOptions, "ClipSpec": ClipSpec, "measure": measure, "torch": torch,
        "count_flops": count_flops,
    }  # fmt: skip
    lines = [line for line in cost_evaluator.__doc__.splitlines() if line.startswith("    ")]
    exec("\n".join(line.removeprefix("    ") for line in lines), names)
    assert capsys.readouterr().out.endswith("MiB\n")
    assert names["gflops"] > 0.5
    assert names["unsupported"] == {}


def test_the_global_generator_stays_where_it_was(make_data, backbone, context) -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    cost().evaluate(backbone, make_data(), context)
    assert torch.equal(torch.rand(3), expected)
