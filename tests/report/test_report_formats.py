"""Text formats: every name is escaped, LaTeX compiles, programs read back what was written."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
from io import StringIO
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from synthetic_runs import HASH, Cell, write_cell, write_failure, write_study

from vssl_core.errors import UsageError
from vssl_core.report import FORMATS, load_report, render
from vssl_core.report.latex import escape
from vssl_core.rows import Row

NASTY = r"x_y{z}&50%$#~^\<b>|*`[é²漢±]"


@pytest.fixture(scope="module")
def nasty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study whose task and target have every character that some format treats as its own."""
    runs = tmp_path_factory.mktemp("nasty")
    for seed in range(3):
        for task in ("random_init", "vcop", "supervised"):
            folder = write_cell(runs, Cell(task, seed))
            for path in [*folder.glob("cell.json"), *folder.glob("evaluations/*/result.json")]:
                document = path.read_text().replace('"vcop"', json.dumps(NASTY))
                path.write_text(
                    document.replace('"target": "shapes_motion"', f'"target": {json.dumps(NASTY)}')
                )
    write_failure(runs, Cell("cvrl", 0), f"it <b>broke</b> & {NASTY}")
    return runs


@pytest.mark.parametrize("fmt", FORMATS)
def test_every_format_renders_one_two_and_no_tables(fmt: str, tmp_path: Path) -> None:
    runs = write_study(tmp_path / "runs", seeds=(0,))
    assert render(load_report(runs), fmt)
    write_study(runs, seeds=(0,), protocol="paper", protocol_hash="fedcba9876543210")
    text = render(load_report(runs), fmt)
    assert HASH in text
    assert "fedcba9876543210" in text
    write_failure(tmp_path / "failed", Cell("vcop", 0), "no luck")
    assert render(load_report(tmp_path / "failed"), fmt) is not None


def test_an_unknown_format_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="Did you mean 'latex'"):
        render(load_report(write_study(tmp_path, seeds=(0,))), "latx")


def test_markdown_tables_keep_their_columns(nasty: Path) -> None:
    text = render(load_report(nasty), "md")
    blocks = [block for block in text.split("\n\n") if block.startswith("|")]
    assert len(blocks) == 2
    for block in blocks:
        counts = {line.replace(r"\|", "").count("|") for line in block.splitlines()}
        assert len(counts) == 1
    assert "<b>" not in text
    assert r"x\_y\{z\}&50%$#" in text.replace(r"\#", "#")


@pytest.mark.skipif(
    shutil.which("pdflatex") is None
    or not subprocess.run(["kpsewhich", "booktabs.sty"], capture_output=True, check=False).stdout,
    reason="pdflatex with booktabs is not installed",
)
def test_latex_compiles(nasty: Path, tmp_path: Path) -> None:
    body = render(load_report(nasty), "latex")
    head = "\\documentclass{article}\\usepackage[T1]{fontenc}\\usepackage{booktabs}\\begin{document}\n"
    (tmp_path / "t.tex").write_text(f"{head}{body}\\end{{document}}\n", encoding="utf-8")
    done = subprocess.run(
        ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "t.tex"],
        cwd=tmp_path,
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout.decode(errors="replace")[-2000:]


@given(st.text())
def test_latex_escaping_leaves_nothing_active(text: str) -> None:
    escaped = escape(text)
    assert escaped.isascii()
    bare = escaped
    for command in (r"\textbackslash{}", r"\textasciitilde{}", r"\textasciicircum{}", r"\ldots{}"):
        bare = bare.replace(command, "")
    for command in (r"\textless{}", r"\textgreater{}", r"\textbar{}", *(f"\\{c}" for c in "{}&%$#_")):
        bare = bare.replace(command, "")
    for command in (r"$\pm$", r"$\cdot$", "$^2$", r"$\to$", r"$\times$"):
        bare = bare.replace(command, "")
    assert not set(bare) & set("\\{}&%$#_~^\n")


def test_csv_gives_back_every_row(nasty: Path) -> None:
    report = load_report(nasty)
    lines = list(csv.DictReader(StringIO(render(report, "csv"))))
    assert len(lines) == len(report.rows)
    for line, row in zip(lines, report.rows, strict=True):
        assert (line["task"], line["target"], line["metric"]) == (row.task, row.target, row.metric)
        assert float(line["value"]) == row.value
        assert float(line["pretrain_seconds"]) == row.cost.pretrain_seconds
    assert NASTY in {line["task"] for line in lines}


def test_csv_of_two_protocols_is_two_tables(tmp_path: Path) -> None:
    write_study(tmp_path, seeds=(0,))
    write_study(tmp_path, seeds=(0,), protocol="paper", protocol_hash="fedcba9876543210")
    blocks = render(load_report(tmp_path), "csv").split("\n\n")
    assert len(blocks) == 2
    for block in blocks:
        assert len({line["protocol_hash"] for line in csv.DictReader(StringIO(block))}) == 1


def test_json_holds_rows_intervals_and_failures(nasty: Path) -> None:
    report = load_report(nasty)
    document = json.loads(render(report, "json"))
    assert tuple(Row.model_validate(row) for row in document["rows"]) == report.rows
    (table,) = document["tables"]
    vcop = next(line for line in table["lines"] if line["task"] == NASTY)
    interval = vcop["scores"][0]["interval"]
    assert interval["low"] < vcop["scores"][0]["mean"] < interval["high"]
    assert "Satterthwaite" in interval["estimator"]
    assert [c["failure"]["reason"] for c in document["cells"] if c["state"] == "failed"] == [
        f"it <b>broke</b> & {NASTY}"
    ]


def test_the_terminal_shows_names_as_they_are(nasty: Path) -> None:
    text = render(load_report(nasty), "rich")
    assert NASTY in text
    assert "supervised (ceiling)" in text
    assert "failed: cvrl-" in text


def test_the_terminal_table_fits_eighty_columns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    text = render(load_report(write_study(tmp_path)), "rich")
    assert max(len(line) for line in text.splitlines()) <= 80
    assert "±" in text
