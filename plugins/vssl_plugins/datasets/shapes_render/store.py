"""The rendered files in the cache folder: whole or not there, and shared between processes.

A video's name appears only when its bytes are on disk. `index.json` comes last and lists the size of
every file, so a folder is known to be whole without opening a video, and a lost or cut file is
noticed and rendered again. Two processes that meet in one folder take the videos in different orders
and skip what the other has finished; as the bytes do not depend on who renders, it does not matter
whose file stays.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Sequence, Set
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import suppress
from pathlib import Path
from typing import Any

from vssl_core.errors import StoreError
from vssl_core.files import read_json, write_bytes, write_json
from vssl_core.progress import Progress
from vssl_plugins.datasets.shapes_render.encode import encode_mp4
from vssl_plugins.datasets.shapes_render.frames import render_frames
from vssl_plugins.datasets.shapes_render.motion import MOTIONS
from vssl_plugins.datasets.shapes_render.options import RENDERER_VERSION, ShapesOptions
from vssl_plugins.datasets.shapes_render.plan import PlannedVideo
from vssl_plugins.datasets.shapes_render.sprite import APPEARANCES

__all__ = ["ensure_rendered", "video_path"]

INDEX = "index.json"
ABANDONED_SECONDS = 3600.0  # a temporary file this old belongs to a process that was killed


def video_path(folder: Path, video: PlannedVideo) -> Path:
    """Where the video's file is or will be."""
    return folder / f"{video.video_id}.mp4"


def ensure_rendered(
    folder: Path, videos: Sequence[PlannedVideo], options: ShapesOptions, progress: Progress
) -> None:
    """Render what is missing in `folder`, in parallel, then write its index.

    Raises:
        StoreError: The folder cannot be written or the disk is full. What was finished stays and is
            used by the next attempt.
    """
    expected, found = _indexed_sizes(folder), {video: _size(video_path(folder, video)) for video in videos}
    if expected is None:
        missing = [video for video, size in found.items() if not size]
    else:
        missing = [video for video, size in found.items() if size != expected.get(video.video_id)]
        if not missing:
            return
    damaged = {video for video in missing if found[video] is not None}
    try:
        _sweep(folder)
        _render(folder, missing, damaged, options, progress)
        write_json(folder / INDEX, _index(folder, videos, options))
    except StoreError as error:
        raise StoreError(
            f"the embedded videos cannot be rendered into the cache: {error} "
            "Or set VSSL_CACHE to a folder that you can write."
        ) from error


def _indexed_sizes(folder: Path) -> dict[str, int] | None:
    """Video id → bytes as the index says; None where there is no index that can be read."""
    try:
        document = read_json(folder / INDEX)
        return {str(row["video_id"]): int(row["bytes"]) for row in document["videos"]}
    except (StoreError, KeyError, TypeError, ValueError):
        return None


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except OSError:
        return None


def _sweep(folder: Path) -> None:
    """Remove what killed processes left half-written."""
    for temporary in folder.glob(".*.tmp"):
        with suppress(OSError):
            if time.time() - temporary.stat().st_mtime > ABANDONED_SECONDS:
                temporary.unlink()


def _render(
    folder: Path,
    videos: Sequence[PlannedVideo],
    damaged: Set[PlannedVideo],
    options: ShapesOptions,
    progress: Progress,
) -> None:
    """Render in threads: OpenCV, NumPy and x264 release the interpreter's lock."""

    def render(video: PlannedVideo) -> None:
        path = video_path(folder, video)
        if video in damaged or not path.exists():
            write_bytes(path, encode_mp4(render_frames(video, options)))

    order = random.Random(os.getpid()).sample(videos, len(videos))
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with progress.track("rendering shapes", len(order), "videos") as bar, ThreadPoolExecutor(cores) as pool:
        try:
            for job in as_completed([pool.submit(render, video) for video in order]):
                job.result()
                bar.advance()
        finally:
            pool.shutdown(cancel_futures=True)


def _index(folder: Path, videos: Sequence[PlannedVideo], options: ShapesOptions) -> dict[str, Any]:
    return {
        "schema": 1,
        "renderer_version": RENDERER_VERSION,
        "options": options.model_dump(),
        "videos": [
            {
                "video_id": video.video_id,
                "split": video.split,
                "group": video.group,
                "appearance": APPEARANCES[video.appearance],
                "motion": MOTIONS[video.motion],
                "bytes": _size(video_path(folder, video)),
            }
            for video in videos
        ],
    }
