"""Plugins in a process of their own: what hangs there is ended, what crashes takes nothing along.

`inspect` starts `vssl_core.cli.isolated_child` and gives it jobs as a file. The child writes a line of
JSON before and after everything that it does, so it is known what it was at when it was lost; then
another child goes on behind that.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from vssl_core.errors import PluginError, UsageError
from vssl_core.registry import PluginRef
from vssl_core.testing import CheckResult, PluginReport

__all__ = ["IMPORT", "Finding", "Job", "Limits", "inspect"]

IMPORT = "check_import"
"""The check that imports a component; what is lost there is not tried again."""

_START_SECONDS = 300.0  # for the child to import torch on a busy machine
_GRACE_SECONDS = 5.0  # the child ends itself at the limit; this is for one that cannot
_POLL_SECONDS = 0.02


@dataclass(frozen=True, slots=True)
class Limits:
    """How long a plugin may take.

    Args:
        import_seconds: To be imported.
        check_seconds: For each check of its contract.
    """

    import_seconds: float = 60.0
    check_seconds: float = 300.0


@dataclass(frozen=True, slots=True)
class Job:
    """One thing to look at.

    Args:
        ref: A component. With `survey` a module, a file or something in it, as a hook would be named.
        survey: Find the components in it, instead of looking at it.
        contract: Run the checks of its kind, too, and not only those of loading.
        options: For these checks.
        expected_failures: Check → why it fails.
        only: The checks of the contract to run; empty for all.
    """

    ref: PluginRef
    survey: bool = False
    contract: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)
    expected_failures: Mapping[str, str] = field(default_factory=dict)
    only: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Finding:
    """What came of a job: its checks, and what the component says of itself (`provides` and the like)."""

    job: Job
    results: tuple[CheckResult, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def report(self) -> PluginReport:
        """The checks as a report."""
        return PluginReport(self.job.ref.kind, self.job.ref.name, self.results)


def inspect(jobs: Sequence[Job], *, limits: Limits, paths: Sequence[Path] = ()) -> Iterator[Finding]:
    """Do the jobs one after the other, in a process that is replaced when it is lost.

    Args:
        jobs: What to look at.
        limits: Time that each step may take.
        paths: Folders that come first on the import path.

    Yields:
        What came of each job, in their order.

    Raises:
        UsageError: An option or a check that there is not.
        PluginError: The process does not even start.
    """
    todo = [Finding(job) for job in jobs]
    while todo:
        with tempfile.TemporaryDirectory(prefix="vssl-inspect-") as folder:
            child = _Child(Path(folder), todo, limits, paths)
            try:
                yield from _follow(child, todo)
            finally:
                child.end()


def _follow(child: _Child, todo: list[Finding]) -> Iterator[Finding]:
    """Take what a child reports; finished jobs leave `todo`."""
    doing = ""
    for event in child.events():
        if "begin" in event:
            doing = event["begin"]
        elif "usage" in event:
            raise UsageError(event["usage"])
        elif "result" in event:
            todo[0] = _with(todo[0], CheckResult(*event["result"]))
        elif "facts" in event:
            todo[0] = replace(todo[0], facts=event["facts"])
        elif "done" in event:
            yield todo.pop(0)
        elif not todo:
            return
        elif not doing:
            raise PluginError(f"the process that looks at plugins {event['lost']}")
        else:
            todo[0] = _with(todo[0], CheckResult(doing, "failed", event["lost"]))
            if doing == IMPORT:
                yield todo.pop(0)


def _with(finding: Finding, result: CheckResult) -> Finding:
    """With one more result; what a second child says of a check that the first had done is nothing new."""
    if any(result.name == known.name for known in finding.results):
        return finding
    expected = finding.job.expected_failures.get(result.name)
    if expected and result.status == "failed":  # it was lost; of others the kit has said so
        result = CheckResult(result.name, "expected", f"{result.message} ({expected})")
    return replace(finding, results=(*finding.results, result))


class _Child:
    """The process, and the files by which it is talked to."""

    def __init__(self, folder: Path, todo: Sequence[Finding], limits: Limits, paths: Sequence[Path]) -> None:
        self._events, self._stack, self._output = (
            folder / "events.jsonl", folder / "stack.txt", folder / "output.txt"
        )  # fmt: skip
        jobs = [{**asdict(f.job), "done": [result.name for result in f.results]} for f in todo]
        request = folder / "request.json"
        request.write_text(json.dumps({"jobs": jobs, **asdict(limits)}), encoding="utf-8")
        self._events.touch()
        path = [*map(str, paths), *(entry or os.getcwd() for entry in sys.path)]  # noqa: PTH109
        with self._output.open("wb") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "vssl_core.cli.isolated_child", str(folder)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(path)},
                start_new_session=True,
            )

    def events(self) -> Iterator[dict[str, Any]]:
        """What it reports; where it ends before its last job is done, `{"lost": how}` is the end."""
        deadline, seconds = time.monotonic() + _START_SECONDS, _START_SECONDS
        with self._events.open("rb") as file:
            while True:
                ended = self._process.poll() is not None
                late = time.monotonic() > deadline
                while (line := file.readline()).endswith(b"\n"):
                    event: dict[str, Any] = json.loads(line)
                    if "finished" in event:
                        return
                    if "seconds" in event:
                        seconds = event["seconds"]
                        deadline = time.monotonic() + seconds + _GRACE_SECONDS
                    late = False
                    yield event
                file.seek(-len(line), os.SEEK_CUR)
                if ended or late:
                    self.end()
                    yield {"lost": self._how_lost(seconds, late=not ended)}
                    return
                time.sleep(_POLL_SECONDS)

    def end(self) -> None:
        """End it and whatever it has started."""
        if hasattr(os, "killpg"):
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)
        else:
            self._process.kill()
        self._process.wait()

    def _how_lost(self, seconds: float, *, late: bool) -> str:
        stack = self._stack.read_text(encoding="utf-8", errors="replace") if self._stack.exists() else ""
        if late or stack.startswith("Timeout"):
            return f"did not end within {seconds:g} s{_place(stack)}.{self._last_words()}"
        code = self._process.returncode
        if code >= 0:
            return f"ended the process with exit code {code}.{self._last_words()}"
        hint = "; often that is too little memory" if code == -signal.SIGKILL else ""
        return f"was killed by {_signal_name(-code)}{hint}.{self._last_words()}"

    def _last_words(self) -> str:
        text = self._output.read_text(encoding="utf-8", errors="replace")
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        return f" Its last line was: {lines[-1]}" if lines else ""


def _place(stack: str) -> str:
    """Where the main thread was: the last part of what faulthandler wrote, its first line."""
    main = stack.rpartition("(most recent call first):")[2].strip().splitlines()
    found = [line.strip().removeprefix("File ") for line in main if line.strip().startswith("File ")]
    return f"; it was at {found[0]}" if found else ""


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
