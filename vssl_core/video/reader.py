"""Frames of videos as arrays: exactly those asked for, each decoded at most once."""

from __future__ import annotations

import hashlib
import json
import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from vssl_core.errors import ContractError, OptionError, VideoError
from vssl_core.types import VideoInfo, VideoRecord
from vssl_core.video.cache import FrameCache
from vssl_core.video.decoders import find_decoder
from vssl_core.video.pixels import shown_size
from vssl_core.video.pyav_decoder import pyav_versions
from vssl_core.video.scan import scan
from vssl_core.video.source import Stamp, stamp, unreadable
from vssl_core.video.table import FrameTable

__all__ = ["FrameReader"]

_TABLE_BYTES = 64 << 20  # tables kept in memory; about 7,000 short videos
_NOTE_VERSION = 2


@dataclass(frozen=True, slots=True)
class _Known:
    """What is known about one file. `digest` of its content only where there is a cache to key."""

    table: FrameTable
    digest: bytes | None


class FrameReader:
    """Reads videos. Threads may share one; a pickled copy starts with nothing remembered.

    Args:
        short_side: Make frames smaller so that their short side has at most this many pixels (aspect
            kept, never larger); None: as they are.
        cache: Where decoded videos are kept. The first read of a video then decodes all of it, and
            every damaged one is found at that moment; without a cache damage is found in the frames
            that are read.
        decoder: `"pyav"`, or `"torchcodec"` where that is installed.

    Raises:
        OptionError: `short_side` is not positive, or the decoder cannot be used here.
    """

    def __init__(
        self, *, short_side: int | None = None, cache: FrameCache | None = None, decoder: str = "pyav"
    ) -> None:
        if short_side is not None and short_side < 1:
            raise OptionError(f"the short side must be at least 1 pixel; got {short_side}.")
        self.short_side = short_side
        self.cache = cache
        self._decoder = find_decoder(decoder)
        self._parameter_bytes = json.dumps(self.decode_parameters, sort_keys=True).encode()
        self._known = _Remembered()

    def __getstate__(self) -> dict[str, Any]:
        return {"short_side": self.short_side, "cache": self.cache, "decoder": self._decoder.name}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(FrameReader(**state).__dict__)

    @property
    def decode_parameters(self) -> dict[str, Any]:
        """Everything that decides about the bits of a frame, as JSON values for the protocol's record."""
        how = self._decoder.colour_and_resize(self.short_side)
        return {**self._decoder.identity(), "short_side": self.short_side, **how}

    @property
    def decoder_identity(self) -> dict[str, str]:
        """The decoder's name, and the versions of everything that decides which frames come."""
        return self._decoder.identity()

    def info(self, record: VideoRecord) -> VideoInfo:
        """What the decoder finds in the record's file, or in its span.

        Raises:
            VideoError: The file is missing, no video, or damaged; or the span holds no frame.
        """
        table = self._look_up(stamp(record.path)).table
        begin, end = _window(record, table)
        return VideoInfo(
            num_frames=end - begin,
            fps=table.fps,
            width=table.width,
            height=table.height,
            codec=table.codec,
            rotation=table.rotation,
            rule=table.rule,
        )

    def stamps(self, record: VideoRecord) -> tuple[np.ndarray, Fraction]:
        """Time of each frame (N,) int64, counted from the first, and the unit in seconds.

        Raises:
            VideoError: As `info`.
        """
        table = self._look_up(stamp(record.path)).table
        begin, end = _window(record, table)
        return table.pts[begin:end] - table.pts[begin], table.time_base

    def read(self, record: VideoRecord, indices: Sequence[int] | np.ndarray) -> np.ndarray:
        """Frames (N, H, W, 3) uint8 RGB: frame i of the result is source frame `indices[i]`.

        Raises:
            VideoError: The file is missing, no video, or damaged where the frames are.
            ContractError: An index that the video (or the record's span) does not have.
        """
        return self.read_clips(record, {"clip": np.asarray(indices)})["clip"]

    def read_clips(self, record: VideoRecord, clips: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Several clips of one video in one decoding pass; a frame that clips share is decoded once.

        Args:
            record: The video.
            clips: Name → frame indices (T,), which may repeat and stand in any order.

        Returns:
            Name → (T, H, W, 3) uint8 RGB.

        Raises:
            VideoError: The file is missing, no video, or damaged where the frames are.
            ContractError: An index that the video (or the record's span) does not have.
        """
        file = stamp(record.path)
        known = self._look_up(file)
        begin, end = _window(record, known.table)
        frames = {name: _checked(record, name, index, end - begin) + begin for name, index in clips.items()}
        width, height = shown_size(known.table.width, known.table.height, self.short_side)
        out = {name: np.empty((len(index), height, width, 3), np.uint8) for name, index in frames.items()}
        if any(len(index) for index in frames.values()):
            self._fill(file, known, [(out[name], frames[name]) for name in frames])
        return out

    def _look_up(self, file: Stamp) -> _Known:
        known = self._known.get(file)
        if known is None:
            known = self._from_note(file) or self._made(file)
            self._known.put(file, known)
        return known

    def _from_note(self, file: Stamp) -> _Known | None:
        note = self.cache.note(_note_key(file)) if self.cache else None
        if not isinstance(note, dict) or note.get("valid_for") != _valid_for(file):
            return None
        try:
            return _Known(FrameTable.from_json(note["table"]), bytes.fromhex(note["digest"]))
        except (KeyError, TypeError, ValueError):
            return None

    def _made(self, file: Stamp) -> _Known:
        try:
            table = scan(file.path)
            if self.cache is None:
                return _Known(table, None)
            with Path(file.path).open("rb") as content:
                digest = hashlib.file_digest(content, "blake2b").digest()
        except OSError as error:
            raise unreadable(file.path, error) from error
        note = {"valid_for": _valid_for(file), "table": table.to_json(), "digest": digest.hex()}
        self.cache.keep_note(_note_key(file), note)
        return _Known(table, digest)

    def _fill(self, file: Stamp, known: _Known, wanted: list[tuple[np.ndarray, np.ndarray]]) -> None:
        """Write the wanted frames where they belong, from the cache or by decoding."""
        table = known.table
        shape = (table.num_frames, *wanted[0][0].shape[1:])
        key = self._frames_key(known.digest) if known.digest else b""
        if self.cache and key and self.cache.read(key, shape, wanted):
            return
        rows: dict[int, list[np.ndarray]] = {}
        for out, frames in wanted:
            for row, frame in zip(out, frames.tolist(), strict=True):
                rows.setdefault(frame, []).append(row)
        if self.cache and key and self.cache.takes(shape):
            self._decode_and_keep(self.cache, key, shape, file, table, rows)
        else:
            self._decoder.decode_some(
                file.path,
                table,
                sorted(rows),
                lambda index, picture: self._spread(picture, table, rows[index]),
            )

    def _decode_and_keep(
        self,
        cache: FrameCache,
        key: bytes,
        shape_THWC: tuple[int, ...],
        file: Stamp,
        table: FrameTable,
        rows: Mapping[int, list[np.ndarray]],
    ) -> None:
        """Decode the whole video into the cache, and its wanted frames into their rows."""
        scratch = np.empty(shape_THWC[1:], np.uint8)
        with cache.writing(key, shape_THWC) as entry:

            def sink(index: int, picture: Any) -> None:
                self._decoder.write_rgb(picture, table, scratch)
                entry.write(index, scratch)
                for row in rows.get(index, ()):
                    row[:] = scratch

            self._decoder.decode_all(file.path, table, sink)
            if stamp(file.path) == file:  # else it changed meanwhile: these are not the frames of its digest
                entry.finish()

    def _spread(self, picture: Any, table: FrameTable, rows: list[np.ndarray]) -> None:
        self._decoder.write_rgb(picture, table, rows[0])
        for row in rows[1:]:
            row[:] = rows[0]

    def _frames_key(self, digest: bytes) -> bytes:
        return hashlib.blake2b(digest + self._parameter_bytes, digest_size=32).digest()


def _window(record: VideoRecord, table: FrameTable) -> tuple[int, int]:
    """[begin, end) of the record's frames among those of its file."""
    if record.span_seconds is None:
        return 0, table.num_frames
    seconds = table.seconds()
    begin, end = (int(np.searchsorted(seconds, edge)) for edge in record.span_seconds)
    if begin >= end:
        first, last = record.span_seconds
        reason = (
            f"expected frames from {first:g} s to {last:g} s, but there are none: the video's "
            f"{table.num_frames} frames last from 0 s to {seconds[-1]:g} s"
        )
        raise VideoError(record.path, reason)
    return begin, end


def _checked(record: VideoRecord, name: str, indices: np.ndarray, num_frames: int) -> np.ndarray:
    index = np.asarray(indices)
    if index.size == 0:
        return np.empty(0, np.int64)
    if index.ndim != 1 or not np.issubdtype(index.dtype, np.integer):
        raise ContractError(
            f"expected the frames of clip {name!r} as integers (T,), got {index.dtype} {index.shape}."
        )
    if index.min() < 0 or index.max() >= num_frames:
        raise ContractError(
            f"expected the frames of clip {name!r} in 0 … {num_frames - 1}, the frames of video "
            f"{record.video_id!r}; got {index.min()} … {index.max()}."
        )
    return index.astype(np.int64)


def _note_key(file: Stamp) -> bytes:
    return hashlib.blake2b(f"file {file.path}".encode(errors="surrogateescape"), digest_size=32).digest()


def _valid_for(file: Stamp) -> list[Any]:
    versions = pyav_versions()
    return [_NOTE_VERSION, file.size, file.mtime_ns, versions["libavformat"], versions["libavcodec"]]


class _Remembered:
    """Files that were looked at, the least recently used forgotten first."""

    def __init__(self) -> None:
        self._items: OrderedDict[Stamp, _Known] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def get(self, file: Stamp) -> _Known | None:
        with self._lock:
            known = self._items.get(file)
            if known is not None:
                self._items.move_to_end(file)
            return known

    def put(self, file: Stamp, known: _Known) -> None:
        with self._lock:
            if file not in self._items:
                self._bytes += known.table.nbytes
            self._items[file] = known
            while self._bytes > _TABLE_BYTES and len(self._items) > 1:
                self._bytes -= self._items.popitem(last=False)[1].table.nbytes
