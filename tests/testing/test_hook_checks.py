"""Every planted bug of a hook is caught by the check named for it; correct hooks trip none."""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from types import ModuleType

import planted_hooks
import pytest
import torch
from planted_hooks import ONE_EVENT, PLANTED, Recorder

from vssl_core.hooks import hookimpl
from vssl_core.testing import check_plugin, checks_of, parametrize_with_checks


def as_module() -> ModuleType:
    module = ModuleType("module_hook")

    def vssl_run_end(run: object, error: BaseException | None) -> None:
        del run, error

    module.vssl_run_end = hookimpl(vssl_run_end)
    return module


@pytest.mark.parametrize("hook", [Recorder(), ONE_EVENT, as_module()], ids=["object", "namespace", "module"])
def test_a_correct_hook_passes_every_check(hook: object) -> None:
    report = check_plugin("hook", hook)
    assert report.ok, report.text()
    assert len(report.results) == len(checks_of("hook")) == 8


def test_a_hook_may_be_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planted_hooks, "RECORDER", Recorder(), raising=False)
    assert check_plugin("hook", "planted_hooks:RECORDER").ok
    assert check_plugin("hook", f"{Path(planted_hooks.__file__)}:ONE_EVENT").ok
    assert "planted_hooks" in sys.modules


@pytest.mark.parametrize(
    ("cls", "check"), PLANTED.items(), ids=lambda value: getattr(value, "__name__", value)
)
def test_a_planted_bug_is_caught_by_the_check_named_for_it(cls: type, check: str) -> None:
    folder, handler = Path.cwd(), signal.getsignal(signal.SIGTERM)
    planted_hooks.LeavesAThread.stop.clear()
    report = check_plugin("hook", cls(), only=[check])
    planted_hooks.LeavesAThread.stop.set()
    assert [result.name for result in report.bad] == [check], report.text()
    assert report.bad[0].message.startswith("expected "), report.text()
    assert torch.is_grad_enabled()
    assert (Path.cwd(), signal.getsignal(signal.SIGTERM)) == (folder, handler)


def test_a_class_is_no_hook() -> None:
    report = check_plugin("hook", Recorder, only=["check_hook_watches_known_events"])
    assert "got a class" in report.bad[0].message


def test_every_check_of_hooks_has_a_planted_bug() -> None:
    assert set(checks_of("hook")) == set(PLANTED.values())


@parametrize_with_checks(hook=[Recorder()])
def test_hooks_as_their_author_tests_them(check) -> None:
    check()
