"""A dataset as `vssl data pack` wrote it: ids, labels, groups and parts are those of its source.

A video that could not be packed is missing here, and is told. `verify` compares every file with the digest
that was taken when it was written.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path

from vssl_core.errors import OptionError
from vssl_core.files import file_sha256
from vssl_core.interfaces import DatasetContext, VideoDataset
from vssl_core.options import Options
from vssl_core.packing import Manifest, read_manifest
from vssl_core.types import Inventory, InventoryList, Split, VideoRecord

__all__ = ["PackedDataset"]


class PackedOptions(Options):
    """Which copy."""

    root: str = ""
    """The folder that `vssl data pack --to` wrote; must be given."""


class PackedDataset(VideoDataset):
    """The packed copy of another dataset; name its folder in place of a dataset to use it."""

    api_version = 1
    Options = PackedOptions
    licence = "that of its source"

    def __init__(self, options: PackedOptions, context: DatasetContext) -> None:
        if not options.root:
            raise OptionError(
                "dataset 'packed' needs the folder that `vssl data pack` wrote: name it in place of the "
                "dataset (--pretrain DIR, --target DIR) or as its option root."
            )
        self._root = Path(options.root).expanduser().absolute()
        self._progress = context.progress

    def prepare(self) -> None:
        """Read the manifest.

        Raises:
            DatasetError: There is none, or the copy is not finished.
        """
        _ = self._manifest

    @property
    def classes(self) -> Sequence[str]:
        """Those of the source."""
        return tuple(self._manifest.classes)

    @property
    def mirrored(self) -> Mapping[str, str]:
        """Those of the source."""
        return self._manifest.mirrored

    def records(self, split: Split) -> Sequence[VideoRecord]:
        """The part's videos in the order of the source, without those that could not be packed."""
        files = self._files
        return [
            VideoRecord(one.video_id, str(self._root / files[one.video_id]), one.label, one.group)
            for one in self._manifest.parts.get(split, ())
            if one.video_id in files
        ]

    def inventory(self) -> Inventory:
        """What is here of what the source should have."""
        lists = []
        for split, part in self._manifest.parts.items():
            found = tuple(one.video_id for one in part if one.video_id in self._files)
            missing = (
                *self._manifest.missing.get(split, ()),
                *(one.video_id for one in part if one.video_id not in self._files),
            )
            if found or missing:
                lists.append(InventoryList(split, split, found, tuple(sorted(missing))))
        present = {one.label for part in self._manifest.parts.values() for one in part}
        empty = tuple(name for label, name in enumerate(self.classes) if label not in present)
        source = self._manifest.dataset
        return Inventory(
            tuple(lists),
            classes=len(self.classes),
            empty_classes=empty,
            notes=(f"packed from {source['name']} with {self._manifest.encoder['codec']}.",),
            index=str(self._root / "pack.json"),
        )

    def verify(self) -> Sequence[str]:
        """Files that are gone, or are not as they were written."""
        problems = []
        with self._progress.track("reading packed files", len(self._manifest.videos), "videos") as bar:
            for video in self._manifest.videos:
                path = self._root / video.file
                if not path.is_file():
                    problems.append(f"{video.video_id}: there is no file {str(path)!r}.")
                elif file_sha256(path) != video.sha256:
                    problems.append(f"{video.video_id}: {str(path)!r} is not as it was packed.")
                bar.advance()
        return problems

    @cached_property
    def _manifest(self) -> Manifest:
        return read_manifest(self._root)

    @cached_property
    def _files(self) -> Mapping[str, str]:
        return {video.video_id: video.file for video in self._manifest.videos}
