"""Kinetics-400: about 300,000 clips of ten seconds in 400 classes of human action, cut from YouTube.

Kay and others, 2017 (arXiv 1705.06950). Labels are places in the sorted list of class names, whatever the
folders are called: `arm wrestling`, `arm_wrestling`, or torchvision's form without apostrophes and brackets,
whose order is another. A file is known by the first eleven characters of its name, the YouTube id,
so `ID.mp4` serves as well as `ID_000010_000020.mp4`. Many videos are gone from the web: what is missing is
told, and is no error. Files below `replacement` are used in place of damaged ones of the same id.

Lists come from the official tables. Where a list has no table, its videos are those in the folder of
its name, with the class that their own folder names (torchvision's layout).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cache, lru_cache
from importlib import resources
from itertools import pairwise
from pathlib import Path
from typing import Literal

from vssl_core.errors import DatasetError, did_you_mean
from vssl_core.types import Split
from vssl_plugins.datasets.official.annotation_files import AnnotationFile, absolute, exists
from vssl_plugins.datasets.official.annotations import Annotations, Entry, OfficialList
from vssl_plugins.datasets.official.prepared import PreparedVideos
from vssl_plugins.datasets.official.source import Source, annotation_folders, given_root, names_in
from vssl_plugins.datasets.official.subsets import SubsetOptions
from vssl_plugins.datasets.video_files import stem
from vssl_plugins.datasets.walk import FoundVideo

__all__ = ["Kinetics400"]

NAME = "kinetics400"
ID_LENGTH = 11
YOUTUBE_ID = re.compile(r"[A-Za-z0-9_-]{11}")
PUBLISHED = {"train": 246_534, "val": 19_906, "test": None}
PINS = {"val": "c98441241eca8b40fd4cd5c2d596d97675a31deb37e90eb92d69acda23edf15a"}
"""`list_digest`, of the list that could be had."""
WORDS = {"train": "train", "val": "val", "validate": "val", "validation": "val", "test": "test"}
TABLE = re.compile(r"(?:kinetics[-_]?(?:400)?[-_])?(train|val|validate|validation|test)\.csv", re.IGNORECASE)
FOLDER = re.compile(r"(?:videos?[-_])?(train|val|validate|validation|test)(?:[-_]\d+\w*)?", re.IGNORECASE)
REPLACEMENT = re.compile(r"replacement.*", re.IGNORECASE)


class Kinetics400Options(SubsetOptions):
    """Which copy, which list is scored, and which training videos."""

    places = frozenset({"root", "annotations"})

    root: str = ""
    """The folder with train, val and test, or videos, or videos_train and so on, in it; must be given."""
    annotations: str = ""
    """The folder with train.csv, val.csv and test.csv, or one table; empty: looked for in root."""
    score_on: Literal["test", "val"] = "test"
    """The list that is the test part. `test`: val is for validation; `val`: validation is carved out of
    train, as most publications do who report on val. Not all tables of test have labels."""


class Kinetics400(PreparedVideos):
    """Kinetics-400 as it was downloaded, with whatever is missing; groups are YouTube videos.

    `classes`: the 400 names, sorted. `records`: which list is which part, the option `score_on` says.
    """

    api_version = 1
    Options = Kinetics400Options
    licence = "annotations CC BY 4.0 by Google; the videos are their owners'"
    citation = "Kay and others. The Kinetics Human Action Video Dataset. arXiv 1705.06950, 2017."

    @classmethod
    def source(cls, options: Kinetics400Options) -> Source:
        """Where its lists and videos are, and how they are matched."""
        root = given_root(NAME, options.root)
        return Source(
            name=NAME,
            root=root,
            options={"score_on": options.score_on},
            annotation_files=lambda: _annotation_files(root, options),
            read=lambda files: _read(files, options.score_on),
            folders=lambda: _video_folders(root),
            key=_key,
            rank=_rank,
            complete=lambda annotations, videos: _complete(annotations, videos, options.score_on),
            subset=options,
        )


# ------------------------------------------------------------------------------------------------- classes


@cache
def _class_names() -> tuple[str, ...]:
    text = resources.files("vssl_plugins.datasets") / "kinetics400_classes.txt"
    return tuple(text.read_text(encoding="utf-8").split("\n")[:400])


@cache
def _labels() -> Mapping[str, int]:
    """Letters and digits of a class name → label."""
    return {_letters(name): label for label, name in enumerate(_class_names())}


def _letters(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.casefold())


@lru_cache(maxsize=4096)
def _label_of(name: str) -> int | None:
    """Of a class or a folder, by any spelling."""
    return _labels().get(_letters(name))


# --------------------------------------------------------------------------------------------------- files


def _key(path: str) -> str:
    return stem(path)[:ID_LENGTH]


def _rank(entry: Entry, path: str) -> tuple[bool, bool, str]:
    """Replacements first, then files in the folder of their class."""
    folders = path.split("/")[:-1]
    replaces = any(REPLACEMENT.fullmatch(folder) for folder in folders)
    right = bool(folders) and _label_of(folders[-1]) == entry.label
    return not replaces, not right, path


def _video_folders(root: Path) -> Sequence[str]:
    """Folders of lists, or of all videos, and those of replacements; else the root itself."""
    inside = [name for name in names_in(root) if exists(root / name, folder=True)]
    found = [name for name in inside if FOLDER.fullmatch(name) or name == "videos"]
    return [*found, *filter(REPLACEMENT.fullmatch, inside)] if found else [""]


def _annotation_files(root: Path, options: Kinetics400Options) -> Mapping[str, Path]:
    """List → its table; none where the folders have to tell."""
    if options.annotations and not exists(table := absolute(options.annotations), folder=True):
        return {"all": table}
    found: dict[str, Path] = {}
    for folder in annotation_folders(root, options.annotations, ["annotations"]):
        for name in names_in(folder):
            if match := TABLE.fullmatch(name):
                found.setdefault(WORDS[match[1].lower()], folder / name)
    if options.annotations and not found:
        raise DatasetError(
            f"expected tables such as train.csv or kinetics-400_val.csv in {options.annotations!r}; "
            "there are none."
        )
    return found


# --------------------------------------------------------------------------------------------- annotations


def _lists(annotations: Annotations, score_on: str) -> tuple[OfficialList, ...]:
    """The lists that have entries; one that is to be scored needs classes."""
    parts: dict[str, Split | None] = {"train": "train", "val": "validation", "test": "test"}
    if score_on == "val":
        parts |= {"val": "test", "test": None}
    labelled: dict[str, bool] = {}
    for entry in annotations.entries.values():
        labelled[entry.list_name] = labelled.get(entry.list_name, False) or entry.label is not None
    return tuple(
        OfficialList(
            name, parts[name] if labelled[name] or parts[name] != "test" else None, count, PINS.get(name)
        )
        for name, count in PUBLISHED.items()
        if name in labelled
    )


def _read(files: Mapping[str, Path], score_on: str) -> Annotations:
    annotations = Annotations(_class_names(), ())
    for name, path in files.items():
        file, rows = AnnotationFile(path), 0
        needed = ["label", "youtube_id", "split"] if name == "all" else ["youtube_id"]
        for line, row in file.rows(needed):
            entry = _entry(row, row["split"].lower() if name == "all" else name, file, line)
            annotations.add(entry.video_id, entry, file=file, line=line)
            rows = line
        if not rows:
            raise file.error(1, "names columns and no video")
    annotations.lists = _lists(annotations, score_on)
    if score_on == "test" and any(one.name == "test" and one.part is None for one in annotations.lists):
        annotations.notes.append(
            "the table of test has no labels, so test is not used; score_on=val makes val the test part."
        )
    return annotations


def _entry(row: Mapping[str, str], list_name: str, file: AnnotationFile, line: int) -> Entry:
    video_id, name = row["youtube_id"], row.get("label", "")
    if not YOUTUBE_ID.fullmatch(video_id):
        raise file.error(
            line, f"has the youtube_id {video_id!r}; expected eleven letters, digits, '-' or '_'"
        )
    if list_name not in WORDS:
        raise file.error(line, f"has the split {list_name!r}; expected train, val or test")
    label = _label_of(name) if name else None
    if name and label is None:
        known = did_you_mean(name, _class_names())
        raise file.error(line, f"has the label {name!r}, which is no class of Kinetics-400.{known}")
    return Entry(video_id, WORDS[list_name], label, video_id)


def _complete(annotations: Annotations, videos: Sequence[FoundVideo], score_on: str) -> None:
    """Lists without a table: what lies in the folders of their name, by the folder of a class."""
    told, by_folder = {one.name for one in annotations.lists}, set[str]()
    for video in videos if told < PUBLISHED.keys() else ():
        name, label = _folders_say(video.path)
        if name is not None and label is not None and name not in told:
            video_id = _key(video.path)
            annotations.entries.setdefault(video_id, Entry(video_id, name, label, video_id))
            by_folder.add(name)
    if not told | by_folder:
        raise DatasetError(
            f"dataset {NAME!r} needs train.csv, val.csv or test.csv in the root or its folder annotations, "
            "or videos in folders train/CLASS and val/CLASS; there are neither. Name the tables' folder with "
            "--annotations DIR (option annotations)."
        )
    if by_folder:
        annotations.lists = _lists(annotations, score_on)
        annotations.notes.append(
            f"there is no table of {' and '.join(sorted(by_folder))}: videos and classes are those of the "
            "folders, and what is missing cannot be known."
        )


def _folders_say(path: str) -> tuple[str | None, int | None]:
    """List and label of `videos_train/arm_wrestling/ID.mp4`; None where the folders do not say."""
    folders = path.split("/")[:-1]
    for above, below in pairwise(folders):
        if match := FOLDER.fullmatch(above):
            return WORDS[match[1].lower()], _label_of(below)
    return None, None
