"""The paper's tables as data: records that can be looked up, and files whose mistakes are told."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from pydantic import ValidationError

from vssl_core.errors import UsageError
from vssl_core.paper import SOURCES, TRUST, find, load_paper_tables
from vssl_core.registry import scan

ROOT = Path(__file__).resolve().parents[2]

GOOD = """\
title: One table
source: supplement Table 1
trust: printed
metric: top1
unit: "%"
decimals: 1
common: {target: ucf101}
cells:
  - {architecture: c3d, by: {task: {vcop: 46.0, prp: 17.5}}}
  - {task: rotnet, value: 12.3, trust: doubtful, note: Contradicted.}
"""


def read(tmp_path: Path, text: str):
    (tmp_path / "mine.yaml").write_text(text)
    return load_paper_tables(tmp_path)


def test_a_file_becomes_one_record_per_number(tmp_path: Path) -> None:
    (table,) = read(tmp_path, GOOD)
    assert (table.name, table.title, table.trust) == ("mine", "One table", "printed")
    assert [(cell.at.named(), cell.text, cell.trust, cell.note) for cell in table.cells] == [
        ({"task": "vcop", "architecture": "c3d", "target": "ucf101"}, "46.0", "printed", ""),
        ({"task": "prp", "architecture": "c3d", "target": "ucf101"}, "17.5", "printed", ""),
        ({"task": "rotnet", "target": "ucf101"}, "12.3", "doubtful", "Contradicted."),
    ]
    with pytest.raises(ValidationError, match="frozen"):
        table.cells[0].value = 3.0


def test_cells_are_found_by_coordinates(tmp_path: Path) -> None:
    tables = read(tmp_path, GOOD)
    assert [cell.value for cell in find(tables, architecture="c3d")] == [46.0, 17.5]
    assert [cell.value for cell in find(tables, architecture=None)] == [12.3]
    assert [cell.value for cell in find(tables, task="prp", metric="top1", trust="printed")] == [17.5]
    assert find(tables, task="cvrl") == ()
    with pytest.raises(UsageError, match=r"no 'tasks'.*Did you mean 'task'"):
        find(tables, tasks="vcop")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("title: One table\n", "", "title: Field required"),
        ("46.0", "'46.0'", r"cells\[0\]\.vcop\.value: .*\(got '46.0'\)"),
        ("46.0", ".nan", r"cells\[0\]\.vcop\.value: .*finite"),
        ("46.0", "true", r"cells\[0\]\.vcop\.value: .*\(got True\)"),
        ("vcop:", "vcpo:", r"cells\[0\]\.vcpo\.task: .*\(got 'vcpo'\)"),
        ("architecture", "backbone", r"cells\[0\]\.vcop: no coordinate 'backbone'"),
        ("architecture", "architectur", "Did you mean 'architecture'"),
        ("prp: 17.5", "vcop: 17.5", "the key 'vcop' stands 2 times"),
        ("trust: doubtful, note: Contradicted.", "trust: doubtful", "needs a note that says why"),
        ("trust: printed\n", "trust: sure\n", r"trust: .*'printed_elsewhere'.*\(got 'sure'\)"),
        ("supplement Table 1", "a friend", "a source begins with one of supplement, M22"),
        ("value: 12.3", "valu: 12.3", r"cells\[1\]: expected either `value` or `by`"),
        ("by: {task: {vcop: 46.0, prp: 17.5}}", "by: {task: 3}", r"cells\[0\]: expected `by: "),
        ("architecture: c3d, by", "task: prp, by", r"'task' stands both in `by` and beside it"),
        ("task: rotnet", "task: vcop, architecture: c3d", r"2 values of top1 at .*; keep one"),
        ("common: {target: ucf101}", "common: {target: [", "cannot read the paper's table 'mine.yaml'"),
        ("common: {target: ucf101}", "common: {[1]: 2}", "cannot read the paper's table 'mine.yaml'"),
        ("cells:", "cell:", "cell: Extra inputs are not permitted"),
    ],
)  # fmt: skip
def test_a_mistake_is_told_with_its_place(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in GOOD
    with pytest.raises(UsageError, match=message) as caught:
        read(tmp_path, GOOD.replace(old, new))
    assert "mine.yaml" in str(caught.value)


def test_two_sources_may_differ_about_one_place(tmp_path: Path) -> None:
    other = "  - {architecture: c3d, task: vcop, value: 47.0, source: M22 Table 9}\n"
    (table,) = read(tmp_path, GOOD + other)
    assert [cell.value for cell in find([table], task="vcop")] == [46.0, 47.0]


def test_every_word_is_explained_and_used() -> None:
    tables = load_paper_tables()
    cells = [cell for table in tables for cell in table.cells]
    assert {cell.trust for cell in cells} == set(TRUST)
    words = {part.split()[0] for cell in cells for part in cell.source.split(";")}
    assert words == set(SOURCES)


def test_contradictions_stand_side_by_side() -> None:
    place = {"task": "tdl", "architecture": "r2plus1d", "target": "ucf101", "subset": 50_000}
    found = find(**place, metric="top1", noise=None, epochs=None)
    assert {(cell.table, cell.text) for cell in found} == {
        ("supplement_table_3", "31.7"),
        ("tasks_by_subset", "30.2"),
    }


def test_names_are_those_of_the_built_ins() -> None:
    known: dict[str, set[str | None]] = {kind: {None} for kind in ("task", "backbone", "dataset")}
    for ref in scan():
        if ref.kind in known:
            known[ref.kind].add(ref.name)
    for at in (cell.at for table in load_paper_tables() for cell in table.cells):
        assert at.task in known["task"]
        assert at.architecture in known["backbone"]
        assert at.target in known["dataset"]
        assert at.pretrain in known["dataset"] | {"kinetics700"}


def test_levels_are_those_of_the_tasks() -> None:
    """C1 to C3 are 2, 3, 4 angles, 3, 4, 5 clips and 2, 3, 4 rates."""
    from vssl_core.registry import load, resolve

    counts = {"rotnet": ("num_rotations", 1), "vcop": ("num_clips", 2)}
    for cell in find(table="complexity"):
        if cell.at.task in counts:
            option, more = counts[cell.at.task]
            levels = load(resolve("task", cell.at.task)).levels
            assert levels[cell.at.level] == {option: cell.at.complexity + more}


def test_the_files_are_packaged() -> None:
    document = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    patterns = document["tool"]["setuptools"]["package-data"]["vssl_core"]
    packaged = {file for pattern in patterns for file in (ROOT / "vssl_core").glob(pattern)}
    assert {
        file for file in (ROOT / "vssl_core/paper/tables").iterdir() if file.suffix == ".yaml"
    } <= packaged
