"""What annotations say: the classes, the official lists, and an entry for every video of them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from vssl_core.files import canonical_json
from vssl_core.types import Split
from vssl_plugins.datasets.official.annotation_files import AnnotationFile

__all__ = ["Annotations", "Entry", "OfficialList", "list_digest"]


class Entry(NamedTuple):
    """One video of a list.

    Args:
        video_id: Its name wherever it is stored.
        list_name: The list that it is in.
        label: Class index, or None.
        group: Its source, or None.
    """

    video_id: str
    list_name: str
    label: int | None
    group: str | None


@dataclass(frozen=True, slots=True)
class OfficialList:
    """One list of a dataset.

    Args:
        name: As its authors call it.
        part: What it is here; None: its videos are not used.
        published: Videos in it by its authors, where known.
        pin: `list_digest` of the authors' own, where known.
    """

    name: str
    part: Split | None
    published: int | None = None
    pin: str | None = None


@dataclass
class Annotations:
    """Everything that the annotation files of a dataset say.

    Args:
        classes: Names by label.
        lists: The lists that there are.
        entries: Key by which a file is known → the entry, in the order of the lists.
        notes: What the user should know, a sentence each.
    """

    classes: tuple[str, ...]
    lists: tuple[OfficialList, ...]
    entries: dict[str, Entry] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    _lines: dict[str, str] = field(default_factory=dict)

    def add(self, key: str, entry: Entry, *, file: AnnotationFile, line: int) -> None:
        """Note a video.

        Raises:
            DatasetError: Another entry has its key and says something else, or its id cannot be written.
        """
        _check_id(entry.video_id, file, line)
        first = self.entries.setdefault(key, entry)
        if first is entry:
            self._lines[key] = f"{file.path.name}, line {line}"
        elif first != entry:
            raise file.error(
                line,
                f"says {self._said(entry)} of {entry.video_id!r}, and {self._lines[key]}, says "
                f"{self._said(first)} of {first.video_id!r}; expected one class and one list for each video",
            )

    def _said(self, entry: Entry) -> str:
        label = "no class" if entry.label is None else f"class {self.classes[entry.label]!r}"
        return f"{label} in list {entry.list_name!r}"

    def digests(self) -> dict[str, str]:
        """List → its `list_digest`."""
        by_list: dict[str, list[Entry]] = {one.name: [] for one in self.lists}
        for entry in self.entries.values():
            by_list[entry.list_name].append(entry)
        return {name: list_digest(entries) for name, entries in by_list.items()}

    def official(self) -> dict[str, bool | None]:
        """List → whether it is its authors' own; None where that is not known."""
        digests = self.digests()
        return {one.name: None if one.pin is None else digests[one.name] == one.pin for one in self.lists}


def _check_id(video_id: str, file: AnnotationFile, line: int) -> None:
    try:
        video_id.encode()
    except UnicodeEncodeError as error:
        raise file.error(line, f"has the video {video_id!r}, which is not valid Unicode") from error
    if not video_id or "\0" in video_id or "\n" in video_id:
        raise file.error(line, f"has the video {video_id!r}; expected a name in one line")


def list_digest(entries: Iterable[Entry]) -> str:
    """SHA-256 over ids and labels: the same whatever the order, the line ends or the format."""
    rows = sorted((entry.video_id, -1 if entry.label is None else entry.label) for entry in entries)
    return hashlib.sha256(canonical_json(rows).encode()).hexdigest()
