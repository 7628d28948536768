"""Videos named in list files, `path label` on each line: those of SlowFast, VideoMAE, mmaction2 and others.

    jumping/take 1.mp4 3            label from the right; space, tab or comma before it
    jumping/take 1.mp4 250 3        a number of frames before the label is passed over
    jumping/take 1.mp4              no label, or -1: unlabelled

Paths are below `root`, or absolute and below it; what leads out of it is refused. No folder is walked:
a video that is listed and not there is missing. Labels are numbers from 0, or names that `classes` lists.
"""

from __future__ import annotations

import posixpath
import re
import unicodedata
from collections.abc import Iterator, Mapping
from pathlib import Path

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
            options={"lists": named, "group_pattern": options.group_pattern},
            annotation_files=lambda: lists,
            read=lambda files: _read(files, root, options.group_pattern),
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
    return found


def _read(files: Mapping[str, Path], root: Path, group_pattern: str | None) -> Annotations:
    read = {what: AnnotationFile(path) for what, path in files.items()}
    names = _class_names(read["classes"]) if "classes" in read else None
    parts = [part for part in ("train", "validation", "test") if part in read]
    annotations = Annotations((), ())
    if {"validation", "test"} <= read.keys() and read["validation"].sha256 == read["test"].sha256:
        parts.remove("validation")
        annotations.notes.append("the lists of validation and test are one: its videos are the test part.")
    annotations.lists = tuple(OfficialList(part, part) for part in parts)
    rows = [(part, *row) for part in parts for row in _rows(read[part], root, names)]
    labels = [label for *_, label in rows if label is not None]
    annotations.classes = tuple(names or map(str, range(max(labels, default=-1) + 1)))
    for part, line, path, label in rows:
        video_id = unicodedata.normalize("NFC", path)
        entry = Entry(video_id, part, label, group_of(video_id, group_pattern))
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


def _rows(
    file: AnnotationFile, root: Path, names: Mapping[str, int] | None
) -> Iterator[tuple[int, str, int | None]]:
    """(line, path below the root, label) of every line."""
    for line, text in file.lines():
        path, label = _fields(text)
        if not path.lower().endswith(VIDEO_EXTENSIONS):
            raise file.error(
                line,
                f"is {text!r}; expected the path of a video ({', '.join(VIDEO_EXTENSIONS)}), then its label",
            )
        yield line, _below(path, root, file, line), _label(label, names, file, line)


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


def _below(path: str, root: Path, file: AnnotationFile, line: int) -> str:
    """The path below the root, by its text alone: nothing is opened."""
    top = f"{root}".rstrip("/") + "/"
    plain = posixpath.normpath(path)
    if plain.startswith(top):
        plain = plain[len(top) :]
    if plain.startswith("/") or plain.split("/")[0] in ("..", "."):
        raise file.error(
            line, f"has the path {path!r}, which leads out of the root {str(root)!r}; give a root above it"
        )
    return plain


def _label(text: str | None, names: Mapping[str, int] | None, file: AnnotationFile, line: int) -> int | None:
    """By name or by number; None where there is none, or -1."""
    if text is None or text == "-1":
        return None
    if names and text in names:
        return names[text]
    most = len(names) if names else MOST_CLASSES
    if not re.fullmatch(r"[0-9]{1,9}", text) or int(text) >= most:
        known = did_you_mean(text, names) if names else ""
        raise file.error(line, f"has the label {text!r}; expected 0 … {most - 1} or -1{known}")
    return int(text)
