"""A folder of five videos leaves one for the held-out metrics: too few for some signs of collapse."""

from __future__ import annotations

from pathlib import Path

import pytest
from small_bench import TINY
from tiny_dataset import drifting, write_video

import vssl_core
from vssl_core.curve import read_curve
from vssl_core.store import all_cells
from vssl_plugins.tasks.rotnet import RotNet

FEW = {"protocol": {"pretrain.batch_size": 4}}


class Undefined(RotNet):
    """A task whose loss is no number on held-out videos."""

    def forward(self, views, info):
        output = super().forward(views, info)
        return output if self.training else type(output)(output.loss * float("nan"), {}, {})


@pytest.fixture
def five(tmp_path: Path) -> Path:
    folder = tmp_path / "five"
    folder.mkdir()
    for number in range(5):
        write_video(folder / f"{number}.mp4", drifting(seed=number, step=1))
    return folder


def bench(task, five: Path) -> vssl_core.bench:
    return vssl_core.bench(
        task, protocol="smoke", pretrain=str(five), targets=[TINY], evaluators=["retrieval"],
        runs=five.parent / "runs", controls=False, options=FEW,
    )  # fmt: skip


class Turned(RotNet):
    """A class of this process alone, so that the cell runs here."""


def test_one_held_out_video_is_enough(five: Path) -> None:
    result = bench(Turned, five)
    assert result.failures == {}
    assert result.rows[0].verdict == "ok"
    (cell,) = all_cells(five.parent / "runs")
    (point,) = [row for row in read_curve(cell.pretrain / "curve.jsonl") if "held_out" in row]
    assert (point["feature_std"], point["effective_rank"]) == (None, None)
    assert 0 <= point["held_out"]["accuracy"] <= 1
    assert [checked.altered for checked in vssl_core.verify(five.parent / "runs").cells] == [()]


def test_a_held_out_metric_that_is_no_number_is_named(five: Path) -> None:
    (reason,) = bench(Undefined, five).failures.values()
    assert "Undefined gives no numbers on the held-out videos (1) after step 1: loss is nan" in reason
