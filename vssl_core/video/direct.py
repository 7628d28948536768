"""Packets read straight from the file, without opening its container again.

In MP4 and MOV the bytes of a packet stand in the file just as the decoder takes them. Once a table knows
where, a clip needs neither the container's index nor FFmpeg's probing of every stream, which together cost
as much as decoding several frames, nor a seek that may land elsewhere.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

import av
import numpy as np

__all__ = ["DirectPackets", "stands_at"]

_COLOURS = ("color_range", "colorspace", "color_primaries", "color_trc")


def stands_at(packet: Any, file: BinaryIO) -> bool:
    """True where the file holds the packet's bytes at its position, and nothing else belongs to it."""
    if packet.pos is None or packet.has_sidedata("new_extradata"):
        return False
    return os.pread(file.fileno(), packet.size, packet.pos) == bytes(packet)


@dataclass(frozen=True, slots=True)
class DirectPackets:
    """All packets of a video stream (P,) in decoding order, and what its decoder must know.

    Args:
        decoder_name: FFmpeg's name of the decoder.
        setup: The codec's global header.
        colours: What the container says about range, space, primaries and transfer.
        reorder: Frames that come out later than they go in.
        offsets: Bytes from the beginning of the file.
        sizes: Bytes.
        pts: Presentation time stamps.
        raw: Of raw frames alone: width, height, the container's tag, bits of a pixel.
    """

    decoder_name: str
    setup: bytes
    colours: tuple[int, ...]
    reorder: int
    offsets: np.ndarray
    sizes: np.ndarray
    pts: np.ndarray
    raw: tuple[int, int, str, int] | None = None

    @classmethod
    def of(cls, decoder: Any, offsets: np.ndarray, sizes: np.ndarray, pts: np.ndarray) -> DirectPackets:
        """The packets of the stream that this decoder was made for."""
        colours = tuple(int(getattr(decoder, name)) for name in _COLOURS)
        setup = bytes(decoder.extradata or b"")
        raw = None
        if decoder.name == "rawvideo":
            raw = (decoder.width, decoder.height, str(decoder.codec_tag), int(decoder.bits_per_coded_sample))
        return cls(str(decoder.name), setup, colours, int(decoder.reorder_depth), offsets, sizes, pts, raw)

    @property
    def nbytes(self) -> int:
        """About how much memory they take."""
        return self.offsets.nbytes + self.sizes.nbytes + self.pts.nbytes + len(self.setup) + 500

    def decoder(self) -> Any:
        """A new decoder for these packets."""
        decoder: Any = av.CodecContext.create(self.decoder_name, "r")
        decoder.extradata = self.setup or None
        for name, value in zip(_COLOURS, self.colours, strict=True):
            setattr(decoder, name, value)
        if self.raw:
            decoder.width, decoder.height, decoder.codec_tag, decoder.bits_per_coded_sample = self.raw
        decoder.options = {"has_b_frames": str(self.reorder)}
        decoder.thread_type = "NONE"
        decoder.thread_count = 1
        return decoder

    def packets(self, file: BinaryIO, start: int) -> Iterator[Any]:
        """The packets from number `start` on."""
        parts = (self.offsets[start:], self.sizes[start:], self.pts[start:])
        for offset, size, pts in zip(*(part.tolist() for part in parts), strict=True):
            file.seek(offset)
            data = file.read(size)
            if len(data) != size:
                raise OSError(f"the file ends before byte {offset + size}, where a packet ends")
            # Allocated by FFmpeg: decoders read beyond the end of a packet and need zeros there, which
            # a packet that stands on Python's bytes does not have.
            packet: Any = av.Packet(size)
            packet.update(data)
            packet.pts = pts
            yield packet

    def to_json(self) -> dict[str, Any]:
        """Plain values; `from_json` takes them back."""
        return {
            "decoder_name": self.decoder_name,
            "setup": self.setup.hex(),
            "colours": list(self.colours),
            "reorder": self.reorder,
            "offsets": self.offsets.tolist(),
            "sizes": self.sizes.tolist(),
            "pts": self.pts.tolist(),
            "raw": self.raw,
        }

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> DirectPackets:
        """The packets that `to_json` described."""
        arrays = {name: np.asarray(values[name], dtype=np.int64) for name in ("offsets", "sizes", "pts")}
        setup, colours = bytes.fromhex(values["setup"]), tuple(values["colours"])
        raw = tuple(values["raw"]) if values.get("raw") else None
        return cls(**{**values, **arrays, "setup": setup, "colours": colours, "raw": raw})
