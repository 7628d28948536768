"""Pages that are made from the code say what the code says now."""

from __future__ import annotations

import re
import sys
from difflib import unified_diff
from importlib import import_module
from types import ModuleType

import pytest
from pages import DOCS

from vssl_core import errors
from vssl_core.cli import main
from vssl_core.registry import scan


@pytest.fixture(scope="module")
def generate() -> ModuleType:
    """docs/generate.py."""
    sys.path.insert(0, str(DOCS))
    try:
        return import_module("generate")
    finally:
        sys.path.remove(str(DOCS))


@pytest.fixture(scope="module")
def made(generate: ModuleType) -> dict[str, str]:
    """Path below docs/ → what it should hold."""
    return generate.pages()


def test_the_committed_pages_are_those_that_the_code_gives(made: dict[str, str]) -> None:
    committed = {
        path.relative_to(DOCS).as_posix(): path.read_text(encoding="utf-8")
        for folder in ("builtins", "reference", "api")
        for path in (DOCS / folder).glob("*.md")
    }
    stale = {name for name in made.keys() | committed.keys() if made.get(name) != committed.get(name)}
    changes = [
        line
        for name in sorted(stale)
        for line in unified_diff(
            committed.get(name, "").splitlines(), made.get(name, "").splitlines(), name, n=0, lineterm=""
        )
    ]
    assert not stale, "run `python docs/generate.py` and commit:\n" + "\n".join(changes[:60])


def test_every_built_in_stands_there_with_what_the_command_shows(
    made: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    built_in = [ref for ref in scan() if ref.origin == "built-in"]
    assert built_in
    for ref in built_in:
        assert main(["plugins", "show", ref.kind, ref.name, "--format", "md"]) == 0
        page = made[f"builtins/{ref.kind}s.md"]
        for line in capsys.readouterr().out.splitlines():
            assert line.removeprefix("#") in re.sub(r"<(https://\S+)>", r"\1", page)


def test_every_task_has_paper_equations_and_deviations(made: dict[str, str]) -> None:
    sections = re.split(r"^\(task-", made["builtins/tasks.md"], flags=re.MULTILINE)[1:]
    assert len(sections) == len([ref for ref in scan() if (ref.kind, ref.origin) == ("task", "built-in")])
    for section in sections:
        assert "- paper: <https://" in section
        assert "```text\n" in section
        assert "Deviations" in section


def test_options_fields_and_ops_stand_there_with_ranges_and_defaults(made: dict[str, str]) -> None:
    assert "| `num_clips` | an integer from 2 to 5 | `3` |" in made["builtins/tasks.md"]
    assert "| `pretrain.budget.currency` | one of 'epochs'" in made["reference/protocol-fields.md"]
    assert "## `RandomCrop(scale=1.1428571428571428)`" in made["reference/augmentation.md"]
    assert "`check_options_are_described`" in made["reference/checks.md"]
    assert "--checkpoint-seconds" in made["reference/commands.md"]


def test_every_error_stands_there_with_its_meaning_and_its_exit_code(made: dict[str, str]) -> None:
    lines = made["reference/errors.md"].splitlines()
    rows = [line.split("|")[1:-1] for line in lines if line.startswith("| `")]
    found = {name.strip(" `"): (meaning.strip(), int(code)) for name, meaning, _, code in rows}
    assert found.keys() == {name for name in errors.__all__ if name.endswith("Error")}
    for name, (meaning, code) in found.items():
        assert meaning
        assert code == getattr(errors, name).exit_code
