"""`vssl bench`: pretrain a task, evaluate it beside its controls, print the table."""

from __future__ import annotations

import re
from collections.abc import Sequence

import click

from vssl_core.cli.run_options import cache_option, checkpoint_option, executor_option, hooks_option
from vssl_core.errors import UsageError

__all__ = ["bench", "parse_seeds", "unusable_hooks"]

_HOOK_SECONDS = 30.0  # for a hook to be imported


@click.command()
@click.option("--task", required=True, help="Pretext task: a name, ./file.py:Class or package.module:Class.")
@click.option("--backbone", help="Backbone.  [default: the protocol's]")
@click.option("--pretrain", help="Dataset to pretrain on, or a folder of videos.  [default: the protocol's]")
@click.option("--target", "targets", multiple=True, help="Labelled dataset to evaluate on; may be repeated.")
@click.option(
    "--eval", "evaluators", multiple=True, help="Evaluator; may be repeated.  [default: the protocol's]"
)
@click.option("--protocol", default="laptop", show_default=True, help="smoke, laptop, paper, or a YAML file.")
@click.option(
    "--seeds", default="0", show_default=True, help="Seeds, such as 0,1,2 or 0-4; intervals need three."
)
@click.option(
    "-o",
    "options",
    multiple=True,
    metavar="OWNER.OPTION=VALUE",
    help="Set an option, such as task.num_clips=4; owners: task, backbone, pretrain, target, "
    "eval/NAME, corruption/NAME, executor, protocol.",
)
@click.option(
    "--runs", default="runs", show_default=True, help="Run folder; finished cells are not run again."
)
@executor_option
@click.option("--no-controls", is_flag=True, help="Leave out random initialisation and supervised training.")
@cache_option
@checkpoint_option
@hooks_option
def bench(
    task: str,
    backbone: str | None,
    pretrain: str | None,
    targets: tuple[str, ...],
    evaluators: tuple[str, ...],
    protocol: str,
    seeds: str,
    options: tuple[str, ...],
    runs: str,
    executor: str,
    no_controls: bool,
    cache_gib: float,
    checkpoint_seconds: float,
    no_plugins: tuple[str, ...],
) -> None:
    """Pretrain TASK, evaluate it beside its controls, print the table and write RUNS/report.html.

    What is finished in RUNS is not computed again; an interrupted bench goes on where it was.
    """
    from vssl_core.bench import bench as run
    from vssl_core.options import parse_options
    from vssl_core.run_cell import Settings

    result = run(
        task,
        backbone=backbone,
        pretrain=pretrain,
        targets=targets,
        evaluators=evaluators,
        protocol=protocol,
        seeds=parse_seeds(seeds),
        options=parse_options(options),
        runs=runs,
        executor=executor,
        controls=not no_controls,
        settings=Settings(checkpoint_seconds, cache_gib, (*no_plugins, *unusable_hooks(no_plugins))),
    )
    show(result)


def unusable_hooks(left_out: Sequence[str]) -> list[str]:
    """Third-party hooks that fail, hang or end their process when they are imported; each is said.

    Every cell imports the hooks, so they are tried once beforehand, in a process of their own.
    """
    from vssl_core.cli.isolated import Job, Limits, inspect
    from vssl_core.hooks import selected_hooks

    unusable = []
    jobs = [Job(ref) for ref in selected_hooks(disabled=left_out) if ref.origin != "built-in"]
    for finding in inspect(jobs, limits=Limits(import_seconds=_HOOK_SECONDS)):
        ref = finding.job.ref
        if reasons := [result.message for result in finding.report.bad if result.name != "check_name"]:
            click.echo(f"the run goes on without {ref}: {' '.join(reasons)}", err=True)
            unusable.append(ref.spec or ref.name)
    return unusable


def parse_seeds(text: str) -> list[int]:
    """`0,1,2` and `0-4` as numbers.

    Raises:
        UsageError: Anything else.
    """
    seeds: list[int] = []
    for word in text.split(","):
        found = re.fullmatch(r"\s*(\d{1,9})(?:-(\d{1,9}))?\s*", word)
        if found is None:
            raise UsageError(f"--seeds takes numbers such as 0,1,2 or 0-4; got {text!r}.")
        first, last = int(found[1]), int(found[2] or found[1])
        if not first <= last < first + 1000:
            raise UsageError(f"--seeds: {word.strip()!r} is not a range of at most 1000 seeds.")
        seeds += range(first, last + 1)
    return seeds


def show(result: object) -> None:
    """Print the table to stdout, failures and the report's place to stderr."""
    from vssl_core.bench import BenchResult
    from vssl_core.report import render_rows

    assert isinstance(result, BenchResult)
    if result.rows:
        click.echo(render_rows(result.rows, "rich", runs=result.report.parent))
    for name, reason in result.failures.items():
        click.echo(f"failed: {name}: {reason}", err=True)
    click.echo(f"report: {result.report}", err=True)
    if result.failures:
        raise click.exceptions.Exit(1)
