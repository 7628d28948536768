"""What anybody's classes draw from the generators of the process is a function of the cell's seed."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small_bench import TINY
from torch import nn

from vssl_core import Backbone, ClipSpec, EvaluationResult, Evaluator, Metric
from vssl_core.draws import equal_draws
from vssl_core.evaluate import FeatureStore, TargetData, evaluate_copy
from vssl_core.global_seeds import seed_everything
from vssl_core.instantiate import make_backbone
from vssl_core.planning import Request, component, make_plan
from vssl_core.progress import terminal_progress
from vssl_core.protocol import load_protocol
from vssl_core.run_cell import Settings, _Cell
from vssl_core.run_plan import _describe
from vssl_core.store import CellFolder
from vssl_core.testing.evaluator_target import target
from vssl_plugins.tasks.rotnet import RotNet


def drawn() -> tuple[float, float, float]:
    return random.random(), float(np.random.rand()), float(torch.rand(()))


class Drawing(Backbone):
    """A network that draws from all generators of the process."""

    api_version = 1

    def __init__(self, options: Any, clip: ClipSpec) -> None:
        super().__init__(options, clip)
        self.drawn = drawn()
        self.embed_dim = 3
        self.layer = nn.Identity()

    def forward_features(self, video_BCTHW: torch.Tensor) -> torch.Tensor:
        return self.layer(video_BCTHW)

    def stages(self) -> dict[str, nn.Module]:
        return {"all": self.layer}


class DrawingTask(RotNet):
    """A task that draws from all generators of the process, after its network did."""

    def __init__(self, make_backbone: Any, options: Any, context: Any) -> None:
        super().__init__(make_backbone, options, context)
        self.drawn = drawn()


class DrawingScore(Evaluator):
    """A score that is drawn."""

    api_version = 1

    def __init__(self, options: Any) -> None:
        pass

    def evaluate(self, backbone: Backbone, data: Any, context: Any) -> EvaluationResult:
        del backbone, data, context
        return EvaluationResult({"drawn": Metric(sum(drawn()))}, [])


@pytest.fixture(params=[1, 2])
def before(request: pytest.FixtureRequest) -> int:
    """Some state of the generators."""
    random.seed(request.param)
    np.random.seed(request.param)
    torch.manual_seed(request.param)
    return int(request.param)


def expected(*key: str | int) -> tuple[float, float, float]:
    seed_everything(*key)
    return drawn()


def expected_in_double(*key: str | int) -> tuple[float, float, float]:
    """Networks and tasks are built with draws that are equal on every machine."""
    with equal_draws():
        return expected(*key)


def test_a_network_draws_the_same_and_leaves_the_generators_alone(before: int) -> None:
    made, cls = component("backbone", Drawing, {}, owner="backbone")
    network = make_backbone(made, ClipSpec(4, 1, 32), seed=7, classes={made.spec: cls})
    after = drawn()
    random.seed(before)
    np.random.seed(before)
    torch.manual_seed(before)
    assert after == drawn()
    assert network.drawn == expected_in_double("backbone", 7)


@pytest.mark.usefixtures("before")
def test_an_evaluator_draws_the_same(tmp_path: Path) -> None:
    around = target().around
    data = TargetData(target().index, around=around, store=FeatureStore())
    network = Drawing(None, ClipSpec(4, 1, 32))
    result = evaluate_copy(DrawingScore(None), network, data, around=around, folder=tmp_path)
    assert result.metrics["drawn"].value == sum(expected("evaluate", around.seed))


@pytest.mark.usefixtures("before")
def test_a_task_draws_the_same(tmp_path: Path) -> None:
    protocol, progress = load_protocol("smoke"), terminal_progress()
    request = Request(
        DrawingTask, Drawing, TINY, (TINY,), ("retrieval",), seeds=(3,), options={}, controls=False
    )
    plan = make_plan(request, protocol, progress=progress)
    _describe(plan, tmp_path)
    spec, _ = plan.cells[0]
    cell = _Cell(CellFolder(tmp_path, spec.cell_id), spec, Settings(classes=plan.classes), progress)
    task, _, _ = cell._task(8, None)
    there = task.drawn
    random_numbers = expected_in_double("task", 3)
    assert there[:2] == random_numbers[:2]  # torch's come after those of the head's weights
    assert task.backbone.drawn == expected_in_double("backbone", 3)
