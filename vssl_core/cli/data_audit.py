"""`vssl data audit`: decode every video of a dataset once, and say which cannot be read."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from vssl_core.cli.dataset_options import all_records, dataset_options, opened

if TYPE_CHECKING:
    from vssl_core.ledger import Decoded
    from vssl_core.types import Split, VideoRecord

__all__ = ["audit"]

MOST_SHOWN = 10
_COLUMNS = ("video_id", "part", "frames", "fps", "width", "height", "codec", "rotation", "error", "path")


@click.command()
@dataset_options
@click.option(
    "--processes", type=click.IntRange(min=1), help="How many decode at once.  [default: one a core]"
)
@click.option(
    "--limit-seconds",
    type=click.FloatRange(min=1),
    default=600,
    show_default=True,
    help="Give up a video that takes longer.",
)
@click.option(
    "--decoder", type=click.Choice(["pyav", "torchcodec"]), default="pyav", show_default=True,
    help="What decodes; the ledger of each is its own.",
)  # fmt: skip
@click.option("--to", "file", help="Write what is known of every video to this CSV file.")
def audit(
    name: str,
    root: str | None,
    annotations: str | None,
    options: tuple[str, ...],
    processes: int | None,
    limit_seconds: float,
    decoder: str,
    file: str | None,
) -> None:
    """Decode every video of dataset NAME once; exit code 1 where one that was found cannot be read.

    Videos that are listed and not in this copy are counted, and are no error.

    What is found is kept in the decode ledger: the next audit decodes what is new, has changed or failed,
    an interrupted one goes on where it was, and `vssl bench` asks the ledger before it opens a file.
    """
    from vssl_core.cache_dir import user_cache
    from vssl_core.data import loader_threads
    from vssl_core.files import write_bytes
    from vssl_core.ledger import DecodeLedger
    from vssl_core.progress import terminal_progress

    dataset = opened(name, root, annotations, options)
    dataset.prepare()
    parts = all_records(dataset)
    known = DecodeLedger(user_cache()).complete(
        [record for part in parts.values() for record in part],
        progress=terminal_progress(),
        processes=processes or loader_threads(),
        decoder=decoder,
        retry=True,
        limit_seconds=limit_seconds,
    )
    if file is not None:
        write_bytes(Path(file), _table(parts, known).encode(errors="backslashreplace"))
    missing = sum(len(one.missing) for one in dataset.inventory().lists if one.part)
    click.echo("\n".join(_summary(name, parts, known, missing)))
    if any(entry.error for entry in known.values()):
        raise click.exceptions.Exit(1)


def _summary(
    name: str,
    parts: Mapping[Split, Sequence[VideoRecord]],
    known: Mapping[str, Decoded],
    missing: int,
) -> Iterator[str]:
    records = [record for part in parts.values() for record in part]
    errors = [(record, known[record.path].error) for record in records if known[record.path].error]
    sound = [info for entry in known.values() if (info := entry.info) is not None]
    used = len(records) - len(errors)
    yield f"{name}: {used:,} videos can be read of {len(records) + missing:,} that are listed"
    yield f"missing from this copy: {missing:,}; here and not to be read: {len(errors):,}"
    for record, error in errors[:MOST_SHOWN]:
        yield f"  {_shown(record.video_id)}: {error}  ({_shown(record.path)})"
    if len(errors) > MOST_SHOWN:
        yield f"  … and {len(errors) - MOST_SHOWN:,} more; --to FILE lists them all"
    if sound:
        counts = sorted(info.num_frames for info in sound)
        yield f"frames: {sum(counts):,} in all; {counts[0]:,} to {counts[-1]:,} a video"
        yield f"codecs: {_counted(info.codec for info in sound)}"
        yield f"frames a second: {_counted(f'{float(info.fps):.5g}' for info in sound)}"
        yield f"sizes: {_counted(f'{info.width}x{info.height}' for info in sound)}"
        if any(info.rotation for info in sound):
            yield f"rotations: {_counted(f'{info.rotation}°' for info in sound)}"


def _counted(values: Iterator[str]) -> str:
    """The most frequent ones first."""
    counts = Counter(values).most_common()
    shown = ", ".join(f"{value} ({count:,})" for value, count in counts[:MOST_SHOWN])
    return shown + (f", … and {len(counts) - MOST_SHOWN:,} more" if len(counts) > MOST_SHOWN else "")


def _shown(text: str) -> str:
    return text if text.isprintable() else repr(text)


def _table(parts: Mapping[Split, Sequence[VideoRecord]], known: Mapping[str, Decoded]) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for split, records in parts.items():
        for record in records:
            entry = known[record.path]
            info = entry.info
            facts = (
                [info.num_frames, info.fps, info.width, info.height, info.codec, info.rotation]
                if info
                else [""] * 6
            )
            writer.writerow([record.video_id, split, *facts, entry.error, record.path])
    return out.getvalue()
