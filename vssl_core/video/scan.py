"""Looks at a file once and makes its table: which frames there are, and how each is to be found.

Frame numbers never come from a time multiplied by a rate, and never from a header's count. Where every
packet carries a time stamp of its own and is exactly one frame (H.264, HEVC, VP9 and AV1 in MP4, MOV,
Matroska and WebM), the packets alone tell everything: frame i is the one with the i-th time stamp. Every
other file is decoded once from its beginning to see what comes out. AVI has no time stamps (FFmpeg makes
them up, in the wrong order for packed B frames), so its frames are numbered as they come out.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any, BinaryIO, Literal, cast

import numpy as np

from vssl_core.errors import VideoError
from vssl_core.video.decode import decode_all
from vssl_core.video.direct import DirectPackets, stands_at
from vssl_core.video.integrity import damage
from vssl_core.video.source import Source, frames, opened, unreadable
from vssl_core.video.table import FrameTable, Key

__all__ = ["scan", "scan_whole"]

_STAMPED_CONTAINERS = ("mov,mp4", "matroska")
_ONE_FRAME_PER_PACKET = {"h264", "hevc", "vp9", "av1", "mjpeg", "rawvideo"}
# VP8 hides its reference frames in packets of their own. MPEG-4 part 2 has packets that repeat a frame, all
# of them small: it counts where there is no small one and no B frame.

_COUNTABLE = {"mpeg4"}
# Codecs that, begun at a key packet, first give that key frame and then the frames that would follow it,
# and in which only packets of a few bytes ("show the last frame again") give no frame.

_REPEAT_BYTES = 19


@dataclass(frozen=True, slots=True)
class _Packet:
    pts: int | None
    dts: int | None
    key: bool
    discard: bool
    size: int
    offset: int | None  # where its bytes stand in the file just so


@dataclass(frozen=True, slots=True)
class _Frame:
    pts: int | None
    key: bool


def scan(path: str) -> FrameTable:
    """Make the table of a file.

    Raises:
        VideoError: The file is no video, gives no frame, is seen to be damaged, or cannot be read.
    """
    return _readable(path)[0]


def scan_whole(path: str) -> FrameTable:
    """The same after decoding every frame once, so that damage anywhere in the file is found.

    Raises:
        VideoError: The file is no video, gives no frame, or is damaged.
    """
    table, is_decoded = _readable(path)
    if not is_decoded:
        decode_all(path, table, lambda index, frame: None)
    return table


def _readable(path: str) -> tuple[FrameTable, bool]:
    try:
        return _scanned(path)
    except OSError as error:
        raise unreadable(path, error) from error


def _scanned(path: str) -> tuple[FrameTable, bool]:
    """The table, and whether making it took decoding the whole file."""
    if reason := damage(path):
        raise VideoError(path, reason)
    with opened(path) as source, Path(path).open("rb", buffering=0) as file:
        packets, first = _read_packets(source, file)
        if first is None:
            reason = f"expected at least one frame, but none of its {len(packets)} packets gives one"
            raise VideoError(path, reason)
        if not _packets_suffice(source, packets):
            return _with_direct(_decoded_table(path, first), source, packets), True
        shown = [packet for packet in packets if not packet.discard]
        pts = np.sort(np.array([packet.pts for packet in shown], dtype=np.int64))
        table = _table(source, "pts", pts, _keys_by_pts(pts, packets), first)
        return replace(table, direct=_direct(source, packets)), False


def _read_packets(source: Source, file: BinaryIO) -> tuple[list[_Packet], Any]:
    """All packets, and the first frame that decoding gives (its size and rotation are the video's)."""
    packets: list[_Packet] = []
    whole = file if source.format.startswith("mov") else None
    first = next(frames(source.decoder, _noted(source, packets, whole)), None)
    if first is not None:
        for _ in _noted(source, packets, whole):
            pass
    return packets, first


def _packets_suffice(source: Source, packets: list[_Packet]) -> bool:
    """True where packets and frames are one to one, so that nothing needs to be decoded to count."""
    if not source.format.startswith(_STAMPED_CONTAINERS):
        return False
    plain = _in_order(source, packets) and all(packet.size > _REPEAT_BYTES for packet in packets)
    if source.codec not in _ONE_FRAME_PER_PACKET and not plain:
        return False
    shown = [packet.pts for packet in packets if not packet.discard]
    stamped = [pts for pts in shown if pts is not None]
    if len(set(stamped)) < len(shown) or not packets[0].key or packets[0].pts is None:
        return False
    return min(stamped) >= packets[0].pts  # else frames before the first key may never come out


def _keys_by_pts(pts: np.ndarray, packets: list[_Packet]) -> tuple[Key, ...]:
    """The key packets after which come, in decoding order, all frames that are shown after them."""
    number = {packet.pts: place for place, packet in enumerate(packets) if not packet.discard}
    places = np.array([number.get(value, -1) for value in pts.tolist()])
    earliest = np.minimum.accumulate(places[::-1])[::-1]  # of the packets of frames i, i + 1, …
    keys = [_beginning(packets, int(pts[0]))]
    for place, packet in enumerate(packets):
        if not packet.key or packet.pts is None:
            continue
        frame = int(np.searchsorted(pts, packet.pts))
        if keys[-1].frame < frame < len(pts) and earliest[frame] >= place:
            keys.append(Key(frame, place, packet.pts, packet.pts if packet.dts is None else packet.dts))
    return tuple(keys)


def _beginning(packets: list[_Packet], pts: int) -> Key:
    return Key(0, 0, pts, pts if packets[0].dts is None else packets[0].dts)


def _decoded_table(path: str, first: Any) -> FrameTable:
    """The table of a file whose packets do not tell how many frames there are: decode all of it."""
    packets: list[_Packet] = []
    with opened(path) as source:
        out = frames(source.decoder, _noted(source, packets))
        found = [_checked(path, place, frame) for place, frame in enumerate(out)]
        full = sum(packet.size > _REPEAT_BYTES for packet in packets)
        if source.codec in _COUNTABLE and len(found) < full:
            reason = f"expected a frame from each of {full} packets, but {len(found)} came: it is damaged"
            raise VideoError(path, reason)
        stamps = [frame.pts for frame in found if frame.pts is not None]
        pts = np.array(stamps, dtype=np.int64)
        rising = len(pts) == len(found) and bool((np.diff(pts) > 0).all())
        if rising and source.format != "avi":
            return _table(source, "pts", pts, _keys_by_pts(pts, packets), first)
        keys = _keys_by_emission(source, packets, found)
        if len(pts) < len(found):  # no times: evenly spaced ones
            step = 1 / ((source.stream.average_rate or Fraction(25)) * source.stream.time_base)
            pts = np.array([round(place * step) for place in range(len(found))], dtype=np.int64)
        return _table(source, "emission", np.sort(pts), keys, first)


def _noted(source: Source, packets: list[_Packet], file: BinaryIO | None = None) -> Iterator[Any]:
    """The source's packets, each written down; with the file at hand, also whether its bytes stand in it."""
    for packet in source.packets():
        if packet.is_corrupt:
            reason = f"packet {len(packets)} is cut or overwritten; get the file again or leave it out"
            raise VideoError(source.path, reason)
        offset = packet.pos if file and stands_at(packet, file) else None
        packets.append(
            _Packet(packet.pts, packet.dts, packet.is_keyframe, packet.is_discard, packet.size, offset)
        )
        yield packet


def _in_order(source: Source, packets: list[_Packet]) -> bool:
    """MPEG-4 part 2 without B frames: packets are shown in the order in which they stand."""
    stamps = [packet.pts for packet in packets if packet.pts is not None]
    return source.codec in _COUNTABLE and all(one < other for one, other in pairwise(stamps))


def _with_direct(table: FrameTable, source: Source, packets: list[_Packet]) -> FrameTable:
    """With the places of its packets, where decoding showed that each of them is one frame."""
    shown = sorted(packet.pts for packet in packets if packet.pts is not None)
    if not _in_order(source, packets) or table.rule != "pts" or shown != table.pts.tolist():
        return table
    return replace(table, direct=_direct(source, packets))


def _direct(source: Source, packets: list[_Packet]) -> DirectPackets | None:
    if source.codec == "mpeg4" and source.decoder.codec_tag != "mp4v":
        return None  # by a container's tag FFmpeg takes another transform, and the frames are others
    offsets = [packet.offset for packet in packets if packet.offset is not None and not packet.discard]
    if len(offsets) < len(packets):
        return None
    pts = np.array([packet.pts for packet in packets], dtype=np.int64)
    sizes = np.array([packet.size for packet in packets], dtype=np.int64)
    return DirectPackets.of(source.decoder, np.array(offsets, dtype=np.int64), sizes, pts)


def _checked(path: str, place: int, frame: Any) -> _Frame:
    if frame.is_corrupt:
        raise VideoError(path, f"the decoder had to guess parts of frame {place}: the data is damaged")
    return _Frame(frame.pts, frame.key_frame)


def _keys_by_emission(source: Source, packets: list[_Packet], found: list[_Frame]) -> tuple[Key, ...]:
    """Key packets whose frame is known for sure among the frames that came out."""
    keys = [_beginning(packets, packets[0].pts or 0)]
    if source.codec not in _COUNTABLE:
        return tuple(keys)
    came = {frame.pts: place for place, frame in enumerate(found) if frame.key}
    for place, packet in enumerate(packets):
        frame = came.get(packet.pts, 0) if packet.key else 0
        if frame > keys[-1].frame and packet.pts is not None and packet.dts is not None:
            keys.append(Key(frame, place, packet.pts, packet.dts))
    return tuple(keys)


def _table(
    source: Source, rule: Literal["pts", "emission"], pts: np.ndarray, keys: tuple[Key, ...], first: Any
) -> FrameTable:
    turned = round(-first.rotation / 90) % 4 * 90
    width, height = first.width, first.height
    if turned in (90, 270):
        width, height = height, width
    base = cast(Fraction, source.stream.time_base)
    fps = _fps(pts, base, source.stream.average_rate)
    return FrameTable(rule, pts, base, keys, fps, width, height, source.codec, turned)


def _fps(pts: np.ndarray, time_base: Fraction, claimed: Fraction | None) -> Fraction:
    """Frames per second between the first and the last; the header's claim where the two agree."""
    if len(pts) < 2 or pts[-1] == pts[0]:
        return claimed or Fraction(25)
    seconds = int(pts[-1] - pts[0]) * time_base
    if claimed and abs(claimed * seconds + 1 - len(pts)) <= max(2, 0.01 * len(pts)):
        return claimed
    return ((len(pts) - 1) / seconds).limit_denominator(1_000_000)
