"""Does a file hold what its container promises? Asked of the container alone, without decoding.

Demuxers are made to play whatever is there: they end quietly where a file was cut and step over
ranges that make no sense, and then a damaged video looks like a shorter one. The three container
families that matter say how many bytes belong to them and chain their parts without gaps, so a walk
over the part headers shows both kinds of damage for the price of one small read per part.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

__all__ = ["damage"]

_Read = Callable[[int, int], bytes]  # (offset, number of bytes) → at most that many

_SEGMENT, _CLUSTER, _EBML = 0x18538067, 0x1F43B675, 0x1A45DFA3
_FILLERS = {0xEC, 0xBF}  # Void, CRC-32: allowed anywhere
_SEGMENT_PARTS = _FILLERS | {
    _CLUSTER,
    0x114D9B74,  # SeekHead
    0x1549A966,  # Info
    0x1654AE6B,  # Tracks
    0x1C53BB6B,  # Cues
    0x1043A770,  # Chapters
    0x1254C367,  # Tags
    0x1941A469,  # Attachments
}
_CLUSTER_PARTS = _FILLERS | {
    0xE7,  # Timestamp
    0xA3,  # SimpleBlock
    0xA0,  # BlockGroup
    0xAB,  # PrevSize
    0xA7,  # Position
    0x5854,  # SilentTracks
    0xAF,  # EncryptedBlock
}


def damage(path: str) -> str | None:
    """What is missing or overwritten in the file's structure, or None where nothing seems to be.

    Knows the MP4/MOV, AVI and Matroska/WebM families; of other files it says nothing.
    """
    with Path(path).open("rb", buffering=0) as file:
        number = file.fileno()
        size = os.fstat(number).st_size

        def read(offset: int, count: int) -> bytes:
            return os.pread(number, count, offset)

        start = read(0, 12)
        if start[4:8] in (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide"):
            return _boxes(read, size)
        if start[:4] == b"RIFF" and start[8:] == b"AVI ":
            return _chunks(read, size)
        if int.from_bytes(start[:4], "big") == _EBML:
            return _elements(read, size)
        return None


def _cut(name: str, end: int, size: int) -> str:
    return f"{name} should reach to byte {end}, but the file ends at byte {size}: it was cut off"


def _broken(name: str, offset: int) -> str:
    return f"{name} should begin at byte {offset}, but there is something else: a part was overwritten"


def _boxes(read: _Read, size: int) -> str | None:
    """MP4 and MOV: top-level boxes follow one another to the end of the file."""
    offset = 0
    while offset + 8 <= size:
        head = read(offset, 16)
        length = int.from_bytes(head[:4], "big")
        if length == 1:
            length = int.from_bytes(head[8:16], "big")
        if length < 8:  # 0: to the end of the file; else no box: trailing bytes that players ignore
            return None
        name = head[4:8].decode("latin-1")
        offset += length
        if offset > size:
            return _cut(f"the box {name!r}", offset, size)
    return None


def _chunks(read: _Read, size: int) -> str | None:
    """AVI: the RIFF form says its length, and the chunks of its `movi` list follow one another.

    Some writers count the form's own 8 bytes. Then all chunks decide, to the last byte of the file.
    """
    end = 8 + int.from_bytes(read(4, 4), "little")
    short = size < end < 0xFFFFFFF8  # recorders that were never stopped leave 0 or all ones
    if short and end != size + 8:
        return _cut("the AVI", end, size)
    offset = 12
    while offset + 12 <= size:
        head = read(offset, 12)
        if not _is_chunk(head[:4]):
            return _broken("a chunk of the AVI", offset)
        length = int.from_bytes(head[4:8], "little")
        if head[:4] == b"LIST" and head[8:] == b"movi":
            reason = _movie(read, offset + 12, min(offset + 8 + length, size))
            if reason or not short:
                return reason
        offset += 8 + length + length % 2
    return _cut("the AVI", end, size) if short and offset not in (size, size + 1) else None


def _movie(read: _Read, offset: int, end: int) -> str | None:
    length = 0
    while offset + 8 <= end:
        if length % 2 and not _is_chunk(read(offset, 4)):
            offset -= 1  # some writers leave out the byte that pads odd chunks
        head = read(offset, 8)
        if not _is_chunk(head[:4]):
            return _broken("a chunk of the AVI", offset)
        length = int.from_bytes(head[4:8], "little")
        if head[:4] == b"LIST":
            offset, length = offset + 12, 0  # into the list
        else:
            offset += 8 + length + length % 2
    return _cut("the last chunk of the AVI", offset, end) if offset > end + 1 else None


def _is_chunk(name: bytes) -> bool:
    return name.isascii() and name.decode().isprintable()


def _elements(read: _Read, size: int) -> str | None:
    """Matroska and WebM: elements follow one another in the segment and in each of its clusters."""
    offset = 0
    while offset < size:
        name, body, length = _element(read, offset)
        if name == _SEGMENT:
            if length is None:
                return None  # written as a stream: it promises nothing
            if body + length > size:
                return _cut("the Matroska segment", body + length, size)
            return _children(read, body, body + length, _SEGMENT_PARTS)
        if length is None or name is None:
            return None
        offset = body + length
    return None


def _children(read: _Read, offset: int, end: int, known: set[int]) -> str | None:
    while offset < end:
        name, body, length = _element(read, offset)
        if name not in known:
            return _broken("an element of the Matroska file", offset)
        if length is None:
            return None
        if body + length > end:
            return _broken("an element of the Matroska file", offset)
        if name == _CLUSTER and (reason := _children(read, body, body + length, _CLUSTER_PARTS)):
            return reason
        offset = body + length
    return None


def _element(read: _Read, offset: int) -> tuple[int | None, int, int | None]:
    """(id, offset of the body, length of the body or None where it is not said)."""
    head = read(offset, 12)
    id_bytes = 9 - head[0].bit_length() if head else 9
    if id_bytes > 4 or len(head) <= id_bytes:
        return None, offset, None
    size_bytes = 9 - head[id_bytes].bit_length()
    if size_bytes > 8 or len(head) < id_bytes + size_bytes:
        return None, offset, None
    value = int.from_bytes(head[id_bytes : id_bytes + size_bytes], "big")
    everything = (1 << 7 * size_bytes) - 1
    length = value & everything
    body = offset + id_bytes + size_bytes
    return int.from_bytes(head[:id_bytes], "big"), body, None if length == everything else length
