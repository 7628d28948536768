"""What a study wrote, compared with the rows of its cells."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from studies.small_study import document
from verification.altering import edit

import vssl_core
from vssl_core.cli import main
from vssl_core.store import CellFolder
from vssl_core.studies.written import read_study, study_found
from vssl_core.verification import VerifyResult

FILE = "studies/small.json"
TABLE = "studies/small.csv"
BARS = {"kind": "bars", "axis": "task", "caption": "Two tasks"}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run folder of a study of two tasks with controls."""
    folder = tmp_path_factory.mktemp("study")
    shown = {"findings": [{"kind": "ranking", "axis": "task"}], "figures": [BARS]}
    path = folder / "small.yaml"
    path.write_text(yaml.safe_dump({**document(controls=True), **shown}, sort_keys=False))
    assert main(["study", str(path), "--protocol", "smoke", "--runs", str(folder / "runs")]) == 0
    return folder / "runs"


@pytest.fixture
def runs(finished: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    shutil.copytree(finished, tmp_path / "runs")
    return tmp_path / "runs"


def altered(result: VerifyResult) -> set[tuple[str, str]]:
    assert not any(cell.altered for cell in result.cells)
    assert result.ok is not bool(result.altered)
    return {(one.file, one.field) for one in result.altered}


def test_what_was_written_follows_from_the_rows(runs: Path) -> None:
    result = vssl_core.verify(runs)
    assert altered(result) == set()
    assert result.unchecked == ()


def _entry(section: dict[str, Any]) -> None:
    section["tables"][0]["rows"][1][1] = "99.9"


def _bar(section: dict[str, Any]) -> None:
    value = section["figures"][0]["series"][0]["values"][0]
    value["mean"] += 0.1


def _title(section: dict[str, Any]) -> None:
    section["title"] = "A great study"


def _note(section: dict[str, Any]) -> None:
    section["notes"].pop()


def _finding(section: dict[str, Any]) -> None:
    section["findings"].append("rotnet is best.")


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (_entry, "section.tables[0].rows[1][1]"),
        (_bar, "section.figures[0].series[0].values[0].mean"),
        (_title, "section.title"),
        (_note, "section.notes"),
        (_finding, "section.findings"),
    ],
)
def test_an_altered_section_is_found(runs: Path, change: Callable[[Any], None], field: str) -> None:
    edit(runs / FILE, lambda found: change(found["section"]))
    assert altered(vssl_core.verify(runs)) == {(FILE, field)}


def test_an_altered_line_of_the_table_is_found(runs: Path) -> None:
    lines = (runs / TABLE).read_text().splitlines()
    lines[2] = lines[2].replace("rotnet", "vcop")
    (runs / TABLE).write_text("\n".join(lines) + "\n")
    assert altered(vssl_core.verify(runs)) == {(TABLE, "line[2]")}


def _made_anew(runs: Path) -> None:
    """Write the section and the table that the altered document would have, as a careful forger does."""
    study = read_study(json.loads((runs / FILE).read_text()))
    rows = [
        row for name in sorted({cell for cell, _ in study.scored}) for row in CellFolder(runs, name).rows()
    ]
    rows = [row for row in rows if (row.cell_id, row.evaluation_id) in study.scored]
    found = study_found(study.plan, rows, per_video=lambda row: None)
    edit(runs / FILE, lambda document: document.update(section=found.section))
    (runs / TABLE).write_text(found.csv)


def test_lines_that_changed_places_are_found_by_the_cells_that_they_name(runs: Path) -> None:
    def swap(document: Any) -> None:
        one, two = document["points"]
        one["results"], two["results"] = two["results"], one["results"]

    edit(runs / FILE, swap)
    _made_anew(runs)
    assert altered(vssl_core.verify(runs)) == {(FILE, "points[0].task.num_rotations")}


def test_a_result_that_came_later_does_not_make_the_section_untrue(runs: Path) -> None:
    def unfinished(document: Any) -> None:
        for result in document["points"][1]["results"]:
            result["scored"] = result["role"] != "method"

    edit(runs / FILE, unfinished)
    assert altered(vssl_core.verify(runs)) != set()
    _made_anew(runs)
    assert altered(vssl_core.verify(runs)) == set()


def test_a_score_that_no_row_has_is_found(runs: Path) -> None:
    def add(document: Any) -> None:
        document["points"][0]["results"][0]["evaluation_id"] = "retrieval-Tiny-000000000000"

    edit(runs / FILE, add)
    assert (FILE, "points") in altered(vssl_core.verify(runs))


def test_without_its_cells_it_is_said_to_be_unchecked(runs: Path) -> None:
    (cell,) = (runs / "cells").glob("supervised-*")
    shutil.rmtree(cell)
    result = vssl_core.verify(runs)
    assert altered(result) == set()
    assert [(note.file, cell.name in note.why) for note in result.unchecked] == [(FILE, True)]


def test_it_is_not_compared_with_an_altered_cell(runs: Path) -> None:
    (cell,) = (runs / "cells").glob("supervised-*")
    edit(cell / "pretrain" / "result.json", lambda found: found.update(steps=3))
    result = vssl_core.verify(runs)
    assert not result.ok
    assert result.altered == ()
    assert ["which is altered" in note.why for note in result.unchecked] == [True]


def test_what_an_earlier_version_wrote_is_said_to_be_unchecked(
    runs: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    edit(runs / FILE, lambda found: {"schema": 1, "section": found["section"]})
    result = vssl_core.verify(runs)
    assert [note.file for note in result.unchecked] == [FILE]
    assert result.document()["unchecked"][0]["file"] == FILE
    monkeypatch.setenv("COLUMNS", "300")
    assert main(["verify", str(runs)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[lines.index("not checked in the run folder") + 1].startswith(f"  {FILE}: ")


@pytest.mark.parametrize(
    "hostile",
    [
        lambda found: [],
        lambda found: {},
        lambda found: {**found, "schema": 99},
        lambda found: {**found, "scale": "paper"},
        lambda found: {**found, "points": [{"coordinates": {"task": "five"}, "protocol": "", "results": []}]},
        lambda found: {**found, "study": {**found["study"], "findings": 7}},
        lambda found: {**found, "section": None},
    ],
)
def test_a_file_that_no_study_wrote_is_a_finding(runs: Path, hostile: Callable[[Any], Any]) -> None:
    edit(runs / FILE, hostile)
    assert altered(vssl_core.verify(runs)) == {(FILE, "")}


def test_no_file_outside_the_run_folder_is_looked_at(runs: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside.json"
    (runs / FILE).rename(outside)
    (runs / FILE).symlink_to(outside)
    assert altered(vssl_core.verify(runs)) == {(FILE, "")}


def test_the_command_shows_it(
    runs: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    edit(runs / FILE, lambda found: _entry(found["section"]))
    monkeypatch.setenv("COLUMNS", "300")
    assert main(["verify", str(runs)]) == 1
    shown = capsys.readouterr().out
    assert "altered in the run folder" in shown
    assert "section.tables[0].rows[1][1]" in shown
    assert "1 alterations" in shown
