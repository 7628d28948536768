"""Decoding chosen frames: as few as possible, and never another one than asked for.

The quick way jumps to the key packet before the wanted frames, lets the decoder drop unwanted frames that no
other needs, and stops as soon as the last wanted one is out. Whatever is not as the table says on that way
(a frame that does not come, one that the decoder had to guess, a seek that lands elsewhere) sends the whole
request down the plain way: from the first packet, everything decoded. What fails there is an error.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import av
from av.video.frame import PictureType

from vssl_core.errors import VideoError
from vssl_core.video.direct import DirectPackets
from vssl_core.video.source import Source, frames, opened
from vssl_core.video.table import FrameTable, Key

__all__ = ["Sink", "decode_all", "decode_some"]

Sink = Callable[[int, Any], None]
"""(frame number, decoded picture) → None; may be called twice for a number, with the same frame."""

PacketsFrom = Callable[[int], Iterator[Any]]
"""Place of a key in the table → the packets from there (or from a key before it) on."""


_READ_AHEAD = 1 << 16  # bytes; packets of one run stand close together


class _NotAsExpected(Exception):  # noqa: N818 — not an error: the plain way decides
    """The quick way met something that the table does not say."""


def decode_some(path: str, table: FrameTable, wanted: Sequence[int], sink: Sink) -> None:
    """Hand each wanted frame (ascending, no duplicates) to the sink.

    Raises:
        VideoError: A wanted frame does not come out of the decoder, or not undamaged.
    """
    feed = _direct_feed if table.direct else _container_feed
    try:
        with feed(path, table) as (decoder, packets_from):
            for index, frame in _jumping(decoder, packets_from, table, wanted):
                sink(index, frame)
    except (_NotAsExpected, VideoError, av.FFmpegError, OSError):
        _plain(path, table, set(wanted), sink)


def decode_all(path: str, table: FrameTable, sink: Sink) -> None:
    """Hand every frame of the file to the sink, in the order in which the decoder gives them.

    Raises:
        VideoError: The frames that come are not exactly those of the table.
    """
    _plain(path, table, set(range(table.num_frames)), sink)


@contextmanager
def _direct_feed(path: str, table: FrameTable) -> Iterator[tuple[Any, PacketsFrom]]:
    """Packets out of the file, for a decoder that was made from the table."""
    direct = cast(DirectPackets, table.direct)
    decoder = direct.decoder()
    with Path(path).open("rb", buffering=_READ_AHEAD) as file:

        def packets_from(place: int) -> Iterator[Any]:
            decoder.flush_buffers()
            return direct.packets(file, table.keys[place].packet)

        yield decoder, packets_from


@contextmanager
def _container_feed(path: str, table: FrameTable) -> Iterator[tuple[Any, PacketsFrom]]:
    """Packets out of the container, by seeking in it."""
    with opened(path) as source:
        fresh = [True]

        def packets_from(place: int) -> Iterator[Any]:
            at_start, fresh[:] = place == 0 and fresh[0], [False]
            return source.packets() if at_start else _landed(source, table, place)

        yield source.decoder, packets_from


def _jumping(
    decoder: Any, packets_from: PacketsFrom, table: FrameTable, wanted: Sequence[int]
) -> Iterator[tuple[int, Any]]:
    from_key = _stamped_from if table.rule == "pts" else _counted_from
    for place, run in _runs(table, wanted):
        yield from from_key(decoder, packets_from(place), table, table.keys[place], run)


def _runs(table: FrameTable, wanted: Sequence[int]) -> list[tuple[int, list[int]]]:
    """(place of a key, wanted frames to decode from it in one go); a jump costs less than one frame."""
    starts = [key.frame for key in table.keys]
    runs: list[tuple[int, list[int]]] = []
    for index in wanted:
        place = max(0, bisect_right(starts, index) - 1)
        if runs and starts[place] <= runs[-1][1][-1] + 1:
            runs[-1][1].append(index)
        else:
            runs.append((place, [index]))
    return runs


def _landed(source: Source, table: FrameTable, place: int) -> Iterator[Any]:
    """Packets from key `place` or one before it on. Where a seek went is read off them, not believed."""
    key = table.keys[place]
    if table.rule == "emission":
        source.seek(key.dts)
        packets = source.packets()
        first = next(packets, None)
        if first is not None and first.dts == key.dts:
            return _chained(first, packets)
        raise _NotAsExpected
    before = {key.pts for key in table.keys[: place + 1]}
    for time in (key.pts, key.dts, table.keys[max(0, place - 1)].dts):
        source.seek(time)
        packets = source.packets()
        first = next((packet for packet in packets if packet.is_keyframe), None)
        if first is not None and first.pts in before:
            return _chained(first, packets)
    raise _NotAsExpected


def _chained(first: Any, rest: Iterator[Any]) -> Iterator[Any]:
    yield first
    yield from rest


def _stamped_from(
    decoder: Any, packets: Iterator[Any], table: FrameTable, key: Key, wanted: list[int]
) -> Iterator[tuple[int, Any]]:
    """Wanted frames known by their time stamps."""
    missing = {int(table.pts[index]): index for index in wanted}
    unsent = set(missing)
    check = _Checker(key)
    for packet in packets:
        if table.skips_droppable:
            decoder.skip_frame = "DEFAULT" if packet.pts in missing else "NONREF"
        unsent.discard(packet.pts)
        yield from check.chosen(decoder.decode(packet), missing)
        if not unsent:
            break  # all are in: what the decoder still holds back comes out by draining it
    yield from check.chosen(decoder.decode(None), missing)
    if missing:
        raise _NotAsExpected


class _Checker:
    """Lets frames through after the key frame came out as what it should be, a picture of its own.

    Containers also mark places from which a picture builds up over several frames (intra refresh);
    what is decoded from there resembles the frames, and is not them.
    """

    def __init__(self, key: Key) -> None:
        self._key = key
        self._seen = key.frame == 0

    def chosen(self, frames: list[Any], missing: dict[int, int]) -> Iterator[tuple[int, Any]]:
        for frame in frames:
            if frame.pts is None or frame.pts < self._key.pts:
                continue  # before the key in time: its references may be missing
            if frame.pts == self._key.pts:
                self._seen = self._seen or frame.pict_type in (PictureType.NONE, PictureType.I)
            if frame.is_corrupt or not self._seen:
                raise _NotAsExpected
            if frame.pts in missing:
                yield missing.pop(frame.pts), frame


def _counted_from(
    decoder: Any, packets: Iterator[Any], table: FrameTable, key: Key, wanted: list[int]
) -> Iterator[tuple[int, Any]]:
    """Wanted frames known by how many came out before them, counted from the key frame."""
    missing = set(wanted)
    index = -1 if key.frame else 0  # -1: the key frame has not come yet; what comes before it is no frame
    for frame in frames(decoder, packets):
        if index < 0:
            if not frame.key_frame:
                continue
            index = key.frame
        if frame.is_corrupt:
            raise _NotAsExpected
        if index in missing:
            missing.discard(index)
            yield index, frame
        if not missing:
            return
        index += 1
    raise _NotAsExpected


def _plain(path: str, table: FrameTable, wanted: set[int], sink: Sink) -> None:
    places = {pts: index for index, pts in enumerate(table.pts.tolist())} if table.rule == "pts" else None
    missing = set(wanted)
    with opened(path) as source:
        for count, frame in enumerate(frames(source.decoder, source.packets())):
            index = count if places is None else places.get(frame.pts)
            if frame.is_corrupt and index is not None:
                reason = f"the decoder had to guess parts of frame {index}: the data is damaged"
                raise VideoError(path, reason)
            if index in missing:
                missing.discard(index)
                sink(index, frame)
            if not missing:
                break
    if missing:
        reason = (
            f"expected {len(wanted)} of its {table.num_frames} frames, but {len(missing)} of them, frame "
            f"{min(missing)} the first, never came out of the decoder: the data is damaged"
        )
        raise VideoError(path, reason)
