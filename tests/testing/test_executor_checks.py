"""Every planted bug of an executor is caught by the check named for it; correct executors trip none."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from planted_executors import PLANTED, OneByOne, Threads

from vssl_core.testing import check_plugin, checks_of, executor_cells


@pytest.mark.parametrize("executor", [OneByOne, Threads, "local"])
def test_a_correct_executor_passes_every_check(executor: str | type) -> None:
    report = check_plugin("executor", executor)
    assert report.ok, report.text()
    assert [result.name for result in report.results if result.status == "skipped"] == []
    assert len(report.results) == len(checks_of("executor"))


@pytest.mark.parametrize(
    ("cls", "check"), PLANTED.items(), ids=lambda value: getattr(value, "__name__", value)
)
def test_a_planted_bug_is_caught_by_the_check_named_for_it(
    cls: type, check: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if cls.__name__ in ("KeepsAPipeFull", "NeverReturns"):  # no need to wait as long as a user may have to
        monkeypatch.setattr(executor_cells, "CELL_SECONDS", 3)
        monkeypatch.setattr(executor_cells, "LIMIT_SECONDS", 6)
    environment, folder = dict(os.environ), Path.cwd()
    report = check_plugin("executor", cls, only=[check])
    assert [result.name for result in report.bad] == [check], report.text()
    assert report.bad[0].message.startswith("expected "), report.text()
    assert Path.cwd() == folder
    assert set(os.environ) - set(environment) <= {"VSSL_CHECK_CELL", "VSSL_CHECK_USER"}


def test_every_check_of_executors_has_a_planted_bug() -> None:
    own = {name for name in checks_of("executor") if not name.startswith(("check_options", "check_unknown"))}
    assert own == set(PLANTED.values())
