"""A dataset under test, and what it says in several worlds: other folders, file systems and processes."""

from __future__ import annotations

import shutil
import tempfile
import time
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, get_args

from vssl_core.errors import VsslError
from vssl_core.interfaces import DatasetContext, VideoDataset
from vssl_core.progress import quiet_progress
from vssl_core.testing.component import Component
from vssl_core.testing.file_events import Events, opened_videos, recorded
from vssl_core.testing.file_listing import backwards, rewrite_backwards
from vssl_core.testing.outcome import CheckFailed, CheckSkipped
from vssl_core.testing.process_state import disturbed, unchanged
from vssl_core.types import Split, VideoRecord

__all__ = ["SPLITS", "DatasetSubject", "Seen", "Traces", "look"]

_SECOND = "second/deeper and further away"
SPLITS: tuple[Split, ...] = get_args(Split)


@dataclass(frozen=True)
class Seen:
    """What a prepared dataset says.

    Args:
        classes: As they came.
        parts: Split → records as they came; nothing for a split that raised.
        problems: Split → what `records` raised.
    """

    classes: Any
    parts: Mapping[Split, Any]
    problems: Mapping[Split, Exception] = field(default_factory=dict)

    def records(self, split: Split) -> tuple[VideoRecord, ...]:
        """The records of a split, all of them `VideoRecord`."""
        given = self.parts.get(split, ())
        records = tuple(given)
        if not all(isinstance(record, VideoRecord) for record in records):
            raise CheckFailed(f"expected records({split!r}) to give VideoRecords; got {_kinds(records)}.")
        return records

    def all_records(self) -> list[tuple[Split, VideoRecord]]:
        """Every record with its split, in order."""
        return [(split, record) for split in SPLITS for record in self.records(split)]

    def facts(self) -> dict[tuple[Split, str], tuple[Any, ...]]:
        """(split, id) → class name, group and span, whatever the order."""
        return {
            (split, record.video_id): (self._class(record.label), record.group, record.span_seconds)
            for split, record in self.all_records()
        }

    def order(self) -> dict[str, list[str]]:
        """Classes and the ids of every split, in order."""
        ids: dict[str, list[str]] = {
            split: [record.video_id for record in self.records(split)] for split in SPLITS
        }
        return {"classes": list(self.classes), **ids}

    def _class(self, label: Any) -> Any:
        in_range = isinstance(label, int) and 0 <= label < len(self.classes)
        return self.classes[label] if in_range else label


@dataclass
class Traces:
    """What building and preparing left behind, in the first world.

    Args:
        building: Files, addresses and programs touched by `__init__`.
        videos: Files that `__init__` handed to a decoder.
        working: The same of `prepare`, `classes` and `records`.
        disturbance: What is wrong with the global generators and settings afterwards; empty if nothing.
        started_ns: When building began, in the clock of files.
    """

    building: Events
    videos: list[str]
    working: Events
    disturbance: str
    started_ns: int


class DatasetSubject(Component):
    """A dataset class with its options. Every world has a cache folder of its own, removed at the end."""

    @cached_property
    def home(self) -> Path:
        """The folder of the worlds' caches."""
        path = Path(tempfile.mkdtemp(prefix="vssl-check-")).resolve()
        weakref.finalize(self, shutil.rmtree, path, ignore_errors=True)
        return path

    def cache(self, world: str) -> Path:
        """A world's cache folder: its parent is there, it itself is not, as in a first run."""
        (self.home / world).mkdir(parents=True, exist_ok=True)
        return self.home / world / "datasets"

    def build(self, world: str) -> VideoDataset:
        """A new instance with the cache of a world."""
        dataset: VideoDataset = self.cls(self.options, DatasetContext(self.cache(world), quiet_progress()))
        return dataset

    def open(self, world: str) -> Seen:
        """Build, prepare and ask for everything."""
        dataset = self.build(world)
        dataset.prepare()
        return look(dataset)

    @cached_property
    def first(self) -> tuple[Seen, Traces]:
        """The world in which nothing is special, and what it cost.

        Raises:
            CheckSkipped: No options were given, and without them there is no data.
        """
        started_ns = time.time_ns()
        try:
            seen, traces = self._open_first(started_ns)
            if isinstance(problem := seen.problems.get("train"), VsslError):
                raise problem
        except VsslError as error:
            if self.values:
                raise
            raise CheckSkipped(f"give options that name data; with none it says: {error}") from error
        return seen, traces

    def _open_first(self, started_ns: int) -> tuple[Seen, Traces]:
        disturbance = ""
        try:
            with unchanged("opening the dataset"):
                with opened_videos() as videos, recorded() as building:
                    dataset = self.build("first")
                with recorded() as working:
                    dataset.prepare()
                    seen = look(dataset)
        except CheckFailed as failed:
            disturbance = str(failed)
        return seen, Traces(building, videos, working, disturbance, started_ns)

    @property
    def seen(self) -> Seen:
        """What the first world shows."""
        return self.first[0]

    @cached_property
    def second(self) -> Seen:
        """A world with another cache folder, where folders list backwards, and other global generators."""
        _ = self.first
        with backwards(), disturbed(2):
            return self.open(_SECOND)

    @property
    def second_cache(self) -> Path:
        """The cache folder of the second world."""
        return self.cache(_SECOND)

    @cached_property
    def aged(self) -> Seen:
        """The second world after its files were written in another order."""
        _ = self.second
        rewrite_backwards(self.second_cache)
        return self.open(_SECOND)


def look(dataset: VideoDataset) -> Seen:
    """Ask a prepared dataset for everything; an error of one split is noted."""
    parts: dict[Split, Any] = {}
    problems: dict[Split, Exception] = {}
    for split in SPLITS:
        try:
            parts[split] = dataset.records(split)
        except Exception as error:  # noqa: BLE001  whatever it raises is what is to be reported
            problems[split] = error
    return Seen(dataset.classes, parts, problems)


def _kinds(records: Sequence[Any]) -> str:
    return ", ".join(sorted({type(record).__name__ for record in records}))
