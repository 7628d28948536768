"""Decoded frames and frame tables on disk, so that the second epoch runs at memory speed.

A cache is a convenience: an entry that has vanished, was cut short or was written by another version is a
miss, and the video is decoded again. Frames are kept as plain bytes, since reading them then costs one copy
out of the page cache; no file stays open or mapped.
"""

from __future__ import annotations

import json
import math
import os
import struct
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from vssl_core.errors import OptionError
from vssl_core.video.store import BoundedFolder, Partial

__all__ = ["Entry", "FrameCache"]

_VERSION = 1
_HEADER = struct.Struct("<8sIIII32s")  # magic, version, N, H, W, key; then a CRC of these
_HEADER_BYTES = _HEADER.size + 4
_MAGIC = b"vsslfrm\n"
_LARGEST_SHARE = 2  # a video that needs more than one half of the cache would only drive others out

Wanted = Sequence[tuple[np.ndarray, np.ndarray]]
"""Pairs (out (n, H, W, 3) uint8, C-contiguous; frame numbers (n,))."""


class FrameCache:
    """A size-limited folder of decoded videos, for any number of processes and threads at once.

    Args:
        folder: Made on demand; may be deleted at any time.
        max_bytes: Above this the least recently used entries are dropped.

    Raises:
        StoreError: The folder cannot be made or written.
        OptionError: `max_bytes` is not positive.
    """

    def __init__(self, folder: Path, *, max_bytes: int) -> None:
        if max_bytes <= 0:
            raise OptionError(f"the size of the frame cache must be positive; got {max_bytes} bytes.")
        self.folder = Path(folder)
        self.max_bytes = max_bytes
        self._files = BoundedFolder(self.folder / f"v{_VERSION}", max_bytes=max_bytes)

    def takes(self, shape_THWC: tuple[int, ...]) -> bool:
        """True where a video of this size would be kept."""
        return self._files.writable and math.prod(shape_THWC) <= self.max_bytes // _LARGEST_SHARE

    def read(self, key: bytes, shape_THWC: tuple[int, ...], wanted: Wanted) -> bool:
        """Fill arrays with frames of an entry of this key (32 bytes) and shape.

        Returns:
            False where there is no usable entry; the arrays may then hold anything.
        """
        number = self._files.open(key, "frames")
        if number is None:
            return False
        try:
            header = _header(key, shape_THWC)
            size = math.prod(shape_THWC[1:])
            whole = os.fstat(number).st_size == len(header) + shape_THWC[0] * size
            if not whole or os.pread(number, len(header), 0) != header:
                self._files.drop(key, "frames")
                return False
            return all(_read_frames(number, size, out, frames) for out, frames in wanted)
        except OSError:
            return False
        finally:
            os.close(number)

    @contextmanager
    def writing(self, key: bytes, shape_THWC: tuple[int, ...]) -> Iterator[Entry]:
        """A new entry: write every frame once; it appears if `finish` is called and none is missing."""
        with self._files.partial() as partial:
            yield Entry(partial, key, shape_THWC)

    def note(self, key: bytes) -> Any:
        """The JSON value kept under this key, or None."""
        number = self._files.open(key, "json")
        if number is None:
            return None
        try:
            with os.fdopen(number, "rb") as file:
                return json.loads(file.read())
        except (OSError, ValueError):
            return None

    def keep_note(self, key: bytes, note: Any) -> None:
        """Keep a JSON value under this key."""
        with self._files.partial() as partial:
            partial.write(json.dumps(note).encode(), 0)
            partial.publish(key, "json")


class Entry:
    """One video's frames on their way to the disk."""

    def __init__(self, partial: Partial, key: bytes, shape_THWC: tuple[int, ...]) -> None:
        self._partial, self._key = partial, key
        self._shape_HWC = shape_THWC[1:]
        self._missing = set(range(shape_THWC[0]))
        partial.write(_header(key, shape_THWC), 0)

    def write(self, index: int, frame_HWC: np.ndarray) -> None:
        """Keep frame `index`."""
        if frame_HWC.shape != self._shape_HWC:
            raise ValueError(f"expected a frame of shape {self._shape_HWC}, got {frame_HWC.shape}")
        data = np.ascontiguousarray(frame_HWC).data.cast("B")
        self._partial.write(data, _HEADER_BYTES + index * len(data))
        self._missing.discard(index)

    def finish(self) -> None:
        """Make the entry visible, if it is whole."""
        if not self._missing:
            self._partial.publish(self._key, "frames")


def _header(key: bytes, shape_THWC: tuple[int, ...]) -> bytes:
    head = _HEADER.pack(_MAGIC, _VERSION, *shape_THWC[:3], key)
    return head + zlib.crc32(head).to_bytes(4, "little")


def _read_frames(number: int, size: int, out_THWC: np.ndarray, frames: np.ndarray) -> bool:
    """One read per run of consecutive frames."""
    if not len(frames):
        return True
    breaks = np.flatnonzero(np.diff(frames) != 1) + 1
    view = out_THWC.data.cast("B")
    for begin, end in zip([0, *breaks], [*breaks, len(frames)], strict=True):
        part, offset = view[begin * size : end * size], _HEADER_BYTES + int(frames[begin]) * size
        while part:
            count = os.preadv(number, [part], offset)
            if not count:
                return False
            part, offset = part[count:], offset + count
    return True
