"""`vssl verify`: what it prints, and its exit codes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from verification.altering import edit, evaluation, one

from vssl_core import verify
from vssl_core.cli import main


@pytest.fixture
def runs(finished: Path, tmp_path: Path) -> Path:
    """A copy of the run folder."""
    return Path(shutil.copytree(finished, tmp_path / "runs"))


def alter(runs: Path) -> Path:
    """Another score of VCOP's linear probe."""
    folder = evaluation(one(runs, "vcop"), "linear")
    edit(folder / "result.json", lambda document: document["rows"][0].update(value=99.5))
    return folder


def test_all_is_right(
    runs: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    assert main(["verify", str(runs)]) == 0
    text = capsys.readouterr().out
    lines = text.splitlines()
    for cell in (runs / "cells").iterdir():
        (line,) = [line for line in lines if cell.name in line]
        assert line.split()[-3:] == ["6", "0", "0"]  # metrics recomputed, altered, not checked
    assert lines[-2] == "nothing is altered"
    assert lines[-1] == f"digest: {verify(runs).digest}"


@pytest.mark.parametrize("way", ["run folder", "cell", "id"])
def test_an_altered_number_is_shown_with_what_it_should_be(
    way: str, runs: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = alter(runs)
    cell = folder.parents[1]
    words = {"run folder": [str(runs)], "cell": [str(cell)], "id": ["vcop", "--runs", str(runs)]}[way]
    monkeypatch.setenv("COLUMNS", "300")
    assert main(["verify", *words]) == 1
    text = capsys.readouterr().out
    (line,) = [line for line in text.splitlines() if "top1.value" in line and "recomputed" in line]
    assert f"evaluations/{folder.name}/result.json" in line
    assert "99.5" in line
    (found,) = {
        o.expected
        for o in verify(cell).cells[0].altered
        if (o.field, o.by) == ("top1.value", "recomputed from the arrays")
    }
    assert found in line
    assert f"altered in {cell.name}" in text
    assert "3 alterations" in text  # the file, the mean of its videos, the recomputed score


def test_for_programs(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    alter(runs)
    assert main(["verify", str(runs), "--json"]) == 1
    document = json.loads(capsys.readouterr().out)
    assert document["ok"] is False
    assert [len(cell["altered"]) for cell in document["cells"]] == [0, 0, 3]
    assert {"file", "field", "stored", "expected", "by"} == set(document["cells"][2]["altered"][0])


def test_the_digest_that_was_published(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    digest = verify(runs).digest
    assert main(["verify", str(runs), "--expect", digest[:16]]) == 0
    assert "not as expected" not in capsys.readouterr().out
    assert main(["verify", str(runs), "--expect", "0" * 16]) == 1
    assert "not as expected: the digest that was published is 0000000000000000" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["nowhere"], "fits no cell"),
        ([], "Missing argument 'BUNDLE'"),
        (["RUNS", "--expect", "5"], "16 to 64 digits of a digest"),
        (["RUNS", "--evaluator", "linaer"], "Did you mean 'linear'"),
        (["RUNS/cells/none"], "fits no cell"),
    ],
)
def test_wrong_usage(words: list[str], says: str, runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [word.replace("RUNS", str(runs)) for word in words]
    assert main(["verify", *words, "--runs", str(runs)] if words else ["verify"]) == 2
    assert says in capsys.readouterr().err


def test_control_characters_of_a_bundle_do_not_reach_the_terminal(
    runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = alter(runs)
    edit(folder / "result.json", lambda document: document["rows"][0].update(task="\x1b[31mred\x07"))
    assert main(["verify", str(runs)]) == 1
    assert not set(capsys.readouterr().out) & {"\x1b", "\x07"}
