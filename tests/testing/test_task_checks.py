"""Correct tasks of every design pass all checks, and each planted bug fails the one named for it."""

from __future__ import annotations

import tempfile
from pathlib import Path

import planted_conduct
import planted_contrasts
import planted_losses
import planted_training
import pytest
import torch
from planted_tasks import PLANTED, Arrow

from vssl_core.testing import check_plugin, checks_of
from vssl_core.testing.tasks.videos import folder

DEVICES = "check_everything_moves_with_the_task"
EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
SMALLER = {"cvrl": {"hidden_dim": 64}, "prp": {"hidden_dim": 16}, "vcop": {"hidden_dim": 64}}
TASKS = (
    *("rotnet", "cvrl", "vcop", "tdl", "prp", "rspnet"),
    *(f"{EXAMPLES}/my_task.py:MyTask", f"{EXAMPLES}/my_contrast.py:MyContrast"),
    *planted_contrasts.CORRECT,
)


@pytest.mark.parametrize("task", TASKS)
def test_a_correct_task_passes_every_check(task: str | type) -> None:
    report = check_plugin("task", task, options=SMALLER.get(str(task)))
    assert report.ok, report.text()
    assert len(report.results) == len(checks_of("task"))
    (told,) = [result.note for result in report.results if result.note]
    assert "ms of processor time" in told
    assert told in report.text()


@pytest.mark.parametrize(("cls", "check"), PLANTED, ids=lambda value: getattr(value, "__name__", value))
def test_a_planted_bug_is_caught_by_the_check_named_for_it(
    cls: type, check: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder()  # of the videos that all tests share, which must not go with this test's own folder
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    threads, here = torch.get_num_threads(), Path.cwd()
    report = check_plugin("task", cls, only=[check])
    assert [result.name for result in report.bad] == [check], report.text()
    assert report.bad[0].message.startswith("expected "), report.text()
    assert (torch.get_num_threads(), Path.cwd(), torch.is_grad_enabled()) == (threads, here, True)


@pytest.mark.parametrize("task", [Arrow, "rotnet", "cvrl", "vcop"])
def test_a_task_is_followed_to_a_device_that_is_not_here(task: str | type) -> None:
    report = check_plugin("task", task, options=SMALLER.get(str(task)), only=[DEVICES])
    assert [result.status for result in report.results] == ["passed"], report.results


def test_every_check_of_tasks_has_a_planted_bug() -> None:
    """Those of options have theirs in the tests of options; nothing can fail where a time is told."""
    own = {name for name in checks_of("task") if not name.startswith(("check_options", "check_unknown"))}
    assert own - {"check_cpu_time_is_told"} == {check for _, check in PLANTED}


def test_bugs_are_planted_in_every_file() -> None:
    found = {cls.__module__ for cls, _ in PLANTED}
    modules = {
        module.__name__ for module in (planted_conduct, planted_contrasts, planted_losses, planted_training)
    }
    assert found == {Arrow.__module__, *modules}
