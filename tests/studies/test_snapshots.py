"""Weights within one pretraining run: kept when asked for before, exact after a kill, else made again."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from safetensors.numpy import load_file
from small_study import TINY, write_study

from vssl_core import hooks
from vssl_core.cells import EvaluationSpec
from vssl_core.progress import quiet_progress
from vssl_core.run_cell import Settings
from vssl_core.store import CellFolder, all_cells
from vssl_core.studies import Scaling, StudyResult, run_study

SETTINGS = {
    "task": "rotnet", "backbone": "squeezenet", "pretrain": TINY, "target": TINY,
    "protocol.pretrain.budget.amount": 4,
}  # fmt: skip
HERE = [{"eval": "retrieval", "at": [0.5, 1]}]


def run(folder: Path, runs: Path, *, evaluate: object = HERE) -> StudyResult:
    path = write_study(folder, axes={"task": {"it": {}}}, settings=SETTINGS, evaluate=evaluate)
    return run_study(
        path, scaling=Scaling("smoke"), runs=runs, progress=quiet_progress(), settings=Settings(0.0)
    )


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[CellFolder, StudyResult]:
    folder = tmp_path_factory.mktemp("snapshots")
    result = run(folder, folder / "runs")
    assert not result.failures
    return all_cells(folder / "runs")[0], result


def weights(cell: CellFolder, at: float) -> dict[str, bytes]:
    return {name: value.tobytes() for name, value in load_file(cell.weights_at(at)).items()}


def test_each_share_has_rows_of_its_own_weights(finished: tuple[CellFolder, StudyResult]) -> None:
    cell, result = finished
    assert sorted({row.at for row in result.rows}) == [0.5, 1.0]
    assert {row.evaluator_label for row in result.rows} == {"retrieval", "retrieval at 50 %"}
    assert len({row.evaluation_id for row in result.rows}) == 2
    assert list(cell.pretrain_result()["snapshots"]) == ["0.5"]
    assert weights(cell, 0.5) != weights(cell, 1.0)
    assert len(result.tables[0].columns) == 2


def test_asking_for_a_snapshot_does_not_change_the_run(
    finished: tuple[CellFolder, StudyResult], tmp_path: Path
) -> None:
    plain = run(tmp_path, tmp_path / "runs", evaluate=[{"eval": "retrieval"}])
    assert plain.rows[0].cell_id == finished[0].cell_id
    assert weights(all_cells(tmp_path / "runs")[0], 1.0) == weights(finished[0], 1.0)


def test_a_finished_cell_without_the_snapshot_is_pretrained_again(
    finished: tuple[CellFolder, StudyResult], tmp_path: Path
) -> None:
    run(tmp_path, tmp_path / "runs", evaluate=[{"eval": "retrieval"}])
    cell = all_cells(tmp_path / "runs")[0]
    before = cell.rows()
    result = run(tmp_path, tmp_path / "runs")
    assert not result.failures
    assert weights(cell, 0.5) == weights(finished[0], 0.5)
    at_the_end = [row for row in cell.rows() if row.at == 1.0]
    assert [row.value for row in at_the_end] == [row.value for row in before]
    # Another run finds everything there.
    written = (cell.pretrain / "result.json").stat().st_mtime_ns
    run(tmp_path, tmp_path / "runs")
    assert (cell.pretrain / "result.json").stat().st_mtime_ns == written


@pytest.mark.parametrize("step", [3, 4, 5])
def test_a_run_that_was_killed_ends_with_the_same_snapshot(
    finished: tuple[CellFolder, StudyResult], tmp_path: Path, step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Eight steps; the snapshot is due after the fourth."""
    calls = 0

    def killed(*_: object, **__: object) -> None:
        nonlocal calls
        calls += 1
        if calls == step:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(hooks.Hooks, "step_end", killed)
        with pytest.raises(KeyboardInterrupt):
            run_here(tmp_path)
    run_here(tmp_path)
    assert calls == step
    cell = all_cells(tmp_path / "runs")[0]
    assert weights(cell, 0.5) == weights(finished[0], 0.5)
    assert weights(cell, 1.0) == weights(finished[0], 1.0)


def test_a_snapshot_that_is_asked_for_too_late_begins_again(
    finished: tuple[CellFolder, StudyResult], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = 0

    def killed(*_: object, **__: object) -> None:
        nonlocal calls
        calls += 1
        if calls == 7:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(hooks.Hooks, "step_end", killed)
        with pytest.raises(KeyboardInterrupt):
            run_here(tmp_path, evaluate=[{"eval": "retrieval"}])
    run_here(tmp_path)
    cell = all_cells(tmp_path / "runs")[0]
    assert weights(cell, 0.5) == weights(finished[0], 0.5)
    assert weights(cell, 1.0) == weights(finished[0], 1.0)
    steps = [json.loads(line)["step"] for line in (cell.pretrain / "curve.jsonl").read_text().splitlines()]
    assert steps == sorted(steps)
    assert steps[0] == 1


def run_here(folder: Path, *, evaluate: object = HERE) -> None:
    """Run the study's cell in this process, with a checkpoint after every step."""
    from vssl_core.run_cell import run_cell
    from vssl_core.studies.files import load_study
    from vssl_core.studies.plan import plan_study

    path = write_study(folder, axes={"task": {"it": {}}}, settings=SETTINGS, evaluate=evaluate)
    plan = plan_study(load_study(path), Scaling("smoke"), progress=quiet_progress()).plan
    runs = folder / "runs"
    for spec, evaluations in plan.cells:
        cell = CellFolder(runs, spec.cell_id)
        cell.create(spec, plan.protocols[spec.protocol_hash])
        for evaluation in evaluations:
            cell.request(evaluation)
        run_cell(runs, spec.cell_id, settings=Settings(0.0), progress=quiet_progress())


def test_the_keys_of_evaluations_at_the_end_are_as_before() -> None:
    from vssl_core.planning import component

    evaluator, _ = component("evaluator", "retrieval", {}, owner="eval/retrieval")
    target, _ = component("dataset", "shapes_motion", {}, owner="target")
    spec = EvaluationSpec(evaluator=evaluator, label="a", target=target, target_digest="b", protocol_hash="c")
    assert "at" not in spec.key()
    assert "needs" not in spec.key()
    assert spec.model_copy(update={"at": 0.5}).key()["at"] == 0.5
