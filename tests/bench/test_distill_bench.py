"""Distillation from two finished cells of a run folder into the network of random initialisation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from small_bench import TINY

import vssl_core
from vssl_core.errors import UsageError
from vssl_core.store import CellFolder, all_cells


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two pretrained networks, finetuned, and the controls."""
    folder = tmp_path_factory.mktemp("distill") / "runs"
    for task in ("vcop", "rotnet"):
        given = {"protocol": "smoke", "pretrain": TINY, "targets": [TINY], "evaluators": ["finetune"]}
        assert not vssl_core.bench(task, runs=folder, controls=task == "vcop", **given).failures
    return folder


def methods(runs: Path) -> dict[str, CellFolder]:
    cells = [cell for cell in all_cells(runs) if cell.spec().role == "method"]
    return {cell.spec().task.name: cell for cell in cells}


def distilled(runs: Path, **options: object) -> vssl_core.bench:
    return vssl_core.bench(
        "vcop", protocol="smoke", pretrain=TINY, targets=[TINY], runs=runs, evaluators=["distill"],
        options={"eval/distill": options},
    )  # fmt: skip


def top1(runs: Path, role: str, metric: str = "top1", evaluator: str = "finetune") -> float:
    rows = [row for cell in all_cells(runs) for row in cell.rows() if row.role == role]
    (value,) = {row.value for row in rows if (row.evaluator, row.metric) == (evaluator, metric)}
    return value


def test_a_floor_cell_learns_from_two_teachers(runs: Path) -> None:
    cells = methods(runs)
    teachers = [cells[name].cell_id for name in ("vcop", "rotnet")]
    result = distilled(runs, teachers=teachers)
    assert not result.failures, result.failures
    found = {row.metric: row.value for row in result.rows if row.role == "floor"}
    assert found["gain"] == pytest.approx(found["top1"] - found["top1_ce"])
    assert found["teacher_mean"] == np.mean([found["top1_teacher_1"], found["top1_teacher_2"]])
    # The control is the floor's finetuning; the teachers are those that their own cells finetuned.
    assert found["top1_ce"] == top1(runs, "floor")
    for number, name in enumerate(("vcop", "rotnet"), start=1):
        (own,) = [
            row.value for row in cells[name].rows() if (row.evaluator, row.metric) == ("finetune", "top1")
        ]
        assert found[f"top1_teacher_{number}"] == own


def test_what_cannot_teach_is_named(runs: Path) -> None:
    with pytest.raises(UsageError, match="distill needs a teacher"):
        distilled(runs, teachers=[])
    result = distilled(runs, teachers=["vcop-nobody"])
    assert result.failures
    assert all("'vcop-nobody', which is not pretrained" in reason for reason in result.failures.values())
