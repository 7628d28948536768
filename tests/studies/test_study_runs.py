"""`vssl study` from a file to its table: shared cells once, protocols apart, what cannot be is told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from small_study import TINY, write_study

from vssl_core.cli import main
from vssl_core.cli.study import scaling_of, study
from vssl_core.errors import UsageError
from vssl_core.planning import merge_plans
from vssl_core.progress import quiet_progress
from vssl_core.run_cell import Settings
from vssl_core.store import all_cells
from vssl_core.studies import Scaling, StudyPlan, StudyResult, run_study
from vssl_core.studies.files import load_study
from vssl_core.studies.plan import plan_study

SMOKE = Scaling("smoke")


def planned(path: str, scaling: Scaling = SMOKE) -> StudyPlan:
    return plan_study(load_study(path), scaling, progress=quiet_progress())


def run(path: str, runs: Path, scaling: Scaling = SMOKE, **more: Any) -> StudyResult:
    return run_study(path, scaling=scaling, runs=runs, progress=quiet_progress(), **more)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """A study with controls, run, and its run folder."""
    folder = tmp_path_factory.mktemp("study")
    path = write_study(folder, controls=True)
    assert main(["study", path, "--protocol", "smoke", "--runs", str(folder / "runs")]) == 0
    return path, folder / "runs"


def test_its_table_has_every_point_and_its_controls(
    finished: tuple[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    path, runs = finished
    before = {p: p.stat().st_mtime_ns for p in runs.rglob("result.json")}
    assert main(["study", path, "--protocol", "smoke", "--runs", str(runs)]) == 0
    shown = capsys.readouterr()
    names = ("random_init", "two", "four", "supervised")
    entries = [
        line.split() for line in shown.out.splitlines() if line.split()[:1] and line.split()[0] in names
    ]
    assert [words[0] for words in entries] == list(names)
    scores = {words[0]: float(words[-1]) for words in entries}
    assert "4 of 4 cells are finished already" in shown.err
    assert {p: p.stat().st_mtime_ns for p in runs.rglob("result.json")} == before
    values = {row.task: row.value for cell in all_cells(runs) for row in cell.rows() if row.primary}
    assert scores["two"] == pytest.approx(values["rotnet(num_rotations=2)"], abs=0.05)
    assert scores["four"] == pytest.approx(values["rotnet"], abs=0.05)
    assert scores["random_init"] == pytest.approx(values["random_init"], abs=0.05)


def test_what_it_leaves_behind_names_the_rows_of_every_point(finished: tuple[str, Path]) -> None:
    _, runs = finished
    document = json.loads((runs / "studies" / "small.json").read_text())
    assert [point["coordinates"] for point in document["points"]] == [{"task": "two"}, {"task": "four"}]
    for point in document["points"]:
        assert sorted(result["role"] for result in point["results"]) == ["ceiling", "floor", "method"]
        for result in point["results"]:
            cell = runs / "cells" / result["cell_id"] / "evaluations" / result["evaluation_id"]
            assert (cell / "result.json").exists()
    assert document["differing_protocol_fields"] == []


def test_cells_of_a_bench_are_those_of_a_study(
    finished: tuple[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["bench", "--task", "rotnet", "--backbone", "squeezenet", "--protocol", "smoke"]
    words += ["--pretrain", TINY, "--target", TINY, "--eval", "retrieval", "--runs", str(finished[1])]
    assert main(words) == 0
    assert "3 of 3 cells are finished already" in capsys.readouterr().err


def test_controls_and_equal_points_are_planned_once(tmp_path: Path) -> None:
    axes = {
        "task": {
            "default": {"task": "rotnet"},
            "spelt out": {"task": "rotnet", "task.level": 3},
            "other": {"task": "vcop"},
        }
    }
    plan = planned(write_study(tmp_path, axes=axes, controls=True))
    assert len(plan.points) == 3
    assert sorted(spec.task.name for spec, _ in plan.plan.cells) == [
        "random_init", "rotnet", "supervised", "vcop",
    ]  # fmt: skip
    ids = {(r.cell_id, r.evaluation_id) for point in plan.points for r in point.results}
    assert len(ids) == 4
    again = merge_plans([plan.plan, plan.plan])
    assert len(again.cells) == 4
    assert all(len(wanted) == 1 for _, wanted in again.cells)


def test_an_axis_over_a_protocol_field_is_said_and_makes_cells_of_their_own(tmp_path: Path) -> None:
    axes = {"videos": {"8": {"protocol.data.num_videos": 8}, "16": {"protocol.data.num_videos": 16}}}
    settings = {"task": "rotnet", "backbone": "squeezenet", "pretrain": TINY, "target": TINY}
    plan = planned(write_study(tmp_path, axes=axes, settings=settings))
    assert plan.differing == ("data.num_videos",)
    assert len({point.protocol_hash for point in plan.points}) == 2
    assert len(plan.plan.cells) == 2
    assert {document.data.num_videos for document in plan.plan.protocols.values()} == {8, 16}


def test_a_point_that_cannot_be_is_told_before_anything_starts(tmp_path: Path) -> None:
    axes = {
        "task": {"good": {"task": "rotnet"}, "wrong": {"task": "vcop", "task.num_clips": 9}},
        "eval": {"-": {}},
    }
    path = write_study(tmp_path, axes=axes, evaluate=[{"eval": "retrieval"}, {"eval": "nothing_such"}])
    with pytest.raises(UsageError) as caught:
        run(path, tmp_path / "runs")
    assert "from 2 to 5" in str(caught.value)
    assert "nothing_such" in str(caught.value)
    assert "--skip-impossible" in str(caught.value)
    assert not (tmp_path / "runs").exists()
    plan = planned(path)
    assert [point.point.coordinates["task"] for point in plan.points] == ["good"]
    assert len(plan.plan.cells) == 1
    assert [one.evaluation for one in plan.impossible] == ["", f"nothing_such on {TINY}"]


def test_an_evaluation_may_need_the_cells_of_other_points(tmp_path: Path) -> None:
    entry = {"eval": "retrieval", "cells": {"ks": [{"task": "four"}]}, "only": {"task": "two"}}
    plan = planned(write_study(tmp_path, evaluate=[{"eval": "retrieval"}, entry]))
    # `ks` takes numbers, so an id of a cell must be refused, which shows that it got one.
    four = plan.points[1].results[0].cell_id
    assert four in plan.impossible[0].reason


@pytest.mark.parametrize(
    ("protocol", "scale", "grid", "under"),
    [
        (None, None, "laptop", ""),
        (None, "paper", "paper", ""),
        ("paper", None, "paper", ""),
        ("smoke", "paper", "paper", "smoke"),
        ("paper", "paper", "paper", "paper"),
        ("mine.yaml", None, "laptop", "mine.yaml"),
        ("mine.yaml", "paper", "paper", "mine.yaml"),
    ],
)
def test_a_scale_has_its_own_protocol_unless_another_is_named(
    protocol: str | None, scale: str | None, grid: str, under: str
) -> None:
    words = {"--protocol": protocol, "--scale": scale}
    given = [part for name, value in words.items() if value is not None for part in (name, value)]
    parsed = study.make_context("study", ["tasks", *given]).params
    scaling, _ = scaling_of(parsed["protocol"], parsed["scale"], None, (), (), {})
    assert (scaling.scale, scaling.protocol) == (grid, under)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["taskss"], "Did you mean 'tasks'"),
        (["tasks", "--scale", "smok"], "Did you mean 'smoke'"),
        (["tasks", "--data", "ucf101"], "NAME=ROOT"),
        (["tasks", "--seeds", "x"], "--seeds"),
        (["tasks", "-o", "tsk.a=1"], "tsk"),
        (["tasks", "--protocol", "smoke", "-o", "task.nothing=1"], "there is no option task.nothing"),
        (
            ["noise", "-o", "eval/noise.severities=[2]"],
            "axis 'severity' of study 'noise' sets eval/noise.sev",
        ),
        (["paper", "--pretrain", "ucf101"], "axis 'source' of study 'distribution' sets pretrain"),
        (["tasks", "--protocol", "paper"], "'ucf101' needs the folder of your copy"),
        ([], "--list"),
    ],
)
def test_wrong_usage_is_named_with_code_2(
    words: list[str], says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["study", *words, "--runs", str(tmp_path / "runs")]) == 2
    captured = capsys.readouterr()
    assert says in captured.err
    assert "Traceback" not in captured.err
    assert not (tmp_path / "runs").exists()


def test_the_list_shows_every_study_with_its_question(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["study", "--list"]) == 0
    shown = capsys.readouterr().out
    assert "tasks [Table 3]\n  Which pretext task" in shown
    assert "includes tasks" in shown


def test_a_setting_that_changes_no_number_is_handed_on(tmp_path: Path) -> None:
    result = run(write_study(tmp_path), tmp_path / "runs", settings=Settings(cache_gib=0))
    assert not result.failures
    assert {row.task for row in result.rows} == {"rotnet", "rotnet(num_rotations=2)"}
