"""Python on the pages runs as it stands, block after block, in a folder with the examples."""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from pages import ROOT, WRITTEN, fences

PAGES = [page for page in WRITTEN if any(not fence.kind for fence in fences(page, "python"))]


def program(page: Path) -> str:
    """The page's blocks as one file, each line where it stands on the page."""
    lines: list[str] = []
    for fence in fences(page, "python"):
        if not fence.kind:
            lines += [""] * (fence.line - len(lines)) + fence.text.splitlines()
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_blocks_of_a_page_run(page: Path, tmp_path: Path) -> None:
    for example in (ROOT / "examples").glob("my_*.py"):
        shutil.copy(example, tmp_path)
    file = tmp_path / f"page_{page.stem.replace('-', '_')}.py"
    file.write_text(program(page), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, str(file)], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_every_page_for_authors_has_a_worked_example() -> None:
    assert {page.stem for page in PAGES} >= {
        "add-a-task",
        "add-a-backbone",
        "add-a-dataset",
        "add-an-evaluator",
        "add-a-corruption",
        "add-an-executor",
        "add-hooks",
        "publish-a-plugin",
    }


def test_blocks_that_are_shown_and_not_run_at_least_are_python() -> None:
    shown = [fence for page in WRITTEN for fence in fences(page, "python") if fence.kind]
    assert {fence.kind for fence in shown} == {"bench"}, "test_commands checks the arguments of these"
    for fence in shown:
        ast.parse(fence.text)


def test_a_line_of_a_page_is_the_same_line_of_its_program() -> None:
    for page in PAGES:
        source = page.read_text(encoding="utf-8").splitlines()
        for number, line in enumerate(program(page).splitlines()):
            assert not line or source[number] == line
