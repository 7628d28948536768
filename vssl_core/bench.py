"""`bench`: a task, its controls and its evaluations under one protocol, from names to a table and a page."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vssl_core import registry
from vssl_core.errors import StoreError, UsageError, VsslError
from vssl_core.files import write_json
from vssl_core.interfaces import CellHandle
from vssl_core.options import build_options
from vssl_core.planning import Named, Plan, Request, make_plan
from vssl_core.progress import Progress, terminal_progress
from vssl_core.protocol import load_protocol
from vssl_core.report import write_html
from vssl_core.rows import Row
from vssl_core.run_cell import Settings, run_cell
from vssl_core.store import CellFolder

__all__ = ["BenchResult", "bench"]


_ENVIRONMENT = {
    # OpenMP threads that wait by spinning take the cores from the loader's threads and from whatever else
    # runs; on a busy machine that cost several times the step.
    "OMP_WAIT_POLICY": "PASSIVE",
    # Keep freed memory: training asks for the same large blocks in every step, and glibc would map and clear
    # them anew each time (a quarter of the step). In huge pages, where the system leaves that to programs
    # (another tenth).
    "GLIBC_TUNABLES": f"glibc.malloc.mmap_max=0:glibc.malloc.trim_threshold={2**34}:glibc.malloc.hugetlb=1",
}


@dataclass(frozen=True)
class BenchResult:
    """What a bench left behind.

    Args:
        rows: Of the cells that were asked for.
        failures: Cell id → reason, for those that failed.
        report: The page of the whole run folder.
    """

    rows: Sequence[Row]
    failures: Mapping[str, str]
    report: Path


def bench(
    task: Named,
    *,
    backbone: Named | None = None,
    pretrain: Named | None = None,
    targets: Sequence[Named] = (),
    evaluators: Sequence[Named] = (),
    protocol: str = "laptop",
    seeds: Sequence[int] = (0,),
    options: Mapping[str, Mapping[str, Any]] | None = None,
    runs: str | Path = "runs",
    executor: Named = "local",
    controls: bool = True,
    settings: Settings | None = None,
    progress: Progress | None = None,
) -> BenchResult:
    """Pretrain and evaluate what is missing, then write `runs/report.html`.

    Args:
        task: The pretext task; this and every other component is a name, `dist:name`,
            `package.module:Class`, `./file.py:Class` or a class.
        backbone: The backbone; None: the protocol's.
        pretrain: Dataset to pretrain on, or a folder of videos; None: the protocol's.
        targets: Labelled datasets to evaluate on; none: the protocol's.
        evaluators: Evaluators; none: the protocol's.
        protocol: A preset or a file.
        seeds: One cell each; intervals need three.
        options: Owner (`task`, `backbone`, `pretrain`, `target`, `executor`, `eval/NAME`,
            `protocol`) → option → value.
        runs: Run folder; finished cells in it are not computed again.
        executor: What runs the cells.
        controls: False leaves out random initialisation and the supervised control.
        settings: What does not change numbers.
        progress: Where progress is shown; None: stderr.

    Returns:
        Rows, failures and the page. A failed cell does not stop the others.

    Raises:
        UsageError: A name, option or combination that cannot be meant; nothing was started.
        VsslError: Nothing could be started.
    """
    given = dict(options or {})
    document = load_protocol(protocol, given.pop("protocol", None))
    shown = progress or terminal_progress()
    folder = _run_folder(Path(runs))
    seeds = tuple(dict.fromkeys(seeds))
    if not seeds:
        raise UsageError("a bench needs at least one seed; got none.")
    request = Request(
        task=task,
        backbone=backbone or document.backbone,
        pretrain=pretrain or document.pretrain_dataset,
        targets=tuple(targets) or document.target_datasets,
        evaluators=tuple(evaluators),
        seeds=seeds,
        options=given,
        controls=controls,
    )
    run = _executor(executor, given.get("executor", {}))
    plan = make_plan(request, document, progress=shown)
    missing = _describe(plan, folder, document)
    failures = _run(missing, plan, folder, run, settings or Settings(), shown)
    rows = _collect(plan, folder)
    return BenchResult(rows, failures, write_html(folder))


def _run_folder(runs: Path) -> Path:
    """The folder, made and known to be writable before anything is computed."""
    path = runs.absolute()
    if path.exists() and not path.is_dir():
        raise UsageError(f"--runs must be a folder; {str(runs)!r} is a file.")
    write_json(path / "vssl.json", {"schema": 1, "what": "a run folder of vssl; see cells/*/cell.json"})
    return path


def _executor(named: Named, values: Mapping[str, Any]) -> Any:
    cls: Any = registry.load(registry.resolve("executor", named))
    return cls(build_options(cls.Options, values, owner="executor"))


def _describe(plan: Plan, runs: Path, protocol: Any) -> list[str]:
    """Write what every cell is; gives the ids of those with work left."""
    missing = []
    for spec, evaluations in plan.cells:
        cell = CellFolder(runs, spec.cell_id)
        cell.create(spec, protocol)
        wanted = [cell.request(evaluation) for evaluation in evaluations]
        if cell.pretrain_result() is None or any(wanted):
            missing.append(spec.cell_id)
    return missing


def _run(
    cell_ids: Sequence[str], plan: Plan, runs: Path, executor: Any, settings: Settings, progress: Progress
) -> dict[str, str]:
    """Cells whose classes exist in this process alone run here; all others through the executor."""
    done = len(plan.cells) - len(cell_ids)
    if done:
        progress.say(f"{done} of {len(plan.cells)} cells are finished already")
    if not cell_ids:
        return {}
    if plan.classes:
        local = Settings(settings.checkpoint_seconds, settings.cache_gib, settings.no_plugins, plan.classes)
        return _run_here(cell_ids, runs, local, progress)
    handles = [CellHandle(name, runs, _command(name, runs, settings), _ENVIRONMENT) for name in cell_ids]
    lost: dict[str, str] = dict(executor.run(handles, progress))
    return {name: CellFolder(runs, name).failure() or reason for name, reason in lost.items()}


def _run_here(cell_ids: Sequence[str], runs: Path, settings: Settings, progress: Progress) -> dict[str, str]:
    failures = {}
    for name in cell_ids:
        progress.say(f"cell {name}")
        try:
            run_cell(runs, name, settings=settings, progress=progress)
        except VsslError as error:
            failures[name] = str(error)
            progress.say(f"{name} failed: {error}")
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
    return (sys.executable, *words)


def _collect(plan: Plan, runs: Path) -> list[Row]:
    rows: list[Row] = []
    for spec, evaluations in plan.cells:
        cell = CellFolder(runs, spec.cell_id)
        wanted = {evaluation.evaluation_id for evaluation in evaluations}
        try:
            rows += [row for row in cell.rows() if row.evaluation_id in wanted]
        except StoreError as error:
            raise StoreError(f"cell {spec.cell_id}: {error}") from error
    return rows
