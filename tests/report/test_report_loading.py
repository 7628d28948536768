"""Reading a run folder: what is whole is shown, what is not becomes a note and hides nothing else."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from synthetic_runs import HASH, Cell, write_cell, write_failure, write_study

from vssl_core.errors import UsageError
from vssl_core.report import build_tables, load_report, render


def test_everything_of_a_whole_folder_is_read(tmp_path: Path) -> None:
    report = load_report(write_study(tmp_path))
    assert len(report.cells) == 12
    assert len(report.rows) == 12 * 2 * 2
    assert report.notes == ()
    assert {cell.state for cell in report.cells} == {"finished"}
    assert {cell.role for cell in report.cells} == {"floor", "method", "ceiling"}


@pytest.mark.parametrize("made", [False, True], ids=["missing", "empty"])
def test_no_cells_is_a_usage_error(tmp_path: Path, made: bool) -> None:
    folder = tmp_path / "runs"
    if made:
        folder.mkdir()
    with pytest.raises(UsageError, match="vssl bench"):
        load_report(folder)


def test_half_finished_and_failed_cells_do_not_hide_the_others(tmp_path: Path) -> None:
    write_study(tmp_path, seeds=(0,))
    early = write_cell(tmp_path, Cell("vcop", 1))
    for path in early.glob("evaluations/*/result.json"):
        path.unlink()
    (early / "pretrain" / "result.json").unlink()
    half = write_cell(tmp_path, Cell("vcop", 2))
    (half / "evaluations" / "linear-shapes_motion-e0" / "result.json").unlink()
    write_failure(tmp_path, Cell("cvrl", 1), "the loss is nan")
    (tmp_path / "cells" / "just-made").mkdir()
    report = load_report(tmp_path)
    states = {cell.cell_id.split("-c0de")[0]: cell.state for cell in report.cells}
    assert states["vcop-shufflenet-s1"] == "pretraining"
    assert states["vcop-shufflenet-s2"] == "evaluating"
    assert states["cvrl-shufflenet-s1"] == "failed"
    assert any("just-made" in note for note in report.notes)
    assert "the loss is nan" in render(report, "rich")


def test_what_a_newer_version_wrote_is_named_and_left_out(tmp_path: Path) -> None:
    write_study(tmp_path, seeds=(0,))
    newer = write_cell(tmp_path, Cell("vcop", 1))
    document = json.loads((newer / "cell.json").read_text())
    (newer / "cell.json").write_text(json.dumps({**document, "schema": 99}))
    rows = write_cell(tmp_path, Cell("vcop", 2)) / "evaluations" / "linear-shapes_motion-e0" / "result.json"
    document = json.loads(rows.read_text())
    document["rows"][0]["novelty"] = 1
    rows.write_text(json.dumps(document))
    report = load_report(tmp_path)
    assert any("schema 99" in note for note in report.notes)
    assert any("novelty" in note for note in report.notes)
    assert "schema 99" in render(report, "md")
    assert len(report.cells) == 5


def test_broken_files_and_values_become_notes(tmp_path: Path) -> None:
    write_study(tmp_path, seeds=(0, 1, 2))
    cell = write_cell(tmp_path, Cell("vcop", 7))
    (cell / "ledger.json").write_text("{torn")
    (cell / "environment.json").write_text("[1]")
    (cell / "pretrain" / "curve.jsonl").write_text('{"step": 1, "loss": 2.0}\n{"step": 2, "lo')
    result = cell / "evaluations" / "retrieval-shapes_motion-e0" / "result.json"
    document = json.loads(result.read_text())
    document["rows"][0]["value"] = float("nan")
    result.write_text(json.dumps(document))
    report = load_report(tmp_path)
    found = next(c for c in report.cells if c.seed == 7)
    assert (found.ledger, found.environment) == ({}, {})
    assert found.curve() == [{"step": 1, "loss": 2.0}]
    assert len(report.notes) == 3
    assert "html" in render(report, "html")


def test_values_per_video_that_do_not_fit_leave_intervals_over_seeds(tmp_path: Path) -> None:
    write_study(tmp_path)
    folder = next((tmp_path / "cells").glob("vcop-*-s0-*")) / "evaluations"
    (folder / "linear-shapes_motion-e0" / "top1.csv").write_text("video_id,group,value\nv0,scene_0,100\n")
    (folder / "retrieval-shapes_motion-e0" / "R_1.csv").unlink()
    report = load_report(tmp_path)
    tables, notes = build_tables(report)
    vcop = next(line for line in tables[0].lines if line.task == "vcop")
    assert [score.interval.estimator for score in vcop.scores if score and score.interval] == [
        "t over 3 seeds"
    ] * 2
    assert any("does not have the mean" in note for note in notes)
    assert any("cannot read" in note for note in notes)
    assert "[2] t over 3 seeds" in render(report, "rich")


def test_a_path_out_of_the_run_folder_is_not_followed(tmp_path: Path) -> None:
    runs = write_study(tmp_path / "runs", seeds=(0,))
    (tmp_path / "secret.csv").write_text("video_id,group,value\nv0,g,41.0\n")
    for path in runs.glob("cells/*/evaluations/linear-*/result.json"):
        document = json.loads(path.read_text())
        document["rows"][0]["per_video"] = "../secret.csv"
        path.write_text(json.dumps(document))
    _, notes = build_tables(load_report(runs))
    assert notes
    assert all("outside" in note for note in notes)


def test_two_codes_under_one_name_are_told_apart(tmp_path: Path) -> None:
    write_study(tmp_path, seeds=(0, 1))
    for seed in (0, 1, 2):
        write_cell(tmp_path, Cell("vcop", seed, code="fade", level=70.0))
    report = load_report(tmp_path)
    (table,), _ = build_tables(report)
    names = [line.task for line in table.lines if line.task.startswith("vcop")]
    assert len(names) == 2
    assert all(" #" in name for name in names)
    assert "cvrl" in {line.task for line in table.lines}
    assert any("vssl why" in note for note in report.notes)


def test_two_versions_of_an_evaluator_are_two_columns(tmp_path: Path) -> None:
    write_study(tmp_path, seeds=(0,))
    folder = next((tmp_path / "cells").glob("vcop-*"))
    result = folder / "evaluations" / "linear-shapes_motion-e0" / "result.json"
    document = json.loads(result.read_text())
    for row in document["rows"]:
        row["evaluation_id"] = "linear-shapes_motion-abcdef123456"
    other = folder / "evaluations" / "linear-shapes_motion-abcdef123456"
    other.mkdir()
    (other / "result.json").write_text(json.dumps(document))
    (table,), _ = build_tables(load_report(tmp_path))
    assert [column.evaluator for column in table.columns] == ["linear #123456", "linear #ion-e0", "retrieval"]


def test_protocols_are_kept_apart(tmp_path: Path) -> None:
    write_study(tmp_path, seeds=(0,))
    write_study(tmp_path, seeds=(0,), protocol="paper", protocol_hash="fedcba9876543210")
    tables, _ = build_tables(load_report(tmp_path))
    assert [(t.protocol_name, t.protocol_hash) for t in tables] == [
        ("laptop", HASH),
        ("paper", "fedcba9876543210"),
    ]
