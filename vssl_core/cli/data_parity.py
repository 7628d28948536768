"""`vssl data parity`: decode your own files with every installed decoder, and say where they disagree."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import click

from vssl_core.cli.dataset_options import all_records, dataset_options, opened

if TYPE_CHECKING:
    from vssl_core.parity import Comparison, Seen
    from vssl_core.types import VideoRecord

__all__ = ["parity"]

MOST_SHOWN = 40


@click.command()
@dataset_options
@click.option("--limit", type=click.IntRange(min=1), help="So many videos, evenly spaced.  [default: all]")
@click.option(
    "--frames", type=click.IntRange(min=1), default=16, show_default=True, help="Compared in each video."
)
@click.option(
    "--tolerance", type=click.FloatRange(min=0), default=1.0, show_default=True,
    help="Mean difference of pixels that still counts as equal, in grey levels.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="For programs, with every video.")
def parity(
    name: str,
    root: str | None,
    annotations: str | None,
    options: tuple[str, ...],
    limit: int | None,
    frames: int,
    tolerance: float,
    as_json: bool,
) -> None:
    """Decode videos of dataset NAME with every decoder; exit code 1 where decoders disagree.

    Frame count, size, rotation and times are what each library says by itself; pixels are those of the
    frames that vssl gets from it, by equal numbers. NAME may be a folder of videos.
    """
    from vssl_core.parity import compare_decoders
    from vssl_core.progress import terminal_progress
    from vssl_core.video.decoders import find_decoder, installed_decoders

    names = installed_decoders()
    dataset = opened(name, root, annotations, options)
    dataset.prepare()
    records = _spread([r for part in all_records(dataset).values() for r in part], limit)
    found = list(compare_decoders(records, names, frames=frames, progress=terminal_progress()))
    differing = [one for one in found if one.differences(tolerance=tolerance)]
    if as_json:
        versions = {one: find_decoder(one).identity() for one in names}
        click.echo(json.dumps(_document(found, versions, tolerance), indent=2))
    else:
        click.echo("\n".join(_lines(found, differing, names, tolerance)))
    if differing:
        raise click.exceptions.Exit(1)


def _spread(records: Sequence[VideoRecord], limit: int | None) -> list[VideoRecord]:
    if limit is None or limit >= len(records):
        return list(records)
    return [records[place * len(records) // limit] for place in range(limit)]


def _lines(
    found: Sequence[Comparison], differing: Sequence[Comparison], names: Sequence[str], tolerance: float
) -> Iterator[str]:
    if differing:
        rows = [("video", "differs in", *_titles(names))]
        rows += [_row(one, tolerance) for one in differing[:MOST_SHOWN]]
        widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
        for row in rows:
            yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        if len(differing) > MOST_SHOWN:
            yield f"… and {len(differing) - MOST_SHOWN:,} more"
    counts = Counter(what for one in differing for what in one.differences(tolerance=tolerance))
    told = ", ".join(f"{what} {count:,}" for what, count in counts.most_common())
    told = f" ({told})" if told else ""
    yield f"{len(found):,} videos, {' and '.join(names)}: {len(differing):,} differ{told}"
    unreadable = sum(all(seen.error for seen in one.seen.values()) for one in found)
    if unreadable:
        yield f"{unreadable:,} cannot be read by any decoder; `vssl data audit` names them"
    pixels = [seen for one in found for seen in one.seen.values() if seen.mean is not None]
    if pixels:
        mean = sum(seen.mean or 0.0 for seen in pixels) / len(pixels)
        largest = max(seen.largest or 0 for seen in pixels)
        yield f"pixels of equal frames: mean difference {mean:.3f}, largest {largest}"


def _titles(names: Sequence[str]) -> tuple[str, ...]:
    return (*(f"{name}: frames, size, rotation" for name in names), "times ms", "pixels mean, max")


def _row(one: Comparison, tolerance: float) -> tuple[str, ...]:
    others = list(one.seen.values())[1:]
    times = ", ".join("" if seen.seconds is None else f"{seen.seconds * 1e3:.1f}" for seen in others)
    pixels = ", ".join("" if seen.mean is None else f"{seen.mean:.2f}, {seen.largest}" for seen in others)
    shown = one.video_id if one.video_id.isprintable() else repr(one.video_id)
    differs = ", ".join(one.differences(tolerance=tolerance))
    return (shown, differs, *(_cell(seen) for seen in one.seen.values()), times, pixels)


def _cell(seen: Seen) -> str:
    if seen.look is None:
        return seen.error[:60]
    look = seen.look
    text = f"{look.num_frames}, {look.width}x{look.height}, {look.rotation}"
    return f"{text}; {seen.error[:60]}" if seen.error else text


def _document(found: Sequence[Comparison], versions: dict[str, Any], tolerance: float) -> dict[str, Any]:
    return {
        "decoders": versions,
        "videos": [
            {
                "video_id": one.video_id,
                "differs in": list(one.differences(tolerance=tolerance)),
                "seen": {name: _values(seen) for name, seen in one.seen.items()},
            }
            for one in found
        ],
    }


def _values(seen: Seen) -> dict[str, Any]:
    look = seen.look
    about = {} if look is None else {
        "frames": look.num_frames, "width": look.width, "height": look.height, "rotation": look.rotation,
    }  # fmt: skip
    differences = {"times_seconds": seen.seconds, "pixels_largest": seen.largest, "pixels_mean": seen.mean}
    return {**about, "error": seen.error, **differences}
