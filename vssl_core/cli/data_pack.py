"""`vssl data pack`: write a compact copy of a dataset that loads many times as fast as its originals."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from vssl_core.cli.dataset_options import dataset_options, option_values

if TYPE_CHECKING:
    from vssl_core.packing import Packed

__all__ = ["pack"]

MOST_SHOWN = 10


@click.command()
@dataset_options
@click.option("--to", "folder", required=True, help="Folder of the copy; made on demand.")
@click.option(
    "--format", "format_", type=click.Choice(["mpeg4", "jpeg", "raw"]), default="mpeg4", show_default=True,
    help="mpeg4: small and fast; jpeg: for large strides; raw: lossless and large.",
)  # fmt: skip
@click.option("--short-side", type=click.IntRange(min=16), default=128, show_default=True, help="In pixels.")
@click.option(
    "--quality",
    type=click.IntRange(1, 31),
    default=3,
    show_default=True,
    help="Of mpeg4 and jpeg; 1 is best.",
)
@click.option(
    "--gop", type=click.IntRange(1, 600), default=8, show_default=True, help="Frames between key frames."
)
@click.option(
    "--decoder", type=click.Choice(["pyav", "torchcodec"]), default="pyav", show_default=True,
    help="What reads the originals.",
)  # fmt: skip
@click.option("--threads", type=click.IntRange(min=1), help="Videos at once.  [default: one a core]")
@click.option("--lenient", is_flag=True, help="Leave out and name what cannot be read, instead of stopping.")
def pack(
    name: str,
    root: str | None,
    annotations: str | None,
    options: tuple[str, ...],
    folder: str,
    format_: str,
    short_side: int,
    quality: int,
    gop: int,
    decoder: str,
    threads: int | None,
    lenient: bool,
) -> None:
    """Write a compact copy of dataset NAME that loads many times as fast; its folder opens as a dataset.

    Ids, labels, groups and parts stay as they are. Every file is read back and its frames are counted
    before it counts as done; an interrupted run goes on where it was. Where files come from, their
    digests, and how they were made stand in FOLDER/pack.json.
    """
    from vssl_core.opening import open_dataset
    from vssl_core.packing import PackSettings, pack_dataset
    from vssl_core.planning import dataset_component
    from vssl_core.progress import terminal_progress

    values = option_values(options)
    values |= {key: value for key, value in (("root", root), ("annotations", annotations)) if value}
    progress = terminal_progress()
    component = dataset_component(name, values)
    packed = pack_dataset(
        open_dataset(component, progress=progress, classes={}),
        component,
        Path(folder).expanduser().absolute(),
        settings=PackSettings(
            format=format_, short_side=short_side, quality=quality, gop=gop, decoder=decoder
        ),
        progress=progress,
        lenient=lenient,
        threads=threads,
    )
    click.echo("\n".join(_lines(packed)))


def _lines(packed: Packed) -> Iterator[str]:
    yield f"packed {packed.made:,} videos, {packed.kept:,} were there; {packed.folder}"
    share = packed.packed_bytes / max(1, packed.source_bytes)
    yield f"{_mib(packed.packed_bytes)} MiB, {share:.2f} x the bytes of their originals"
    if packed.worst_psnr_db is None:
        yield "sampled frames are the originals', bit for bit"
    else:
        mean, worst = packed.mean_psnr_db, packed.worst_psnr_db
        yield f"PSNR of sampled frames, the worst of each video: mean {mean:.1f} dB, lowest {worst:.1f} dB"
    if packed.unreadable:
        yield f"left out, cannot be read: {len(packed.unreadable):,}"
        yield from (f"  {name}: {why}" for name, why in list(packed.unreadable.items())[:MOST_SHOWN])
    yield f"use it: vssl bench --task vcop --pretrain {packed.folder} --target {packed.folder}"


def _mib(size: int) -> str:
    return f"{size / 2**20:,.1f}"
