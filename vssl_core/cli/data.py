"""`vssl data`: find the videos of a dataset, say what is there, and check it again later."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from vssl_core.cli.dataset_options import dataset_options, opened
from vssl_core.cli.lazy import LazyCommand
from vssl_core.errors import UsageError

if TYPE_CHECKING:
    from vssl_core.types import Inventory, InventoryList

__all__ = ["data"]

MOST_SHOWN = 10


_COMMANDS = (
    LazyCommand("audit", "vssl_core.cli.data_audit:audit", help="Decode every video of a dataset once."),
    LazyCommand("corrupt", "vssl_core.cli.data_corrupt:corrupt", help="Write test videos, made worse."),
    LazyCommand("overlap", "vssl_core.cli.data_overlap:overlap", help="Find videos that two datasets share."),
    LazyCommand("pack", "vssl_core.cli.data_pack:pack", help="Write a compact copy that loads fast."),
    LazyCommand("parity", "vssl_core.cli.data_parity:parity", help="Compare decoders on your files."),
)


@click.group(commands={command.name: command for command in _COMMANDS})
def data() -> None:
    """Find the videos of your copy of a dataset, see what is missing, check them again."""


@data.command()
@dataset_options
@click.option("--json", "as_json", is_flag=True, help="For programs, with every id and path.")
def prepare(
    name: str, root: str | None, annotations: str | None, options: tuple[str, ...], as_json: bool
) -> None:
    """Find the videos of dataset NAME and say what is there; nothing is copied or converted.

    Any layout that its plugin knows is accepted (`vssl plugins show dataset NAME`). An interrupted
    search goes on where it was. `vssl bench` does the same by itself, where it has not been done.
    """
    dataset = opened(name, root, annotations, options, refresh=True)
    dataset.prepare()
    found = dataset.inventory()
    click.echo(json.dumps(_document(found), indent=2) if as_json else "\n".join(_lines(name, found)))


@data.command()
@dataset_options
def verify(name: str, root: str | None, annotations: str | None, options: tuple[str, ...]) -> None:
    """Compare what was found of dataset NAME with its files, and annotation files with their digests."""
    problems = opened(name, root, annotations, options).verify()
    for problem in problems[:MOST_SHOWN]:
        click.echo(problem)
    if len(problems) > MOST_SHOWN:
        click.echo(f"… and {len(problems) - MOST_SHOWN:,} more")
    if problems:
        click.echo(f"{len(problems):,} differences; `vssl data prepare` takes them over.", err=True)
        raise click.exceptions.Exit(1)
    click.echo(f"{name}: everything is as it was found")


@data.command()
@dataset_options
@click.option("--list", "list_name", default="train", show_default=True, help="Which list of the dataset.")
@click.option("--to", "file", help="Write to this file.")
def ids(
    name: str,
    root: str | None,
    annotations: str | None,
    options: tuple[str, ...],
    list_name: str,
    file: str | None,
) -> None:
    """Print the ids of a list of dataset NAME, one a line and sorted, missing videos too.

    With the options of a subset these are the ids of the subset. The digest, on stderr, is the SHA-256
    of the text: equal digests, equal videos. The option subset_file of another copy takes the list.
    """
    import hashlib
    from pathlib import Path

    from vssl_core.files import write_bytes

    dataset = opened(name, root, annotations, options)
    dataset.prepare()
    chosen = _list(dataset.inventory(), list_name)
    text = "".join(f"{video_id}\n" for video_id in sorted((*chosen.found, *chosen.missing)))
    if file is None:
        click.echo(text, nl=False)
    else:
        write_bytes(Path(file), text.encode())
    count = len(chosen.found) + len(chosen.missing)
    click.echo(f"{count:,} ids, sha256 {hashlib.sha256(text.encode()).hexdigest()}", err=True)


def _list(found: Inventory, name: str) -> InventoryList:
    for one in found.lists:
        if one.name == name:
            return one
    known = ", ".join(one.name for one in found.lists) or "none"
    raise UsageError(f"there is no list {name!r}; there are: {known}.")


# ------------------------------------------------------------------------------------------------- showing


def _document(found: Inventory) -> Mapping[str, Any]:
    from dataclasses import asdict

    return asdict(found)


def _lines(name: str, found: Inventory) -> Iterator[str]:
    """The inventory for a person: counts, then the first few of whatever deserves a look."""
    rows: list[tuple[str, ...]] = [("list", "used for", "here", "missing", "published", "official list")]
    rows += [_row(one) for one in found.lists]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        cells = [
            cell.ljust(width) if i < 2 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        yield "  ".join(cells).rstrip()
    have = found.classes - len(found.empty_classes)
    yield f"classes with videos: {have} of {found.classes}"
    yield from _some("classes without videos", found.empty_classes)
    missing = tuple(video_id for one in found.lists if one.part for video_id in one.missing)
    yield from _some("missing", missing)
    yield from _some("unexpected", found.unexpected)
    several = [f"{video_id} ({', '.join(paths)})" for video_id, paths in found.duplicated.items()]
    yield from _some("several files for one video, the first is used", several)
    yield from _some("empty or not to be read", found.unreadable)
    yield from (f"note: {note}" for note in found.notes)
    if found.index:
        yield f"index of {name}: {found.index}"


def _row(one: InventoryList) -> tuple[str, ...]:
    official = {True: "yes", False: "no", None: "not known"}[one.official]
    return (
        one.name,
        one.part or "nothing",
        f"{len(one.found):,}",
        f"{len(one.missing):,}",
        "not known" if one.published is None else f"{one.published:,}",
        official,
    )


def _some(title: str, names: Sequence[str]) -> Iterator[str]:
    if names:
        shown = ", ".join(name if name.isprintable() else repr(name) for name in names[:MOST_SHOWN])
        more = f", … and {len(names) - MOST_SHOWN:,} more" if len(names) > MOST_SHOWN else ""
        yield f"{title}: {len(names):,}: {shown}{more}"
