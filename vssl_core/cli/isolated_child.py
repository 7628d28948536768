"""The process in which plugins are looked at; see `vssl_core.cli.isolated`. Not for people."""

from __future__ import annotations

import faulthandler
import inspect
import json
import os
import sys
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import vssl_core.interfaces
from vssl_core.cli.isolated import IMPORT
from vssl_core.errors import UsageError, VsslError, did_you_mean
from vssl_core.hooks import check_hook
from vssl_core.options import build_options
from vssl_core.registry import (
    CLASS_CHECKS,
    KINDS,
    NAME_PATTERN,
    Kind,
    PluginRef,
    conflicts,
    core_class,
    import_target,
    scan,
)
from vssl_core.testing import check_plugin, checks_of


class _Reporter:
    """Writes what happens; ends the process, with its stack written, when a step takes too long."""

    def __init__(self, folder: Path) -> None:
        self._events = (folder / "events.jsonl").open("a", encoding="utf-8")
        self._stack = (folder / "stack.txt").open("w", encoding="utf-8")

    def say(self, **event: Any) -> None:
        self._events.write(json.dumps(event) + "\n")
        self._events.flush()

    def begin(self, step: str, seconds: float) -> None:
        self.say(begin=step, seconds=seconds)
        faulthandler.dump_traceback_later(seconds, exit=True, file=self._stack)

    def result(self, name: str, problem: str = "", status: str = "", note: str = "") -> None:
        faulthandler.cancel_dump_traceback_later()
        self.say(result=[name, status or ("failed" if problem else "passed"), problem, note])


def main(folder: Path) -> None:
    """Do the jobs of `request.json`."""
    request = json.loads((folder / "request.json").read_text(encoding="utf-8"))
    reporter = _Reporter(folder)
    for job in request["jobs"]:
        ref = PluginRef(**job["ref"])
        try:
            if job["survey"]:
                _survey(ref, reporter, request["import_seconds"])
            elif not _loads(ref, reporter, request["import_seconds"]):
                if job["contract"]:
                    reporter.result("contract", "not run, because it cannot be loaded", "skipped")
            elif job["contract"]:
                _check_contract(ref, job, reporter, request["check_seconds"])
        except UsageError as error:
            reporter.say(usage=str(error))
        faulthandler.cancel_dump_traceback_later()
        reporter.say(done=True)
    reporter.say(finished=True)
    os._exit(0)  # whatever threads and exit functions the plugins have left


# --------------------------------------------------------------------------------------------- loading


def _loads(ref: PluginRef, reporter: _Reporter, seconds: float) -> bool:
    """Import a component and report the checks of loading; whether it can be used."""
    if ref.dist:
        reporter.result("check_name", _name_problem(ref))
    reporter.begin(IMPORT, seconds)
    problem, component = _imported(ref)
    reporter.result(IMPORT, problem)
    if problem:
        return False
    if ref.kind == "hook":
        problem = _problem(lambda: check_hook(ref, component))
        reporter.result("check_hook", problem)
        return not problem
    good = True
    for check in CLASS_CHECKS:
        problem = _problem(lambda check=check: check(ref, component))  # type: ignore[misc]
        reporter.result(check.__name__, problem)
        good &= not problem
        if problem and check is CLASS_CHECKS[0]:
            return False
    reporter.say(facts={name: _words(component, name) for name in ("requires", "provides")})
    return good


def _words(component: object, name: str) -> list[str]:
    """A set of words, in order; empty for what is none, of which a check of the contract speaks."""
    value = getattr(component, name, ())
    return sorted(map(str, value)) if isinstance(value, set | frozenset) else []


def _name_problem(ref: PluginRef) -> str:
    if not NAME_PATTERN.fullmatch(ref.name):
        return f"expected a name of the form {NAME_PATTERN.pattern}, got {ref.name!r}"
    reason = conflicts(scan()).get(ref, "")
    return f"{reason}; give it a name of its own" if "a built-in has this name" in reason else ""


def _imported(ref: PluginRef) -> tuple[str, object]:
    try:
        return "", import_target(ref)
    except VsslError as error:
        return _reason(error) + _raised_at(error.__cause__), None


def _problem(check: Callable[[], object]) -> str:
    try:
        check()
    except VsslError as error:
        return _reason(error)
    return ""


def _reason(error: VsslError) -> str:
    return str(getattr(error, "reason", error))


def _raised_at(cause: BaseException | None) -> str:
    """The innermost line of code, beside the import system's, that an error came from."""
    frames = traceback.extract_tb(cause.__traceback__) if cause is not None else []
    own = [frame for frame in frames if not frame.filename.startswith("<frozen")]
    package = str(Path(vssl_core.interfaces.__file__).parent)
    if not own or own[-1].filename.startswith(package) or isinstance(cause, AttributeError):
        return ""
    return f" It was raised at {own[-1].filename}:{own[-1].lineno}."


# -------------------------------------------------------------------------------------------- contract


def _check_contract(ref: PluginRef, job: Mapping[str, Any], reporter: _Reporter, seconds: float) -> None:
    names = checks_of(ref.kind)
    _check_words(names, job)
    if ref.kind != "hook":
        cls: Any = import_target(ref)
        build_options(cls.Options, job["options"], owner=ref.name, levels=getattr(cls, "levels", None))
    for name in names:
        if name in job["done"] or (job["only"] and name not in job["only"]):
            continue
        reporter.begin(name, seconds)
        expected = {key: why for key, why in job["expected_failures"].items() if key == name}
        reporter.result(name, *_run(ref, name, job["options"], expected))


def _check_words(names: tuple[str, ...], job: Mapping[str, Any]) -> None:
    """Raise UsageError where a check is named that no kind has; one that another kind has is left out."""
    for word in (*job["only"], *job["expected_failures"]):
        if word not in names and not any(word in checks_of(kind) for kind in KINDS):
            raise UsageError(f"there is no check {word!r}.{did_you_mean(word, names)}")


def _run(
    ref: PluginRef, name: str, options: Mapping[str, Any], expected: Mapping[str, str]
) -> tuple[str, str, str]:
    """Message, status and note of one check."""
    try:
        report = check_plugin(ref.kind, ref, options=options, expected_failures=expected, only=[name])
    except Exception as error:  # noqa: BLE001  whatever a component raises is what is to be reported
        return f"{type(error).__name__}: {error}", "failed", ""
    result = report.results[0]
    return result.message, result.status, result.note


# ---------------------------------------------------------------------------------------------- survey


def _survey(ref: PluginRef, reporter: _Reporter, seconds: float) -> None:
    """Report the components of a module, or of which kind the component of this name is."""
    reporter.begin(IMPORT, seconds)
    problem, found = _imported(ref)
    if isinstance(found, ModuleType):
        components = _components(ref, found)
    else:
        kind = _kind_of(found)
        components = [(kind, ref.name, ref.target)] if kind else []
    reporter.say(facts={"components": components})
    reporter.result(IMPORT, problem)


def _components(ref: PluginRef, module: ModuleType) -> list[tuple[str, str, str]]:
    """Classes that the module defines, but for its own abstract bases; then the module as a hook."""
    classes: dict[type, str] = {}
    for name, value in vars(module).items():
        own = f"{getattr(value, '__module__', '')}.".startswith(f"{module.__name__}.")
        if isinstance(value, type) and own and not name.startswith("_") and _kind_of(value):
            classes.setdefault(value, name)
    found = [
        (str(_kind_of(cls)), name, f"{ref.target}:{name}")
        for cls, name in classes.items()
        if not (inspect.isabstract(cls) and any(issubclass(one, cls) and one is not cls for one in classes))
    ]
    return [*found, ("hook", ref.name, ref.target)] if _watches(module) else found


def _kind_of(found: object) -> Kind | None:
    for kind in KINDS:
        if kind != "hook" and isinstance(found, type) and issubclass(found, core_class(kind)):
            return kind
    return "hook" if _watches(found) else None


def _watches(found: object) -> bool:
    return any(name.startswith("vssl_") and callable(getattr(found, name)) for name in dir(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
