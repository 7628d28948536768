"""Ours beside the paper's, with what differs between the two."""

from __future__ import annotations

import csv
import json
from html.parser import HTMLParser
from io import StringIO

import pytest

from vssl_core.errors import UsageError
from vssl_core.findings import Accord
from vssl_core.paper import find
from vssl_core.report import FORMATS, Versus, render_versus, versus
from vssl_core.report.versus import versus_grid

SIX = find(table="supplement_table_3", architecture="r2plus1d")
OURS = {
    ("rspnet",): {0: 70.0, 1: 71.0, 2: 72.0},
    ("vcop",): {0: 41.0, 1: 43.5, 2: 42.2},
    ("pace",): {0: 40.0},
}
ELSEWHERE = {"target": "shapes_motion", "architecture": "r2plus1d", "subset": 320}


def made(ours=OURS, cells=SIX, **changes) -> Versus:
    arguments = {"on": ("task",), "title": "Six tasks", "metric": "top1", "where": ELSEWHERE}
    return versus(ours, cells, **{**arguments, **changes})


def test_ours_stand_first_and_what_one_side_lacks_is_said() -> None:
    rows = versus_grid(made()).rows
    assert rows[:3] == (
        ("rspnet", "71.0 ± 2.5", "3", "78.0", "supplement Table 3", "printed"),
        ("vcop", "42.2 ± 3.1", "3", "51.5", "supplement Table 3", "printed"),
        ("pace", "40.0", "1", "–", "–", "–"),
    )
    assert {row[0]: row[1] for row in rows[3:]} == dict.fromkeys(("rotnet", "prp", "cvrl", "tdl"), "–")
    (tdl,) = (row for row in rows if row[0] == "tdl")
    assert tdl[3] == "31.7 [1]"


def test_what_differs_is_told_and_then_no_difference_is_shown() -> None:
    apart, alike = made(), made(where={"target": "ucf101", "architecture": "r2plus1d"})
    assert apart.differs == {"target": ("shapes_motion", "ucf101"), "subset": (320, 50_000)}
    notes = versus_grid(apart).notes
    assert notes[:2] == (
        "Not like for like: target is shapes_motion here and ucf101 in the paper.",
        "Not like for like: subset is 320 here and 50000 in the paper.",
    )
    assert "ours - paper" not in versus_grid(apart).heads
    assert alike.differs == {}
    heads, (first, *_) = versus_grid(alike).heads, versus_grid(alike).rows
    assert first[heads.index("ours - paper")] == "-7.0"


def test_notes_name_the_estimator_and_the_agreement() -> None:
    notes = versus_grid(made()).notes
    assert "± is half the width of a 95 % interval: t over 3 seeds." in notes
    assert "No interval under 3 seeds." in notes
    assert "The paper's figures are single numbers; it states neither seeds nor spread." in notes
    assert "[1] M22 Table 2 prints 30.2 for the same run." in notes
    assert made().agreement.sentence in notes
    assert (made().agreement.num_values, made().agreement.verdict) == (2, Accord.AGREES)


def test_contradicting_numbers_are_lines_of_their_own_and_the_most_trusted_one_is_compared() -> None:
    place = {"architecture": "r2plus1d", "target": "ucf101", "subset": 50_000, "epochs": None, "level": None}
    cells = find(**place, metric="top1", noise=None, evaluator="finetune")
    both = [cell for cell in cells if cell.at.task in ("tdl", "vcop")]
    ours = {("tdl",): {s: 50.0 + s for s in range(3)}, ("vcop",): {s: 40.0 + s for s in range(3)}}
    table = made(ours, both[::-1])
    lines = [(line.place[0], line.paper.text) for line in table.lines if line.paper is not None]
    assert {text for name, text in lines if name == "tdl"} == {"31.7", "30.2"}
    assert table.agreement.tau == -1.0


def test_several_coordinates_and_numbers_of_their_own_kind() -> None:
    cells = find(table="supplement_table_5", architecture="r2plus1d")
    ours = {(10_000, 50): {0: 1.0, 1: 2.0, 2: 4.0}}
    table = made(ours, cells, on=("subset", "epochs"), where=None)
    assert len(table.lines) == 16
    assert versus_grid(table).rows[0][:2] == ("10,000", "50")
    levels = find(table="complexity", architecture="shufflenet")
    assert len(made({}, levels, on=("task", "complexity"), where=None).lines) == 9


def test_no_results_yet_is_a_table_of_the_paper() -> None:
    table = made({})
    assert [line.mean for line in table.lines] == [None] * 6
    assert not [note for note in versus_grid(table).notes if "order" in note]


def test_what_cannot_be_meant_is_refused() -> None:
    with pytest.raises(UsageError, match=r"no coordinate 'tsk'\. Did you mean 'task'"):
        made(on=("tsk",))
    with pytest.raises(UsageError, match=r"no coordinate 'backbone'"):
        made(where={"backbone": "r3d"})
    with pytest.raises(UsageError, match=r"expected values of task; got \('vcop', 'r3d'\)"):
        made({("vcop", "r3d"): {0: 1.0}})
    with pytest.raises(UsageError, match=r"expected top1 in %; noise_mean has relative_drop in %"):
        made(cells=find(table="noise_mean", metric="relative_drop"))
    with pytest.raises(
        UsageError, match=r"cells have architecture shufflenet, r2plus1d: name 'architecture'"
    ):
        made(cells=find(table="supplement_table_3", method=None))
    with pytest.raises(UsageError, match=r"no report format 'pdf'"):
        render_versus(made(), "pdf")


class Cells(HTMLParser):
    """Texts of a table's cells."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[list[str]] = []
        self.open = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "tr":
            self.found.append([])
        self.open = tag in ("td", "th")

    def handle_endtag(self, tag: str) -> None:
        self.open = False

    def handle_data(self, data: str) -> None:
        if self.open:
            self.found[-1].append(data)


def test_every_format_has_every_number() -> None:
    table = made()
    grid = versus_grid(table)
    texts = {fmt: render_versus(table, fmt) for fmt in FORMATS}
    for fmt in ("rich", "md", "html"):
        for row in grid.rows:
            assert row[1] in texts[fmt]
            assert row[3].partition(" ")[0] in texts[fmt]
    parser = Cells()
    parser.feed(texts["html"])
    assert parser.found == [list(grid.heads), *map(list, grid.rows)]
    assert texts["latex"].count(r" \\") == len(grid.rows) + 1
    assert r"71.0 $\pm$ 2.5 & 3 & 78.0 & supplement Table 3 & printed \\" in texts["latex"]
    assert r"printed\_elsewhere" in render_versus(
        made(cells=find(table="tasks_by_subset", subset=50_000)), "latex"
    )
    records = list(csv.DictReader(StringIO(texts["csv"])))
    assert [(r["task"], r["ours"], r["paper"]) for r in records[:3]] == [
        ("rspnet", "71.0", "78.0"),
        ("vcop", "42.233333333333334", "51.5"),
        ("pace", "40.0", ""),
    ]
    document = json.loads(texts["json"])
    assert document["records"][0]["trust"] == "printed"
    assert document["notes"] == list(grid.notes)


def test_html_is_escaped() -> None:
    assert "<script>" not in render_versus(made(title="<script>"), "html")
