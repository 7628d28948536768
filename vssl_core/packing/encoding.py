"""One packed file: the frames of a video, small, and coded so that a clip costs little to read.

All formats are files that players open, and that the frame reader reads by its usual rules: `mpeg4` (MPEG-4
part 2 in MP4, no B frames, a key frame every `gop` frames), `jpeg` (Motion JPEG in MOV: every frame alone,
for large strides) and `raw` (four bytes a pixel in MOV: the same bits as the source, for small sets). Frames
keep their number and their time.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from vssl_core.errors import OptionError, did_you_mean

__all__ = ["PACK_FORMATS", "PackSettings", "encode"]


@dataclass(frozen=True, slots=True)
class _Format:
    codec: str
    container: str
    suffix: str
    pix_fmt: str


_FORMATS = {
    "mpeg4": _Format("mpeg4", "mp4", ".mp4", "yuv420p"),
    "jpeg": _Format("mjpeg", "mov", ".mov", "yuvj420p"),
    "raw": _Format("rawvideo", "mov", ".mov", "argb"),
}
PACK_FORMATS = tuple(_FORMATS)


class PackSettings(BaseModel):
    """How a packed copy is made."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: str = "mpeg4"
    short_side: int = Field(128, ge=16)
    """Frames are reduced to this short side, aspect kept, never enlarged."""
    quality: int = Field(3, ge=1, le=31)
    """Quantiser of mpeg4 and jpeg: 2 is almost lossless, 31 the worst."""
    gop: int = Field(8, ge=1, le=600)
    """Frames from one key frame of mpeg4 to the next."""
    decoder: str = "pyav"

    @property
    def suffix(self) -> str:
        """Of the files."""
        return self.kind.suffix

    @property
    def lossless(self) -> bool:
        """Whether packed frames are the source's, bit for bit."""
        return self.format == "raw"

    @property
    def kind(self) -> _Format:
        """The codec behind the format. Raises OptionError for a format that there is not."""
        if self.format not in _FORMATS:
            raise OptionError(f"there is no format {self.format!r}.{did_you_mean(self.format, _FORMATS)}")
        return _FORMATS[self.format]

    def encoder(self) -> dict[str, Any]:
        """Everything that decides about the bits of a packed file, as JSON values."""
        versions = {
            name: ".".join(map(str, av.library_versions[name])) for name in ("libavcodec", "libavformat")
        }
        kind = self.kind
        return {"codec": kind.codec, "pix_fmt": kind.pix_fmt, "options": self.options(), **versions}

    def options(self) -> dict[str, str]:
        """What the codec is told."""
        if self.format == "raw":
            return {}
        common = {"flags": "+bitexact", "qmin": str(self.quality), "qmax": str(self.quality), "b": "1G"}
        if self.format == "jpeg":
            return common
        return {**common, "g": str(self.gop), "bf": "0", "sc_threshold": "1000000000"}


def encode(
    path: Path,
    frames: Iterator[np.ndarray],
    *,
    pts: np.ndarray,
    time_base: Fraction,
    settings: PackSettings,
) -> None:
    """Write frames (H, W, 3) uint8 RGB with these times (N,), in units of `time_base`, from 0 on.

    Raises:
        av.FFmpegError: FFmpeg cannot write it.
    """
    kind = settings.kind
    first = next(frames)
    with av.open(str(path), "w", format=kind.container, options={"fflags": "+bitexact"}) as file:
        stream: Any = file.add_stream(kind.codec, rate=25, options=settings.options())
        stream.height, stream.width = first.shape[:2]
        stream.pix_fmt = kind.pix_fmt
        stream.codec_context.thread_count = 1
        stream.time_base = time_base
        writing = _Writing(file, stream, pts, time_base)
        writing.add(first)
        for frame in frames:
            writing.add(frame)
        writing.flush()


class _Writing:
    """Frames go in by number; packets get the number's time, since no codec here changes the order."""

    def __init__(self, file: Any, stream: Any, pts: np.ndarray, time_base: Fraction) -> None:
        self._file, self._stream, self._time_base = file, stream, time_base
        self._pts = [int(value) for value in pts]
        self._in, self._out = 0, 0

    def add(self, frame_HWC: np.ndarray) -> None:
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame_HWC), format="rgb24")
        frame.pts, frame.time_base = self._in, Fraction(1, 25)
        self._in += 1
        self._mux(self._stream.encode(frame))

    def flush(self) -> None:
        self._mux(self._stream.encode(None))

    def _mux(self, packets: list[Any]) -> None:
        for packet in packets:
            now = self._pts[self._out]
            last = self._out + 1 == len(self._pts)
            packet.pts = packet.dts = now
            packet.duration = (
                self._pts[self._out] - self._pts[self._out - 1] if last else self._pts[self._out + 1] - now
            )
            packet.time_base = self._time_base
            self._file.mux(packet)
            self._out += 1
