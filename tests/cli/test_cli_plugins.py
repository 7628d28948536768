"""`vssl plugins`: what is listed and shown, and what is imported for it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from command_line import vssl
from fake_distributions import evaluator, install

from vssl_core import cli


def listed(path: Path, *arguments: str) -> dict[tuple[str, str, str], dict[str, str]]:
    result = vssl("plugins", "list", "--json", *arguments, path=path)
    assert result.returncode == 0
    return {(row["kind"], row["distribution"], row["name"]): row for row in json.loads(result.stdout)}


def test_list_flags_conflicts_without_importing(crowded: Path) -> None:
    rows = listed(crowded)
    assert {row["status"] for row in rows.values()} == {"found"}
    assert "a built-in has this name" in rows["evaluator", "vssl-plugin-good", "linear"]["note"]
    assert "write vssl-plugin-clash:score" in rows["evaluator", "vssl-plugin-clash", "score"]["note"]
    assert rows["evaluator", "vssl", "linear"] == {
        "kind": "evaluator",
        "name": "linear",
        "distribution": "vssl",
        "version": rows["evaluator", "vssl", "linear"]["version"],
        "origin": "built-in",
        "target": "vssl_plugins.evaluators.linear:Linear",
        "status": "found",
        "note": "",
    }


def test_list_with_load_shows_what_is_broken_and_why(crowded: Path) -> None:
    rows = listed(crowded, "--load")
    assert rows["evaluator", "vssl-plugin-good", "score"]["status"] == "ok"
    assert rows["evaluator", "vssl-plugin-bad", "bad"]["status"] == "broken"
    assert "RuntimeError: on purpose" in rows["evaluator", "vssl-plugin-bad", "bad"]["note"]
    assert rows["hook", "vssl-plugin-bad", "bad_hook"]["status"] == "broken"


def test_list_can_be_of_one_kind(crowded: Path) -> None:
    assert {kind for kind, _, _ in listed(crowded, "--kind", "hook")} == {"hook"}


def test_list_for_people_is_one_line_each_and_reports_unreadable_metadata(crowded: Path) -> None:
    install(crowded, "vssl-plugin-garbled", "[vssl.tasks]\nno equals sign\n")
    result = vssl("plugins", "list", "--kind", "evaluator", path=crowded)
    lines = result.stdout.splitlines()
    assert lines[0].split() == ["KIND", "NAME", "DISTRIBUTION", "VERSION", "ORIGIN", "STATUS"]
    assert {line.split()[0] for line in lines[1:]} == {"evaluator"}
    assert "vssl_plugin_garbled" in result.stderr


OPTIONS = '''
    class Options(Options):
        """Options of it."""
        width: int = 3
        """How wide; one | two."""
    api_version = 1
    paper = "https://example.org/paper"
    levels = {1: {"width": 2}, 2: {"width": 4}}
'''


@pytest.fixture
def documented(site: Path) -> Path:
    source = evaluator(body='"""Scores nothing.\n\n    At length."""\n' + OPTIONS)
    modules = {"plugin_a.py": source}
    install(site, "vssl-plugin-a", "[vssl.evaluators]\nscore = plugin_a:Score\n", modules=modules)
    return site


def shown(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert cli.main(["plugins", "show", *arguments]) == 0
    return capsys.readouterr().out


def test_show_for_programs(documented: Path, capsys: pytest.CaptureFixture[str]) -> None:
    del documented
    found = json.loads(shown(capsys, "evaluator", "score", "--format", "json"))
    assert found["text"] == "Scores nothing.\n\nAt length."
    assert found["paper"] == "https://example.org/paper"
    assert found["options"] == [
        {"name": "width", "type": "an integer", "default": "3", "description": "How wide; one | two."}
    ]
    assert re.search(r"plugin_a\.py:\d+$", found["source"])


def test_show_for_documentation_holds_no_path(documented: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = shown(capsys, "evaluator", "score", "--format", "md")
    assert page.startswith("### `score`\n\nScores nothing.")
    assert "- paper: https://example.org/paper\n- levels: 1: width=2; 2: width=4\n" in page
    assert "| `width` | an integer | `3` | How wide; one \\| two. |" in page
    assert str(documented) not in page


def test_show_for_people_cuts_nothing_off(
    documented: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    del documented
    monkeypatch.setenv("COLUMNS", "30")
    assert "https://example.org/paper" in "".join(shown(capsys, "evaluator", "score").split())
    monkeypatch.setenv("COLUMNS", "120")
    text = shown(capsys, "evaluator", "score")
    for part in (
        "evaluator score",
        "Scores nothing.",
        "vssl-plugin-a 1.0 (installed)",
        "width",
        "an integer",
    ):
        assert part in text


def test_show_takes_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine.py").write_text(evaluator(body="pass"))
    assert "Score" in shown(capsys, "evaluator", f"{tmp_path}/mine.py:Score")


def test_show_takes_a_hook(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = '"""Watches."""\nfrom vssl_core.hooks import hookimpl\n@hookimpl\ndef vssl_run_start(run): ...\n'
    modules = {"watching.py": source}
    install(site, "vssl-plugin-h", "[vssl.hooks]\nwatch = watching\n", modules=modules)
    found = json.loads(shown(capsys, "hook", "watch", "--format", "json"))
    assert (found["text"], found["events"]) == ("Watches.", ["vssl_run_start"])


@pytest.mark.parametrize("kind", ["task", "backbone", "dataset", "evaluator", "executor"])
def test_every_built_in_states_a_text_and_described_options(kind: str) -> None:
    from vssl_core.cli.describe import describe
    from vssl_core.registry import scan

    for ref in scan():
        if (ref.kind, ref.origin) == (kind, "built-in"):
            found = describe(ref)
            assert found.text, ref
            for option in found.options:
                assert option.description, f"{ref}: option {option.name} has no description"
                assert option.default != "required", f"{ref}: option {option.name} has no default"
