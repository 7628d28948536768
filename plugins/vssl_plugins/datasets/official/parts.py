"""What an index means: which video is in which part, and what is here of what should be."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import get_args

from vssl_core.types import Inventory, InventoryList, Split, VideoRecord
from vssl_plugins.datasets.grouping import refuse_parted_sources
from vssl_plugins.datasets.official.index_file import Index
from vssl_plugins.datasets.official.source import Source
from vssl_plugins.datasets.official.subsets import choose, held_out

__all__ = ["inventory", "records", "summary", "used_lists"]

HELD_OUT = "held out of train"


def used_lists(source: Source, index: Index) -> tuple[InventoryList, ...]:
    """The lists with the ids of their videos.

    Of a subset, the training list is what the subset takes of it, and where no list is for validation,
    some of the rest is.

    Raises:
        DatasetError: The subset cannot be taken.
    """
    ids: dict[str, list[str]] = {one.name: [] for one in index.lists}
    here = {entry.video_id for entry, video in index.entries.values() if video is not None}
    for entry, _ in index.entries.values():
        ids[entry.list_name].append(entry.video_id)
    lists = [_filled(one, ids[one.name], here) for one in index.lists]
    train = next((one for one in lists if one.part == "train"), None)
    if train is None or source.subset is None:
        return tuple(lists)
    labels = {
        entry.video_id: None if entry.label is None else index.classes[entry.label]
        for entry, _ in index.entries.values()
        if entry.list_name == train.name
    }
    chosen = choose(labels, source.subset)
    if chosen is None:
        return tuple(lists)
    lists[lists.index(train)] = _filled(train, sorted(chosen), here)
    if all(one.part != "validation" for one in lists):
        rest = held_out(labels, chosen)
        lists.append(_filled(InventoryList(HELD_OUT, "validation", ()), sorted(rest), here))
    return tuple(lists)


def _filled(one: InventoryList, ids: Sequence[str], here: set[str]) -> InventoryList:
    found = tuple(sorted(video_id for video_id in ids if video_id in here))
    missing = tuple(sorted(video_id for video_id in ids if video_id not in here))
    return InventoryList(one.name, one.part, found, missing, one.published, one.official)


def records(
    source: Source, index: Index, lists: Sequence[InventoryList]
) -> Mapping[Split, list[VideoRecord]]:
    """The videos of each part that are here, by id. Raises DatasetError where parts share a source."""
    part_of = {video_id: one.part for one in lists for video_id in one.found}
    parts: dict[Split, list[VideoRecord]] = {split: [] for split in get_args(Split)}
    top = f"{source.root}".rstrip("/")
    for entry, video in index.entries.values():
        part = part_of.get(entry.video_id)
        if part is not None and video is not None:
            parts[part].append(VideoRecord(entry.video_id, f"{top}/{video.path}", entry.label, entry.group))
    for several in parts.values():
        several.sort(key=lambda record: record.video_id)
    refuse_parted_sources(source.name, parts)
    return parts


def inventory(index: Index, lists: Sequence[InventoryList], *, file: str) -> Inventory:
    """What is here of what should be; `file` is the index."""
    duplicated: dict[str, tuple[str, ...]] = {}
    for other, key in index.others.items():
        if key is not None:
            entry, used = index.entries[key]
            first = (used.path,) if used else ()
            duplicated[entry.video_id] = (*duplicated.get(entry.video_id, first), other.path)
    empty = [video.path for video in index.videos() if video.look is None or video.look[0] == 0]
    return Inventory(
        lists=tuple(lists),
        classes=len(index.classes),
        empty_classes=_empty_classes(index),
        unexpected=tuple(video.path for video, key in index.others.items() if key is None),
        duplicated=duplicated,
        unreadable=(*index.unreadable, *sorted(empty)),
        notes=(*index.notes, *_subset_notes(index, lists)),
        index=file,
    )


def _subset_notes(index: Index, lists: Sequence[InventoryList]) -> Iterator[str]:
    whole: dict[str, int] = {}
    for entry, _ in index.entries.values():
        whole[entry.list_name] = whole.get(entry.list_name, 0) + 1
    for one in lists:
        taken = len(one.found) + len(one.missing)
        if taken < whole.get(one.name, 0):
            yield f"of {one.name}, a subset is used: {taken:,} of {whole[one.name]:,} videos."


def _empty_classes(index: Index) -> tuple[str, ...]:
    present = {entry.label for entry, video in index.entries.values() if video is not None}
    return tuple(name for label, name in enumerate(index.classes) if label not in present)


def summary(source: Source, index: Index, lists: Sequence[InventoryList]) -> str:
    """A sentence for the run: how much is here."""
    used = [one for one in lists if one.part is not None]
    found = sum(len(one.found) for one in used)
    listed = found + sum(len(one.missing) for one in used)
    text = f"{source.name}: {found:,} of {listed:,} videos are here"
    empty = len(_empty_classes(index))
    return text + (f"; {empty} of {len(index.classes)} classes have none" if empty else "")
