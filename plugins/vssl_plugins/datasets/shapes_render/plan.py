"""Which videos there are: part, scene and the two labels of each, from the options alone.

Appearance and motion are dealt like cards: within a part every pair of classes comes equally often
(to one video, where the number of videos is no multiple of the number of pairs), so neither label
says anything about the other, and the scene and the number say nothing about either.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import lcm

from vssl_core.seeding import generator
from vssl_core.types import Split
from vssl_plugins.datasets.shapes_render.motion import MOTIONS
from vssl_plugins.datasets.shapes_render.options import ShapesOptions
from vssl_plugins.datasets.shapes_render.sprite import APPEARANCES

__all__ = ["PlannedVideo", "plan_videos"]


@dataclass(frozen=True, slots=True)
class PlannedVideo:
    """One video before it is rendered. `appearance` and `motion` index the two tables of classes."""

    number: int
    split: Split
    scene: int
    appearance: int
    motion: int

    @property
    def video_id(self) -> str:
        """A name that tells neither class."""
        return f"shapes-{self.number:06d}"

    @property
    def group(self) -> str:
        """The scene's name."""
        return f"scene-{self.scene:05d}"


def plan_videos(options: ShapesOptions) -> list[PlannedVideo]:
    """All videos, numbered from 0, in the order train, validation, test."""
    counts: dict[Split, int] = {
        "train": options.train_videos,
        "validation": options.validation_videos,
        "test": options.test_videos,
    }
    videos: list[PlannedVideo] = []
    next_scene = 0
    for split, count in counts.items():
        for index, (appearance, motion) in enumerate(_deal(split, count, options.seed)):
            scene = next_scene + index // options.videos_per_scene
            videos.append(PlannedVideo(len(videos), split, scene, appearance, motion))
        next_scene += -(-count // options.videos_per_scene)
    return videos


def _deal(split: Split, count: int, seed: int) -> list[tuple[int, int]]:
    """`count` pairs (appearance, motion), balanced and in random order."""
    rng = generator("shapes", seed, "deal", split)
    appearances = rng.permutation(len(APPEARANCES))
    motions = rng.permutation(len(MOTIONS))
    turn = lcm(len(appearances), len(motions))  # after so many pairs the diagonal would repeat itself
    pairs = [
        (int(appearances[i % len(appearances)]), int(motions[(i + i // turn) % len(motions)]))
        for i in range(count)
    ]
    return [pairs[i] for i in rng.permutation(count)]
