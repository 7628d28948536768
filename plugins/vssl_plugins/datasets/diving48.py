"""Diving48: 16,997 clips of competitive dives in 48 classes that differ only in how the diver moves.

Li, Li and Vasconcelos, ECCV 2018. Labels are those of version 2, in which the authors corrected version
1; the two share their keys and differ in their labels, so version 1 must be asked for. Class 30 of
version 2 has no clip in either list. A video is `<competition>_<number>`: all clips of a competition,
which is one source video, are a group, and the official lists share none.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from vssl_core.errors import DatasetError
from vssl_core.options import Options
from vssl_plugins.datasets.official.annotation_files import AnnotationFile, first_of
from vssl_plugins.datasets.official.annotations import Annotations, Entry, OfficialList
from vssl_plugins.datasets.official.prepared import PreparedVideos
from vssl_plugins.datasets.official.source import (
    Source,
    annotation_folders,
    first_folder,
    given_root,
    needed_file,
)

__all__ = ["Diving48"]

NAME = "diving48"
VIDEO_FOLDERS = ("rgb", "videos")
ANNOTATION_FOLDERS = ("annotations", "labels")
NUM_CLASSES = 48
LISTS = {
    "V2": (
        OfficialList(
            "train", "train", 15_027, "e62bf3ffc7ba63322d227ee8dc1aeab9048b83c5669f11b900c3addb3e577e9b"
        ),
        OfficialList(
            "test", "test", 1_970, "42d589ef0d498457d4b3f970adf7f444caf141c1c8efe851da0e609dbcd8ddc0"
        ),
    ),
    "V1": (OfficialList("train", "train"), OfficialList("test", "test")),
}
FILES = {"V2": "Diving48_V2_{}.json", "V1": "Diving48_{}.json"}


class Diving48Options(Options):
    """Which copy, and whose labels."""

    places = frozenset({"root", "annotations"})

    root: str = ""
    """The folder with rgb or videos in it, or the videos; must be given."""
    annotations: str = ""
    """The folder with Diving48_V2_train.json and so on; empty: looked for in root."""
    version: Literal["V1", "V2"] = "V2"
    """Labels: `V2` are the corrected ones; `V1`, of Diving48_train.json, have errors and other lists."""


class Diving48(PreparedVideos):
    """Diving48 as it was unpacked, with the labels of version 2; groups are competitions.

    `classes`: take-off, somersaults, twists and position, in the order of the vocabulary.
    `records`: train and test are the official lists.
    """

    api_version = 1
    Options = Diving48Options
    licence = "not stated by its authors; collected from YouTube for research"
    citation = (
        "Li, Li and Vasconcelos. RESOUND: Towards Action Recognition without Representation Bias. ECCV 2018."
    )

    @classmethod
    def source(cls, options: Diving48Options) -> Source:
        """Where its lists and videos are, and how they are matched."""
        root = given_root(NAME, options.root)
        return Source(
            name=NAME,
            root=root,
            options={"version": options.version},
            annotation_files=lambda: _annotation_files(root, options),
            read=lambda files: _read(files, options.version),
            folders=lambda: first_folder(root, VIDEO_FOLDERS),
        )


def _annotation_files(root: Path, options: Diving48Options) -> Mapping[str, Path]:
    """The two lists, and the vocabulary where there is one."""
    folders = annotation_folders(root, options.annotations, ANNOTATION_FOLDERS)
    names = {part: FILES[options.version].format(part) for part in ("train", "test")}
    if options.version == "V2" and first_of(folders, [names["train"]]) is None:
        old = first_of(folders, [FILES["V1"].format("train")])
        if old is not None:
            raise DatasetError(
                f"expected {names['train']}; found {str(old)!r}, the labels of version 1, which its authors "
                "have corrected since. Get version 2, or set version=V1 to use the old labels."
            )
    found = {part: needed_file(NAME, folders, [name]) for part, name in names.items()}
    vocabulary = first_of(folders, ["Diving48_vocab.json"])
    return {**found, **({"vocabulary": vocabulary} if vocabulary else {})}


def _read(files: Mapping[str, Path], version: str) -> Annotations:
    classes = tuple(f"class {label}" for label in range(NUM_CLASSES))
    if "vocabulary" in files:
        classes = _read_vocabulary(AnnotationFile(files["vocabulary"]))
    annotations = Annotations(classes, LISTS[version])
    if "vocabulary" not in files:
        annotations.notes.append("there is no Diving48_vocab.json: classes have numbers for names.")
    for one in annotations.lists:
        file = AnnotationFile(files[one.name])
        for line, row in file.objects():
            entry = _entry(row, one.name, len(classes), file, line)
            annotations.add(entry.video_id, entry, file=file, line=line)
    _check_version(files, version, annotations)
    return annotations


def _check_version(files: Mapping[str, Path], version: str, annotations: Annotations) -> None:
    """Files of version 2 under the names of version 1 would pass for the old labels."""
    if version == "V1" and (
        names := [one.name for one in LISTS["V2"] if annotations.digests()[one.name] == one.pin]
    ):
        raise DatasetError(
            f"expected the labels of version 1; {str(files[names[0]])!r} has those of version 2. "
            "Set version=V2, or get the files of version 1."
        )


def _read_vocabulary(file: AnnotationFile) -> tuple[str, ...]:
    """`["Back", "15som", "05Twis", "FREE"]` for each label."""
    names = []
    for line, words in file.items():
        if not isinstance(words, list) or not words or not all(isinstance(word, str) for word in words):
            raise file.error(line, f"has the class {words!r}; expected a list of words")
        names.append(" ".join(words))
    if len(names) != NUM_CLASSES or len(set(names)) != NUM_CLASSES:
        raise file.error(1, f"starts {len(names)} classes; expected {NUM_CLASSES} different ones")
    return tuple(names)


def _entry(
    row: Mapping[str, Any], list_name: str, num_classes: int, file: AnnotationFile, line: int
) -> Entry:
    video_id, label = row.get("vid_name"), row.get("label")
    if not isinstance(video_id, str) or not video_id:
        raise file.error(line, f"has the vid_name {video_id!r}; expected a text")
    if isinstance(label, bool) or not isinstance(label, int) or not 0 <= label < num_classes:
        raise file.error(line, f"gives {video_id!r} the label {label!r}; expected 0 … {num_classes - 1}")
    competition, mark, _ = video_id.rpartition("_")
    return Entry(video_id, list_name, label, competition if mark else video_id)
