"""`vssl study`: run a named grid of cells, or one of your own, and print its table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from vssl_core.cli.bench import parse_seeds, unusable_hooks
from vssl_core.cli.run_options import cache_option, checkpoint_option, executor_option, hooks_option
from vssl_core.errors import UsageError

__all__ = ["scaling_of", "study", "study_options"]


def study_options(command: Any) -> Any:
    """The options that `vssl study` and `vssl plan` share: which grid, and what to replace in it."""
    for option in reversed(
        (
            click.option(
                "--protocol",
                help="smoke, laptop, paper, or a YAML file.  [default: the scale's own]",
            ),
            click.option(
                "--scale", help="Which of the study's grids.  [default: the protocol's name, else laptop]"
            ),
            click.option("--seeds", help="Seeds, such as 0,1,2 or 0-4.  [default: the study's]"),
            click.option(
                "-o",
                "options",
                multiple=True,
                metavar="OWNER.OPTION=VALUE",
                help="Set an option at every point; owners as for bench, and data/NAME for a dataset.",
            ),
            click.option("--pretrain", help="Dataset or folder of videos to pretrain on, everywhere."),
            click.option(
                "--target",
                "targets",
                multiple=True,
                help="Labelled dataset to evaluate on, everywhere; may be repeated.",
            ),
            click.option(
                "--data",
                "data",
                multiple=True,
                metavar="NAME=ROOT",
                help="Where your copy of a dataset is; may be repeated.",
            ),
            click.option("--runs", default="runs", show_default=True, help="Run folder."),
        )
    ):
        command = option(command)
    return command


@click.command()
@click.argument("name", required=False)
@study_options
@click.option("--list", "listing", is_flag=True, help="Show the studies that ship with vssl.")
@click.option("--skip-impossible", is_flag=True, help="Run what can be, where some points cannot.")
@executor_option
@cache_option
@checkpoint_option
@hooks_option
def study(
    name: str | None,
    protocol: str | None,
    scale: str | None,
    seeds: str | None,
    options: tuple[str, ...],
    pretrain: str | None,
    targets: tuple[str, ...],
    data: tuple[str, ...],
    runs: str,
    listing: bool,
    skip_impossible: bool,
    executor: str,
    cache_gib: float,
    checkpoint_seconds: float,
    no_plugins: tuple[str, ...],
) -> None:
    """Run the study NAME, or the one in the file NAME, and print its table.

    `paper` is all of the paper's studies at once, with shared cells computed once. What is finished in RUNS
    is not computed again, whatever started it; an interrupted study goes on where it was.
    """
    from vssl_core.run_cell import Settings
    from vssl_core.studies.console import render_study
    from vssl_core.studies.outlook import hours
    from vssl_core.studies.run import run_study

    if listing:
        _list_studies()
        return
    if name is None:
        raise UsageError("name a study, or a file; `vssl study --list` shows what there is.")
    words = {"pretrain": pretrain, "target": list(targets)}
    scaling, executor_options = scaling_of(protocol, scale, seeds, options, data, words)
    result = run_study(
        name,
        scaling=scaling,
        runs=runs,
        executor=executor,
        executor_options=executor_options,
        skip_impossible=skip_impossible,
        settings=Settings(checkpoint_seconds, cache_gib, (*no_plugins, *unusable_hooks(no_plugins))),
    )
    for plan, table, section in zip(result.plans, result.tables, result.sections, strict=True):
        click.echo(render_study(plan, table, section["findings"]))
    for cell, reason in result.failures.items():
        click.echo(f"failed: {cell}: {reason}", err=True)
    if result.took:
        click.echo(f"took {hours(result.took)}, expected {hours(result.expected)}", err=True)
    click.echo(f"report: {result.report}", err=True)
    if result.failures:
        raise click.exceptions.Exit(1)


def scaling_of(
    protocol: str | None,
    scale: str | None,
    seeds: str | None,
    options: tuple[str, ...],
    data: tuple[str, ...],
    words: Mapping[str, Any],
) -> tuple[Any, dict[str, Any]]:
    """What the command's options replace in a study, and the executor's options.

    Of `words`, those that are empty replace nothing.

    Raises:
        UsageError: One of them has another form.
    """
    from vssl_core.options import parse_options
    from vssl_core.protocol import preset_names
    from vssl_core.studies.plan import Scaling

    changes: dict[str, Any] = {word: value for word, value in words.items() if value}
    for item in data:
        name, equals, root = item.partition("=")
        if not equals or not name or not root:
            raise UsageError(f"--data takes NAME=ROOT, for instance ucf101=~/data/ucf101; got {item!r}.")
        changes[f"data/{name}.root"] = root
    # An option of data/NAME is one of bench's `target` there, so it is parsed as one.
    named = [item.removeprefix("data/") if item.startswith("data/") else None for item in options]
    parsed = parse_options([item for item, of in zip(options, named, strict=True) if of is None])
    executor = parsed.pop("executor", {})
    for owner, values in parsed.items():
        changes |= {f"{owner}.{key}": value for key, value in values.items()}
    for item in filter(None, named):
        name, _, rest = item.partition(".")
        for key, value in parse_options([f"target.{rest}"])["target"].items():
            changes[f"data/{name}.{key}"] = value
    names_scale = scale is None and protocol in preset_names()
    chosen = (protocol if names_scale else scale) or "laptop"
    own = "" if protocol is None or names_scale else protocol
    return Scaling(chosen, own, tuple(parse_seeds(seeds)) if seeds else (), changes), executor


def _list_studies() -> None:
    """Name, question and what of the paper it answers, one study a paragraph."""
    from vssl_core.studies.files import load_study, study_names

    for name in study_names():
        found = load_study(name)
        answers = f" [{', '.join(found.answers)}]" if found.answers else ""
        click.echo(f"{name}{answers}")
        click.echo(f"  {found.question}")
        if found.includes:
            click.echo(f"  includes {', '.join(found.includes)}")
        for scale, grid in found.scales.items():
            click.echo(f"  {scale}: {grid.about}" if grid.about else f"  {scale}")
