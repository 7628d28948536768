"""PyAV as a decoder: vssl's own way through the packets (`decode`), swscale for colour and size."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import av
import numpy as np

from vssl_core.video.decode import Sink, decode_all, decode_some
from vssl_core.video.decoder import Look
from vssl_core.video.pixels import RESIZE, write_rgb
from vssl_core.video.scan import scan
from vssl_core.video.table import FrameTable

__all__ = ["PyAVDecoder", "pyav_versions"]


class PyAVDecoder:
    """See `Decoder`. Pictures are PyAV's frames, as they were coded."""

    name = "pyav"

    def identity(self) -> dict[str, str]:
        """PyAV and the FFmpeg libraries that it brings."""
        return {"decoder": self.name, **pyav_versions()}

    def colour_and_resize(self, short_side: int | None) -> dict[str, str | None]:
        """swscale does both."""
        return {"colour": "swscale rgb24", "resize": RESIZE if short_side else None}

    def decode_some(self, path: str, table: FrameTable, wanted: Sequence[int], sink: Sink) -> None:
        """As few frames as possible."""
        decode_some(path, table, wanted, sink)

    def decode_all(self, path: str, table: FrameTable, sink: Sink) -> None:
        """From the first packet on."""
        decode_all(path, table, sink)

    def write_rgb(self, picture: Any, table: FrameTable, out_HWC: np.ndarray) -> None:
        """The frame stands as it was coded; it is turned here."""
        write_rgb(picture, table.rotation, out_HWC)

    def look(self, path: str) -> Look:
        """The table of the file."""
        table = scan(path)
        return Look(table.num_frames, table.width, table.height, table.rotation, table.seconds())


@cache
def pyav_versions() -> dict[str, str]:
    """Versions of PyAV and of the libraries in it that decide about frames."""
    libraries = ("libavcodec", "libavformat", "libswscale")
    versions = {name: ".".join(map(str, av.library_versions[name])) for name in libraries}
    return {"pyav": av.__version__, **versions}
