"""`vssl plugins`: see which components there are, without running their code unless asked to."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Sequence

import click

from vssl_core.cli.completion import complete_name
from vssl_core.cli.lazy import debug_option
from vssl_core.errors import VsslError
from vssl_core.registry import (
    KINDS,
    Kind,
    PluginRef,
    conflicts,
    import_target,
    load,
    resolve,
    scan,
    scan_problems,
)

__all__ = ["plugins"]

_COLUMNS = ("kind", "name", "distribution", "version", "origin", "status")


@click.group()
def plugins() -> None:
    """See which tasks, backbones, datasets, evaluators, executors and hooks there are."""


@plugins.command("list")
@click.option("--kind", type=click.Choice(KINDS), help="Only components of this kind.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@click.option("--load", "with_load", is_flag=True, help="Import each and say whether it can be used.")
@debug_option
def list_plugins(kind: Kind | None, as_json: bool, with_load: bool) -> None:
    """List the installed components, importing none of them unless --load is given."""
    found = scan()
    clashes = conflicts(found)
    rows = [_row(ref, clashes.get(ref, ""), with_load=with_load) for ref in found if kind in (None, ref.kind)]
    if as_json:
        click.echo(json.dumps(rows, indent=2))
    else:
        click.echo("\n".join(_lines(rows)))
    for problem in scan_problems():
        click.echo(f"left out: {problem}", err=True)


def _row(ref: PluginRef, clash: str, *, with_load: bool) -> dict[str, str]:
    problem = _load_problem(ref) if with_load else ""
    return {
        "kind": ref.kind,
        "name": ref.name,
        "distribution": ref.dist,
        "version": ref.version,
        "origin": ref.origin,
        "target": ref.target,
        "status": "broken" if problem else "ok" if with_load else "found",
        "note": "; ".join(filter(None, [clash, problem])),
    }


def _load_problem(ref: PluginRef) -> str:
    """Why a component cannot be used, or empty."""
    try:
        with contextlib.redirect_stdout(sys.stderr):  # what it prints must not get into the list
            if ref.kind == "hook":
                from vssl_core.hooks import check_hook

                check_hook(ref, import_target(ref))
            else:
                load(ref)
    except VsslError as error:
        return str(error)
    return ""


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
@debug_option
def show_plugin(kind: Kind, name: str, style: str) -> None:
    """Show what the component NAME of this KIND does, and its options."""
    from vssl_core.cli import describe

    with contextlib.redirect_stdout(sys.stderr):
        described = describe.describe(resolve(kind, name))
    if style == "json":
        click.echo(json.dumps(described.document(), indent=2))
    elif style == "md":
        click.echo(describe.markdown(described))
    else:
        describe.show(described)
