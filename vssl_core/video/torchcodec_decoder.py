"""torchcodec as a decoder. Frames are chosen by vssl's table, never by torchcodec's own count.

Its `VideoDecoder` numbers frames by time stamps, which AVI does not have: with packed B frames it gives the
neighbours of the frames asked for, and says nothing. So it is used where frames are known by their time
stamps, and the stamp of every frame that comes is compared with the table's. Other files are decoded packet
by packet from their beginning and counted as frames come out; so is a file whose stamps do not agree.
Unlike PyAV it does not say where it had to guess parts of a frame.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from importlib.metadata import version
from typing import Any

import numpy as np
import torch

from vssl_core.errors import OptionError, VideoError
from vssl_core.video.decode import Sink
from vssl_core.video.decoder import Look
from vssl_core.video.pyav_decoder import pyav_versions
from vssl_core.video.table import FrameTable

__all__ = ["TorchCodecDecoder"]

RESIZE = "torch bilinear antialiased uint8"
_AT_ONCE = 32  # frames that are decoded into one tensor


class _NotAsExpected(Exception):  # noqa: N818 — not an error: counting from the beginning decides
    """Other frames came than the table says."""


class TorchCodecDecoder:
    """See `Decoder`. Pictures are RGB bytes (H, W, 3), upright.

    Raises:
        OptionError: torchcodec is not installed, is too old, or finds no FFmpeg.
    """

    name = "torchcodec"

    def __init__(self) -> None:
        self._torchcodec, self._decoders = _imported()

    def identity(self) -> dict[str, str]:
        """torchcodec, the FFmpeg that it found, and PyAV, which makes the tables."""
        versions = {"torchcodec": version("torchcodec"), "torch": torch.__version__}
        return {"decoder": self.name, **versions, **self._ffmpeg(), **pyav_versions()}

    def _ffmpeg(self) -> dict[str, str]:
        """Versions of the system's FFmpeg: decoders change from one release to the next."""
        tell = getattr(getattr(self._torchcodec, "_core", None), "get_ffmpeg_library_versions", None)
        if tell is None:
            return {"ffmpeg": str(getattr(self._torchcodec, "ffmpeg_major_version", "unknown"))}
        told = tell()
        libraries = {f"ffmpeg's {name}": told[name] for name in sorted(told) if name.startswith("lib")}
        return {
            "ffmpeg": str(told.get("ffmpeg_version", "unknown")),
            **{name: ".".join(map(str, numbers)) for name, numbers in libraries.items()},
        }

    def colour_and_resize(self, short_side: int | None) -> dict[str, str | None]:
        """Colour is torchcodec's, size torch's."""
        return {"colour": "torchcodec rgb", "resize": RESIZE if short_side else None}

    def decode_some(self, path: str, table: FrameTable, wanted: Sequence[int], sink: Sink) -> None:
        """By time stamps where there are any."""
        if table.rule == "pts":
            try:
                self._stamped(path, table, wanted, sink)
            except (_NotAsExpected, RuntimeError, ValueError, IndexError):
                pass
            else:
                return
        self._counted(path, table, set(wanted), sink)

    def decode_all(self, path: str, table: FrameTable, sink: Sink) -> None:
        """Packet by packet."""
        self._counted(path, table, set(range(table.num_frames)), sink)

    def write_rgb(self, picture: Any, table: FrameTable, out_HWC: np.ndarray) -> None:
        """The picture is upright."""
        del table
        if picture.shape != out_HWC.shape:
            picture = _resized(picture, out_HWC.shape[0], out_HWC.shape[1])
        out_HWC[:] = picture

    def look(self, path: str) -> Look:
        """Its exact mode: what a scan of the packets says."""
        try:
            found = self._decoders.VideoDecoder(path, num_ffmpeg_threads=1)
            index = self._decoders.Demuxer(path).streams[0].scan()
        except (RuntimeError, ValueError, AssertionError) as error:
            raise VideoError(path, f"torchcodec cannot open it ({_said(error)})") from error
        about = found.metadata
        seconds = np.asarray(index.pts_seconds)
        return Look(len(found), about.width, about.height, _clockwise(about), seconds - seconds[0])

    def _stamped(self, path: str, table: FrameTable, wanted: Sequence[int], sink: Sink) -> None:
        """By `VideoDecoder`; nothing is handed on that has another stamp than the table says."""
        source = self._decoders.VideoDecoder(path, num_ffmpeg_threads=1, dimension_order="NHWC")
        if len(source) != table.num_frames:
            raise _NotAsExpected
        for start in range(0, len(wanted), _AT_ONCE):
            some = list(wanted[start : start + _AT_ONCE])
            batch = source.get_frames_at(some)
            ticks = [_ticks(seconds, table.time_base) for seconds in batch.pts_seconds.tolist()]
            if ticks != table.pts[some].tolist():
                raise _NotAsExpected
            for index, picture in zip(some, batch.data.numpy(), strict=True):
                _check_size(path, table, picture)
                sink(index, picture)

    def _counted(self, path: str, table: FrameTable, wanted: set[int], sink: Sink) -> None:
        """All packets from the beginning on; frames by their number, or by their stamp."""
        places = {pts: index for index, pts in enumerate(table.pts.tolist())} if table.rule == "pts" else None
        missing = set(wanted)
        converter = self._decoders.ColorConverter(device="cpu")
        for count, raw in enumerate(self._raw_frames(path)):
            index = count if places is None else places.get(_ticks(raw.pts_seconds, table.time_base))
            if index in missing:
                missing.discard(index)
                picture = converter.convert(raw).data.permute(1, 2, 0).numpy()
                _check_size(path, table, picture)
                sink(index, picture)
            if not missing:
                return
        reason = (
            f"expected {len(wanted)} of its {table.num_frames} frames, but {len(missing)} of them, frame "
            f"{min(missing)} the first, never came out of torchcodec; -o protocol.data.decoder=pyav reads "
            "it if it is undamaged"
        )
        raise VideoError(path, reason)

    def _raw_frames(self, path: str) -> Iterator[Any]:
        """Every frame, in the order in which they come out."""
        try:
            demuxer = self._decoders.Demuxer(path)
            packets = demuxer.streams[0].make_decoder(device="cpu", num_ffmpeg_threads=1)
            for packet in demuxer:
                yield from packets.decode(packet)
            yield from packets.drain()
        except (RuntimeError, ValueError) as error:
            raise VideoError(path, f"torchcodec cannot decode it ({_said(error)})") from error


def _imported() -> tuple[Any, Any]:
    way_out = (
        "`pip install 'torchcodec>=0.17'` in a version for your torch, and FFmpeg's libraries (4 to 9) from "
        "your system or conda; or use -o protocol.data.decoder=pyav, which needs neither."
    )
    try:
        import torchcodec
        from torchcodec import decoders
    except ImportError as error:
        if error.name and error.name.partition(".")[0] == "torchcodec":
            raise OptionError(f"the decoder 'torchcodec' is not installed: {way_out}") from error
        raise OptionError(f"the decoder 'torchcodec' cannot be loaded ({_said(error)}): {way_out}") from error
    except (OSError, RuntimeError) as error:  # no FFmpeg, or one of another version
        raise OptionError(f"the decoder 'torchcodec' cannot be loaded ({_said(error)}): {way_out}") from error
    if not hasattr(decoders, "Demuxer"):
        raise OptionError(f"the decoder 'torchcodec' {version('torchcodec')} is too old: {way_out}")
    return torchcodec, decoders


def _said(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]


def _ticks(seconds: float, time_base: Fraction) -> int:
    return round(seconds * time_base.denominator / time_base.numerator)


def _clockwise(about: Any) -> int:
    """vssl's rotation from FFmpeg's, which counts the other way round."""
    return round(-(getattr(about, "rotation", None) or 0) / 90) % 4 * 90


def _check_size(path: str, table: FrameTable, picture_HWC: np.ndarray) -> None:
    if picture_HWC.shape != (table.height, table.width, 3):
        height, width = picture_HWC.shape[:2]
        reason = (
            f"expected frames of {table.width} x {table.height} pixels, but torchcodec gives {width} x "
            f"{height}; -o protocol.data.decoder=pyav reads it"
        )
        raise VideoError(path, reason)


def _resized(picture_HWC: np.ndarray, height: int, width: int) -> np.ndarray:
    planes = torch.from_numpy(picture_HWC).permute(2, 0, 1)[None]
    small = torch.nn.functional.interpolate(planes, size=(height, width), mode="bilinear", antialias=True)
    resized: np.ndarray = small[0].permute(1, 2, 0).numpy()
    return resized
