"""Checks of a plugin against its contract, for its author's tests and for `vssl plugins check`.

    from vssl_core.testing import check_plugin, parametrize_with_checks

    report = check_plugin("task", MyTask)           # or a name, "package.module:Class", "./file.py:Class"
    assert report.ok, report.text()

    @parametrize_with_checks(task=[MyTask])         # one pytest test per check
    def test_contract(check):
        check()

The built-in components pass the same checks, with no exception made for them. A failure that an author
knows of is named with its reason in `expected_failures`; one that does not come is then an error, too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib import import_module
from typing import Any, cast

from vssl_core.errors import UsageError
from vssl_core.registry import KINDS, Kind, PluginRef, resolve
from vssl_core.testing.outcome import (
    Check,
    CheckFailed,
    CheckResult,
    CheckSkipped,
    PluginReport,
    check_expected_failures,
    run_checks,
)

__all__ = [
    "CheckFailed",
    "CheckResult",
    "CheckSkipped",
    "PluginReport",
    "check_plugin",
    "checks_of",
    "parametrize_with_checks",
]

_MODULES: dict[Kind, str] = {
    "task": "tasks",
    "backbone": "backbones",
    "dataset": "datasets",
    "evaluator": "evaluators",
    "corruption": "corruptions",
    "executor": "executors",
    "hook": "hooks",
}


def checks_of(kind: Kind) -> tuple[str, ...]:
    """Names of the checks of a kind, in the order in which they run."""
    return tuple(check.__name__ for check in _module(kind).CHECKS)


def check_plugin(
    kind: Kind,
    target: str | type | object,
    *,
    options: Mapping[str, Any] | None = None,
    expected_failures: Mapping[str, str] | None = None,
    only: Sequence[str] = (),
) -> PluginReport:
    """Run all checks of a kind on one component.

    Args:
        kind: `task`, `backbone`, `dataset`, `evaluator`, `corruption`, `executor` or `hook`.
        target: A class, or any way to name one; for hooks also a module or an object.
        options: Options of the component for the checks, where its defaults do not fit a small machine.
        expected_failures: Name of a check → why it fails here.
        only: Names of the checks to run; empty for all.

    Raises:
        VsslError: The target cannot be found or loaded, or a check is named that there is not.
    """
    module = _module(kind)
    checks = _chosen(module.CHECKS, only)
    ref = _resolved(kind, target)
    subject = module.subject(ref, dict(options or {}))
    return run_checks(kind, ref.name, checks, subject, expected_failures=dict(expected_failures or {}))


def parametrize_with_checks(
    *,
    task: Sequence[str | type] = (),
    backbone: Sequence[str | type] = (),
    dataset: Sequence[str | type] = (),
    evaluator: Sequence[str | type] = (),
    corruption: Sequence[str | type] = (),
    executor: Sequence[str | type] = (),
    hook: Sequence[object] = (),
    options: Mapping[str, Any] | None = None,
    expected_failures: Mapping[str, str] | None = None,
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """A pytest decorator: the test gets an argument `check` for every check of every component.

    Args:
        task: Tasks to check; the other kinds alike.
        options: See `check_plugin`.
        expected_failures: See `check_plugin`; these tests are strictly expected to fail.

    Raises:
        UsageError: No component is given, or a check is named that there is not.
    """
    import pytest

    targets = {
        "task": task,
        "backbone": backbone,
        "dataset": dataset,
        "evaluator": evaluator,
        "corruption": corruption,
        "executor": executor,
        "hook": hook,
    }
    pairs = [(cast(Kind, kind), target) for kind, some in targets.items() for target in some]
    if not pairs:
        raise UsageError("parametrize_with_checks needs a component, for instance task=[MyTask].")
    expected = dict(expected_failures or {})
    check_expected_failures(expected, [check for kind, _ in pairs for check in _module(kind).CHECKS])
    parameters = []
    for kind, target in pairs:
        ref = _resolved(kind, target)
        for check in _module(kind).CHECKS:
            name = check.__name__
            marks = [pytest.mark.xfail(reason=expected[name], strict=True)] if name in expected else []
            run = partial(_run_in_pytest, kind, ref, dict(options or {}), check)
            parameters.append(pytest.param(run, id=f"{ref.name}-{name}", marks=marks))
    return cast(
        Callable[[Callable[..., None]], Callable[..., None]], pytest.mark.parametrize("check", parameters)
    )


def _run_in_pytest(kind: Kind, ref: PluginRef, options: dict[str, Any], check: Check[Any]) -> None:
    import pytest

    try:
        check(_module(kind).subject(ref, options))
    except CheckSkipped as skipped:
        pytest.skip(str(skipped))


def _module(kind: Kind) -> Any:
    if kind not in _MODULES:
        raise UsageError(f"expected one of {', '.join(KINDS)} as the kind; got {kind!r}.")
    return import_module(f"vssl_core.testing.{_MODULES[kind]}")


def _chosen(checks: Sequence[Check[Any]], only: Sequence[str]) -> Sequence[Check[Any]]:
    known = {check.__name__: check for check in checks}
    if unknown := [name for name in only if name not in known]:
        raise UsageError(f"there is no check {', '.join(unknown)}; there are {', '.join(known)}.")
    return [check for name, check in known.items() if not only or name in only]


def _resolved(kind: Kind, target: Any) -> PluginRef:
    if isinstance(target, PluginRef):
        return target
    if kind == "hook" and not isinstance(target, str):  # a module or an object, which has no name to resolve
        name = getattr(target, "__name__", type(target).__name__)
        return PluginRef(kind, name, name, dist="", version="", origin="in-code", component=target)
    return resolve(kind, target)
