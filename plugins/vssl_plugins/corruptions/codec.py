"""Corruptions by a real encoder: too few bits, and packets that do not arrive.

Both encode with H.264 (x264, no B frames, a key frame every 48 frames, one thread) and decode with FFmpeg.
What comes out depends on the builds of both.

Axes: N frame, H height, W width.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from vssl_core.corruption import Corruption, CorruptionSource
from vssl_plugins.corruptions.round_trip import Coding, round_trip

__all__ = ["Bitrate", "PacketLoss"]

_X264 = {"g": "48", "bf": "0", "threads": "1"}
_FIXED = "mbtree=0:aq-mode=0:rc-lookahead=0"  # rate control that looks at nothing but the past
_BITS_PER_PIXEL = (0.2, 0.1, 0.05, 0.025, 0.0125)
_LOST = (0.02, 0.05, 0.1, 0.2, 0.4)
_PACKET_BYTES = 1200
_START = re.compile(rb"\x00\x00\x01")
_SLICES = (1, 5)  # types of NAL units that hold pictures


class Bitrate(Corruption):
    """The video coded again with fewer bits: 0.2 to 0.0125 a pixel.

    Of a video with 320 x 240 pixels and 25 frames a second these are 384, 192, 96, 48 and 24 kbit/s; no video
    gets less than 1 kbit/s.
    """

    api_version = 1
    severities: ClassVar[Sequence[int]] = (1, 2, 3, 4, 5)
    family = "codec"

    def __init__(self, options: Any) -> None:
        del options

    def pixels(self, frames_N: np.ndarray, source: CorruptionSource, severity: int) -> np.ndarray:
        """Decoded pictures (N, H, W, 3) uint8."""
        options = {**_X264, "x264-params": _FIXED}
        return round_trip(frames_N, source, Coding("libx264", _BITS_PER_PIXEL[severity - 1], options))


class PacketLoss(Corruption):
    """Packets of a stream that are lost, 2 to 40 %, as the decoder conceals it.

    The video is coded at 0.2 bits a pixel in slices of at most 1,200 bytes, a packet each. Each is lost by
    itself, but for those of the first frame, for which a receiver waits. What is missing within a frame the
    decoder guesses from its neighbours in space and time; a frame of which nothing arrives shows the one
    before it. What is wrong stays so until the next key frame.
    """

    api_version = 1
    severities: ClassVar[Sequence[int]] = (1, 2, 3, 4, 5)
    family = "codec"

    def __init__(self, options: Any) -> None:
        del options

    def pixels(self, frames_N: np.ndarray, source: CorruptionSource, severity: int) -> np.ndarray:
        """Decoded pictures (N, H, W, 3) uint8."""
        options = {**_X264, "x264-params": f"{_FIXED}:slice-max-size={_PACKET_BYTES}"}

        def lose(frame: int, packet: bytes) -> bytes:
            if frame == 0:
                return packet
            units = _units(packet)
            lost = source.generator("lost", frame).random(len(units)) < _LOST[severity - 1]
            kept = [unit for unit, gone in zip(units, lost, strict=True) if not (gone and _is_slice(unit))]
            return b"".join(kept) if any(map(_is_slice, kept)) else b""

        return round_trip(frames_N, source, Coding("libx264", 0.2, options), lose=lose)


def _units(packet: bytes) -> list[bytes]:
    """The NAL units of a packet, each with its start code (ITU-T H.264, annex B)."""
    starts = [found.start() for found in _START.finditer(packet)]
    return [packet[start:stop] for start, stop in zip(starts, [*starts[1:], len(packet)], strict=True)]


def _is_slice(unit: bytes) -> bool:
    return unit[3] & 31 in _SLICES
