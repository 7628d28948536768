"""HMDB51: 6,766 clips of 51 actions from films and the web, three splits.

Kuehne, Jhuang, Garrote, Poggio and Serre, ICCV 2011. Each split is one list per class, whose ids say 0 (not
used in this split), 1 (train) or 2 (test); there is no list of classes, so the classes are the sorted
names of the lists. Files are known by their exact name: it may hold brackets, `#` and `+`, and the name
of another class, so it is read from the right and never used as a pattern.

A group is a film together with a class: the official splits keep the clips of one film and class
together, but not those of one film (133 films stand on both sides of split 1).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from vssl_core.errors import DatasetError
from vssl_core.options import Options
from vssl_plugins.datasets.official.annotation_files import AnnotationFile
from vssl_plugins.datasets.official.annotations import Annotations, Entry, OfficialList
from vssl_plugins.datasets.official.prepared import PreparedVideos
from vssl_plugins.datasets.official.source import (
    Source,
    annotation_folders,
    first_folder,
    given_root,
    names_in,
)
from vssl_plugins.datasets.video_files import stem

__all__ = ["HMDB51"]

NAME = "hmdb51"
VIDEO_FOLDERS = ("videos", "hmdb51_org", "hmdb51")
ANNOTATION_FOLDERS = ("testTrainMulti_7030_splits", "test_train_splits", "splits", "annotations")
PUBLISHED = {"train": 3570, "test": 1530, "unused": 1666}
PINS = {
    1: (
        "7a1ac2f4cd3261427bc9d4642ad305a65f03ef37e415d6dc569830e255be4e61",
        "e63018daf93e2b3b0e332d4f3dd2ad4a9326d9d8b39b2579befdf1ab9ea449c3",
        "86fb2b62636a26de39dce967115c7553dec2acc19cf1589013b3c4a30a9f4da0",
    ),
    2: (
        "ec56c60406c5706da854d05d3c63eeb35c383bf8abf2a53c1aa9b03cb84e9ee1",
        "e1858e881d74be66f93da25f73c9ab130d0154208dab81c10bd044e44ed3e763",
        "05d6e732ee59417b7f97471f8e47c43b2899711f5783a2c495849d2304e8d8a2",
    ),
    3: (
        "913c4b05b4731f1f034f33edb125fd83b009c9d1418a701233ec9e9593f20402",
        "1acb159bba2c43a84438b7119b4458e7531aa4341312bf68e1c4af80579bac4a",
        "1f1df37b287ebd4afba014fec4d98aefbacd1d2ee2bbaa0e588609154d5e11dc",
    ),
}
"""`list_digest` of train, test and unused."""
LIST_OF_ID = {"0": "unused", "1": "train", "2": "test"}
NUM_CLASSES = 51
ATTRIBUTES = r"_[a-z]_[a-z]{2}_np\d+_[a-z]{2}_[a-z]{3}_\d+"
"""Visible part, camera motion, number of people, side, quality, number of the clip."""


class HMDB51Options(Options):
    """Which copy, and which of the three splits."""

    places = frozenset({"root", "annotations"})

    root: str = ""
    """The folder with videos or hmdb51_org in it, or the videos; must be given."""
    annotations: str = ""
    """The folder with CLASS_test_split1.txt and so on; empty: looked for in root."""
    split: Literal[1, 2, 3] = 1
    """Which official split."""


class HMDB51(PreparedVideos):
    """HMDB51 as it was unpacked, by one of its official splits; a group is a film and a class.

    `classes`: the sorted names of the lists. `records`: train and test are the official split's.
    """

    api_version = 1
    Options = HMDB51Options
    licence = "CC BY 4.0 by its authors; the films are their owners'"
    citation = (
        "Kuehne, Jhuang, Garrote, Poggio and Serre. HMDB: A Large Video Database for Human Motion "
        "Recognition. ICCV 2011."
    )

    @classmethod
    def source(cls, options: HMDB51Options) -> Source:
        """Where its lists and videos are, and how they are matched."""
        root = given_root(NAME, options.root)
        return Source(
            name=NAME,
            root=root,
            options={"split": options.split},
            annotation_files=lambda: _annotation_files(root, options),
            read=lambda files: _read(files, options.split),
            folders=lambda: first_folder(root, VIDEO_FOLDERS),
        )


def _annotation_files(root: Path, options: HMDB51Options) -> Mapping[str, Path]:
    """Class → its list, from the first folder that has lists of the split."""
    folders = annotation_folders(root, options.annotations, ANNOTATION_FOLDERS)
    ending = re.compile(rf"(.+)_test_split_?{options.split}\.txt")
    for folder in folders:
        found = {match[1]: folder / name for name in names_in(folder) if (match := ending.fullmatch(name))}
        if found:
            return dict(sorted(found.items()))
    raise DatasetError(
        f"dataset {NAME!r} needs its lists CLASS_test_split{options.split}.txt; there are none in "
        f"{', '.join(repr(str(folder)) for folder in folders)}. Put them there, or name their folder with "
        "--annotations DIR (option annotations)."
    )


def _read(files: Mapping[str, Path], split: int) -> Annotations:
    pins = dict(zip(PUBLISHED, PINS[split], strict=True))
    lists = tuple(
        OfficialList(name, None if name == "unused" else name, count, pins[name])
        for name, count in PUBLISHED.items()
    )
    annotations = Annotations(tuple(files), lists)
    if len(files) != NUM_CLASSES:
        annotations.notes.append(
            f"there are lists of {len(files)} classes, not {NUM_CLASSES}: labels are not the official ones."
        )
    for label, path in enumerate(files.values()):
        _read_list(AnnotationFile(path), label, annotations)
    return annotations


def _read_list(file: AnnotationFile, label: int, annotations: Annotations) -> None:
    """Lines such as `April_09_brush_hair_u_nm_np1_ba_goo_0.avi 1`."""
    name_of_class = annotations.classes[label]
    source = re.compile(rf"(.*)_{re.escape(name_of_class)}{ATTRIBUTES}")
    for line, text in file.lines():
        *name, number = text.rsplit(maxsplit=1)
        if not name or number not in LIST_OF_ID:
            raise file.error(line, f"is {text!r}; expected the name of a video and 0, 1 or 2")
        video_id = stem(name[0])
        match = source.fullmatch(video_id)
        group = f"{name_of_class}/{match[1] if match else video_id}"
        entry = Entry(video_id, LIST_OF_ID[number], label, group)
        annotations.add(video_id, entry, file=file, line=line)
