"""Class-balanced, nested subsets of a list by id, and lists of ids as plain text.

The paper pretrains on 10k, 30k, 50k and 100k videos of Kinetics-400, a random subset, balanced over the
classes and nested (25, 75, 125 and 250 of a class), and on 30k of Something-Something v2, whose 174 classes
do not divide it. It names no list, so this rule stands in for it:

- Within a class, videos are ordered by a hash of (seed, video id).
- The first of every class make the first round, the second of every class the second, and so on. Within
  a round, classes are ordered by a hash of (seed, round, class name).
- A subset of n videos is the first n of this order; k of a class are the first k rounds.

So subsets of one seed are nested, two classes differ by at most one video while both have any left, and
a class that runs out leaves its places to the others. 30,000 of 174 classes are 172 rounds and 72 of
the 173rd, while no class runs out.

The order is that of the authors' list, whatever is on this machine: a missing video is missing, and
no other takes its place.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pydantic import Field, model_validator

from vssl_core.errors import DatasetError
from vssl_core.options import Options
from vssl_core.seeding import key_digest
from vssl_plugins.datasets.official.annotation_files import AnnotationFile, absolute

__all__ = ["SubsetOptions", "balanced_order", "choose", "held_out"]

HELD_OUT_SHARE = 0.1


class SubsetOptions(Options):
    """Which videos of the training list; by default all."""

    num_videos: int | None = Field(None, ge=1)
    """Take this many training videos, equally many of each class, as far as that divides."""
    videos_per_class: int | None = Field(None, ge=1)
    """Take this many training videos of each class: 25, 75, 125, 250 are the paper's Kinetics-400 subsets."""
    subset_seed: int = 0
    """Which subset; subsets of one seed are nested."""
    subset_file: str = ""
    """Take the training videos whose ids stand in this file, one a line, as `vssl data ids` writes it."""

    @model_validator(mode="after")
    def _one_way(self) -> SubsetOptions:
        ways = (self.num_videos is not None, self.videos_per_class is not None, bool(self.subset_file))
        if sum(ways) > 1:
            raise ValueError(
                "num_videos, videos_per_class and subset_file are three ways to say it; give one"
            )
        return self


def choose(labels: Mapping[str, str | None], options: SubsetOptions) -> set[str] | None:
    """The ids of a subset; None: all.

    Args:
        labels: Id → class name, of every video of the list, missing ones too.
        options: Which subset.

    Raises:
        DatasetError: The list has fewer videos, a video without a class, or not the ids of the file.
    """
    if options.subset_file:
        return _from_file(absolute(options.subset_file), labels)
    if options.num_videos is None and options.videos_per_class is None:
        return None
    rounds = _rounds(labels, options.subset_seed)
    if options.videos_per_class is not None:
        return {video_id for video_id, number in rounds.items() if number < options.videos_per_class}
    count = options.num_videos or 0
    if count > len(labels):
        raise DatasetError(
            f"num_videos={count} is more than the training list has: {len(labels)}. Take fewer."
        )
    return set(balanced_order(labels, options.subset_seed)[:count])


def balanced_order(labels: Mapping[str, str | None], seed: int) -> list[str]:
    """All ids in the order of the rule; `labels` is id → class name."""
    place = {
        video_id: (number, key_digest("subset round", seed, number, labels[video_id] or ""))
        for video_id, number in _rounds(labels, seed).items()
    }
    return sorted(place, key=place.__getitem__)


def held_out(labels: Mapping[str, str | None], chosen: set[str]) -> set[str]:
    """Videos to validate on beside a subset: of every class a tenth as many as it lists, of those not chosen.

    The subset alone decides which, not how it came about, so that a list of its ids says everything.
    """
    videos: dict[str | None, list[str]] = {}
    for video_id, label in labels.items():
        videos.setdefault(label, []).append(video_id)
    aside: set[str] = set()
    for members in videos.values():
        rest = [video_id for video_id in members if video_id not in chosen]
        rest.sort(key=lambda video_id: key_digest("held out", video_id))
        aside.update(rest[: max(1, int(HELD_OUT_SHARE * len(members)))])
    return aside


def _rounds(labels: Mapping[str, str | None], seed: int) -> dict[str, int]:
    """Id → its place in its class."""
    by_class: dict[str, list[str]] = {}
    for video_id, label in labels.items():
        if label is None:
            raise DatasetError(
                f"a class-balanced subset needs a class for every training video; {video_id!r} has none."
            )
        by_class.setdefault(label, []).append(video_id)
    rounds = {}
    for members in by_class.values():
        members.sort(key=lambda video_id: key_digest("subset", seed, video_id))
        rounds |= {video_id: number for number, video_id in enumerate(members)}
    return rounds


def _from_file(path: Path, labels: Mapping[str, str | None]) -> set[str]:
    file = AnnotationFile(path)
    chosen: set[str] = set()
    for line, video_id in file.lines():
        if video_id not in labels:
            raise file.error(line, f"has {video_id!r}, which is no id of the training list")
        chosen.add(video_id)
    if not chosen:
        raise file.error(1, "is empty; expected an id in each line")
    return chosen
