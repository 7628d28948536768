"""What is known about the frames of one file, and from where each can be decoded."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from fractions import Fraction
from typing import Any, Literal

import numpy as np

from vssl_core.video.direct import DirectPackets

__all__ = ["FrameTable", "Key"]

_DROPPABLE = {"h264"}
# Codecs in which no frame ever depends on one that is marked as no reference. HEVC's mark holds for one
# temporal layer only, VP9's frames pass on their probabilities.


@dataclass(frozen=True, slots=True)
class Key:
    """A packet from which decoding can begin: what comes out from `frame` on is exact.

    Args:
        frame: The first frame (in the order of the table) that can be asked for from here.
        packet: Number of the packet in decoding order.
        pts: Presentation time stamp of the packet.
        dts: Decoding time stamp of the packet; the presentation one where it has none.
    """

    frame: int
    packet: int
    pts: int
    dts: int


@dataclass(frozen=True, slots=True)
class FrameTable:
    """All frames of one file.

    Args:
        rule: `"pts"`: frame i has the time stamp `pts[i]`. `"emission"`: frame i is the i-th one
            that the decoder gives, and `pts` is only the times, sorted.
        pts: int64 (N,), ascending, in units of `time_base`.
        time_base: Seconds.
        keys: Ascending in `frame`; the first is the beginning of the file.
        fps: Average frame rate.
        width: Pixels as shown, after rotation.
        height: Pixels as shown, after rotation.
        codec: FFmpeg's name.
        rotation: Degrees clockwise by which decoded frames are turned to be shown.
        direct: Where in the file the packets are, if they can be read without the container.
    """

    rule: Literal["pts", "emission"]
    pts: np.ndarray
    time_base: Fraction
    keys: tuple[Key, ...]
    fps: Fraction
    width: int
    height: int
    codec: str
    rotation: int
    direct: DirectPackets | None = None

    @property
    def num_frames(self) -> int:
        return len(self.pts)

    @property
    def skips_droppable(self) -> bool:
        """True where unwanted frames that no other needs may be left undecoded."""
        return self.rule == "pts" and self.codec in _DROPPABLE

    @property
    def nbytes(self) -> int:
        """About how much memory the table takes."""
        direct = self.direct.nbytes if self.direct else 0
        return self.pts.nbytes + direct + 200 * len(self.keys) + 1000

    def seconds(self) -> np.ndarray:
        """Time of each frame (N,) float64, counted from the first."""
        elapsed: np.ndarray = (self.pts - self.pts[0]) * self.time_base.numerator
        return elapsed / self.time_base.denominator

    def to_json(self) -> dict[str, Any]:
        """Plain values; `from_json` takes them back."""
        return {
            "rule": self.rule,
            "pts": self.pts.tolist(),
            "time_base": str(self.time_base),
            "keys": [list(asdict(key).values()) for key in self.keys],
            "fps": str(self.fps),
            "width": self.width,
            "height": self.height,
            "codec": self.codec,
            "rotation": self.rotation,
            "direct": self.direct.to_json() if self.direct else None,
        }

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> FrameTable:
        """The table that `to_json` described."""
        return cls(
            **{
                **values,
                "pts": np.asarray(values["pts"], dtype=np.int64),
                "time_base": Fraction(values["time_base"]),
                "keys": tuple(Key(*key) for key in values["keys"]),
                "fps": Fraction(values["fps"]),
                "direct": DirectPackets.from_json(values["direct"]) if values["direct"] else None,
            }
        )
