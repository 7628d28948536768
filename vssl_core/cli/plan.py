"""`vssl plan`: what a study would cost, before it starts."""

from __future__ import annotations

from pathlib import Path

import click

from vssl_core.cli.run_options import cache_option
from vssl_core.cli.study import scaling_of, study_options

__all__ = ["plan"]


@click.command()
@click.argument("name")
@study_options
@click.option("--no-probe", is_flag=True, help="Use what is recorded alone; time no batch and no step.")
@cache_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def plan(
    name: str,
    protocol: str | None,
    scale: str | None,
    seeds: str | None,
    options: tuple[str, ...],
    pretrain: str | None,
    targets: tuple[str, ...],
    data: tuple[str, ...],
    runs: str,
    no_probe: bool,
    cache_gib: float,
    as_json: bool,
) -> None:
    """Say what the study NAME would cost: cells, what is finished, what cannot be, hours, memory, disk.

    Pretrains and evaluates nothing. A short probe times a few batches and training steps of every kind of
    cell, and keeps what it finds in RUNS.
    """
    import json

    from vssl_core.progress import terminal_progress
    from vssl_core.run_cell import Settings
    from vssl_core.studies.outlook import outlook_document, render_outlook
    from vssl_core.studies.run import look_ahead

    words = {"pretrain": pretrain, "target": list(targets)}
    scaling, _ = scaling_of(protocol, scale, seeds, options, data, words)
    outlook = look_ahead(
        name,
        scaling=scaling,
        runs=Path(runs),
        probe=not no_probe,
        settings=Settings(cache_gib=cache_gib),
        progress=terminal_progress(),
    )
    if as_json:
        click.echo(json.dumps(outlook_document(outlook), indent=2, ensure_ascii=False, allow_nan=False))
    else:
        click.echo(render_outlook(outlook), nl=False)
