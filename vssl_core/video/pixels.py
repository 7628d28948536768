"""From a decoded frame to RGB bytes (colour, size, rotation), or to grey ones."""

from __future__ import annotations

import threading
from typing import Any

import cv2
import numpy as np
from av.video.reformatter import Interpolation, VideoReformatter

__all__ = ["RESIZE", "grey", "shown_size", "write_rgb"]

RESIZE = "swscale bilinear antialiased accurate_rnd bitexact gbrp"

_RESIZE_FLAGS = Interpolation.BILINEAR | Interpolation.ACCURATE_RND | Interpolation.BITEXACT
_PER_THREAD = threading.local()


def shown_size(width: int, height: int, short_side: int | None) -> tuple[int, int]:
    """(width, height) after making the short side at most `short_side` pixels, aspect kept."""
    short = min(width, height)
    if short_side is None or short <= short_side:
        return width, height
    return round(width * short_side / short), round(height * short_side / short)


def write_rgb(frame: Any, rotation: int, out_HWC: np.ndarray) -> None:
    """Write a decoded frame into uint8 `out_HWC`, turned clockwise by `rotation` and resized to fit.

    One reformatter per thread, which works on this thread alone: a new one for each frame, with
    threads of its own, costs more than the conversion. Resizing goes through planes, because swscale
    scales to planar RGB twice as fast as to packed RGB, and with the colour at full resolution.
    """
    target = np.rot90(out_HWC, rotation // 90) if rotation else out_HWC  # the frame stands as it was coded
    height, width = target.shape[:2]
    reformatter = _reformatter()
    if (width, height) == (frame.width, frame.height):
        if frame.format.name == "argb":  # raw packed frames: swscale would take longer than decoding
            argb = _rows(frame.planes[0])[:height, : width * 4].reshape(height, width, 4)
            packed = np.empty((height, width, 3), np.uint8)
            cv2.mixChannels([argb], [packed], [1, 0, 2, 1, 3, 2])
            target[:] = packed
            return
        rgb = reformatter.reformat(frame, format="rgb24", threads=1)
        target[:] = _rows(rgb.planes[0])[:height, : width * 3].reshape(height, width, 3)
        return
    planar = reformatter.reformat(
        frame, width=width, height=height, format="gbrp", interpolation=_RESIZE_FLAGS, threads=1
    )
    green, blue, red = (_rows(plane) for plane in planar.planes)
    target[:] = cv2.merge((red, green, blue))[:height, :width]


def grey(frame: Any) -> np.ndarray:
    """The grey levels (H, W) uint8 of a decoded frame, as it was coded."""
    plane = _reformatter().reformat(frame, format="gray", threads=1).planes[0]
    return _rows(plane)[: frame.height, : frame.width]


def _reformatter() -> Any:
    reformatter = getattr(_PER_THREAD, "reformatter", None)
    if reformatter is None:
        reformatter = _PER_THREAD.reformatter = VideoReformatter()
    return reformatter


def _rows(plane: Any) -> np.ndarray:
    return np.frombuffer(plane, dtype=np.uint8).reshape(-1, plane.line_size)
