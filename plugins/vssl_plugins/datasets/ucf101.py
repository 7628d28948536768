"""UCF101: 13,320 clips of 101 actions, three splits in which the clips of one source stay together.

Soomro, Zamir and Shah, 2012 (arXiv 1212.0402). Labels are the official ones of `classInd.txt` less one, which
is not the order of sorted folders: there Hammering and HammerThrow swap, and JumpingJack and JumpRope.
Files are known by their name, whatever its case: the lists say `HandstandPushups/v_HandStandPushups_…`,
and copies differ. Their extension does not matter, as copies are re-encoded.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from vssl_core.options import Options
from vssl_plugins.datasets.official.annotation_files import AnnotationFile
from vssl_plugins.datasets.official.annotations import Annotations, Entry, OfficialList
from vssl_plugins.datasets.official.prepared import PreparedVideos
from vssl_plugins.datasets.official.source import (
    Source,
    annotation_folders,
    first_folder,
    given_root,
    needed_file,
)
from vssl_plugins.datasets.video_files import stem

__all__ = ["UCF101"]

NAME = "ucf101"
VIDEO_FOLDERS = ("UCF-101", "UCF101", "videos")
ANNOTATION_FOLDERS = ("ucfTrainTestlist", "annotations", "splits")
PUBLISHED = {1: (9537, 3783), 2: (9586, 3734), 3: (9624, 3696)}
PINS = {
    1: (
        "d7e6e83988dfc25d2ae13eaabe1385d16aff3a288d9d6fc29f1a297c84cbda74",
        "0409fb8fe2190e01abb4f935d9ec36a732d75c236a1b645f81fe1ff19fce0503",
    ),
    2: (
        "c37add73f0b952f334a85380f1f0b4da4aaa9b0737f0b58e6ef44b1b160554ef",
        "50fd84ee8eb1e507f96e6fa80f683036aa4d11a6d7ef37002a39c2443dc24041",
    ),
    3: (
        "2a1e273aea80623721f5addacc0dc3a558dc526d37344b59aac1b4ecf385dab7",
        "47c4a35dd7ac4a87bf4bbd69cc9bfae2683f5658207ebe3e173e2ba5282b62e4",
    ),
}
"""`list_digest` of train and test."""


class UCF101Options(Options):
    """Which copy, and which of the three splits."""

    places = frozenset({"root", "annotations"})

    root: str = ""
    """The folder with UCF-101 or videos in it, or the videos; must be given."""
    annotations: str = ""
    """The folder with classInd.txt, trainlist01.txt and so on; empty: looked for in root."""
    split: Literal[1, 2, 3] = 1
    """Which official split."""


class UCF101(PreparedVideos):
    """UCF101 as it was unpacked, by one of its official splits; groups are the sources of the clips.

    `classes`: in the order of classInd.txt. `records`: train and test are the official split's.
    """

    api_version = 1
    Options = UCF101Options
    licence = "not stated by its authors; collected from YouTube for research"
    citation = (
        "Soomro, Zamir and Shah. UCF101: A Dataset of 101 Human Actions Classes From Videos in The Wild. "
        "CRCV-TR-12-01, 2012."
    )

    @classmethod
    def source(cls, options: UCF101Options) -> Source:
        """Where its lists and videos are, and how they are matched."""
        root = given_root(NAME, options.root)
        return Source(
            name=NAME,
            root=root,
            options={"split": options.split},
            annotation_files=lambda: _annotation_files(root, options),
            read=lambda files: _read(files, options.split),
            folders=lambda: first_folder(root, VIDEO_FOLDERS),
            key=_key,
        )


def _key(path: str) -> str:
    return stem(path).casefold()


def _annotation_files(root: Path, options: UCF101Options) -> Mapping[str, Path]:
    folders = annotation_folders(root, options.annotations, ANNOTATION_FOLDERS)
    names = {
        "classes": "classInd.txt",
        "train": f"trainlist0{options.split}.txt",
        "test": f"testlist0{options.split}.txt",
    }
    return {what: needed_file(NAME, folders, [name]) for what, name in names.items()}


def _read(files: Mapping[str, Path], split: int) -> Annotations:
    classes = _read_classes(AnnotationFile(files["classes"]))
    counts, pins = PUBLISHED[split], PINS[split]
    lists = (
        OfficialList("train", "train", counts[0], pins[0]),
        OfficialList("test", "test", counts[1], pins[1]),
    )
    annotations = Annotations(classes, lists)
    for name in ("train", "test"):
        _read_list(AnnotationFile(files[name]), name, annotations)
    return annotations


def _read_classes(file: AnnotationFile) -> tuple[str, ...]:
    """Names by label, of lines such as `1 ApplyEyeMakeup`."""
    names: list[str] = []
    for line, text in file.lines():
        number, *name = text.split(maxsplit=1)
        if number != str(len(names) + 1) or not name:
            raise file.error(line, f"is {text!r}; expected {len(names) + 1} and the name of a class")
        names += name
    if not names:
        raise file.error(1, "is empty; expected lines such as '1 ApplyEyeMakeup'")
    if len({name.casefold() for name in names}) != len(names):
        raise file.error(len(names), "ends a list with a class that stands there twice")
    return tuple(names)


def _read_list(file: AnnotationFile, name: str, annotations: Annotations) -> None:
    """Lines such as `ApplyEyeMakeup/v_ApplyEyeMakeup_g08_c01.avi 1`; test lists have no number."""
    labels = {one.casefold(): label for label, one in enumerate(annotations.classes)}
    for line, text in file.lines():
        path, *rest = text.split(maxsplit=1)
        number = rest[0] if rest else ""
        folder, slash, _ = path.rpartition("/")
        label = labels.get(folder.casefold())
        if not slash or label is None:
            raise file.error(line, f"is {text!r}; expected CLASS/VIDEO with a class of classInd.txt")
        if number not in ("", str(label + 1)):
            raise file.error(line, f"gives {folder!r} the number {number!r}; classInd.txt says {label + 1}")
        video_id = stem(path)
        entry = Entry(video_id, name, label, _group(video_id, annotations.classes[label]))
        annotations.add(video_id.casefold(), entry, file=file, line=line)


def _group(video_id: str, class_name: str) -> str:
    """`v_Archery_g01_c05` is of source `Archery/g01`; a name of another form is a source of its own."""
    before, mark, _ = video_id.rpartition("_c")
    source = before.rpartition("_")[2] if mark else video_id
    return f"{class_name}/{source}"
