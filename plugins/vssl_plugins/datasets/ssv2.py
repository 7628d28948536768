"""Something-Something v2: 220,847 clips of 174 actions with objects, whose label is in the movement.

Goyal and others, ICCV 2017. The label of a video is its template without the square brackets, looked up in
the labels file, whose numbers are texts. Test labels are not published, so the official validation list
is the test part here, and validation is carved out of train. Files are `<id>` with any extension: copies are
WebM, MP4 or AVI, and the content decides.

Six classes name left or right, and a horizontal flip turns each into another (`mirrored`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vssl_core.errors import did_you_mean
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
from vssl_plugins.datasets.official.subsets import SubsetOptions

__all__ = ["SSv2"]

NAME = "ssv2"
VIDEO_FOLDERS = ("20bn-something-something-v2", "videos", "something-something-v2-videos_avi")
ANNOTATION_FOLDERS = ("annotations", "labels", "something-something-v2-annotations")
LISTS = (
    OfficialList("train", "train", 168_913),
    OfficialList(
        "validation", "test", 24_777, "3d62f4404db59d899a4e95711572ed369afbc9898ef664139493334ccd9b7343"
    ),
    OfficialList("test", None, 27_157, "69b1ad995a7aa7a9c4d7bfb21d86be3952fede6979392d71d1c1b55112bead67"),
)
NUM_CLASSES = 174
OTHER_SIDE = {"left": "right", "right": "left"}


class SSv2Options(SubsetOptions):
    """Which copy, and which of its training videos."""

    places = frozenset({"root", "annotations"})

    root: str = ""
    """The folder with 20bn-something-something-v2 or videos in it, or the videos; must be given."""
    annotations: str = ""
    """The folder with labels.json, train.json and so on, also by their longer names; empty: in root."""


class SSv2(PreparedVideos):
    """Something-Something v2 as it was unpacked; the official validation list is the test part.

    `classes`: in the order of the labels file. `records`: test is the official validation list.
    """

    api_version = 1
    Options = SSv2Options
    licence = "for research, by agreement with its owner (formerly 20BN, now Qualcomm)"
    citation = (
        'Goyal and others. The "something something" video database for learning and evaluating visual '
        "common sense. ICCV 2017."
    )

    @classmethod
    def source(cls, options: SSv2Options) -> Source:
        """Where its lists and videos are, and how they are matched."""
        root = given_root(NAME, options.root)
        return Source(
            name=NAME,
            root=root,
            options={},
            annotation_files=lambda: _annotation_files(root, options),
            read=_read,
            folders=lambda: first_folder(root, VIDEO_FOLDERS),
            subset=options,
        )

    @property
    def mirrored(self) -> Mapping[str, str]:
        """Classes that another one is, with left for right."""
        swapped = {name: _other_side(name) for name in self.classes}
        return {name: other for name, other in swapped.items() if other != name and other in swapped}


def _other_side(name: str) -> str:
    return re.sub(r"\b(left|right)\b", lambda word: OTHER_SIDE[word[1]], name)


def _annotation_files(root: Path, options: SSv2Options) -> Mapping[str, Path]:
    """The labels, and those lists that there are."""
    folders = annotation_folders(root, options.annotations, ANNOTATION_FOLDERS)
    names = {
        what: (f"something-something-v2-{what}.json", f"{what}.json")
        for what in ("labels", "train", "validation", "test")
    }
    found = {"labels": needed_file(NAME, folders, names["labels"])}
    for one in LISTS:
        if path := first_of(folders, names[one.name]):
            found[one.name] = path
    return found


def _read(files: Mapping[str, Path]) -> Annotations:
    labels = _read_labels(AnnotationFile(files["labels"]))
    annotations = Annotations(tuple(labels), tuple(one for one in LISTS if one.name in files))
    annotations.notes += [
        f"there is no {one.name}.json: its videos cannot be known." for one in LISTS if one.name not in files
    ]
    if len(labels) != NUM_CLASSES:
        annotations.notes.append(
            f"there are {len(labels)} classes, not {NUM_CLASSES}: not the official labels."
        )
    for one in annotations.lists:
        file = AnnotationFile(files[one.name])
        for line, row in file.objects():
            video_id = _video_id(row, file, line)
            label = None if one.name == "test" else _label(row, labels, file, line)
            entry = Entry(video_id, one.name, label, video_id)
            annotations.add(video_id, entry, file=file, line=line)
    return annotations


def _read_labels(file: AnnotationFile) -> Mapping[str, int]:
    """Template → label, by label; the numbers are texts: `{"Closing something": "5"}`."""
    labels: dict[str, int] = {}
    for name, number in file.mapping().items():
        if not isinstance(number, str | int) or not re.fullmatch(r"\d{1,6}", str(number), re.ASCII):
            raise file.error(file.line_of(name), f"gives {name!r} the label {number!r}; expected a number")
        labels[name] = int(number)
    if sorted(labels.values()) != list(range(len(labels))) or not labels:
        raise file.error(1, f"starts labels that are not 0 … {len(labels) - 1}, each once")
    return dict(sorted(labels.items(), key=lambda item: item[1]))


def _video_id(row: Mapping[str, Any], file: AnnotationFile, line: int) -> str:
    video_id = row.get("id")
    if isinstance(video_id, bool) or not isinstance(video_id, str | int) or not str(video_id).strip():
        raise file.error(line, f"has the id {video_id!r}; expected a number as text")
    return str(video_id).strip()


def _label(row: Mapping[str, Any], labels: Mapping[str, int], file: AnnotationFile, line: int) -> int:
    template = row.get("template")
    if not isinstance(template, str):
        raise file.error(
            line, f"has the template {template!r}; expected a text such as 'Closing [something]'"
        )
    name = template.replace("[", "").replace("]", "")
    if name not in labels:
        raise file.error(
            line, f"has the template {template!r}, which is no label.{did_you_mean(name, labels)}"
        )
    return labels[name]
