"""What is particular to one dataset: where its files lie, how its annotations are read, what its keys are."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vssl_core.errors import DatasetError, OptionError
from vssl_plugins.datasets.official.annotation_files import absolute, exists, first_of
from vssl_plugins.datasets.official.annotations import Annotations, Entry
from vssl_plugins.datasets.official.subsets import SubsetOptions
from vssl_plugins.datasets.video_files import stem
from vssl_plugins.datasets.walk import FoundVideo

__all__ = ["Source", "annotation_folders", "first_folder", "given_root", "names_in", "needed_file"]


def _by_path(entry: Entry, path: str) -> Any:
    del entry
    return path


@dataclass(frozen=True, slots=True)
class Source:
    """One copy of a dataset, as its plugin describes it.

    Args:
        name: Of the dataset.
        root: The user's folder.
        options: What else decides which entry a file belongs to; JSON values.
        annotation_files: Finds them: what it is → path. Raises DatasetError where one is lacking.
        read: Their content.
        folders: Finds the folders below the root that hold the videos, "" for the root itself; None:
            entries name every file by its path, which is the key.
        key: Path of a file → the key of its entry.
        rank: (entry, path) → of several files with an entry's key the one that sorts first is used.
        complete: Adds what files tell where annotations do not (labels from folders).
        subset: Which training videos.
    """

    name: str
    root: Path
    options: Mapping[str, Any]
    annotation_files: Callable[[], Mapping[str, Path]]
    read: Callable[[Mapping[str, Path]], Annotations]
    folders: Callable[[], Sequence[str]] | None
    key: Callable[[str], str] = stem
    rank: Callable[[Entry, str], Any] = _by_path
    complete: Callable[[Annotations, Sequence[FoundVideo]], None] | None = None
    subset: SubsetOptions | None = None


def given_root(name: str, root: str) -> Path:
    """The folder that the user named.

    Raises:
        OptionError: None is named.
    """
    if not root:
        raise OptionError(
            f"dataset {name!r} needs the folder of your copy: `vssl data prepare {name} --root DIR`, "
            "-o pretrain.root=DIR or -o target.root=DIR."
        )
    return absolute(root)


def first_folder(root: Path, names: Sequence[str]) -> tuple[str]:
    """The first of these folders below the root, else the root itself; for `Source.folders`."""
    return (next((name for name in names if exists(root / name, folder=True)), ""),)


def annotation_folders(root: Path, given: str, names: Sequence[str]) -> tuple[Path, ...]:
    """Where to look for annotations: the folder that the user named alone, else the usual ones."""
    if given:
        return (absolute(given),)
    return (*(root / name for name in names), root)


def needed_file(name: str, folders: Sequence[Path], names: Sequence[str]) -> Path:
    """The first of these files, in the first folder that has one.

    Raises:
        DatasetError: No folder has any.
    """
    found = first_of(folders, names)
    if found is None:
        raise DatasetError(
            f"dataset {name!r} needs {' or '.join(names)}; there is none in "
            f"{', '.join(repr(str(folder)) for folder in folders)}. Put it there, or name its folder with "
            "--annotations DIR (option annotations)."
        )
    return found


def names_in(folder: Path) -> list[str]:
    """What lies in a folder, sorted; nothing where it cannot be listed.

    Names that begin with a dot are left out, as walks do: archives made on a Mac hold a `._NAME` for each
    NAME.
    """
    try:
        return sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))
    except OSError:
        return []
