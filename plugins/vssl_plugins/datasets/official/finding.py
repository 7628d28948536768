"""The index of one copy of a dataset: used again while nothing has changed, else made by a walk.

An index belongs to a root, to the options that decide what its files are, and to annotation files of a
digest. Where a folder has changed since, that folder alone is listed again. One process makes an index
and the others wait for it; what an interrupted one had seen is in a journal beside it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from vssl_core.errors import StoreError
from vssl_core.files import canonical_json
from vssl_core.interfaces import DatasetContext
from vssl_core.lease import hold
from vssl_core.progress import Progress
from vssl_core.types import InventoryList
from vssl_plugins.datasets.official.annotation_files import sha256_of
from vssl_plugins.datasets.official.annotations import Annotations
from vssl_plugins.datasets.official.index_file import Index, read_index, write_index
from vssl_plugins.datasets.official.journal import WalkJournal, read_journal
from vssl_plugins.datasets.official.matching import match
from vssl_plugins.datasets.official.source import Source
from vssl_plugins.datasets.video_files import check_folder
from vssl_plugins.datasets.walk import FoundVideo, Journal, Seen, folder_times, listable, look_at, walk_videos

__all__ = ["about", "discover", "find", "index_path"]


def index_path(source: Source, cache_dir: Path) -> Path:
    """One file for each root and options, so that copies do not drive each other out."""
    of = canonical_json([str(source.root), dict(source.options)])
    digest = hashlib.sha256(of.encode(errors="surrogatepass")).hexdigest()
    return cache_dir / source.name / f"{digest[:16]}.jsonl"


def about(source: Source) -> dict[str, Any]:
    """What an index must say of itself to be this copy's."""
    return {
        "dataset": source.name,
        "root": str(source.root),
        "options": dict(source.options),
        "tops": None if source.folders is None else list(source.folders()),
        "annotations": {str(path): sha256_of(path) for path in source.annotation_files().values()},
    }


def find(source: Source, context: DatasetContext) -> Index:
    """The index, as it was made before or made now.

    Raises:
        UsageError: There is no such folder.
        DatasetError: An annotation file is lacking or malformed.
        StoreError: The cache cannot be written.
    """
    check_folder(source.root)
    path, now = index_path(source, context.cache_dir), about(source)
    index = None if context.refresh else _usable(source, path, now, context.progress)
    if index is not None:
        return index

    def waiting(owner: str) -> None:
        context.progress.say(f"{source.name}: waiting for {owner}, which prepares it")

    _make_folder(path.parent)
    with hold(path.with_suffix(".lease"), waiting=waiting):
        index = None if context.refresh else _usable(source, path, now, context.progress)
        return index or _make(source, path, now, context)


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(
            f"the folder {str(folder)!r} for the index cannot be made: {error.strerror or error}. "
            "Set VSSL_CACHE to a folder that you can write."
        ) from error


def _usable(source: Source, path: Path, now: Mapping[str, Any], progress: Progress) -> Index | None:
    """The index of an earlier time, if nothing has changed since."""
    if not path.exists():
        return None
    try:
        index = read_index(path)
    except StoreError as error:
        progress.say(f"{source.name}: {error}")
        return None
    if listable(source.root, index.unreadable):
        return None
    times = folder_times(source.root, index.folders)
    same = all(listing.changed_ns == times[name] != 0 for name, listing in index.folders.items())
    return index if same and index.about == now else None


def _make(source: Source, path: Path, now: Mapping[str, Any], context: DatasetContext) -> Index:
    for leftover in path.parent.glob(f".{path.name}.*.tmp"):  # of a process that was killed
        with suppress(OSError):
            leftover.unlink()
    file = path.with_suffix(".partial")
    interrupted = read_journal(file, str(source.root))
    earlier = Seen()
    if not context.refresh:
        with suppress(StoreError):
            earlier = read_index(path).seen()
    with WalkJournal(file, str(source.root)) as journal:
        index = _assembled(source, now, context.progress, (interrupted, earlier), journal)
    write_index(path, index)
    with suppress(OSError):
        file.unlink()
    return index


def discover(
    source: Source,
    annotations: Annotations,
    progress: Progress,
    *,
    earlier: tuple[Seen, Seen] = (Seen(), Seen()),
    journal: Journal | None = None,
) -> Seen:
    """The files: by a walk, or those that the annotations name.

    Args:
        source: The dataset.
        annotations: Its annotations.
        progress: Progress bars.
        earlier: What an interrupted attempt saw, and what an older index knows.
        journal: Hears of every answer.
    """
    interrupted, older = earlier
    if source.folders is None:
        return look_at(source.root, list(annotations.entries), progress)
    seen = interrupted if interrupted.listings else older
    return walk_videos(source.root, progress, tops=source.folders(), seen=seen, journal=journal)


def _assembled(
    source: Source,
    now: Mapping[str, Any],
    progress: Progress,
    earlier: tuple[Seen, Seen],
    journal: Journal,
) -> Index:
    """Annotations are read before the walk, so that their mistakes are found in no time."""
    annotations = source.read(source.annotation_files())
    found = discover(source, annotations, progress, earlier=earlier, journal=journal)
    if source.complete is not None:
        source.complete(annotations, found.videos)
    together = match(annotations.entries, found.videos, key=source.key, rank=source.rank)
    others: dict[FoundVideo, str | None] = dict.fromkeys(together.unexpected)
    for key, paths in together.duplicated.items():
        others |= {FoundVideo(path, found.looks[path]): key for path in paths[1:]}
    official = annotations.official()
    return Index(
        about=dict(now),
        classes=annotations.classes,
        lists=tuple(
            InventoryList(one.name, one.part, (), (), one.published, official[one.name])
            for one in annotations.lists
        ),
        notes=tuple(annotations.notes),
        folders=found.listings,
        unreadable=found.unreadable,
        entries={key: (entry, together.files.get(key)) for key, entry in annotations.entries.items()},
        others=others,
    )
