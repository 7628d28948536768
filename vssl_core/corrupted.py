"""Frames of videos made worse by a corruption, read as a `FrameReader` reads them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Literal

import av
import numpy as np

from vssl_core.augmentation import apply_geometry, draw_view
from vssl_core.augmentation.ops import CenterCrop, ViewAugmentation
from vssl_core.corruption import Corruption, CorruptionSource
from vssl_core.errors import ContractError
from vssl_core.seeding import generator
from vssl_core.types import ClipSpec, VideoInfo, VideoRecord
from vssl_core.video import FrameReader
from vssl_core.video.pixels import shown_size, write_rgb

__all__ = ["CorruptedReader", "Order"]

Order = Literal["native", "post_resize"]
"""Whether a corruption sees frames of the file's own size, or after they were cropped and resized."""


_BYTES_AT_ONCE = 2**28


class CorruptedReader:
    """Reads what a corruption makes of each video. Safe to call from several threads.

    Args:
        reader: Gives the frames as they are.
        corruption: None: nothing is done to them, along the same path.
        severity: One of the corruption's.
        order: With `post_resize` frames come out cropped and resized to the clip's size.
        seed: Of what is random.
        clip: Geometry.
        crop_scale: Of the centre crop.

    Raises:
        ContractError: A severity that the corruption does not have.
    """

    def __init__(
        self,
        reader: FrameReader,
        corruption: Corruption | None,
        *,
        severity: int,
        order: Order,
        seed: int,
        clip: ClipSpec,
        crop_scale: float,
    ) -> None:
        if corruption is not None and severity not in corruption.severities:
            raise ContractError(
                f"{type(corruption).__name__} has the severities "
                f"{', '.join(map(str, corruption.severities))}; got {severity}."
            )
        self._short_side = reader.short_side
        if order == "native" and reader.short_side is not None:
            reader = FrameReader(cache=reader.cache, decoder=reader.decoder_identity["decoder"])
        self._reader, self._corruption, self._severity = reader, corruption, severity
        self._order, self._seed, self._clip, self._crop_scale = order, seed, clip, crop_scale

    def info(self, record: VideoRecord) -> VideoInfo:
        """What the decoder finds in the file as it is."""
        return self._reader.info(record)

    def read_clips(self, record: VideoRecord, clips: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Clips of one video, made worse; a picture that clips share is made once.

        Raises:
            VideoError: The file cannot be read.
            ContractError: The corruption gave frames of another number, type or shape.
        """
        source = self._source(record)
        shown = {name: self._frames(frames_T, source) for name, frames_T in clips.items()}
        wanted = np.unique(np.concatenate(list(shown.values())))
        pictures = self._pixels(wanted, source)
        if self._order == "native":
            pictures = _reduced(pictures, self._short_side)
        return {name: pictures[np.searchsorted(wanted, frames_T)] for name, frames_T in shown.items()}

    def read_video(self, record: VideoRecord) -> Iterator[np.ndarray]:
        """All of a video as one clip, made worse, some pictures (N, H, W, 3) at a time.

        Raises:
            VideoError: The file cannot be read.
            ContractError: The corruption gave frames of another number, type or shape.
        """
        source, info = self._source(record), self._reader.info(record)
        at_once = max(16, _BYTES_AT_ONCE // (3 * info.height * info.width))
        shown = self._frames(np.arange(source.num_frames), source)
        for start in range(0, len(shown), at_once):
            some = shown[start : start + at_once]
            wanted = np.unique(some)
            yield self._pixels(wanted, source)[np.searchsorted(wanted, some)]

    def _source(self, record: VideoRecord) -> CorruptionSource:
        info = self._reader.info(record)
        name = "" if self._corruption is None else self._corruption.draws_as
        words = ("corruption", name, self._severity, self._seed, record.video_id)
        return CorruptionSource(
            num_frames=info.num_frames,
            fps=float(info.fps),
            read=partial(self._reader.read if self._order == "native" else self._resized, record),
            generator=lambda *key: generator(*words, *(_plain(part) for part in key)),
        )

    def _resized(self, record: VideoRecord, frames_N: np.ndarray) -> np.ndarray:
        frames_NHWC = self._reader.read(record, frames_N)
        drawn = draw_view(
            ViewAugmentation((CenterCrop(self._crop_scale),)),
            key=("corrupted", record.video_id),
            num_frames=len(frames_NHWC),
            height=frames_NHWC.shape[1],
            width=frames_NHWC.shape[2],
            crop_size=self._clip.crop_size,
        )
        return apply_geometry(frames_NHWC, drawn, crop_size=self._clip.crop_size)

    def _frames(self, frames_T: np.ndarray, source: CorruptionSource) -> np.ndarray:
        if self._corruption is None:
            return frames_T
        shown = np.asarray(self._corruption.frames(frames_T, source, self._severity))
        if shown.shape != frames_T.shape or shown.dtype.kind not in "iu":
            raise self._broken("frames", f"integers {frames_T.shape}", f"{shown.dtype} {shown.shape}")
        if shown.min() < 0 or shown.max() >= source.num_frames:
            raise self._broken(
                "frames", f"numbers from 0 to {source.num_frames - 1}", f"{shown.min()} to {shown.max()}"
            )
        return shown.astype(np.int64)

    def _pixels(self, frames_N: np.ndarray, source: CorruptionSource) -> np.ndarray:
        if self._corruption is None:
            return source.read(frames_N)
        pictures = np.asarray(self._corruption.pixels(frames_N, source, self._severity))
        if pictures.ndim != 4 or pictures.shape[::3] != (len(frames_N), 3) or pictures.dtype != np.uint8:
            raise self._broken(
                "pixels", f"uint8 ({len(frames_N)}, H, W, 3)", f"{pictures.dtype} {pictures.shape}"
            )
        return pictures

    def _broken(self, method: str, expected: str, got: str) -> ContractError:
        return ContractError(f"{type(self._corruption).__name__}.{method} must give {expected}; got {got}.")


def _plain(part: str | int | np.integer) -> str | int:
    return part if isinstance(part, str) else int(part)


def _reduced(frames_NHWC: np.ndarray, short_side: int | None) -> np.ndarray:
    """Frames made smaller by the filter with which the decoder does it."""
    height, width = frames_NHWC.shape[1:3]
    new_width, new_height = shown_size(width, height, short_side)
    if (new_width, new_height) == (width, height):
        return frames_NHWC
    out = np.empty((len(frames_NHWC), new_height, new_width, 3), np.uint8)
    for row, frame_HWC in zip(out, frames_NHWC, strict=True):
        write_rgb(av.VideoFrame.from_ndarray(np.ascontiguousarray(frame_HWC), format="rgb24"), 0, row)
    return out
