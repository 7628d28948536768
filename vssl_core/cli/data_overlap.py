"""`vssl data overlap`: which videos of two datasets show the same."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vssl_core.cli.completion import complete_name
from vssl_core.cli.dataset_options import all_records, opened_with
from vssl_core.cli.lazy import debug_option
from vssl_core.errors import UsageError

if TYPE_CHECKING:
    from vssl_core.overlap import Overlap, Pair
    from vssl_core.types import VideoRecord

__all__ = ["overlap"]

MOST_SHOWN = 10
_PARTS = click.Choice(["train", "validation", "test"])
_COLUMNS = ("kind", "distance", "offset_seconds", "a", "b", "a_path", "b_path")


@click.command()
@click.argument("a", shell_complete=complete_name("dataset"))
@click.argument("b", required=False, shell_complete=complete_name("dataset"))
@click.option(
    "-o",
    "options",
    multiple=True,
    metavar="SIDE.OPTION=VALUE",
    help="Set an option of A or of B: -o a.root=DIR -o b.split=2.",
)
@click.option("--part-a", multiple=True, type=_PARTS, help="Only this part of A.  [default: all]")
@click.option("--part-b", multiple=True, type=_PARTS, help="Only this part of B.  [default: all]")
@click.option("--processes", type=click.IntRange(min=1), help="How many read at once.  [default: one a core]")
@click.option("--to", "file", help="Write all pairs to this CSV file.")
@debug_option
def overlap(
    a: str,
    b: str | None,
    options: tuple[str, ...],
    part_a: tuple[str, ...],
    part_b: tuple[str, ...],
    processes: int | None,
    file: str | None,
) -> None:
    """Find videos of dataset A that B has too, or that A has twice; exit code 1 where there are any.

    A and B are datasets or folders of videos. Files of equal bytes are found, and videos of equal pictures
    in spite of another codec, size, brightness, name, or a little cut off. Hashes are kept: an interrupted
    search goes on where it was, and the next one is fast.
    """
    from vssl_core.cache_dir import user_cache
    from vssl_core.data import loader_threads
    from vssl_core.files import write_bytes
    from vssl_core.overlap import find_overlap
    from vssl_core.progress import terminal_progress

    values = _by_side(options)
    if b is None and (values["b"] or part_b):
        raise UsageError("an option is given for B, and no dataset B; name it after A.")
    left = _records(a, values["a"], part_a)
    right = None if b is None else _records(b, values["b"], part_b)
    found = find_overlap(
        left, right, cache=user_cache(), progress=terminal_progress(), processes=processes or loader_threads()
    )
    if file is not None:
        write_bytes(Path(file), _table(found.pairs).encode(errors="backslashreplace"))
    click.echo("\n".join(_summary(found, within=b is None)))
    if found.pairs:
        raise click.exceptions.Exit(1)


def _by_side(options: Sequence[str]) -> dict[str, Mapping[str, Any]]:
    from vssl_core.options import parse_options

    values: dict[str, Mapping[str, Any]] = {}
    sides = {"a": "pretrain", "b": "target"}  # owners that the parser of options knows
    for option in options:
        if option.partition(".")[0] not in sides or "=" not in option:
            raise UsageError(f"-o takes SIDE.OPTION=VALUE here, for instance -o a.root=DIR; got {option!r}.")
    parsed = parse_options(f"{sides[option[0]]}{option[1:]}" for option in options)
    for side, owner in sides.items():
        values[side] = parsed.get(owner, {})
    return values


def _records(name: str, values: Mapping[str, Any], parts: Sequence[str]) -> list[VideoRecord]:
    dataset = opened_with(name, values)
    dataset.prepare()
    return [
        record
        for split, records in all_records(dataset).items()
        if not parts or split in parts
        for record in records
    ]


def _summary(found: Overlap, *, within: bool) -> Iterator[str]:
    sets = f"{found.compared[0]:,} videos" if within else "{:,} x {:,} videos".format(*found.compared)
    kinds = ("same file", "exact", "near")
    counts = [f"{sum(pair.kind == kind for pair in found.pairs):,} {kind}" for kind in kinds]
    yield f"{sets} compared: {len(found.pairs):,} pairs that show the same ({', '.join(counts)})"
    if found.pairs:
        rows = [("kind", "distance", "offset s", "a", "b"), *(_row(p) for p in found.pairs[:MOST_SHOWN])]
        widths = [max(len(row[i]) for row in rows) for i in range(4)]
        for row in rows:
            yield "  ".join([*(cell.ljust(w) for cell, w in zip(row, widths, strict=False)), row[4]])
    if len(found.pairs) > MOST_SHOWN:
        yield f"… and {len(found.pairs) - MOST_SHOWN:,} more; --to FILE lists them all"
    if found.unreadable:
        yield f"not to be read, and so compared by their bytes at most: {len(found.unreadable):,} videos"
        for path, reason in [*found.unreadable.items()][:MOST_SHOWN]:
            yield f"  {_shown(path)}: {reason}"


def _row(pair: Pair) -> tuple[str, ...]:
    ids = _shown(pair.left.video_id), _shown(pair.right.video_id)
    return pair.kind, f"{pair.distance:.3f}", f"{pair.offset_seconds:+.2f}", *ids


def _shown(text: str) -> str:
    return text if text.isprintable() else repr(text)


def _table(pairs: Sequence[Pair]) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for pair in pairs:
        numbers = (f"{pair.distance:.4f}", f"{pair.offset_seconds:.3f}")
        ids = (pair.left.video_id, pair.right.video_id)
        writer.writerow([pair.kind, *numbers, *ids, pair.left.path, pair.right.path])
    return out.getvalue()
