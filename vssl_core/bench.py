"""`bench`: a task, its controls and its evaluations under one protocol, from names to a table and a page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vssl_core.errors import UsageError
from vssl_core.planning import Named, Request, make_plan
from vssl_core.progress import Progress, terminal_progress
from vssl_core.protocol import load_protocol
from vssl_core.report import write_html
from vssl_core.rows import Row
from vssl_core.run_cell import Settings
from vssl_core.run_plan import collect, make_executor, open_runs, run_plan

__all__ = ["BenchResult", "bench"]


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
            `corruption/NAME`, `protocol`) → option → value.
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
    folder = open_runs(Path(runs))
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
        whole=True,
    )
    run = make_executor(executor, given.get("executor", {}))
    plan = make_plan(request, document, progress=shown)
    failures = run_plan(plan, folder, executor=run, settings=settings or Settings(), progress=shown)
    return BenchResult(collect(plan, folder), failures, write_html(folder))
