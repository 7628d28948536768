"""A plan from its cells to their rows: described in the run folder, what is missing run, rows read back."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from vssl_core import registry
from vssl_core.cells import EvaluationSpec
from vssl_core.errors import StoreError, UsageError, VsslError
from vssl_core.files import write_json
from vssl_core.interfaces import CellHandle
from vssl_core.options import build_options
from vssl_core.planning import Named, Plan
from vssl_core.progress import Progress
from vssl_core.rows import Row
from vssl_core.run_cell import Settings, run_cell
from vssl_core.store import CellFolder

__all__ = ["CELL_ENVIRONMENT", "collect", "has_work", "make_executor", "open_runs", "run_plan"]

CELL_ENVIRONMENT = {
    # OpenMP threads that wait by spinning take the cores from the loader's threads and from whatever else
    # runs: beside a second cell a step took ten times as long. Threads that sleep at once are woken late, and
    # on the core that is busy: a step alone took 1.6 times as long. So they spin for some ten microseconds.
    "OMP_WAIT_POLICY": "PASSIVE",
    "GOMP_SPINCOUNT": "3000",
    # Keep freed memory: training asks for the same large blocks in every step, and glibc would map and clear
    # them anew each time (a quarter of the step). In huge pages, where the system leaves that to programs
    # (another tenth). In one arena: with one for each thread that reads videos memory grows for hours.
    "GLIBC_TUNABLES": ":".join(
        f"glibc.malloc.{name}"
        for name in ("mmap_max=0", f"trim_threshold={2**34}", "hugetlb=1", "arena_max=1")
    ),
}
"""Variables of a process that runs a cell, where the user has not set them."""


def open_runs(runs: Path) -> Path:
    """The run folder, made and known to be writable before anything is computed."""
    path = runs.absolute()
    if path.exists() and not path.is_dir():
        raise UsageError(f"--runs must be a folder; {str(runs)!r} is a file.")
    write_json(path / "vssl.json", {"schema": 1, "what": "a run folder of vssl; see cells/*/cell.json"})
    return path


def make_executor(named: Named, values: Mapping[str, Any]) -> Any:
    """What runs the cells, with its options."""
    cls: Any = registry.load(registry.resolve("executor", named))
    return cls(build_options(cls.Options, values, owner="executor"))


def run_plan(
    plan: Plan, runs: Path, *, executor: Any, settings: Settings, progress: Progress
) -> dict[str, str]:
    """Run every cell that has work left; a failed one does not stop the others.

    An evaluation that needs other cells runs when these are pretrained, in a later round.

    Returns:
        Cell id → reason, for those that failed.
    """
    _describe(plan, runs)
    cells = {spec.cell_id: (CellFolder(runs, spec.cell_id), wanted) for spec, wanted in plan.cells}
    done = sum(not has_work(*cell) for cell in cells.values())
    if done:
        progress.say(f"{done} of {len(cells)} cells are finished already")
    failures: dict[str, str] = {}
    before: list[str] = []
    while todo := [name for name in cells if name not in failures and has_work(*cells[name], now=True)]:
        if todo == before:  # the executor did nothing and called nothing failed
            break
        before = todo
        failures |= _run(todo, plan, runs, executor, settings, progress)
    return failures


def has_work(cell: CellFolder, wanted: Sequence[EvaluationSpec], *, now: bool = False) -> bool:
    """Whether anything that is wanted of a cell is missing; `now`: and does not wait for other cells."""
    if cell.pretrain_result() is None:
        return True
    return any(not cell.has_result(spec) and (not now or cell.is_ready(spec)) for spec in wanted)


def collect(plan: Plan, runs: Path) -> list[Row]:
    """The rows of what a plan asks for, as far as there are any."""
    rows: list[Row] = []
    for spec, evaluations in plan.cells:
        cell = CellFolder(runs, spec.cell_id)
        wanted = {evaluation.evaluation_id for evaluation in evaluations}
        try:
            rows += [row for row in cell.rows() if row.evaluation_id in wanted]
        except StoreError as error:
            raise StoreError(f"cell {spec.cell_id}: {error}") from error
    return rows


def _describe(plan: Plan, runs: Path) -> None:
    """Write what every cell is and which evaluations it is to have."""
    for spec, evaluations in plan.cells:
        cell = CellFolder(runs, spec.cell_id)
        cell.create(spec, plan.protocols[spec.protocol_hash])
        for evaluation in evaluations:
            cell.request(evaluation)


def _run(
    cell_ids: Sequence[str], plan: Plan, runs: Path, executor: Any, settings: Settings, progress: Progress
) -> dict[str, str]:
    """Cells whose classes exist in this process alone run here; all others through the executor."""
    every = _wanted(plan, settings)
    wanted = {name: every[name] for name in cell_ids}
    if plan.classes:
        return _run_here(wanted, runs, progress)
    handles = [
        CellHandle(name, runs, _command(name, runs, one), CELL_ENVIRONMENT) for name, one in wanted.items()
    ]
    lost: dict[str, str] = dict(executor.run(handles, progress))
    return {name: CellFolder(runs, name).failure() or reason for name, reason in lost.items()}


def _wanted(plan: Plan, settings: Settings) -> dict[str, Settings]:
    """Cell → settings that name its evaluations of this plan: others may have asked for more."""
    return {
        spec.cell_id: replace(
            settings, classes=plan.classes, evaluations=tuple(one.evaluation_id for one in evaluations)
        )
        for spec, evaluations in plan.cells
    }


def _run_here(wanted: Mapping[str, Settings], runs: Path, progress: Progress) -> dict[str, str]:
    failures = {}
    for name, settings in wanted.items():
        progress.say(f"cell {name}")
        try:
            run_cell(runs, name, settings=settings, progress=progress)
        except Exception as error:  # noqa: BLE001 - anybody's class may raise anything; it stays in its cell
            reason = str(error) if isinstance(error, VsslError) else f"{type(error).__name__}: {error}"
            failures[name] = reason
            progress.say(f"{name} failed: {reason}")
    return failures


def _command(cell_id: str, runs: Path, settings: Settings) -> tuple[str, ...]:
    """The command that runs one cell in a process of its own."""
    words = ["-m", "vssl_core.cli", "run-cell", cell_id, "--runs", str(runs)]
    words += [
        "--checkpoint-seconds",
        str(settings.checkpoint_seconds),
        "--cache-gib",
        str(settings.cache_gib),
    ]
    for name in settings.no_plugins:
        words += ["--no-plugin", name]
    if settings.evaluations is not None:
        words += ["--evaluations", ",".join(settings.evaluations)]
    return (sys.executable, *words)
