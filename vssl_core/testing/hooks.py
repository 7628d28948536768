"""Checks of hooks: events of two short runs, as the core sends them."""

from __future__ import annotations

import hashlib
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from vssl_core.errors import DivergedError, HookError, PluginLoadError
from vssl_core.hooks import Hooks, RunInfo, check_hook
from vssl_core.registry import PluginRef, import_target
from vssl_core.rows import Cost, Row
from vssl_core.testing.outcome import CheckFailed
from vssl_core.testing.process_state import isolated, unchanged

__all__ = ["CHECKS", "subject"]

_BUNDLE = {
    "cell.json": "{}",
    "pretrain/curve.jsonl": '{"step": 1, "loss": 1.0}\n',
    "pretrain/checkpoints/step-000000001.safetensors": "weights",
    "pretrain/checkpoints/step-000000001.json": "{}",
    "evaluations/linear/result.json": "{}",
}


@dataclass(frozen=True, slots=True)
class Hook:
    """A hook under test: a module or an object."""

    ref: PluginRef
    plugin: Any


def subject(ref: PluginRef, values: Mapping[str, Any]) -> Hook:
    """Load a hook; it has no options."""
    del values
    plugin = ref.component if ref.component is not None else import_target(ref)
    return Hook(replace(ref, component=None), plugin)  # an object need not be hashable, a reference is


def check_hook_watches_known_events(subject: Hook) -> None:
    """It watches one event at least, none that there is not, and takes arguments that the events have."""
    try:
        check_hook(subject.ref, subject.plugin)
    except PluginLoadError as error:
        raise CheckFailed(f"expected functions of known events, marked @hookimpl; {error}") from error


def check_hook_follows_a_run(subject: Hook) -> None:
    """It takes every event of a run, with the metrics and rows that every task and evaluator gives."""
    with _run() as run:
        _send(subject, run, _a_run)


def check_hook_follows_a_run_that_fails(subject: Hook) -> None:
    """It takes the end of a run that stopped before its first step, by an error or by Ctrl-C."""
    for error in (DivergedError("the loss is nan."), KeyboardInterrupt()):
        with _run() as run:
            _send(subject, run, partial(_a_failure, error=error))


def check_hook_follows_several_runs(subject: Hook) -> None:
    """It takes a second cell in the same process, and a cell that goes on where it had stopped."""
    with _run() as run:
        for of in (run, replace(run, cell_id="another-cell", seed=1), run):
            _send(subject, of, _a_run)


def check_hook_changes_no_file_of_the_run(subject: Hook) -> None:
    """It may write files of its own, but changes and removes none of the cell's."""
    with _run() as run:
        before = _files(run.folder)
        _send(subject, run, _a_run)
        after = _files(run.folder)
    if lost := [name for name, digest in before.items() if after.get(name) != digest]:
        raise CheckFailed(
            f"expected the hook to leave the cell's files as they are, but {lost[0]} was changed or removed; "
            "write files of your own."
        )


def check_hook_changes_nothing_it_is_given(subject: Hook) -> None:
    """What an event tells is the same for the hook after it."""
    with _run() as run:
        told = replace(run)
        _send(subject, run, _a_run)
        if run != told:
            raise CheckFailed(f"expected the hook to leave the run's description alone; {told} became {run}.")


def check_hook_leaves_the_process_alone(subject: Hook) -> None:
    """It moves no random generator and changes no setting: no event can change a result."""
    with _run() as run, unchanged("watching a run"):
        _send(subject, run, _a_run)


def check_hook_leaves_no_thread_behind(subject: Hook) -> None:
    """After the end of a run nothing of the hook keeps the process from ending."""
    before = set(threading.enumerate())
    with _run() as run:
        _send(subject, run, _a_run)
    for thread in set(threading.enumerate()) - before:
        if not thread.daemon:
            thread.join(timeout=2)
            if thread.is_alive():
                raise CheckFailed(
                    f"expected every thread to end with the run, but {thread.name!r} goes on and keeps the "
                    "process alive; end it in vssl_run_end, or make it a daemon."
                )


def _send(subject: Hook, run: RunInfo, events: Callable[[Hooks, RunInfo], None]) -> None:
    """Send events of a run through the core's own door.

    Raises:
        CheckFailed: The hook raises.
    """
    hooks = Hooks({subject.ref: subject.plugin})
    try:
        events(hooks, run)
    except HookError as error:
        raise CheckFailed(f"expected the hook to take every event; {error}") from error


def _a_run(hooks: Hooks, run: RunInfo) -> None:
    hooks.run_start(run)
    for step in (1, 2):
        hooks.step_end(run, step, {"loss": 1.0 / step, "lr": 1e-3, "grad_norm": 0.5})
    hooks.checkpoint_saved(run, run.folder / "pretrain/checkpoints/step-000000001.safetensors")
    for row in _rows(run):
        hooks.result(run, row)
    hooks.run_end(run)


def _a_failure(hooks: Hooks, run: RunInfo, *, error: BaseException) -> None:
    hooks.run_start(run)
    hooks.run_end(run, error)
    if failures := [note for note in getattr(error, "__notes__", ()) if str(note)]:
        raise HookError(failures[0])


@contextmanager
def _run() -> Iterator[RunInfo]:
    """A run with a folder as a cell has it."""
    with tempfile.TemporaryDirectory(prefix="vssl-check-") as runs:
        folder = Path(runs) / "cells" / "method-cell-s0"
        for name, text in _BUNDLE.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        yield RunInfo(
            cell_id="method-cell-s0",
            folder=folder,
            task="vcop",
            backbone="shufflenet",
            seed=0,
            budget=6.0,
            currency="epochs",
        )


def _rows(run: RunInfo) -> list[Row]:
    """A share with a chance level and values per video, and a time with neither."""
    cost = Cost(
        parameters=1000,
        gflops=1.0,
        unsupported_ops={"aten::gelu": 2},
        pretrain_seconds=1.0,
        pretrain_clips_per_second=10.0,
        peak_memory_mib=100.0,
    )
    share = Row(
        cell_id=run.cell_id,
        evaluation_id="linear",
        protocol_name="smoke",
        protocol_hash="0" * 16,
        task=run.task,
        backbone=run.backbone,
        pretrain="shapes_motion",
        target="shapes_motion",
        evaluator="linear",
        evaluator_label="linear",
        seed=run.seed,
        metric="top1",
        primary=True,
        value=50.0,
        unit="%",
        chance=12.5,
        num_videos=32,
        coverage=1.0,
        deterministic=True,
        cost=cost,
        per_video="cells/method-cell-s0/evaluations/linear/top1.csv",
    )
    no_share = {"metric": "latency", "primary": False, "unit": "ms", "higher_is_better": False}
    return [share, share.model_copy(update={**no_share, "chance": None, "per_video": None})]


def _files(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


CHECKS = isolated(
    (
        check_hook_watches_known_events,
        check_hook_follows_a_run,
        check_hook_follows_a_run_that_fails,
        check_hook_follows_several_runs,
        check_hook_changes_no_file_of_the_run,
        check_hook_changes_nothing_it_is_given,
        check_hook_leaves_the_process_alone,
        check_hook_leaves_no_thread_behind,
    )
)
