"""The embedded data set: rendered videos of moving shapes with two independent label sets.

`shapes_appearance` asks what the object looks like (outline and texture), `shapes_motion` how it moves
(direction and order in time): the two sides of the benchmark paper's appearance-based and
temporal-based sets, over the very same files. Needs no download: the videos are rendered once into
the cache folder and shared by both.

Single frames have the same law in every motion class, and appearance and motion are drawn
independently; see `shapes_render/motion.py` and `plan.py`. Exposure and tint differ from video to
video, as they do between cameras, so that features which follow the light retrieve neither label.
Every object slows down in the course of its video, whatever its class, so that there is an arrow of
time beyond one cycle of the motion. A horizontal flip swaps slide_left with slide_right and the two
circles; the appearance classes have no handedness.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from vssl_core.interfaces import DatasetContext, VideoDataset
from vssl_core.types import Split, VideoRecord
from vssl_plugins.datasets.shapes_render.motion import MOTIONS
from vssl_plugins.datasets.shapes_render.options import ShapesOptions
from vssl_plugins.datasets.shapes_render.plan import PlannedVideo, plan_videos
from vssl_plugins.datasets.shapes_render.sprite import APPEARANCES
from vssl_plugins.datasets.shapes_render.store import ensure_rendered, video_path

__all__ = ["ShapesAppearance", "ShapesMotion"]

LICENCE = "Apache-2.0: rendered by vssl itself"
MIRRORED = {
    "slide_left": "slide_right",
    "slide_right": "slide_left",
    "circle_clockwise": "circle_counterclockwise",
    "circle_counterclockwise": "circle_clockwise",
}


class ShapesAppearance(VideoDataset):
    """Which of eight objects it is: two outlines times four textures, in any colour, size and pose."""

    api_version = 1
    Options = ShapesOptions
    licence = LICENCE

    def __init__(self, options: ShapesOptions, context: DatasetContext) -> None:
        self._rendered = _Rendered(options, context)

    def prepare(self) -> None:
        """Render what is not in the cache yet. Raises StoreError where the cache cannot be written."""
        self._rendered.prepare()

    @property
    def classes(self) -> Sequence[str]:
        """`OUTLINE_TEXTURE`."""
        return APPEARANCES

    def records(self, split: Split) -> Sequence[VideoRecord]:
        """The split's videos by number."""
        return self._rendered.records(split, lambda video: video.appearance)


class ShapesMotion(VideoDataset):
    """Which of eight ways the object moves: four pairs of opposite direction, each the other's reversal."""

    api_version = 1
    Options = ShapesOptions
    licence = LICENCE

    def __init__(self, options: ShapesOptions, context: DatasetContext) -> None:
        self._rendered = _Rendered(options, context)

    def prepare(self) -> None:
        """Render what is not in the cache yet. Raises StoreError where the cache cannot be written."""
        self._rendered.prepare()

    @property
    def classes(self) -> Sequence[str]:
        """`KIND_DIRECTION`, or `grow` and `shrink`."""
        return MOTIONS

    @property
    def mirrored(self) -> Mapping[str, str]:
        """The two slides across, and the two circles."""
        return MIRRORED

    def records(self, split: Split) -> Sequence[VideoRecord]:
        """The split's videos by number."""
        return self._rendered.records(split, lambda video: video.motion)


class _Rendered:
    """The videos that both label sets share."""

    def __init__(self, options: ShapesOptions, context: DatasetContext) -> None:
        self._options, self._context = options, context
        self._videos = plan_videos(options)
        self._folder = context.cache_dir / "shapes" / options.digest

    def prepare(self) -> None:
        ensure_rendered(self._folder, self._videos, self._options, self._context.progress)

    def records(self, split: Split, label: Callable[[PlannedVideo], int]) -> list[VideoRecord]:
        return [
            VideoRecord(
                video.video_id, str(video_path(self._folder, video)), label=label(video), group=video.group
            )
            for video in self._videos
            if video.split == split
        ]
