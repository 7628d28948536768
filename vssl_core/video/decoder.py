"""What a decoder is. Frames are known by their numbers in the file's table, whichever decoder gives them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from vssl_core.video.decode import Sink
from vssl_core.video.table import FrameTable

__all__ = ["Decoder", "Look"]


@dataclass(frozen=True, slots=True)
class Look:
    """What a decoder's own library says about a file, asked in its own way.

    Args:
        num_frames: How many frames it promises.
        width: Pixels as shown, after rotation.
        height: Pixels as shown, after rotation.
        rotation: Degrees clockwise, 0, 90, 180 or 270.
        seconds: Time of each frame (N,) float64, ascending, counted from the first.
    """

    num_frames: int
    width: int
    height: int
    rotation: int
    seconds: np.ndarray


class Decoder(Protocol):
    """Gives the frames of a table. Without state: threads and processes may share one."""

    name: str

    def identity(self) -> dict[str, str]:
        """Name and versions, of everything that decides which frames come and what their bits are."""

    def colour_and_resize(self, short_side: int | None) -> dict[str, str | None]:
        """How a frame becomes RGB bytes of the size that is asked for."""

    def decode_some(self, path: str, table: FrameTable, wanted: Sequence[int], sink: Sink) -> None:
        """Hand each wanted frame (ascending, no duplicates) to the sink.

        Raises:
            VideoError: A wanted frame does not come out of the decoder, or not undamaged.
        """

    def decode_all(self, path: str, table: FrameTable, sink: Sink) -> None:
        """Hand every frame to the sink, in the order in which they come.

        Raises:
            VideoError: The frames that come are not exactly those of the table.
        """

    def write_rgb(self, picture: Any, table: FrameTable, out_HWC: np.ndarray) -> None:
        """Write what the sink was given into uint8 `out_HWC`, turned upright and resized to fit."""

    def look(self, path: str) -> Look:
        """What the library says by itself.

        Raises:
            VideoError: It cannot read the file.
        """
