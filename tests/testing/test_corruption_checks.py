"""Every planted bug of a corruption is caught by the check named for it; correct corruptions trip none."""

from __future__ import annotations

import pytest
from planted_corruptions import PLANTED, Grain, Stutter

import vssl_core
from vssl_core.testing import check_plugin, checks_of

BUILT_IN = [ref.name for ref in vssl_core.scan() if (ref.kind, ref.origin) == ("corruption", "built-in")]


@pytest.mark.parametrize("corruption", [Grain, Stutter, *BUILT_IN])
def test_a_correct_corruption_passes_every_check(corruption: str | type) -> None:
    report = check_plugin("corruption", corruption)
    assert report.ok, report.text()
    skipped = {result.name for result in report.results if result.status == "skipped"}
    assert skipped <= {"check_a_larger_severity_changes_more"}
    assert len(report.results) == len(checks_of("corruption"))


@pytest.mark.parametrize(
    ("cls", "check"), PLANTED.items(), ids=lambda value: getattr(value, "__name__", value)
)
def test_a_planted_bug_is_caught_by_the_check_named_for_it(cls: type, check: str) -> None:
    report = check_plugin("corruption", cls, only=[check])
    assert [result.name for result in report.bad] == [check], report.text()


def test_every_check_of_corruptions_has_a_planted_bug() -> None:
    own = {
        name for name in checks_of("corruption") if not name.startswith(("check_options", "check_unknown"))
    }
    assert own == set(PLANTED.values())


def test_what_changes_when_frames_are_shown_has_no_order_of_severities() -> None:
    report = check_plugin("corruption", Stutter, only=["check_a_larger_severity_changes_more"])
    assert report.results[0].message == "it has one severity"
