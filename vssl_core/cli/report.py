"""`vssl report`: show the results of a run folder."""

from __future__ import annotations

from pathlib import Path

import click

__all__ = ["report"]

_FORMATS = ("rich", "md", "latex", "csv", "json", "html")


@click.command()
@click.argument("runs", type=click.Path(path_type=Path))
@click.option(
    "--format", "fmt", type=click.Choice(_FORMATS), default="rich", show_default=True, help="What to make."
)
@click.option(
    "--metric",
    "metrics",
    multiple=True,
    help="Show this metric, not each evaluator's first; repeatable.",
)
@click.option("--output", type=click.Path(path_type=Path, dir_okay=False), help="Write to this file.")
def report(runs: Path, fmt: str, metrics: tuple[str, ...], output: Path | None) -> None:
    """Show the results in RUNS beside their controls, one table per protocol.

    Text goes to stdout. html writes RUNS/report.html and prints its place; so does every format with
    --output.
    """
    from vssl_core.files import write_bytes
    from vssl_core.report import load_report, render, write_html

    if fmt == "html":
        click.echo(write_html(runs, output=output, metrics=metrics))
        return
    text = render(load_report(runs, metrics=metrics), fmt)
    if output is None:
        click.echo(text, nl=False)
        return
    write_bytes(output, text.encode())
    click.echo(output)
