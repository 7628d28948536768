"""`run_study`: a study from its name to its tables; what is finished in the run folder is reused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from vssl_core.cells import EvaluationSpec
from vssl_core.errors import StoreError, UsageError
from vssl_core.planning import Known, Named, Plan, merge_plans
from vssl_core.progress import Progress, terminal_progress
from vssl_core.report import write_html
from vssl_core.report.evidence import PerVideo, read_per_video
from vssl_core.rows import Row
from vssl_core.run_cell import Settings
from vssl_core.run_plan import collect, make_executor, open_runs, run_plan
from vssl_core.store import CellFolder
from vssl_core.studies.files import included, load_study
from vssl_core.studies.forecast import Forecaster
from vssl_core.studies.outlook import Outlook
from vssl_core.studies.plan import Scaling, StudyPlan, plan_study, told_reasons
from vssl_core.studies.table import StudyTable
from vssl_core.studies.written import study_found, write_study

__all__ = ["StudyResult", "look_ahead", "plan_studies", "run_study"]


@dataclass(frozen=True)
class StudyResult:
    """What a study left behind.

    Args:
        plans: The study, or each that it includes, with its points.
        tables: One for each plan.
        sections: One for each plan, as `studies/NAME.json` keeps it.
        rows: Of all cells that were asked for.
        failures: Cell id → reason, for those that failed.
        report: The page of the whole run folder.
        expected: Seconds that were expected of the cells with work left; None: not all were known.
        took: Seconds that they took, pretraining and evaluations together.
    """

    plans: Sequence[StudyPlan]
    tables: Sequence[StudyTable]
    sections: Sequence[Mapping[str, Any]]
    rows: Sequence[Row]
    failures: Mapping[str, str]
    report: Path
    expected: float | None
    took: float


def run_study(
    study: str,
    *,
    scaling: Scaling | None = None,
    runs: str | Path = "runs",
    executor: Named = "local",
    executor_options: Mapping[str, Any] | None = None,
    skip_impossible: bool = False,
    settings: Settings | None = None,
    progress: Progress | None = None,
) -> StudyResult:
    """Pretrain and evaluate what is missing of a study, then write its results and `runs/report.html`.

    Args:
        study: Name of a built-in study, or a file.
        scaling: Which grid, and what to replace in it.
        runs: Run folder; finished cells in it are not computed again, whatever started them.
        executor: What runs the cells.
        executor_options: Its options.
        skip_impossible: Run what can be, where some points cannot.
        settings: What does not change numbers.
        progress: Where progress is shown; None: stderr.

    Returns:
        Tables, rows and failures. A failed cell does not stop the others.

    Raises:
        UsageError: The study, or a point of it without `skip_impossible`, cannot be; nothing was started.
        VsslError: Nothing could be started.
    """
    shown = progress or terminal_progress()
    run = make_executor(executor, executor_options or {})
    given_scaling = scaling or Scaling()
    plans = plan_studies(study, given_scaling, progress=shown)
    if not skip_impossible:
        _refuse(plans)
    folder = open_runs(Path(runs))
    merged = merge_plans(plan.plan for plan in plans)
    shown.say(_outline(plans, len(merged.cells), sum(len(wanted) for _, wanted in merged.cells)))
    given = settings or Settings()
    outlook = _outlook(plans, folder, given, shown, probe=False)
    open_before = _open(merged, folder)
    failures = run_plan(merged, folder, executor=run, settings=given, progress=shown)
    tables, sections = [], []
    for plan in plans:
        rows = collect(plan.plan, folder)
        found = study_found(plan, rows, per_video=_per_video(folder, shown))
        tables.append(found.table)
        sections.append(found.section)
        write_study(folder, plan, found, rows, given_scaling.changes or {})
    return StudyResult(
        plans,
        tables,
        sections,
        collect(merged, folder),
        failures,
        write_html(folder),
        expected=None if outlook.unknown else outlook.seconds,
        took=_spent(open_before),
    )


def look_ahead(
    study: str, *, scaling: Scaling, runs: Path, probe: bool, settings: Settings, progress: Progress
) -> Outlook:
    """What a study would cost; a probe writes what it finds to the run folder, and nothing else is written.

    Raises:
        UsageError: The study or its scale cannot be meant.
    """
    plans = plan_studies(study, scaling, progress=progress)
    return _outlook(plans, runs.absolute(), settings, progress, probe=probe)


def _outlook(
    plans: Sequence[StudyPlan], runs: Path, settings: Settings, progress: Progress, *, probe: bool
) -> Outlook:
    merged = merge_plans(plan.plan for plan in plans)
    known = replace(settings, classes={**settings.classes, **merged.classes})
    cells = Forecaster(runs, known, probe, progress).forecast(merged)
    return Outlook(plans, cells, slots=max(1, torch.cuda.device_count()))


def plan_studies(study: str, scaling: Scaling, *, progress: Progress) -> list[StudyPlan]:
    """The plan of a study, or of each that it includes; nothing is written.

    Raises:
        UsageError: The study or its scale cannot be meant.
    """
    known = Known()
    loaded = load_study(study)
    parts = included(loaded)
    if loaded.includes:
        # A study of a question that this scale leaves out has nothing to run there.
        parts = [part for part in parts if scaling.scale in part.scales]
        if not parts:
            raise UsageError(f"no study that {loaded.name!r} includes has a scale {scaling.scale!r}.")
    return [plan_study(part, scaling, progress=progress, known=known) for part in parts]


def _refuse(plans: Sequence[StudyPlan]) -> None:
    """Raise UsageError with every reason why a point cannot be."""
    if not any(plan.impossible for plan in plans):
        return
    raise UsageError(
        "some points of this study cannot be; nothing was started:\n"
        + "\n".join(f"  {line}" for line in told_reasons(plans))
        + "\nSet right what is named (your copies of datasets with --data NAME=DIR), or run the others with "
        "--skip-impossible."
    )


def _outline(plans: Sequence[StudyPlan], num_cells: int, num_evaluations: int) -> str:
    names = ", ".join(plan.study.name for plan in plans)
    alone = sum(len(plan.plan.cells) for plan in plans)
    shared = f" ({alone - num_cells} shared between studies)" if alone > num_cells else ""
    return f"{names}: {num_cells} cells{shared}, {num_evaluations} evaluations"


_Work = list[tuple[CellFolder, bool, list[EvaluationSpec]]]


def _open(plan: Plan, runs: Path) -> _Work:
    """Each cell, whether it has to be pretrained, and its evaluations that have to be computed."""
    work: _Work = []
    for spec, evaluations in plan.cells:
        cell = CellFolder(runs, spec.cell_id)
        trains = cell.pretrain_result() is None or bool(cell.missing_snapshots(evaluations))
        work.append((cell, trains, [e for e in evaluations if trains or not cell.has_result(e)]))
    return work


def _spent(work: _Work) -> float:
    """Seconds that the open work took, as far as it is done now."""
    total = 0.0
    for cell, trains, evaluations in work:
        total += float((cell.pretrain_result() or {}).get("seconds", 0.0)) if trains else 0.0
        total += sum(cell.evaluation_seconds(evaluation) or 0.0 for evaluation in evaluations)
    return total


def _per_video(runs: Path, progress: Progress) -> Any:
    def read(row: Row) -> PerVideo | None:
        try:
            return read_per_video(runs, row)
        except StoreError as error:
            progress.say(f"{error} Its interval speaks of seeds alone.")
            return None

    return read
