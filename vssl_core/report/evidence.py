"""What is known about one table entry: values per seed and, where files hold them, per test video.

Axes: S seed, V video.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from vssl_core.errors import StoreError
from vssl_core.rows import Row
from vssl_core.statistics import (
    Difference,
    GroupBootstrap,
    Interval,
    combined_difference,
    combined_interval,
    group_bootstrap,
    paired_difference,
    seed_interval,
)

__all__ = ["Evidence", "PerVideo", "difference", "read_per_video"]


@dataclass(frozen=True, slots=True)
class PerVideo:
    """One seed's score of every test video, values (V,) in the order of the ids."""

    ids: tuple[str, ...]
    groups: tuple[str, ...]
    values: np.ndarray


class Evidence:
    """The rows of one entry (same method, target, evaluator and metric), one per seed.

    Args:
        rows: One row per seed.
        per_video: Gives the values per video of a row, or None.
    """

    def __init__(self, rows: Sequence[Row], per_video: Callable[[Row], PerVideo | None]) -> None:
        self._rows = sorted(rows, key=lambda row: row.seed)
        self._per_video = per_video

    @property
    def by_seed(self) -> dict[int, float]:
        """Seed → score."""
        return {row.seed: row.value for row in self._rows}

    @property
    def interval(self) -> Interval | None:
        """For other seeds and other test videos where these are known, else for other seeds."""
        combined = combined_interval(self.bootstrap) if self.bootstrap is not None else None
        return combined or seed_interval(list(self.by_seed.values()))

    @cached_property
    def videos(self) -> Mapping[int, PerVideo] | None:
        """Seed → values per video; None unless every seed scored the same videos of the same groups."""
        found = {row.seed: self._per_video(row) for row in self._rows}
        known = {seed: values for seed, values in found.items() if values is not None}
        first = next(iter(known.values()), None)
        if first is None or len(known) < len(self._rows):
            return None
        if any((v.ids, v.groups) != (first.ids, first.groups) for v in known.values()):
            return None
        return known

    @cached_property
    def bootstrap(self) -> GroupBootstrap | None:
        """Of the test set's source groups."""
        if self.videos is None:
            return None
        groups = next(iter(self.videos.values())).groups
        return group_bootstrap({seed: v.values for seed, v in self.videos.items()}, groups)


def difference(a: Evidence, b: Evidence) -> Difference | None:
    """a - b over shared seeds, and over test videos if both scored the same ones; None: no seed is shared."""
    if not set(a.by_seed) & set(b.by_seed):
        return None
    if a.videos and b.videos and a.bootstrap is not None and b.bootstrap is not None:
        one, other = next(iter(a.videos.values())), next(iter(b.videos.values()))
        if (one.ids, one.groups) == (other.ids, other.groups):
            combined = combined_difference(a.bootstrap, b.bootstrap)
            if combined.interval is not None:
                return combined
    return paired_difference(a.by_seed, b.by_seed)


def read_per_video(runs: Path, row: Row) -> PerVideo | None:
    """The file that a row names; None where it names none.

    Raises:
        StoreError: The file is missing, lies outside the run folder, or is not what the row says.
    """
    if row.per_video is None:
        return None
    path = runs / row.per_video
    if not path.resolve().is_relative_to(runs.resolve()):
        raise StoreError(f"{row.per_video!r} of cell {row.cell_id} lies outside the run folder.")
    try:
        with path.open(encoding="utf-8", newline="") as file:
            lines = sorted(
                (line["video_id"], line["group"], float(line["value"])) for line in csv.DictReader(file)
            )
    except OSError as error:
        raise StoreError(f"cannot read {str(path)!r}: {error.strerror or error}.") from error
    except (KeyError, TypeError, ValueError) as error:
        raise StoreError(f"{str(path)!r} is not a table of video_id, group and value.") from error
    values_V = np.array([value for _, _, value in lines])
    if not lines or not np.isclose(values_V.mean(), row.value, rtol=1e-4, atol=1e-6):
        raise StoreError(f"{str(path)!r} does not have the mean {row.value:.6g} that its row states.")
    return PerVideo(tuple(v for v, _, _ in lines), tuple(g or v for v, g, _ in lines), values_V)
