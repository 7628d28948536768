"""A small dataset that keeps its contract, and broken ones, each by one bug."""

from __future__ import annotations

import os
import random
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from os import listdir
from pathlib import Path
from typing import Any

import av
import numpy as np
from tiny_dataset import drifting, write_video

from vssl_core import DatasetContext, Options, Split, VideoDataset, VideoRecord

CLASSES = ("left", "right")


class Drifting(VideoDataset):
    """Twelve textures that drift left or right, two of each group, written into the cache."""

    def __init__(self, options: Any, context: DatasetContext) -> None:
        self.folder = context.cache_dir / "drifting"

    @property
    def classes(self) -> Sequence[str]:
        return CLASSES

    def prepare(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        for number in range(12):
            if not self.path(number).exists():
                step = 2 * (number % 2) - 1
                write_video(self.path(number), drifting(seed=number, step=step, num_frames=5))

    def path(self, number: int) -> Path:
        return self.folder / f"{number:02d}.mp4"

    def numbers(self, split: Split) -> range:
        return {"train": range(8), "validation": range(0), "test": range(8, 12)}[split]

    def record(self, number: int) -> VideoRecord:
        name = f"video-{number:02d}"
        return VideoRecord(name, str(self.path(number)), number % 2, f"group-{number // 2}", (0.0, 0.3))

    def records(self, split: Split) -> Sequence[VideoRecord]:
        return [self.record(number) for number in self.numbers(split)]


class RootOptions(Options):
    root: str = ""
    """Folder with .mp4 files."""


class Unlabelled(VideoDataset):
    """All videos of a folder, without labels."""

    Options = RootOptions

    def __init__(self, options: Any, context: DatasetContext) -> None:
        self.root = Path(options.root)

    @property
    def classes(self) -> Sequence[str]:
        return ()

    def records(self, split: Split) -> Sequence[VideoRecord]:
        files = sorted(self.root.glob("*.mp4")) if split == "train" else []
        return tuple(VideoRecord(file.name, str(file)) for file in files)


# ------------------------------------------------------------------------------------ splits


class ListsThreeTimes(Drifting):
    def records(self, split: Split) -> Sequence[VideoRecord]:
        found = super().records(split)
        if split != "test":
            return found
        return [replace(one, video_id=f"{one.video_id}-{turn}") for one in found for turn in range(3)]


class SharesAnId(Drifting):
    def numbers(self, split: Split) -> range:
        return range(7, 12) if split == "test" else super().numbers(split)


class SharesAFile(Drifting):
    def record(self, number: int) -> VideoRecord:
        path = self.path(0 if number == 11 else number)
        return replace(super().record(number), path=str(path))


class SharesACopy(Drifting):
    def prepare(self) -> None:
        super().prepare()
        self.path(11).write_bytes(self.path(0).read_bytes())


class SharesAGroup(Drifting):
    def record(self, number: int) -> VideoRecord:
        return replace(super().record(number), group=f"group-{number // 3}")


class NoSuchSplit(Drifting):
    def numbers(self, split: Split) -> range:
        return {"train": range(8), "test": range(8, 12)}[split]


class NoneForNoSplit(Drifting):
    def records(self, split: Split) -> Any:
        return super().records(split) or None


class Yields(Drifting):
    def records(self, split: Split) -> Iterator[VideoRecord]:  # type: ignore[override]
        yield from super().records(split)


class NoTraining(Drifting):
    def numbers(self, split: Split) -> range:
        return range(0) if split == "train" else super().numbers(split)


# ------------------------------------------------------------------------------------ order


class ListsAsItComes(Drifting):
    def numbers(self, split: Split) -> Any:
        found = [int(name[:2]) for name in os.listdir(self.folder)]  # noqa: PTH208
        return [number for number in found if number in super(ListsAsItComes, self).numbers(split)]


class GlobsAsItComes(Drifting):
    def numbers(self, split: Split) -> Any:
        found = [int(path.stem) for path in self.folder.glob("*.mp4")]
        return [number for number in found if number in super(GlobsAsItComes, self).numbers(split)]


class IndexesAsItComes(Drifting):
    """Writes what the folder lists into an index of its own, once."""

    def prepare(self) -> None:
        super().prepare()
        index = self.folder / "index.txt"
        if not index.exists():
            index.write_text(" ".join(path.stem for path in self.folder.iterdir() if path.suffix == ".mp4"))

    def numbers(self, split: Split) -> Any:
        found = [int(word) for word in (self.folder / "index.txt").read_text().split()]
        return [number for number in found if number in super(IndexesAsItComes, self).numbers(split)]


class SortsByTime(Drifting):
    def numbers(self, split: Split) -> Any:
        return sorted(super().numbers(split), key=lambda number: self.path(number).stat().st_mtime_ns)


class SortsByInode(Drifting):
    def numbers(self, split: Split) -> Any:
        return sorted(super().numbers(split), key=lambda number: self.path(number).stat().st_ino)


class SplitsByHash(Drifting):
    def numbers(self, split: Split) -> Any:
        share = [hash(f"video-{number}") % 4 for number in range(12)]
        chosen = {"train": (0, 1, 2), "validation": (), "test": (3,)}[split]
        return [
            number for number in range(12) if share[number] in chosen or (split == "train" and number == 0)
        ]


class ListsByName(Drifting):
    """Has its own name for the function that lists."""

    def numbers(self, split: Split) -> Any:
        found = [int(name[:2]) for name in listdir(self.folder)]  # noqa: PTH208  the bug
        return [number for number in found if number in super(ListsByName, self).numbers(split)]


class ClassesOfASet(Drifting):
    """Two names in the order of their hashes, and labels to fit."""

    @property
    def classes(self) -> Sequence[str]:
        return tuple({"left", "right"})

    def record(self, number: int) -> VideoRecord:
        return replace(super().record(number), label=self.classes.index(CLASSES[number % 2]))


class ShufflesGlobally(Drifting):
    def records(self, split: Split) -> Sequence[VideoRecord]:
        records = list(super().records(split))
        random.shuffle(records)
        return records


class DrawsSplits(Drifting):
    """A split drawn by numpy's global generator, anew in every instance."""

    def __init__(self, options: Any, context: DatasetContext) -> None:
        super().__init__(options, context)
        self.order = np.random.permutation(6)

    def numbers(self, split: Split) -> Any:
        return [
            2 * int(group) + i
            for group in self.order[[number // 2 for number in super().numbers(split)[::2]]]
            for i in (0, 1)
        ]


# ------------------------------------------------------------------------------------ fields


class IdIsThePath(Drifting):
    def record(self, number: int) -> VideoRecord:
        return replace(super().record(number), video_id=str(self.path(number)))


class GroupIsTheFolder(Drifting):
    def record(self, number: int) -> VideoRecord:
        return replace(super().record(number), group=str(self.path(number).parent / f"{number // 2}"))


class IdNamesTheCache(Drifting):
    def record(self, number: int) -> VideoRecord:
        return replace(super().record(number), video_id=f"{len(str(self.folder))}-{number:02d}")


class IdsRepeat(Drifting):
    def record(self, number: int) -> VideoRecord:
        return replace(super().record(number), video_id=f"video-{number // 2}")


class LabelsFromOne(Drifting):
    def record(self, number: int) -> VideoRecord:
        return replace(super().record(number), label=number % 2 + 1)


class LabelsWithoutClasses(Drifting):
    @property
    def classes(self) -> Sequence[str]:
        return ()


class ClassesWithoutLabels(Drifting):
    def record(self, number: int) -> VideoRecord:
        return replace(super().record(number), label=None)


class ClassesRepeat(Drifting):
    @property
    def classes(self) -> Sequence[str]:
        return ("left", "right", "left")


class NumpyLabels(Drifting):
    def record(self, number: int) -> VideoRecord:
        return replace(super().record(number), label=np.int64(number % 2))


class GroupNumbers(Drifting):
    def record(self, number: int) -> VideoRecord:
        return replace(super().record(number), group=number // 2)


class SpanBackwards(Drifting):
    def record(self, number: int) -> VideoRecord:
        return replace(super().record(number), span_seconds=(0.3, 0.0))


class LocalRecords(Drifting):
    """Records of a class that no other process knows."""

    def record(self, number: int) -> VideoRecord:
        class Local(VideoRecord):
            pass

        given = super().record(number)
        return Local(given.video_id, given.path, given.label, given.group)


# ------------------------------------------------------------------------------------ files


class RendersInInit(Drifting):
    def __init__(self, options: Any, context: DatasetContext) -> None:
        super().__init__(options, context)
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "index.json").write_text("{}")


class CountsFramesInInit(Unlabelled):
    def __init__(self, options: Any, context: DatasetContext) -> None:
        super().__init__(options, context)
        self.counts = []
        for file in sorted(self.root.glob("*.mp4")):
            with av.open(str(file)) as container:
                self.counts.append(sum(1 for _ in container.decode(video=0)))


class PreparesOnce(Drifting):
    def prepare(self) -> None:
        self.folder.mkdir(parents=True)
        super().prepare()


class RendersAnew(Drifting):
    """Every call writes other files."""

    def prepare(self) -> None:
        super().prepare()
        write_video(self.path(3), drifting(seed=random.SystemRandom().randrange(2**30), step=1, num_frames=5))


class IndexGrows(Drifting):
    def prepare(self) -> None:
        super().prepare()
        with (self.folder / "index.txt").open("a") as index:
            index.writelines(f"{number}\n" for number in range(12))

    def records(self, split: Split) -> Sequence[VideoRecord]:
        numbers = map(int, (self.folder / "index.txt").read_text().split())
        return [self.record(number) for number in numbers if number in self.numbers(split)]


class WritesElsewhere(Drifting):
    def prepare(self) -> None:
        super().prepare()
        (Path(tempfile.gettempdir()) / "vssl-planted-index.txt").write_text("12 videos\n")


class RendersElsewhere(Drifting):
    """FFmpeg opens the files, so that Python sees none of it."""

    def __init__(self, options: Any, context: DatasetContext) -> None:
        super().__init__(options, context)
        self.folder = Path(tempfile.gettempdir()) / f"vssl-planted-{os.getpid()}-{id(self):x}"


class FileIsMissing(Drifting):
    def record(self, number: int) -> VideoRecord:
        return replace(super().record(number), path=str(self.path(number + (number == 11))))


class SpanBeyondTheEnd(Drifting):
    def record(self, number: int) -> VideoRecord:
        span = (40.0, 50.0) if number == 9 else None
        return replace(super().record(number), span_seconds=span)


class LastIsCutShort(Drifting):
    def prepare(self) -> None:
        super().prepare()
        content = self.path(11).read_bytes()
        self.path(11).write_bytes(content[: len(content) // 3])


class RendersByChance(Drifting):
    def prepare(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        for number in range(12):
            if not self.path(number).exists():
                seed = random.SystemRandom().randrange(2**30)
                write_video(self.path(number), drifting(seed=seed, step=1, num_frames=5))


class NoVideoAtAll(Drifting):
    def prepare(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        for number in range(12):
            self.path(number).write_bytes(b"not a video, but number %d" % number)


class SeedsGlobally(Drifting):
    def prepare(self) -> None:
        np.random.seed(0)
        super().prepare()


class LeavesTheFolder(Drifting):
    def prepare(self) -> None:
        super().prepare()
        os.chdir(self.folder)


PLANTED = {
    NoSuchSplit: "check_every_split_is_answered",
    NoneForNoSplit: "check_every_split_is_answered",
    Yields: "check_every_split_is_answered",
    NoTraining: "check_every_split_is_answered",
    ClassesRepeat: "check_classes_are_distinct_names",
    NumpyLabels: "check_records_are_well_formed",
    GroupNumbers: "check_records_are_well_formed",
    SpanBackwards: "check_records_are_well_formed",
    LabelsFromOne: "check_labels_index_the_classes",
    LabelsWithoutClasses: "check_labels_index_the_classes",
    ClassesWithoutLabels: "check_labels_index_the_classes",
    IdIsThePath: "check_ids_are_names",
    GroupIsTheFolder: "check_ids_are_names",
    IdsRepeat: "check_ids_are_names",
    ListsThreeTimes: "check_a_split_lists_no_video_twice",
    SharesAnId: "check_splits_share_no_video",
    SharesAFile: "check_splits_share_no_video",
    SharesACopy: "check_splits_share_no_video",
    SharesAGroup: "check_splits_share_no_group",
    LocalRecords: "check_the_core_takes_the_index",
    ShufflesGlobally: "check_records_repeat",
    DrawsSplits: "check_records_repeat",
    IdNamesTheCache: "check_records_do_not_depend_on_the_cache_folder",
    ListsAsItComes: "check_order_does_not_depend_on_the_file_system",
    GlobsAsItComes: "check_order_does_not_depend_on_the_file_system",
    IndexesAsItComes: "check_order_does_not_depend_on_the_file_system",
    SortsByTime: "check_order_does_not_depend_on_the_file_system",
    SortsByInode: "check_order_does_not_depend_on_the_file_system",
    ClassesOfASet: "check_order_does_not_depend_on_the_process",
    ListsByName: "check_order_does_not_depend_on_the_process",
    SplitsByHash: "check_order_does_not_depend_on_the_process",
    RendersInInit: "check_building_is_cheap",
    CountsFramesInInit: "check_building_is_cheap",
    SeedsGlobally: "check_preparing_leaves_the_process_alone",
    LeavesTheFolder: "check_preparing_leaves_the_process_alone",
    PreparesOnce: "check_prepare_may_be_called_again",
    RendersAnew: "check_prepare_may_be_called_again",
    IndexGrows: "check_prepare_may_be_called_again",
    WritesElsewhere: "check_writes_stay_in_the_cache",
    RendersElsewhere: "check_writes_stay_in_the_cache",
    FileIsMissing: "check_files_can_be_read",
    SpanBeyondTheEnd: "check_files_can_be_read",
    LastIsCutShort: "check_files_can_be_read",
    RendersByChance: "check_rendered_videos_repeat",
    NoVideoAtAll: "check_files_can_be_read",
}
