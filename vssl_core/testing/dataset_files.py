"""Checks of what a dataset does with files: which it opens, makes and leaves behind."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from vssl_core.errors import VideoError
from vssl_core.testing.dataset_worlds import SPLITS, DatasetSubject, look
from vssl_core.testing.outcome import CheckFailed
from vssl_core.types import VideoRecord
from vssl_core.video import FrameReader

__all__ = ["FILE_CHECKS"]

_COMPARED = 4  # videos of a split whose first frames are compared
_LOOKED_INTO = 32  # videos of a split that are opened, evenly spread


def check_building_is_cheap(subject: DatasetSubject) -> None:
    """`__init__` opens no video, writes no file, starts no program and opens no connection."""
    seen, traces = subject.first
    videos = {str(Path(record.path).resolve()) for _, record in seen.all_records()}
    opened = [p for p in (*traces.videos, *traces.building.read) if str(Path(p).resolve()) in videos]
    advice = "keep the options in __init__; long work belongs in prepare"
    for what, found in (
        ("open no video", opened or traces.videos),
        ("write no file", traces.building.written_and_left()),
        ("start no program", traces.building.programs),
        ("open no connection", traces.building.addresses),
    ):
        if found:
            raise CheckFailed(f"expected __init__ to {what}, but it did: {found[0]!r}; {advice}.")


def check_preparing_leaves_the_process_alone(subject: DatasetSubject) -> None:
    """`__init__`, `prepare` and `records` move no global random generator and change no setting."""
    if problem := subject.first[1].disturbance:
        raise CheckFailed(problem)


def check_prepare_may_be_called_again(subject: DatasetSubject) -> None:
    """A second `prepare`, of the same instance or of another, changes neither files nor records."""
    seen = subject.seen
    before = _contents(subject)
    for how in ("by a second instance", "again by the same one"):
        try:
            if how == "by a second instance":
                dataset = subject.build("first")
            dataset.prepare()
        except Exception as error:
            raise CheckFailed(
                f"expected prepare to be safe to call again, but {how} it raised {type(error).__name__}: "
                f"{error}. Make what is missing and leave the rest (exist_ok=True)."
            ) from error
        found = look(dataset)
        if found.order() != seen.order() or found.facts() != seen.facts():
            raise CheckFailed(f"expected prepare called {how} to change no record, but records differ.")
        changed = [path for path, digest in _contents(subject).items() if before.get(path) != digest]
        if changed:
            raise CheckFailed(
                f"expected prepare called {how} to leave videos as they are, but it changed {changed[0]!r}."
            )


def check_writes_stay_in_the_cache(subject: DatasetSubject) -> None:
    """Files are written below `cache_dir` and nowhere else."""
    seen, traces = subject.first
    cache = subject.cache("first")
    written = [*traces.building.written_and_left(), *traces.working.written_and_left()]
    for _, record in seen.all_records():
        path = Path(record.path)
        if path.is_file() and path.stat().st_ctime_ns > traces.started_ns:
            written.append(str(path.absolute()))
    if outside := [path for path in written if not Path(path).resolve().is_relative_to(cache)]:
        raise CheckFailed(
            f"expected every file below context.cache_dir ({str(cache)!r}), but {outside[0]!r} was written."
        )


def check_files_can_be_read(subject: DatasetSubject) -> None:
    """Every record's file is there after `prepare`; spans hold frames; first and last frames decode."""
    reader = FrameReader()
    for split in SPLITS:
        records = subject.seen.records(split)
        if missing := [record for record in records if not Path(record.path).is_file()]:
            raise CheckFailed(
                f"expected the file of every video after prepare; {len(missing)} of {len(records)} of "
                f"{split!r} are missing, the first is {missing[0].path!r}."
            )
        step = max(1, len(records) // _LOOKED_INTO)
        for record in records[::step]:
            _read(reader, record, split)


def check_rendered_videos_repeat(subject: DatasetSubject) -> None:
    """Videos that the dataset makes are the same in every cache folder: sizes of all, frames of some."""
    caches, reader = (subject.cache("first"), subject.second_cache), FrameReader()
    for split in SPLITS:
        pairs = zip(subject.seen.records(split), subject.second.records(split), strict=False)
        made = [pair for pair in pairs if all(_below(r.path, c) for r, c in zip(pair, caches, strict=True))]
        for one, other in made:
            sizes = [Path(record.path).stat().st_size for record in (one, other)]
            if sizes[0] != sizes[1]:
                raise CheckFailed(
                    f"expected video {one.video_id!r} of {split!r} to be made alike in every cache folder, "
                    f"but it has {sizes[0]} bytes in one and {sizes[1]} in another; the digest of the data "
                    "would differ from machine to machine. Seed what draws."
                )
        for one, other in made[:_COMPARED]:
            if not np.array_equal(reader.read(one, np.array([0])), reader.read(other, np.array([0]))):
                raise CheckFailed(
                    f"expected video {one.video_id!r} of {split!r} to show the same in every cache folder, "
                    "but its first frames differ. Seed what draws."
                )


def _below(path: str, folder: Path) -> bool:
    return Path(path).is_file() and Path(path).resolve().is_relative_to(folder)


def _read(reader: FrameReader, record: VideoRecord, split: str) -> None:
    try:
        count = reader.info(record).num_frames
        reader.read(record, np.array([0, count - 1]))
    except VideoError as error:
        raise CheckFailed(
            f"expected the videos of {split!r} to be readable, but {error} (video {record.video_id!r}, span "
            f"{record.span_seconds})"
        ) from error


def _contents(subject: DatasetSubject) -> dict[str, str]:
    """Path → digest, for the videos that lie in the first world's cache."""
    cache = subject.cache("first")
    paths = {Path(record.path).resolve() for _, record in subject.seen.all_records()}
    return {
        str(path): hashlib.blake2b(path.read_bytes()).hexdigest()
        for path in sorted(paths)
        if path.is_relative_to(cache) and path.is_file()
    }


FILE_CHECKS = (
    check_building_is_cheap,
    check_preparing_leaves_the_process_alone,
    check_prepare_may_be_called_again,
    check_writes_stay_in_the_cache,
    check_files_can_be_read,
    check_rendered_videos_repeat,
)
