"""The index: one file of JSON lines with everything that was found, written whole or not at all.

    {"index": {"schema": 1, "dataset": …, "root": …, "annotations": {file: sha256}, …}}
    {"folder": …, "changed_ns": …, "folders": […], "links": […]}          each folder that was walked
    {"video": id, "key": …, "list": …, "label": …, "group": …, "path": …, "bytes": …, "changed_ns": …}
    {"other": path, "bytes": …, "changed_ns": …, "duplicate_of": key}     no list's video, or a second copy
    {"end": {"lines": …, "sha256": …}}                                     of all lines above

Paths are below the root. A video without a path is in a list and not here.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vssl_core.errors import SchemaError, StoreError
from vssl_core.files import atomic_file
from vssl_core.types import InventoryList
from vssl_plugins.datasets.official.annotations import Entry
from vssl_plugins.datasets.walk import FoundVideo, Listing, Look, Seen

__all__ = ["INDEX_SCHEMA", "Index", "read_index", "write_index"]

_ENCODER = json.JSONEncoder(separators=(",", ":"))
INDEX_SCHEMA = 1
"""Raised when the layout, or how annotations are read or files matched, changes; older ones are not used."""


@dataclass
class Index:
    """What is known about one copy of a dataset.

    Args:
        about: `dataset`, `root`, `tops`, `options` and `annotations` (file → SHA-256): equal to what
            they are now, the index may be used.
        classes: Names by label.
        lists: Official lists, without their ids.
        notes: Sentences for the user.
        folders: Folder → what lies in it, without its videos.
        unreadable: Folder → why it cannot be listed.
        entries: Key → the entry and its file, None where it is missing.
        others: Videos that are not used → the key of the entry that they are another copy of, or None.
    """

    about: dict[str, Any]
    classes: tuple[str, ...]
    lists: tuple[InventoryList, ...]
    notes: tuple[str, ...] = ()
    folders: dict[str, Listing] = field(default_factory=dict)
    unreadable: dict[str, str] = field(default_factory=dict)
    entries: dict[str, tuple[Entry, FoundVideo | None]] = field(default_factory=dict)
    others: dict[FoundVideo, str | None] = field(default_factory=dict)

    def videos(self) -> Iterator[FoundVideo]:
        """Every file that was found."""
        yield from (video for _, video in self.entries.values() if video is not None)
        yield from self.others

    def seen(self) -> Seen:
        """The same as what the walk had found."""
        names: dict[str, list[str]] = {folder: [] for folder in self.folders}
        looks: dict[str, Look] = {}
        for path, look in self.videos():
            folder, _, name = path.rpartition("/")
            names.setdefault(folder, []).append(name)
            looks[path] = look
        listings = {
            folder: listing._replace(videos=tuple(sorted(names[folder])))
            for folder, listing in self.folders.items()
        }
        return Seen(listings, looks, dict(self.unreadable))


def write_index(path: Path, index: Index) -> None:
    """Write an index atomically. Raises StoreError where the folder cannot be written."""
    digest, count = hashlib.sha256(), 0
    with atomic_file(path) as file:
        for row in _rows(index):
            line = (_ENCODER.encode(row) + "\n").encode()
            digest.update(line)
            file.write(line)
            count += 1
        end = {"end": {"lines": count, "sha256": digest.hexdigest()}}
        file.write((json.dumps(end) + "\n").encode())


def _rows(index: Index) -> Iterator[dict[str, Any]]:
    lists = [
        {"name": one.name, "part": one.part, "published": one.published, "official": one.official}
        for one in index.lists
    ]
    facts = {"classes": index.classes, "lists": lists, "notes": index.notes, "unreadable": index.unreadable}
    yield {"index": {"schema": INDEX_SCHEMA, **index.about, **facts}}
    for folder, listing in index.folders.items():
        inside = {"folders": listing.folders, "links": listing.links}
        yield {"folder": folder, "changed_ns": listing.changed_ns, **inside}
    for key, (entry, video) in index.entries.items():
        about = {"video": entry.video_id, "key": key, "list": entry.list_name}
        yield {**about, "label": entry.label, "group": entry.group, **(_file(video) if video else {})}
    for video, key_of_used in index.others.items():
        found = _file(video)
        yield {"other": found.pop("path"), **found, "duplicate_of": key_of_used}


def _file(video: FoundVideo) -> dict[str, Any]:
    size, changed_ns = video.look or (None, None)
    return {"path": video.path, "bytes": size, "changed_ns": changed_ns}


def read_index(path: Path) -> Index:
    """Read an index.

    Raises:
        SchemaError: Another version of vssl wrote it.
        StoreError: It cannot be read, or is damaged.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise StoreError(f"cannot read the index {str(path)!r}: {error.strerror or error}.") from error
    try:
        return _parsed(path, content)
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError) as error:
        raise StoreError(
            f"the index {str(path)!r} is damaged ({error}); `vssl data prepare` makes it again."
        ) from error


def _parsed(path: Path, content: bytes) -> Index:
    body, _, last = content.rstrip(b"\n").rpartition(b"\n")
    lines = body.decode().split("\n")
    head = json.loads(lines[0])["index"]
    if head["schema"] != INDEX_SCHEMA:
        raise SchemaError(
            f"the index {str(path)!r} has schema {head['schema']!r}; this vssl has {INDEX_SCHEMA}. "
            "`vssl data prepare` makes it again."
        )
    end = json.loads(last)["end"]
    if end["lines"] != len(lines) or end["sha256"] != hashlib.sha256(body + b"\n").hexdigest():
        raise ValueError("its digest is not that of its lines")
    index = _index(head)
    for line in lines[1:]:
        _take(index, json.loads(line))
    return index


def _index(head: Mapping[str, Any]) -> Index:
    facts = ("schema", "classes", "lists", "notes", "unreadable")
    return Index(
        about={name: value for name, value in head.items() if name not in facts},
        classes=tuple(head["classes"]),
        lists=tuple(InventoryList(found=(), **row) for row in head["lists"]),
        notes=tuple(head["notes"]),
        unreadable=dict(head["unreadable"]),
    )


def _take(index: Index, row: Mapping[str, Any]) -> None:
    if "video" in row:
        entry = Entry(row["video"], row["list"], row["label"], row["group"])
        video = FoundVideo(row["path"], _look(row)) if "path" in row else None
        index.entries[row["key"]] = (entry, video)
    elif "other" in row:
        index.others[FoundVideo(row["other"], _look(row))] = row["duplicate_of"]
    else:
        inside: Sequence[Sequence[str]] = row["folders"], row["links"]
        index.folders[row["folder"]] = Listing(row["changed_ns"], (), *map(tuple, inside))


def _look(row: Mapping[str, Any]) -> Look:
    return None if row["bytes"] is None else (row["bytes"], row["changed_ns"])
