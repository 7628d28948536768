"""Copies of data sets as users have them: trees of small files, and a dataset opened on one."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from vssl_core.interfaces import DatasetContext, VideoDataset
from vssl_core.progress import quiet_progress
from vssl_core.types import Inventory, InventoryList, Split


def make(root: Path, names: Iterable[str], content: bytes = b"not looked into") -> Path:
    """A tree with these files."""
    root.mkdir(parents=True, exist_ok=True)
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return root


def write(folder: Path, **files: str) -> Path:
    """Text files by name; `__` stands for a dot, so that `train__csv=…` can be written."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_bytes(text.encode())
    return folder


def opened(cls: type[VideoDataset], root: Path, *, refresh: bool = False, **options: object) -> Any:
    """The dataset, prepared, with a cache beside the copy."""
    context = DatasetContext(cache_of(root), quiet_progress(), refresh)
    data = cls(cls.Options(root=str(root), **options), context)
    data.prepare()
    return data


def cache_of(root: Path) -> Path:
    return root.parent / f"{root.name}-cache"


def ids(data: VideoDataset, split: Split) -> list[str]:
    return [record.video_id for record in data.records(split)]


def paths(data: VideoDataset, root: Path) -> dict[str, str]:
    """Id → path below the root, of all parts."""
    splits: tuple[Split, ...] = ("train", "validation", "test")
    found = [record for split in splits for record in data.records(split)]
    return {record.video_id: Path(record.path).relative_to(root).as_posix() for record in found}


def class_names(data: VideoDataset, split: Split) -> dict[str, str]:
    return {r.video_id: data.classes[r.label] for r in data.records(split) if r.label is not None}


def listed(found: Inventory, name: str) -> InventoryList:
    return next(one for one in found.lists if one.name == name)


def counts(found: Inventory) -> dict[str, tuple[int, int]]:
    """List → videos that are here, and that are missing."""
    return {one.name: (len(one.found), len(one.missing)) for one in found.lists}
