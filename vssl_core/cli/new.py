"""`vssl plugins new`: a distribution with a component that works, to be changed into one's own."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import click

from vssl_core.registry import KINDS, Kind

__all__ = ["new"]


@click.command()
@click.argument("name")
@click.option("--kind", type=click.Choice([*KINDS, "hooks"]), required=True, help="What it is.")
@click.option(
    "--folder",
    type=click.Path(path_type=Path),
    help="Where the project goes; must not exist.  [default: ./vssl-plugin-NAME]",
)
def new(name: str, kind: str, folder: Path | None) -> None:
    """Write the project of a new component called NAME.

    It is complete: it installs, holds a component that works, with tests that pass, and its README says
    what to change.
    """
    from vssl_core.cli.scaffold import check_name, distribution_name, project_files, write_project

    its_kind = cast(Kind, "hook" if kind == "hooks" else kind)
    check_name(its_kind, name)
    folder = folder or Path(distribution_name(name))
    write_project(folder, project_files(its_kind, name))
    click.echo(folder)
    click.echo("next: read its README.md; python -m pip install -e '.[dev]' there, then pytest", err=True)
