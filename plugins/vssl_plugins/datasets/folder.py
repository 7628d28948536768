"""A folder of the user's own videos, with one sub-folder per class or without labels.

Understood layouts, all without an annotation file; folders may be nested deeper and may be links:

    root/*.mp4                          unlabelled
    root/CLASS/*.mp4                    labelled; parts by a hash
    root/{train,validation,test}/…      either of the two inside; the parts are the folders

A video's id is its path below root with forward slashes, so it does not depend on where root is.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Literal, NamedTuple

from pydantic import Field, model_validator

from vssl_core.errors import DatasetError, OptionError, UsageError
from vssl_core.interfaces import DatasetContext, VideoDataset
from vssl_core.options import Options
from vssl_core.seeding import key_digest
from vssl_core.types import Split, VideoRecord
from vssl_plugins.datasets.grouping import GroupPattern, group_of, refuse_parted_sources
from vssl_plugins.datasets.video_files import find_videos
from vssl_plugins.datasets.walk import VIDEO_EXTENSIONS

__all__ = ["Folder"]

SPLIT_NAMES: dict[str, Split] = {
    "train": "train",
    "validation": "validation",
    "val": "validation",
    "test": "test",
}


class FolderOptions(Options):
    """Which folder, and how its sub-folders are meant."""

    root: str = ""
    """The folder with the videos; must be given."""
    labels: Literal["auto", "folders", "none"] = "auto"
    """`folders`: each sub-folder is a class; `none`: unlabelled; `auto`: classes where there are several
    sub-folders and all videos lie in them."""
    splits: Literal["auto", "folders", "hash"] = "auto"
    """`folders`: root/train, root/validation (or val) and root/test; `hash`: drawn by a hash of the names;
    `auto`: folders where there are no others."""
    test_fraction: float = Field(0.25, ge=0, lt=1)
    """Share of each class for testing, where parts are drawn. Unlabelled videos are all for training."""
    validation_fraction: float = Field(0.15, ge=0, lt=1)
    """Share of each class for validation, where parts are drawn."""
    group_pattern: GroupPattern = None
    """Regular expression, searched in the id: videos of equal match (of its first group, if it has one)
    come from one source and stay together. null: every video is a source of its own, but for clips with
    names of UCF101, which say it."""

    @model_validator(mode="after")
    def _leaves_training_videos(self) -> FolderOptions:
        if self.test_fraction + self.validation_fraction >= 1:
            raise ValueError("test_fraction and validation_fraction must add up to less than 1")
        return self


class _Video(NamedTuple):
    video_id: str
    path: Path
    split: Split | None  # None: to be drawn
    folders: tuple[str, ...]  # between the root (of its split) and the file


class Folder(VideoDataset):
    """The videos below a folder, in the order of their ids."""

    api_version = 1
    Options = FolderOptions
    licence = "the user's own"

    def __init__(self, options: FolderOptions, context: DatasetContext) -> None:
        if not options.root:
            raise OptionError(
                "dataset 'folder' needs the folder with the videos: name it in place of the dataset "
                "(--pretrain DIR, --target DIR) or as its option root."
            )
        self._options, self._context = options, context

    def prepare(self) -> None:
        """Walk the folder.

        Raises:
            UsageError: There is no such folder.
            DatasetError: No videos in it, or it is not laid out as the options say.
        """
        _ = self._parts

    @property
    def classes(self) -> Sequence[str]:
        """Names of the class folders, sorted by lower-cased name; empty for unlabelled videos."""
        return self._classes

    def records(self, split: Split) -> Sequence[VideoRecord]:
        """The split's videos by id."""
        return self._parts[split]

    def verify(self) -> Sequence[str]:
        """A folder is walked afresh each time, so there is nothing to compare. Raises UsageError."""
        raise UsageError(
            "dataset 'folder' keeps nothing of what it finds, so its files cannot be compared with it: the "
            "folder is walked each time. `vssl data audit` looks into every file, and `data.pins` of a "
            "protocol holds the digest that the videos must have."
        )

    @cached_property
    def _videos(self) -> list[_Video]:
        root = Path(self._options.root).expanduser()
        found = find_videos(root, self._context.progress)
        if not found:
            raise DatasetError(
                f"expected videos ({', '.join(VIDEO_EXTENSIONS)}) in {str(root)!r} or its sub-folders; "
                "found none. Check the folder."
            )
        by_folder = self._has_split_folders({video_id.split("/")[0].lower() for video_id in found})
        videos = []
        for video_id, path in sorted(found.items()):
            *folders, _ = video_id.split("/")
            split = SPLIT_NAMES.get(folders[0].lower()) if by_folder and folders else None
            if not by_folder or split is not None:
                videos.append(_Video(video_id, path, split, tuple(folders[1:] if by_folder else folders)))
        return videos

    def _has_split_folders(self, tops: set[str]) -> bool:
        """Whether the first folders (or files) below root are parts rather than classes."""
        parts = tops & SPLIT_NAMES.keys()
        if self._options.splits == "folders" and "train" not in parts:
            raise DatasetError(
                f"splits=folders expects videos in a folder 'train' of {self._options.root!r}; there are "
                f"none. It has {_some(tops)}."
            )
        if self._options.splits == "auto" and "train" in parts and len(parts) > 1 and parts < tops:
            raise DatasetError(
                f"{self._options.root!r} has the folders {_some(parts)} and beside them "
                f"{_some(tops - parts)}. Set splits=folders to use the parts alone, or splits=hash if all "
                "are classes."
            )
        return self._options.splits == "folders" or (self._options.splits == "auto" and parts == tops)

    @cached_property
    def _classes(self) -> tuple[str, ...]:
        outside = next((video for video in self._videos if not video.folders), None)
        names = {video.folders[0] for video in self._videos if video.folders}
        if self._options.labels == "none":
            return ()
        if self._options.labels == "auto":
            names = names if outside is None and len(names) > 1 else set()
        elif outside is not None:
            raise DatasetError(
                f"labels=folders expects every video in a class folder; {outside.video_id!r} lies outside. "
                "Move it into one, or set labels=none."
            )
        elif len(names) < 2:
            raise DatasetError(
                f"labels=folders expects at least two class folders in {self._options.root!r}; "
                f"found {_some(names)}. Is root one folder too high or too low?"
            )
        return tuple(sorted(names, key=lambda name: (name.lower(), name)))

    @cached_property
    def _parts(self) -> dict[Split, list[VideoRecord]]:
        label_of = {name: label for label, name in enumerate(self._classes)}
        records = [
            VideoRecord(
                video.video_id,
                str(video.path),
                label=label_of.get(video.folders[0]) if video.folders else None,
                group=group_of(video.video_id, self._options.group_pattern),
            )
            for video in self._videos
        ]
        splits = {video.video_id: video.split for video in self._videos if video.split is not None}
        drawn = {} if splits or not label_of else self._draw(records)
        parts: dict[Split, list[VideoRecord]] = {"train": [], "validation": [], "test": []}
        for record in records:
            parts[splits.get(record.video_id) or drawn.get(_source(record), "train")].append(record)
        refuse_parted_sources("folder", parts)
        return parts

    def _draw(self, records: Sequence[VideoRecord]) -> dict[str, Split]:
        """Source → part. Within each class the sources that come first by a hash of their names are test.

        A source with videos of several classes counts for the class of its first.
        """
        sources: dict[int | None, dict[str, None]] = {}
        seen: set[str] = set()
        for record in records:
            if _source(record) not in seen:
                sources.setdefault(record.label, {})[_source(record)] = None
                seen.add(_source(record))
        drawn: dict[str, Split] = {}
        for names in sources.values():
            ranked = sorted(names, key=lambda name: key_digest("folder", name))
            num_test = _share(self._options.test_fraction, len(ranked))
            num_validation = _share(self._options.validation_fraction, len(ranked))
            num_validation = min(num_validation, max(0, len(ranked) - num_test - 1))
            drawn |= dict.fromkeys(ranked[:num_test], "test")
            drawn |= dict.fromkeys(ranked[num_test : num_test + num_validation], "validation")
        return drawn


def _source(record: VideoRecord) -> str:
    return record.video_id if record.group is None else record.group


def _share(fraction: float, count: int) -> int:
    """About `fraction` of `count`: at least one where the class has three sources or more."""
    if fraction == 0 or count < 3:
        return 0
    return max(1, min(int(fraction * count + 0.5), count - 2))


def _some(names: set[str]) -> str:
    shown = [repr(name) for name in sorted(names)[:5]]
    return ", ".join(shown) + (f" and {len(names) - 5} more" if len(names) > 5 else "") if shown else "none"
