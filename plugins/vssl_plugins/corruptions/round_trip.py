"""A video through a real encoder and decoder, in memory, frame numbers kept.

The whole video goes through, whichever of its frames are wanted, since what a picture becomes depends on
those before it. Pictures are padded to even sides for the encoder and cut again.

Encoder and decoder run on one thread with fixed options, so that one build of FFmpeg gives the same pictures
every time. Another build, or the instructions of another processor, may give slightly different ones.

Axes: N wanted frame, H height, W width.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import av
import numpy as np

from vssl_core.corruption import CorruptionSource
from vssl_core.video.rate import encoder_rate

__all__ = ["Coding", "round_trip"]

_AT_ONCE = 32  # frames that are read together


@dataclass(frozen=True)
class Coding:
    """An encoder of FFmpeg and what it is told.

    Args:
        encoder: Its name.
        bits_per_pixel: Of a frame, on average.
        options: Of the encoder.
    """

    encoder: str
    bits_per_pixel: float
    options: Mapping[str, str] = field(default_factory=dict)


def round_trip(
    frames_N: np.ndarray,
    source: CorruptionSource,
    coding: Coding,
    *,
    read: Callable[[np.ndarray], np.ndarray] | None = None,
    lose: Callable[[int, bytes], bytes] | None = None,
) -> np.ndarray:
    """The pictures (N, H, W, 3) uint8 of these frames after the trip.

    A frame that the decoder does not give shows the last one before it that it gave.

    Args:
        frames_N: Ascending.
        source: The video.
        coding: How it is encoded.
        read: Gives the pictures to encode; None: the source's.
        lose: (frame number, its packet) → what arrives of the packet; None: all of it.
    """
    first_HWC = (read or source.read)(np.array([0]))[0]
    encoder = _encoder(coding, first_HWC.shape[1], first_HWC.shape[0], source.fps)
    screen = _Screen(frames_N, first_HWC.shape[0], first_HWC.shape[1])
    decoder: Any = av.CodecContext.create(encoder.codec.canonical_name, "r")
    decoder.thread_count = 1
    decoder.options = {"flags": "+output_corrupt", "flags2": "+showall"}
    for packet in _packets(encoder, read or source.read, source.num_frames):
        arrived = bytes(packet) if lose is None else lose(int(packet.pts), bytes(packet))
        if arrived:
            screen.show(_decoded(decoder, arrived, packet.pts))
    screen.show(_decoded(decoder, None, None))
    return screen.pictures(source.num_frames)


def _encoder(coding: Coding, width: int, height: int, fps: float) -> Any:
    context: Any = av.CodecContext.create(coding.encoder, "w")
    context.width, context.height = width + width % 2, height + height % 2
    context.pix_fmt = "yuv420p"
    context.framerate = encoder_rate(fps, coding.encoder)
    context.time_base = 1 / context.framerate
    context.bit_rate = max(1000, round(coding.bits_per_pixel * width * height * fps))
    context.thread_count = 1
    context.options = dict(coding.options)
    return context


def _packets(encoder: Any, read: Callable[[np.ndarray], np.ndarray], num_frames: int) -> Iterator[Any]:
    for start in range(0, num_frames, _AT_ONCE):
        numbers = np.arange(start, min(start + _AT_ONCE, num_frames))
        for number, picture_HWC in zip(numbers, read(numbers), strict=True):
            frame = av.VideoFrame.from_ndarray(_even(picture_HWC), format="rgb24")
            frame.pts, frame.time_base = int(number), encoder.time_base
            yield from encoder.encode(frame)
    yield from encoder.encode(None)


def _even(picture_HWC: np.ndarray) -> np.ndarray:
    height, width = picture_HWC.shape[:2]
    if height % 2 or width % 2:
        picture_HWC = np.pad(picture_HWC, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    return np.ascontiguousarray(picture_HWC)


def _decoded(decoder: Any, data: bytes | None, number: int | None) -> Iterator[Any]:
    """What the decoder makes of a packet; of one that it cannot use at all, nothing."""
    packet = None
    if data is not None:
        packet = av.Packet(len(data))  # allocated by FFmpeg: with the zeros after it that decoders need
        packet.update(data)
        packet.pts = packet.dts = number
    try:
        yield from decoder.decode(packet)
    except av.error.InvalidDataError:
        return


class _Screen:
    """Keeps the wanted pictures of what is shown: each frame until the next one comes."""

    def __init__(self, wanted_N: np.ndarray, height: int, width: int) -> None:
        self._wanted_N, self._next = wanted_N, 0
        self._pictures_NHWC = np.empty((len(wanted_N), height, width, 3), np.uint8)
        self._frame: Any = None

    def show(self, frames: Iterator[Any]) -> None:
        """Frames in the order of their numbers; one that comes late is not shown."""
        for frame in frames:
            if frame.pts is None or (self._frame is not None and frame.pts <= self._frame.pts):
                continue
            self._fill(frame.pts, self._frame or frame)
            self._frame = frame

    def pictures(self, num_frames: int) -> np.ndarray:
        """What the wanted frame numbers show."""
        self._fill(num_frames, self._frame)
        return self._pictures_NHWC

    def _fill(self, until: int, frame: Any) -> None:
        stop = int(np.searchsorted(self._wanted_N, until))
        if stop > self._next:
            height, width = self._pictures_NHWC.shape[1:3]
            picture_HWC = frame.to_ndarray(format="rgb24")[:height, :width]
            self._pictures_NHWC[self._next : stop] = picture_HWC
            self._next = stop
