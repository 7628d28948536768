"""`vssl report`: what goes where, what it refuses, and what it must not import."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from synthetic_runs import write_study

from vssl_core.cli import main, vssl
from vssl_core.cli.report import report
from vssl_core.report import FORMATS, load_report


def test_every_format_is_offered() -> None:
    option = next(p for p in report.params if p.name == "fmt")
    assert tuple(option.type.choices) == FORMATS  # type: ignore[attr-defined]


def test_text_goes_to_stdout(tmp_path: Path) -> None:
    runs = write_study(tmp_path, seeds=(0,))
    done = CliRunner().invoke(vssl, ["report", str(runs), "--format", "json"])
    assert done.exit_code == 0
    assert json.loads(done.stdout)["tables"]


def test_html_prints_where_it_is(tmp_path: Path) -> None:
    runs = write_study(tmp_path / "runs", seeds=(0,))
    done = CliRunner().invoke(vssl, ["report", str(runs), "--format", "html"])
    assert done.stdout.strip() == str(runs / "report.html")
    assert (runs / "report.html").exists()
    done = CliRunner().invoke(
        vssl, ["report", str(runs), "--format", "html", "--output", str(tmp_path / "a.html")]
    )
    assert done.stdout.strip() == str(tmp_path / "a.html")
    assert (tmp_path / "a.html").read_bytes() == (runs / "report.html").read_bytes()


def test_a_metric_is_shown_instead_of_the_first(tmp_path: Path) -> None:
    runs = write_study(tmp_path, seeds=(0, 1, 2))

    def columns(*more: str) -> set[str]:
        done = CliRunner().invoke(vssl, ["report", str(runs), "--format", "json", *more])
        return {
            column["metric"] for table in json.loads(done.stdout)["tables"] for column in table["columns"]
        }

    first = columns()
    known = {row.metric for row in load_report(runs).rows}
    other = sorted(known - first)[0]
    assert columns("--metric", other) == {other}
    assert columns("--metric", other, "--metric", sorted(first)[0]) == {other, sorted(first)[0]}


def test_an_unknown_metric_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = write_study(tmp_path, seeds=(0,))
    assert main(["report", str(runs), "--metric", "top9"]) == 2
    assert "'top9'" in capsys.readouterr().err


def test_output_takes_any_format(tmp_path: Path) -> None:
    runs = write_study(tmp_path / "runs", seeds=(0,))
    done = CliRunner().invoke(
        vssl, ["report", str(runs), "--format", "csv", "--output", str(tmp_path / "a.csv")]
    )
    assert done.stdout.strip() == str(tmp_path / "a.csv")
    assert (tmp_path / "a.csv").read_text().startswith("cell_id,")


@pytest.mark.parametrize("arguments", [["nowhere"], ["."], [".", "--format", "pdf"]])
def test_wrong_usage_is_one_line_and_code_2(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["report", *arguments]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("error: ")
    assert printed.err.count("\n") == 1


def test_a_report_needs_neither_torch_nor_a_plugin(tmp_path: Path) -> None:
    runs = write_study(tmp_path, seeds=(0,))
    code = (
        "import sys; from vssl_core.cli import main; "
        f"code = main(['report', {str(runs)!r}]); "
        "bad = sorted({m.split('.')[0] for m in sys.modules} & {'torch', 'vssl_plugins', 'matplotlib'}); "
        "sys.exit(code or (f'imported {bad}' if bad else 0))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "random_init (floor)" in done.stdout


def test_the_page_needs_neither_torch_nor_a_plugin(tmp_path: Path) -> None:
    runs = write_study(tmp_path, seeds=(0,))
    code = (
        "import sys; from vssl_core.cli import main; "
        f"code = main(['report', {str(runs)!r}, '--format', 'html']); "
        "bad = sorted({m.split('.')[0] for m in sys.modules} & {'torch', 'vssl_plugins'}); "
        "sys.exit(code or (f'imported {bad}' if bad else 0))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert (runs / "report.html").is_file()
