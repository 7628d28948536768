"""What studies leave in a run folder, as sections of its page."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from synthetic_runs import write_study

from vssl_core.report import load_report, render
from vssl_core.report.study_sections import read_sections

OURS = [{"mean": 40.0, "low": 38.0, "high": 42.0}, None]
SECTION: dict[str, Any] = {
    "name": "tasks",
    "title": "Tasks",
    "question": "Which is best?",
    "answers": ["Table 3", "Fig. 1"],
    "findings": ["vcop beats all others: no."],
    "tables": [
        {"caption": "Own", "headers": ["task", "top1"], "rows": [["vcop", "40.0 ± 2.0"]], "notes": ["n"]}
    ],
    "figures": [
        {
            "kind": "lines",
            "caption": "Lines",
            "x_label": "size",
            "y_label": "top1, %",
            "ticks": ["10k", "50k"],
            "series": [
                {"name": "vcop", "values": OURS, "reference": False, "like": ""},
                {"name": "vcop (paper)", "values": [None, {"mean": 41}], "reference": True, "like": "vcop"},
            ],
            "chance": 12.5,
        },
        {
            "kind": "bubbles",
            "caption": "Bubbles",
            "y_label": "top1, %",
            "bubbles": [
                {"name": "r3d", "group": "vcop", "gflops": 20.0, "parameters": 14e6, "score": OURS[0]},
            ],
        },
        {"kind": "map", "caption": "Map", "array": "cells/a/cka.npy", "layers": "cells/a/layers.json"},
    ],
    "notes": ["One seed."],
}


def write(runs: Path, section: dict[str, Any], name: str = "tasks") -> Path:
    (runs / "studies").mkdir(parents=True, exist_ok=True)
    (runs / "studies" / f"{name}.json").write_text(json.dumps({"schema": 1, "section": section}))
    return runs


def write_map(runs: Path, **names: Any) -> None:
    folder = runs / "cells" / "a"
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / "cka.npy", np.array([[1.0, 0.5, 0.25], [0.5, 1.0, 0.75]]))
    (folder / "layers.json").write_text(json.dumps(names))


def test_a_section_is_read_with_its_tables_and_figures(tmp_path: Path) -> None:
    write_map(tmp_path, layers=["stem", "stage1"], other_layers={"layers": ["x", "y", "z"]})
    sections, notes = read_sections(write(tmp_path, SECTION))
    assert notes == []
    (section,) = sections
    assert (section.title, section.question, section.notes) == ("Tasks", "Which is best?", ("One seed.",))
    assert section.tables[0].rows == (("vcop", "40.0 ± 2.0"),)
    lines, bubbles, matrix = (figure.svg for figure in section.figures)
    assert "vcop: 40 (38 to 42) at 10k. vcop (paper): 41 at 50k." in lines
    assert "14 M parameters" in bubbles
    assert "<title>stage1 × z: 0.750</title>" in matrix


def test_layers_without_as_many_names_are_numbered(tmp_path: Path) -> None:
    write_map(tmp_path, layers=["stem"])
    sections, _ = read_sections(write(tmp_path, SECTION))
    assert "<title>layer 2 × layer 3: 0.750</title>" in sections[0].figures[2].svg


@pytest.mark.parametrize(
    ("array", "reason"),
    [("cells/a/gone.npy", "cannot read"), ("../outside.npy", "lies outside the run folder")],
)
def test_a_figure_that_cannot_be_drawn_costs_itself_alone(tmp_path: Path, array: str, reason: str) -> None:
    write_map(tmp_path, layers=[])
    broken = {**SECTION, "figures": [SECTION["figures"][0], {**SECTION["figures"][2], "array": array}]}
    sections, notes = read_sections(write(tmp_path, broken))
    assert [figure.caption for figure in sections[0].figures] == ["Lines"]
    assert reason in notes[0]


def test_a_section_that_cannot_be_understood_becomes_a_note(tmp_path: Path) -> None:
    write(tmp_path, SECTION | {"figures": [], "findings": 3}, "odd")
    write(tmp_path, SECTION | {"figures": []})
    sections, notes = read_sections(tmp_path)
    assert [section.name for section in sections] == ["tasks"]
    assert "odd.json': its section is not what this version reads (findings)" in notes[0]


def test_studies_without_a_section_are_passed_over(tmp_path: Path) -> None:
    (tmp_path / "studies").mkdir()
    (tmp_path / "studies" / "old.json").write_text('{"schema": 1, "study": {}}')
    assert read_sections(tmp_path) == ([], [])


def test_the_page_shows_them_whoever_writes_it(tmp_path: Path) -> None:
    runs = write_study(tmp_path, seeds=(0,))
    html = render(load_report(write(runs, SECTION | {"figures": SECTION["figures"][:2]})), "html")
    assert 'id="study-tasks"' in html
    assert "In the paper: Table 3, Fig. 1." in html
    assert html == render(load_report(runs), "html")
