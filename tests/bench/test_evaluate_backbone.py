"""Evaluators on a backbone without a cell, evaluators that name others, and networks of other cells."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from small_bench import TINY

import vssl_core
from vssl_core import (
    Backbone,
    EvaluationContext,
    EvaluationData,
    EvaluationResult,
    Evaluator,
    Metric,
    OptionError,
    Options,
    UnknownNameError,
)
from vssl_core.cells import differences
from vssl_core.store import CellFolder, all_cells


class AroundOptions(Options):
    """Which classifier, and which other cell."""

    classifier: str = "finetune"
    """Evaluator that fits the classifier."""
    other: str = ""
    """Cell whose network is compared with this one; empty: none."""


class Around(Evaluator):
    """The classifier's training loss, and how far the weights are from those of another cell."""

    Options = AroundOptions
    parts = {"classifier": "evaluator"}  # noqa: RUF012

    def __init__(self, options: AroundOptions) -> None:
        self.options = options

    def evaluate(
        self, backbone: Backbone, data: EvaluationData, context: EvaluationContext
    ) -> EvaluationResult:
        (evaluator,) = context.parts["classifier"]
        distance = 0.0
        if self.options.other:
            mine, other = backbone.state_dict(), context.cell(self.options.other).state_dict()
            distance = sum(float((mine[name].float() - other[name].float()).abs().sum()) for name in mine)
        classifier = evaluator.fitted(backbone, data, context)
        part = data.test()
        scores = classifier.scores(part, context, num_clips=1)
        assert scores.shape == (len(part.records), len(data.classes))
        epochs = float(len(classifier.curves["train_loss"]))
        return EvaluationResult(
            {"epochs": Metric(epochs, unit="epochs"), "distance": Metric(distance, unit="")}
        )


def bench(runs: Path, **more: Any) -> vssl_core.bench:
    given = {"task": "vcop", "protocol": "smoke", "pretrain": TINY, "targets": [TINY], "runs": runs, **more}
    result = vssl_core.bench(**given)
    assert not result.failures, result.failures
    return result


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("evaluate") / "runs"
    bench(folder, evaluators=["retrieval"])
    return folder


def cell(runs: Path, role: str) -> CellFolder:
    return next(cell for cell in all_cells(runs) if cell.spec().role == role)


def scores(folder: CellFolder) -> dict[str, float]:
    return {row.metric: row.value for row in folder.rows() if row.evaluator == "retrieval"}


def test_new_weights_and_a_file_of_weights_score_as_in_their_cells(runs: Path) -> None:
    for role in ("floor", "method"):
        folder = cell(runs, role)
        options = {"backbone": {"weights": str(folder.weights)}} if role == "method" else {}
        results = vssl_core.evaluate_backbone(
            "shufflenet", targets=[TINY], evaluators=["retrieval"], protocol="smoke", options=options
        )
        (result,) = results.values()
        assert list(results) == [("retrieval", "Tiny")]
        found = {name: metric.value for name, metric in result.metrics.items()}
        assert found == pytest.approx(scores(folder))


def test_a_network_in_memory_is_left_as_it_was(runs: Path, tmp_path: Path) -> None:
    network: Any = vssl_core.load(vssl_core.resolve("backbone", "shufflenet"))
    network = network(network.Options(), vssl_core.ClipSpec(4, 2, 32))
    before = {name: value.clone() for name, value in network.state_dict().items()}
    vssl_core.evaluate_backbone(
        network, targets=[TINY], evaluators=["finetune"], protocol="smoke", folder=tmp_path
    )
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert len(list(tmp_path.iterdir())) == 1


def test_an_evaluator_gets_what_its_options_name_with_the_options_of_the_run(runs: Path) -> None:
    method = cell(runs, "method")
    options = {"eval/finetune": {"epochs": 2}, "eval/Around": {"other": method.cell_id}}
    result = bench(runs, evaluators=[Around], options=options)
    values = {(row.role, row.metric): row.value for row in result.rows}
    assert values["method", "epochs"] == 2
    assert values["method", "distance"] == 0
    assert values["floor", "distance"] > 0


def test_what_an_evaluator_names_is_part_of_its_key(runs: Path) -> None:
    bench(runs, evaluators=[Around], controls=False)
    bench(runs, evaluators=[Around], controls=False, options={"eval/finetune": {"lr": 0.01}})
    specs = [spec for spec, _, _ in cell(runs, "method").evaluations() if spec.evaluator.name == "Around"]
    changed = [differences(specs[-1].key(), spec.key()) for spec in specs[:-1]]
    assert all(any("parts" in line for line in lines) for lines in changed)
    assert {spec.parts["classifier"][0].name for spec in specs} == {"finetune"}


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"eval/Around": {"classifier": "finetun"}}, UnknownNameError, "finetune"),
        ({"eval/finetune": {"epoch": 1}}, OptionError, "there is no option eval/finetune.epoch"),
    ],
)
def test_what_it_names_is_checked_before_anything_runs(
    runs: Path, options: dict[str, Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        bench(runs, evaluators=[Around], options=options)


def test_a_cell_that_is_not_there_fails_the_evaluation_by_name(runs: Path) -> None:
    result = vssl_core.bench(
        "vcop", protocol="smoke", pretrain=TINY, targets=[TINY], runs=runs, controls=False,
        evaluators=[Around], options={"eval/Around": {"other": "vcop-nobody"}},
    )  # fmt: skip
    assert [
        reason for reason in result.failures.values() if "'vcop-nobody', which is not pretrained" in reason
    ]
