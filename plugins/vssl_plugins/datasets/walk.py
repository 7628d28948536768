"""Walk a tree of folders, through links, each folder once, many at a time; or look at named files.

A walk waits for the disk, or for the network behind it, so threads list folders and look at files ahead
of the one that puts their answers in order. What an earlier walk has seen is taken over where the
folder has not changed since: that is how an interrupted walk goes on, and how an index is brought up to
date.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, Protocol

from vssl_core.progress import Progress, Task

__all__ = [
    "VIDEO_EXTENSIONS",
    "FoundVideo",
    "Journal",
    "Listing",
    "Look",
    "Seen",
    "folder_times",
    "listable",
    "look_at",
    "walk_videos",
]

VIDEO_EXTENSIONS = (".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".webm")
THREADS = 16  # for the latency of network file systems, not for cores
CHUNK = 512  # files that one thread looks at in one go
SETTLED_NS = 2_000_000_000  # a folder that changed less than this ago may change again unnoticed

Look = tuple[int, int] | None
"""Bytes and time of the last change in nanoseconds; None: cannot be looked at."""


class FoundVideo(NamedTuple):
    """A video below the root: `path` with forward slashes, spelt as the file system spells it."""

    path: str
    look: Look


class Listing(NamedTuple):
    """What lies in a folder, by name.

    Args:
        changed_ns: When it changed last; 0 where that was too recent to be relied on.
        videos: Files with a video's extension.
        folders: Folders.
        links: Links to folders.
    """

    changed_ns: int
    videos: tuple[str, ...]
    folders: tuple[str, ...]
    links: tuple[str, ...]


@dataclass
class Seen:
    """What a walk found; paths are below the root.

    Args:
        listings: Folder → what lies in it, in the order of the walk.
        looks: Video → size and time.
        unreadable: Folder → why it cannot be listed.
    """

    listings: dict[str, Listing] = field(default_factory=dict)
    looks: dict[str, Look] = field(default_factory=dict)
    unreadable: dict[str, str] = field(default_factory=dict)

    @property
    def videos(self) -> list[FoundVideo]:
        """In the order of the walk."""
        return [FoundVideo(path, look) for path, look in self.looks.items()]


class Journal(Protocol):
    """Hears of every answer as it comes, so that it can be written down."""

    def listed(self, folder: str, listing: Listing) -> None:
        """A folder was listed."""

    def looked(self, videos: Sequence[FoundVideo]) -> None:
        """Some videos were looked at."""


def walk_videos(
    root: Path,
    progress: Progress,
    *,
    tops: Sequence[str] = ("",),
    seen: Seen | None = None,
    journal: Journal | None = None,
) -> Seen:
    """Every video below the folders `tops` of `root`, with its size and time.

    Names that begin with a dot are left out. A folder that can be reached in several ways counts once:
    under its own name, or else under the first of its links. A link that leads nowhere counts as a
    video that cannot be looked at; a folder that cannot be listed is noted in `unreadable`.
    """
    with progress.track("looking for videos", None, "videos") as bar, _threads() as pool:
        walk = _Walk(root, pool, seen or Seen(), journal)
        walk.list_all(tops)
        walk.look_at_all(bar)
    return walk.found


def look_at(root: Path, paths: Sequence[str], progress: Progress) -> Seen:
    """Files that are named already, instead of a walk: those of `paths` that are there, and their folders.

    All are looked at, whatever an interrupted attempt saw: no folder is listed that could tell what stayed.
    Times of folders come first, so that what changes meanwhile is seen to have changed.
    """
    found = Seen()
    folders = dict.fromkeys(path.rpartition("/")[0] for path in paths)
    for folder, changed_ns in folder_times(root, folders).items():
        found.listings[folder] = Listing(changed_ns or 0, (), (), ())
    with progress.track("looking at videos", len(paths), "videos") as bar, _threads() as pool:
        jobs = [(chunk, pool.submit(_look_at_files, root, chunk)) for chunk in _chunks(paths)]
        for chunk, job in jobs:
            looks = zip(chunk, job.result(), strict=True)
            found.looks.update((path, look) for path, look in looks if look)
            bar.advance(len(chunk))
    return found


def listable(root: Path, folders: Iterable[str]) -> bool:
    """Whether any of these folders can be listed."""
    return any(_can_be_listed(root / folder) for folder in folders)


def _can_be_listed(folder: Path) -> bool:
    try:
        _list_folder(str(folder), None)
    except (OSError, ValueError):
        return False
    return True


def folder_times(root: Path, folders: Mapping[str, object]) -> dict[str, int | None]:
    """When each folder changed last, as `Listing` says it; None where it is gone."""

    def changed_ns(folder: str) -> int | None:
        try:
            return _settled((root / folder).stat().st_mtime_ns)
        except (OSError, ValueError):
            return None

    with _threads() as pool:
        return dict(zip(folders, pool.map(changed_ns, folders), strict=True))


@contextmanager
def _threads() -> Iterator[ThreadPoolExecutor]:
    """Threads that drop what has not begun when the work ends early."""
    pool = ThreadPoolExecutor(THREADS, thread_name_prefix="vssl-walk")
    try:
        yield pool
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _chunks(names: Sequence[str]) -> Iterator[Sequence[str]]:
    return (names[start : start + CHUNK] for start in range(0, len(names), CHUNK))


def _settled(changed_ns: int) -> int:
    return changed_ns if time.time_ns() - changed_ns > SETTLED_NS else 0


_Identity = tuple[int, int]
_Listed = Future[tuple[_Identity, Listing]]


class _Walk:
    """One walk: folders are listed as soon as they are known, and their answers taken in order."""

    def __init__(self, root: Path, pool: ThreadPoolExecutor, seen: Seen, journal: Journal | None) -> None:
        self.found = Seen()
        self._root, self._pool, self._seen, self._journal = root, pool, seen, journal
        self._looking: list[tuple[Sequence[str], Future[list[Look]] | None]] = []

    def list_all(self, tops: Sequence[str]) -> None:
        """Folders first, then links one after the other, so that a folder goes by its own name."""
        identities: set[_Identity] = set()
        folders, links = deque(self._submit("", tops)), deque[tuple[str, _Listed]]()
        while folders or links:
            folder, job = folders.popleft() if folders else links.popleft()
            try:
                identity, listing = job.result()
            except (OSError, ValueError) as error:
                self.found.unreadable[folder] = getattr(error, "strerror", None) or str(error)
                continue
            if identity in identities:
                continue
            identities.add(identity)
            self._note(folder, listing)
            folders.extend(self._submit(folder, listing.folders))
            links.extend(self._submit(folder, listing.links))

    def look_at_all(self, bar: Task) -> None:
        """Collect the sizes and times."""
        for paths, job in self._looking:
            looks = job.result() if job else [self._seen.looks[path] for path in paths]
            self.found.looks.update(zip(paths, looks, strict=True))
            if self._journal:
                self._journal.looked([FoundVideo(*pair) for pair in zip(paths, looks, strict=True)])
            bar.advance(len(paths))

    def _submit(self, below: str, names: Sequence[str]) -> list[tuple[str, _Listed]]:
        inner = [f"{below}/{name}" if below else name for name in names]
        return [
            (name, self._pool.submit(_list_folder, str(self._root / name), self._seen.listings.get(name)))
            for name in inner
        ]

    def _note(self, folder: str, listing: Listing) -> None:
        self.found.listings[folder] = listing
        if self._journal:
            self._journal.listed(folder, listing)
        known = self._seen.listings.get(folder) == listing and listing.changed_ns != 0
        paths = [f"{folder}/{name}" if folder else name for name in listing.videos]
        for chunk in _chunks(paths):
            done = known and all(path in self._seen.looks for path in chunk)
            job = None if done else self._pool.submit(_look_at_files, self._root, chunk)
            self._looking.append((chunk, job))


def _list_folder(folder: str, known: Listing | None) -> tuple[_Identity, Listing]:
    status = os.stat(folder)  # noqa: PTH116 — hundreds of thousands of paths
    identity = (status.st_dev, status.st_ino)
    if known is not None and known.changed_ns and known.changed_ns == status.st_mtime_ns:
        return identity, known
    changed_ns = _settled(status.st_mtime_ns)
    videos, folders, links = [], [], []
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if _is_folder(entry):
                (links if entry.is_symlink() else folders).append(entry.name)
            elif _is_video(entry):
                videos.append(entry.name)
    return identity, Listing(changed_ns, tuple(sorted(videos)), tuple(sorted(folders)), tuple(sorted(links)))


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads to itself
        return False


def _is_video(entry: os.DirEntry[str]) -> bool:
    """By its extension, if it is a file or a link that leads nowhere; sockets and pipes are none."""
    base, dot, extension = entry.name.rpartition(".")
    if not base or f"{dot}{extension.lower()}" not in VIDEO_EXTENSIONS:
        return False
    try:
        return entry.is_file() or (entry.is_symlink() and not Path(entry.path).exists())
    except OSError:
        return True


def _look_at_files(root: Path, paths: Sequence[str]) -> list[Look]:
    return [_look_at_file(f"{root}/{path}") for path in paths]


def _look_at_file(path: str) -> Look:
    try:
        status = os.stat(path)  # noqa: PTH116
    except (OSError, ValueError):
        return None
    return status.st_size, status.st_mtime_ns
