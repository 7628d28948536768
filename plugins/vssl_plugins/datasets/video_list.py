"""Videos named in list files, `path label` on each line: those of SlowFast, VideoMAE, mmaction2 and others.

    jumping/take 1.mp4 3            label from the right; space, tab or comma before it
    jumping/take 1.mp4 250 3        a number of frames before the label is passed over
    jumping/take 1.mp4              no label, or -1: unlabelled

Paths are below `root`, or absolute and below it; what leads out of it is refused. No folder is walked:
a video that is listed and not there is missing. Labels are numbers from 0, or names that `classes` lists;
where a class has another one's number for its name, `labels` must say which of the two stands there.
"""

from __future__ import annotations

import os
import posixpath
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from vssl_core.errors import OptionError, did_you_mean
from vssl_core.options import Options
from vssl_plugins.datasets.grouping import GroupPattern, group_of
from vssl_plugins.datasets.official.annotation_files import AnnotationFile, absolute, exists, first_of
from vssl_plugins.datasets.official.annotations import Annotations, Entry, OfficialList
from vssl_plugins.datasets.official.prepared import PreparedVideos
from vssl_plugins.datasets.official.source import Source, given_root
from vssl_plugins.datasets.walk import VIDEO_EXTENSIONS

__all__ = ["VideoList"]
NAME = "list"
ENDINGS = ("csv", "txt", "list")
FILE_NAMES = {"train": ("train",), "test": ("test",), "validation": ("validation", "val")}
SEPARATORS = " \t,"
MOST_CLASSES = 100_000
Meaning = Literal["auto", "numbers", "names"]


class VideoListOptions(Options):
    """Which lists, and where the paths in them start."""

    root: str = ""
    """The folder that the paths are below; must be given."""
    annotations: str = ""
    """A folder with train.csv, val.csv and test.csv (or .txt, .list), or one list of training videos."""
    train: str = ""
    """The list of training videos, where it has another name."""
    validation: str = ""
    """The list of validation videos, where it has another name."""
    test: str = ""
    """The list of test videos, where it has another name."""
    classes: str = ""
    """A file with the name of each class on a line; empty: classes have their numbers for names."""
    labels: Meaning = "auto"
    """What a label of digits is: `numbers` or `names`. `auto`: a number, and where a class has another one's
    number for its name, an error. Lists of `vssl data corrupt` hold numbers."""
    group_pattern: GroupPattern = None
    """Regular expression, searched in the path: videos of equal match (of its first group, if it has one)
    come from one source and stay together. null: every video is a source of its own, but for clips with
    names of UCF101, which say it."""


class VideoList(PreparedVideos):
    """The videos of your own list files.

    `classes`: from the file of classes, or numbers; empty for unlabelled videos.
    `records`: the part's list; ids are the paths below the root.
    """

    api_version = 1
    Options = VideoListOptions
    licence = "the user's own"

    @classmethod
    def source(cls, options: VideoListOptions) -> Source:
        """Where its lists and videos are, and how they are matched."""
        root, lists = given_root(NAME, options.root), _list_files(options)
        named = {part: str(path) for part, path in lists.items()}
        return Source(
            name=NAME,
            root=root,
            options={"lists": named, "group_pattern": options.group_pattern, "labels": options.labels},
            annotation_files=lambda: lists,
            read=lambda files: _read(files, root, options),
            folders=None,
            key=lambda path: path,
        )


def _list_files(options: VideoListOptions) -> Mapping[str, Path]:
    """Part → its list; `classes` → theirs."""
    found: dict[str, Path] = {}
    given = absolute(options.annotations)
    if options.annotations and not exists(given, folder=True):
        found["train"] = given
    elif options.annotations:
        for part, words in FILE_NAMES.items():
            names = [f"{word}.{ending}" for word in words for ending in ENDINGS]
            if path := first_of([given], names):
                found[part] = path
    for part in (*FILE_NAMES, "classes"):
        if name := getattr(options, part):
            found[part] = absolute(name)
    if not found.keys() & FILE_NAMES.keys():
        raise OptionError(
            f"dataset {NAME!r} needs its list files: --annotations FILE, or a folder with train.csv, val.csv "
            f"and test.csv, or the options train, validation and test; got {options.annotations!r}."
        )
    if options.labels == "names" and "classes" not in found:
        raise OptionError(f"dataset {NAME!r} with labels=names needs their file: the option classes.")
    return found


def _read(files: Mapping[str, Path], root: Path, options: VideoListOptions) -> Annotations:
    read = {what: AnnotationFile(path) for what, path in files.items()}
    names = _class_names(read["classes"]) if "classes" in read else {}
    labelling = _labelling(names, options.labels)
    parts = [part for part in ("train", "validation", "test") if part in read]
    annotations = Annotations((), ())
    if {"validation", "test"} <= read.keys() and read["validation"].sha256 == read["test"].sha256:
        parts.remove("validation")
        annotations.notes.append("the lists of validation and test are one: its videos are the test part.")
    annotations.lists = tuple(OfficialList(part, part) for part in parts)
    rows = [(part, *row) for part in parts for row in _rows(read[part], root, labelling)]
    labels = [label for *_, label in rows if label is not None]
    annotations.classes = tuple(names or map(str, range(max(labels, default=-1) + 1)))
    for part, line, path, label in rows:
        video_id = unicodedata.normalize("NFC", path)
        entry = Entry(video_id, part, label, group_of(video_id, options.group_pattern))
        annotations.add(path, entry, file=read[part], line=line)
    return annotations


def _class_names(file: AnnotationFile) -> Mapping[str, int]:
    """Name → label, by label."""
    names: dict[str, int] = {}
    for line, name in file.lines():
        if name in names:
            raise file.error(line, f"is {name!r}, which stands there before; expected every class once")
        names[name] = len(names)
    if not names:
        raise file.error(1, "is empty; expected the name of a class on each line")
    return names


def _rows(file: AnnotationFile, root: Path, labelling: _Labelling) -> Iterator[tuple[int, str, int | None]]:
    """(line, path below the root, label) of every line."""
    tops = _tops(root)
    for line, text in file.lines():
        path, label = _fields(text)
        if not path.lower().endswith(VIDEO_EXTENSIONS):
            raise file.error(
                line,
                f"is {text!r}; expected the path of a video ({', '.join(VIDEO_EXTENSIONS)}), then its label",
            )
        yield line, _below(path, root, tops, file, line), _label(label, labelling, file, line)


def _fields(text: str) -> tuple[str, str | None]:
    """Path, and label if there is one; all by steps that take time in proportion to the line."""
    if text.startswith('"') and (end := text.rfind('"')) > 0:
        path, rest = text[1:end].replace('""', '"'), text[end + 1 :].strip(SEPARATORS)
        return path, rest or None
    if text.lower().endswith(VIDEO_EXTENSIONS):
        return text, None
    path, label = _last_field(text)
    if not path.lower().endswith(VIDEO_EXTENSIONS):
        shorter, num_frames = _last_field(path)
        path = shorter if num_frames.isdecimal() else path
    return path, label


def _last_field(text: str) -> tuple[str, str]:
    place = max(text.rfind(separator) for separator in SEPARATORS)
    return text[: max(place, 0)].rstrip(SEPARATORS), text[place + 1 :]


def _tops(root: Path) -> Sequence[str]:
    """How absolute paths below the root may begin: with the root, without its `..`, or where it really is."""
    real, plain = os.path.realpath(root), posixpath.normpath(f"{root}")
    same = [plain] if os.path.realpath(plain) == real else []  # after a link, `..` is not what it looks like
    return [top.rstrip("/") + "/" for top in dict.fromkeys([*same, real])]


def _below(path: str, root: Path, tops: Sequence[str], file: AnnotationFile, line: int) -> str:
    """The path below the root, by its text alone: nothing is opened."""
    plain = posixpath.normpath(path)
    if top := next(filter(plain.startswith, tops), ""):
        plain = plain[len(top) :]
    if plain.startswith("/") or plain.split("/")[0] in ("..", "."):
        raise file.error(
            line, f"has the path {path!r}, which leads out of the root {str(root)!r}; give a root above it"
        )
    return plain


class _Labelling(NamedTuple):
    """What the texts after the paths mean.

    Args:
        names: Name of a class → its number; empty where classes have none.
        meaning: What a text of digits is.
        doubtful: The name of a class that is the number of another one, or None.
    """

    names: Mapping[str, int]
    meaning: Meaning
    doubtful: str | None

    @property
    def count(self) -> int:
        """Numbers end before this."""
        return len(self.names) or MOST_CLASSES


def _labelling(names: Mapping[str, int], meaning: Meaning) -> _Labelling:
    mistaken = (name for name, label in names.items() if _number(name, len(names)) not in (None, label))
    return _Labelling(names, meaning, next(mistaken, None))


def _number(text: str, count: int) -> int | None:
    """-1 for no label, the number of one of `count` classes, or None where the text is neither."""
    return int(text) if re.fullmatch(r"-1|[0-9]{1,9}", text) and int(text) < count else None


def _label(text: str | None, labelling: _Labelling, file: AnnotationFile, line: int) -> int | None:
    """By number or by name; None where there is none, or -1."""
    if text is None:
        return None
    number = _number(text, labelling.count)
    if number is not None and labelling.meaning == "auto" and labelling.doubtful is not None:
        raise file.error(
            line,
            f"has the label {text!r}, and the class {labelling.doubtful!r} has another number than its name: "
            "expected to be told whether labels are numbers or names. Set labels=numbers (what `vssl data "
            "corrupt` writes) or labels=names",
        )
    if number is not None and labelling.meaning != "names":
        return None if number < 0 else number
    if text in labelling.names and labelling.meaning != "numbers":
        return labelling.names[text]
    if text == "-1":
        return None
    expected = "the name of a class" if labelling.meaning == "names" else f"0 … {labelling.count - 1}"
    known = did_you_mean(text, labelling.names) if labelling.names else ""
    raise file.error(line, f"has the label {text!r}; expected {expected} or -1{known}")
