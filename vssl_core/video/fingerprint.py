"""What a video's content is known by: a digest of its bytes, and a hash of a frame every quarter of a second.

A frame's hash is the usual one of its discrete cosine transform (Zauner, Implementation and Benchmarking of
Perceptual Image Hash Functions, 2010): grey, 32 x 32 pixels, the 63 lowest frequencies without the mean, a
bit for each that is above their median. Another codec, size or brightness changes few of the bits. Frames
are taken by time, so that a shift or a cut changes which frames there are and not what they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from vssl_core.errors import VideoError
from vssl_core.files import file_sha256
from vssl_core.video.decode import decode_some
from vssl_core.video.pixels import grey
from vssl_core.video.scan import scan
from vssl_core.video.table import FrameTable

__all__ = ["METHOD", "STEP_SECONDS", "fingerprint", "frame_hashes", "nearest", "small_frames"]

METHOD = "dct63 every 0.25 s, 1"
"""Raised when hashes change: journals of another method are passed over."""
STEP_SECONDS = 0.25
_MOST = 1200  # five minutes
_SIDE = 32
_FLAT = 2.0  # grey levels; the hash of a flatter frame would be one of its noise


def fingerprint(path: str) -> dict[str, Any]:
    """`sha256` of the file, and `hashes`: 16 hexadecimal digits a frame, all zero for one without content.

    A file that cannot be decoded has no hashes, and `undecodable` says why.

    Raises:
        OSError: The file cannot be read.
        VideoError: It cannot be decoded for a reason that may pass.
    """
    found: dict[str, Any] = {"sha256": file_sha256(Path(path)), "hashes": ""}
    try:
        table = scan(path)
        seconds = table.seconds()
        times = np.arange(min(_MOST, int(seconds[-1] / STEP_SECONDS) + 1)) * STEP_SECONDS
        found["hashes"] = frame_hashes(small_frames(path, table, nearest(seconds, times))).tobytes().hex()
    except VideoError as error:
        if error.passing:
            raise
        found["undecodable"] = error.reason
    return found


def nearest(seconds: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Of ascending `seconds` the index of the one nearest to each time; the earlier of two."""
    after = np.clip(np.searchsorted(seconds, times), 1, max(1, len(seconds) - 1))
    before = after - 1
    after = np.minimum(after, len(seconds) - 1)
    chosen: np.ndarray = np.where(seconds[after] - times < times - seconds[before], after, before)
    return chosen


def small_frames(path: str, table: FrameTable, wanted: Sequence[int] | np.ndarray) -> np.ndarray:
    """Frames of a file as grey pictures (N, 32, 32) uint8.

    Raises:
        VideoError: The file is damaged where they are.
    """
    index = np.asarray(wanted)
    small: dict[int, np.ndarray] = {}

    def sink(number: int, frame: Any) -> None:
        upright = np.ascontiguousarray(np.rot90(grey(frame), -table.rotation // 90))
        small[number] = cv2.resize(upright, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)

    decode_some(path, table, np.unique(index).tolist(), sink)
    return np.stack([small[number] for number in index.tolist()])


def _frequencies(frames_THW: np.ndarray) -> np.ndarray:
    """The 8 x 8 lowest frequencies of each frame but for its mean, (T, 63) float32."""
    place = np.arange(_SIDE)
    basis = np.cos(np.pi * np.arange(8)[:, None] * (2 * place + 1) / (2 * _SIDE)) * np.sqrt(2 / _SIDE)
    basis[0] /= np.sqrt(2)
    basis = basis.astype(np.float32)
    found: np.ndarray = basis @ frames_THW.astype(np.float32) @ basis.T
    return found.reshape(len(frames_THW), -1)[:, 1:] / _SIDE


def frame_hashes(frames_THW: np.ndarray) -> np.ndarray:
    """A hash (T,) uint64, little-endian, of each grey frame."""
    low = _frequencies(frames_THW)
    bits = np.zeros((len(low), 64), np.uint8)
    bits[:, 1:] = low > np.median(low, axis=1, keepdims=True)
    bits[frames_THW.std(axis=(1, 2)) < _FLAT] = 0
    return np.packbits(bits, axis=1).view("<u8").ravel()
