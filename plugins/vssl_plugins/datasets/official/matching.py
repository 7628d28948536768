"""Files to entries by a key: which videos are here, which are missing, and what else lies there."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vssl_plugins.datasets.official.annotations import Entry
from vssl_plugins.datasets.walk import FoundVideo

__all__ = ["Match", "match"]

Key = Callable[[str], str]
"""Path below the root → the key of the entry that it may be."""
Rank = Callable[[Entry, str], Any]
"""(entry, path) → what sorts first is taken where several files have an entry's key."""


@dataclass(frozen=True, slots=True)
class Match:
    """How files and entries came together.

    Args:
        files: Key → the file that is used.
        duplicated: Key → the paths of all files that have it, the one that is used first.
        unexpected: Files that no entry has the key of.
    """

    files: Mapping[str, FoundVideo]
    duplicated: Mapping[str, Sequence[str]]
    unexpected: Sequence[FoundVideo]


def match(entries: Mapping[str, Entry], videos: Sequence[FoundVideo], *, key: Key, rank: Rank) -> Match:
    """Give every entry its file, where there is one. Equal ranks go by the path."""
    candidates: dict[str, list[FoundVideo]] = {}
    unexpected = []
    for video in videos:
        name = key(video.path)
        if name in entries:
            candidates.setdefault(name, []).append(video)
        else:
            unexpected.append(video)
    files, duplicated = {}, {}
    for name, several in candidates.items():
        if len(several) > 1:
            several.sort(key=lambda video: (rank(entries[name], video.path), video.path))
            duplicated[name] = [video.path for video in several]
        files[name] = several[0]
    return Match(files, duplicated, sorted(unexpected))
