"""`vssl data corrupt`: write the test videos of a dataset, made worse, to files with a manifest."""

from __future__ import annotations

from typing import Any, cast

import click

from vssl_core.cli.dataset_options import dataset_options, option_values

__all__ = ["corrupt"]


@click.command()
@dataset_options
@click.option("--corruption", required=True, help="What is done: a name, or ./file.py:Class.")
@click.option(
    "-c", "corruption_options", multiple=True, metavar="OPTION=VALUE", help="Set an option of the corruption."
)
@click.option("--severity", type=click.IntRange(min=1), default=1, show_default=True, help="How much.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of what is random.")
@click.option("--to", "folder", required=True, help="Folder of the files; made on demand.")
@click.option(
    "--part", type=click.Choice(["test", "validation", "train"]), default="test", show_default=True,
    help="Which videos.",
)  # fmt: skip
@click.option(
    "--format", "format_", type=click.Choice(["ffv1", "mp4"]), default="ffv1", show_default=True,
    help="ffv1: lossless; mp4: small, takes some of the noise away.",
)  # fmt: skip
@click.option(
    "--decoder", type=click.Choice(["pyav", "torchcodec"]), default="pyav", show_default=True,
    help="What reads the originals.",
)  # fmt: skip
@click.option(
    "--clean/--no-clean", default=True, show_default=True, help="Link the clean videos of the other parts."
)
def corrupt(
    name: str,
    root: str | None,
    annotations: str | None,
    options: tuple[str, ...],
    corruption: str,
    corruption_options: tuple[str, ...],
    severity: int,
    seed: int,
    folder: str,
    part: str,
    format_: str,
    decoder: str,
    clean: bool,
) -> None:
    """Write the test videos of dataset NAME, made worse, to files; the dataset `list` opens the folder.

    Its lists hold numbers of classes: open it with the option labels=numbers.
    The pixels are those that the evaluator `noise` sees with the order native: the same seed and ids give the
    same noise on every machine. corrupted.json says what was done, and holds a digest of each video's pixels.
    """
    from pathlib import Path

    from vssl_core.corrupted_copy import CopySettings, write_corrupted
    from vssl_core.instantiate import component_options
    from vssl_core.opening import open_dataset
    from vssl_core.planning import component, dataset_component
    from vssl_core.progress import terminal_progress

    progress = terminal_progress()
    values = option_values(options)
    values |= {key: value for key, value in (("root", root), ("annotations", annotations)) if value}
    owner = f"corruption/{corruption}"
    what, cls = component("corruption", corruption, option_values(corruption_options), owner=owner)
    source = dataset_component(name, values)
    settings = CopySettings(severity, seed, cast(Any, part), cast(Any, format_), decoder, clean)
    made = write_corrupted(
        open_dataset(source, progress=progress, classes={}),
        source,
        cls(component_options(cls, what, owner)),
        what,
        Path(folder),
        settings=settings,
        progress=progress,
    )
    click.echo(f"{folder}: {len(made['videos']):,} videos, {what.label} at severity {severity}, seed {seed}")
