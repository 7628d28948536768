"""`vssl plugins`: see which components there are, running their code only if asked to; make and check one."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Sequence

import click

from vssl_core.cli.completion import complete_name
from vssl_core.cli.lazy import LazyCommand, debug_option
from vssl_core.registry import KINDS, Kind, PluginRef, conflicts, resolve, scan, scan_problems

__all__ = ["plugins"]

_COLUMNS = ("kind", "name", "distribution", "version", "origin", "status")


_COMMANDS = (
    LazyCommand("check", "vssl_core.cli.check:check", help="Check TARGET against its contract."),
    LazyCommand(
        "new", "vssl_core.cli.new:new", help="Write a new component's project, complete and running."
    ),
)


@click.group(commands={command.name: command for command in _COMMANDS})
def plugins() -> None:
    """See which tasks, backbones, datasets, evaluators, corruptions, executors and hooks there are."""


@plugins.command("list")
@click.option("--kind", type=click.Choice(KINDS), help="Only components of this kind.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@click.option("--load", "with_load", is_flag=True, help="Import each and say whether it can be used.")
@click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True),
    default=30.0,
    show_default=True,
    help="With --load: seconds for the import of each.",
)
@debug_option
def list_plugins(kind: Kind | None, as_json: bool, with_load: bool, timeout: float) -> None:
    """List the installed components, importing none of them unless --load is given.

    What --load imports is imported in another process, so that a component that hangs or crashes is
    reported like any other that is broken.
    """
    found = scan()
    clashes = conflicts(found)
    chosen = [ref for ref in found if kind in (None, ref.kind)]
    problems = _load_problems(chosen, timeout) if with_load else {}
    rows = [_row(ref, clashes.get(ref, ""), problems.get(ref)) for ref in chosen]
    if as_json:
        click.echo(json.dumps(rows, indent=2))
    else:
        click.echo("\n".join(_lines(rows)))
    for problem in scan_problems():
        click.echo(f"left out: {problem}", err=True)


def _row(ref: PluginRef, clash: str, problem: str | None) -> dict[str, str]:
    """`problem`: why it cannot be used; empty where it can, None where nobody has tried."""
    return {
        "kind": ref.kind,
        "name": ref.name,
        "distribution": ref.dist,
        "version": ref.version,
        "origin": ref.origin,
        "target": ref.target,
        "status": "found" if problem is None else "broken" if problem else "ok",
        "note": "; ".join(filter(None, [clash, problem])),
    }


def _load_problems(refs: Sequence[PluginRef], seconds: float) -> dict[PluginRef, str]:
    """Why each component cannot be used, or empty."""
    from vssl_core.cli.isolated import Job, Limits, inspect

    limits = Limits(import_seconds=seconds)
    findings = inspect([Job(ref) for ref in refs], limits=limits)
    names = "check_name"  # what is wrong with a name stands in the list anyway
    return {
        finding.job.ref: " ".join(r.message for r in finding.report.bad if r.name != names)
        for finding in findings
    }


def _lines(rows: Sequence[dict[str, str]]) -> list[str]:
    """Columns as wide as their content, whatever the terminal: one component is one line."""
    cells = [[name.upper() for name in _COLUMNS]]
    for row in rows:
        status = f"{row['status']}: {row['note']}" if row["note"] else row["status"]
        cells.append([*(row[name] or "-" for name in _COLUMNS[:-1]), status])
    widths = [max(len(line[column]) for line in cells) for column in range(len(_COLUMNS) - 1)]
    return ["  ".join([*map(str.ljust, line, widths), line[-1]]) for line in cells]


@plugins.command("show")
@click.argument("kind", type=click.Choice(KINDS), metavar="KIND")
@click.argument("name", shell_complete=complete_name())
@click.option(
    "--format",
    "style",
    type=click.Choice(["rich", "md", "json"]),
    default="rich",
    show_default=True,
    help="How.",
)
@click.option("--cost/--no-cost", default=True, show_default=True, help="Count what it costs.")
@click.option("--protocol", default="laptop", show_default=True, help="Clips and batch of what is counted.")
@click.option("--backbone", help="Count a task with this one.  [default: the protocol's, if it fits]")
@debug_option
def show_plugin(kind: Kind, name: str, style: str, cost: bool, protocol: str, backbone: str | None) -> None:
    """Show what the component NAME of this KIND does, its options, what it costs and needs.

    --format md holds nothing that depends on this machine or on what else is installed.
    """
    from vssl_core.cli import describe

    with contextlib.redirect_stdout(sys.stderr):
        described = describe.describe(resolve(kind, name))
        if cost:
            described = describe.with_cost(described, protocol=protocol, backbone=backbone)
        if kind == "task":
            described = describe.with_backbones(described, others=style != "md")
    if style == "json":
        click.echo(json.dumps(described.document(), indent=2))
    elif style == "md":
        click.echo(describe.markdown(described))
    else:
        describe.show(described)
