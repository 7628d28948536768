"""What came of checking a component, as values: no pytest, no printing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias, TypeVar

from vssl_core.errors import UsageError, did_you_mean

__all__ = [
    "Check",
    "CheckFailed",
    "CheckResult",
    "CheckSkipped",
    "PluginReport",
    "Status",
    "check_expected_failures",
    "run_checks",
]

Status: TypeAlias = Literal["passed", "failed", "expected", "unexpected pass", "skipped"]
_BAD = ("failed", "unexpected pass")

Subject = TypeVar("Subject")
Check: TypeAlias = Callable[[Subject], str | None]
"""Raises `CheckFailed` or `CheckSkipped`; what it returns is a note for the author, such as a time."""


class CheckFailed(AssertionError):  # noqa: N818  what failed is a check
    """A component does not do what its contract asks; the message says what was expected and what came."""


class CheckSkipped(Exception):  # noqa: N818  it is no error
    """A check does not apply; the message says why."""


@dataclass(frozen=True, slots=True)
class CheckResult:
    """One check of one component.

    Args:
        name: The check's name, such as `check_sampler_is_pure`.
        status: `expected` is a failure that was announced; `unexpected pass` one that did not come.
        message: Why it failed, was skipped or was expected to fail; empty where it passed.
        note: What a check that passed has to say besides, such as a time that it measured.
    """

    name: str
    status: Status
    message: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class PluginReport:
    """All checks of one component, in the order in which they ran."""

    kind: str
    name: str
    results: tuple[CheckResult, ...]

    @property
    def ok(self) -> bool:
        """Whether something ran and nothing failed that was not expected to."""
        ran = any(result.status != "skipped" for result in self.results)
        return ran and not self.bad

    @property
    def bad(self) -> tuple[CheckResult, ...]:
        """Failures, and expected failures that did not come."""
        return tuple(result for result in self.results if result.status in _BAD)

    def summary(self) -> str:
        """One line: how many checks ran, failed, were expected to fail, were skipped."""
        count = {s: sum(r.status == s for r in self.results) for s in ("failed", "expected", "skipped")}
        ran = len(self.results) - count["skipped"]
        wrong = len(self.bad)
        return (
            f"{self.kind} {self.name}: {ran} checks ran, {wrong} failed, {count['expected']} failed as "
            f"expected, {count['skipped']} skipped"
        )

    def text(self) -> str:
        """The summary and, below it, a line for each check that failed or has something to say."""
        failed = [f"  {r.name}: {r.message}" for r in self.bad]
        notes = [f"  {r.name}: {r.note}" for r in self.results if r.note]
        return "\n".join([self.summary(), *failed, *notes])


def run_checks(
    kind: str,
    name: str,
    checks: Sequence[Check[Subject]],
    subject: Subject,
    *,
    expected_failures: dict[str, str] | None = None,
) -> PluginReport:
    """Run every check; an error that a component raises is a failure of the check that met it.

    Raises:
        UsageError: `expected_failures` names a check that there is not, or gives no reason.
    """
    expected = expected_failures or {}
    check_expected_failures(expected, checks)
    results = tuple(_run(check, subject, expected.get(check.__name__)) for check in checks)
    return PluginReport(kind, name, results)


def check_expected_failures(expected: dict[str, str], checks: Sequence[Check[Subject]]) -> None:
    """Raise UsageError unless every expected failure is of a known check and has a reason."""
    names = [check.__name__ for check in checks]
    for name, reason in expected.items():
        if name not in names:
            raise UsageError(f"there is no check called {name!r}.{did_you_mean(name, names)}")
        if not reason.strip():
            raise UsageError(f"the expected failure of {name} needs a reason.")


def _run(check: Check[Subject], subject: Subject, expected: str | None) -> CheckResult:
    name = check.__name__
    try:
        note = check(subject)
    except CheckSkipped as skipped:
        return CheckResult(name, "skipped", str(skipped))
    except Exception as error:  # noqa: BLE001  whatever a component raises is what is to be reported
        said = str(error) if isinstance(error, CheckFailed) else f"{type(error).__name__}: {error}"
        return CheckResult(
            name, "expected" if expected else "failed", f"{said} ({expected})" if expected else said
        )
    if expected:
        return CheckResult(name, "unexpected pass", f"expected to fail: {expected}")
    return CheckResult(name, "passed", note=note or "")
