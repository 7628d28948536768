"""Sections that studies left in a run folder as text; what is spoilt hides nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from synthetic_runs import write_study

from vssl_core.report import load_report, render
from vssl_core.report.study_sections import read_sections
from vssl_core.report.study_text import sections_as_text


def value(mean: float) -> dict[str, float]:
    return {"mean": mean, "low": mean - 1, "high": mean + 1}


def section(name: str = "mine", **changes: Any) -> dict[str, Any]:
    series = {"name": "a_b", "values": [value(1.0), None], "reference": False, "like": ""}
    found = {
        "name": name,
        "title": "Mine",
        "question": "Which & why?",
        "answers": ["Table 3"],
        "findings": ["At 95 %, a_b is the best."],
        "tables": [
            {
                "caption": "Scores",
                "headers": ["task", "top1,\n%"],
                "rows": [["a_b", "1.0 ± 0.5"]],
                "notes": ["n"],
            }
        ],
        "figures": [
            {
                "kind": kind, "caption": kind, "x_label": "size", "y_label": "top1", "ticks": ["8", "16"],
                "series": [series], "chance": 12.5,
            }
            for kind in ("lines", "bars")
        ],
        "notes": ["One protocol."],
    }  # fmt: skip
    return {**found, **changes}


def written(runs: Path, *sections: dict[str, Any]) -> Path:
    (runs / "studies").mkdir(parents=True)
    for found in sections:
        path = runs / "studies" / f"{found['name']}.json"
        path.write_text(json.dumps({"schema": 1, "section": found}))
    return runs


def test_what_is_spoilt_becomes_a_note_and_hides_nothing(tmp_path: Path) -> None:
    outside = {"kind": "map", "caption": "stolen", "array": "../outside.npy", "layers": "layers.json"}
    unknown = {"kind": "pie", "caption": "pie", "series": []}
    good = section("good", figures=[outside, unknown, section()["figures"][0]])
    runs = written(tmp_path / "runs", good, {**section("bad"), "tables": [{"caption": "x"}]})
    (runs / "studies" / "broken.json").write_text("{")
    (runs / "studies" / "newer.json").write_text(json.dumps({"schema": 9}))
    sections, notes = read_sections(runs)
    assert [one.name for one in sections] == ["good"]
    assert [figure.caption for figure in sections[0].figures] == ["lines"]
    assert len(notes) == 5
    for words in (
        "figure 'stolen': '../outside.npy' lies outside",
        "figure 'pie': it is not what this version",
    ):
        assert sum(words in note for note in notes) == 1
    assert all(any(f"study {name}: " in note for note in notes) for name in ("bad", "broken", "newer"))


def test_json_has_them_as_data(tmp_path: Path) -> None:
    report = load_report(written(write_study(tmp_path / "runs", seeds=(0,)), section()))
    (found,) = json.loads(render(report, "json"))["studies"]
    assert found == {name: value for name, value in section().items() if name != "figures"}


def test_text_in_every_format_is_escaped_and_has_all_sentences(tmp_path: Path) -> None:
    sections, _ = read_sections(written(tmp_path, section()), figures=False)
    assert sections[0].figures == ()
    rich, markdown, latex = (sections_as_text(sections, fmt) for fmt in ("rich", "md", "latex"))
    for text in (rich, markdown, latex):
        assert "One protocol." in text
        assert "(the paper's Table 3)" in text
    assert "a_b" in rich
    assert "| a\\_b | 1.0 ± 0.5 |" in markdown
    assert "a\\_b & 1.0 $\\pm$ 0.5 \\\\" in latex
    assert "Which \\& why?" in latex
    assert "\\begin{tabular}{lr}" in latex
    assert sections_as_text(sections, "csv") == ""
