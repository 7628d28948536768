"""Correct tasks of every design pass all checks, and each planted bug fails the one named for it."""

from __future__ import annotations

from pathlib import Path

import planted_contrasts
import pytest
from planted_tasks import BUGS

from vssl_core.testing import check_plugin

ROOT = Path(__file__).resolve().parents[2]
SMALLER = {"cvrl": {"hidden_dim": 64}, "prp": {"hidden_dim": 16}, "vcop": {"hidden_dim": 64}}
BUILT_IN = ("cvrl", "prp", "rotnet", "rspnet", "tdl", "vcop", f"{ROOT}/examples/my_task.py:MyTask")


@pytest.mark.parametrize("name", BUILT_IN)
def test_built_in_tasks_pass_every_check(name: str) -> None:
    report = check_plugin("task", name, options=SMALLER.get(name))
    assert report.ok, report.text()


@pytest.mark.parametrize("cls", planted_contrasts.CORRECT)
def test_correct_tasks_of_other_designs_pass_every_check(cls: type) -> None:
    report = check_plugin("task", cls)
    assert report.ok, report.text()


@pytest.mark.parametrize(("check", "cls"), [(check, cls) for check, some in BUGS.items() for cls in some])
def test_a_planted_bug_is_caught_by_the_check_named_for_it(check: str, cls: type) -> None:
    (result,) = check_plugin("task", cls, only=[check]).results
    assert result.status == "failed", f"{result.status}: {result.message}"
