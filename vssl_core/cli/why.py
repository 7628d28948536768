"""`vssl why`: explain why a cell is reused or computed."""

from __future__ import annotations

from pathlib import Path

import click

__all__ = ["why"]


@click.command()
@click.argument("cell")
@click.option("--runs", type=click.Path(path_type=Path), default=Path("runs"), show_default=True)
def why(cell: str, runs: Path) -> None:
    """Say whether CELL (an id, or how it begins or ends) is reused, and which field differs if not."""
    from vssl_core.cells import differences
    from vssl_core.planning import current_key
    from vssl_core.store import all_cells, find_cell

    folder = find_cell(runs, cell)
    document = folder.document()
    click.echo(f"{folder.cell_id}: {folder.state()}")
    spec = folder.spec()
    changed = differences(document["key"], current_key(spec))
    if changed:
        click.echo("With the code that is installed now it would be another cell:")
    else:
        click.echo("The code that is installed now gives the same cell: what is finished is reused.")
    for line in changed:
        click.echo(f"  {line}")
    others = [other.document() for other in all_cells(runs) if other.cell_id != folder.cell_id]
    alike = [o for o in others if o["spec"]["role"] == spec.role]
    if alike:
        nearest = min(alike, key=lambda o: len(differences(o["key"], document["key"])))
        click.echo(f"The nearest other cell, {nearest['cell_id']}, differs in:")
        for line in differences(nearest["key"], document["key"]):
            click.echo(f"  {line}")
