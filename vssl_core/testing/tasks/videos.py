"""Videos to check tasks on: real files written once per process, and noise that was never in a file."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from fractions import Fraction
from functools import cache
from pathlib import Path

import av
import cv2
import numpy as np

from vssl_core.seeding import generator
from vssl_core.types import VideoInfo, VideoRecord
from vssl_core.video import FrameCache, FrameReader

__all__ = ["NoiseReader", "folder", "moving_videos", "reader", "renamed", "static_videos"]

FRAMES_PER_SECOND = 25
LENGTHS = (96, 96, 96, 96, 96, 96, 40, 9)  # frames; a clip is 15 long


@cache
def folder() -> Path:
    """A temporary folder of this process, removed when it ends."""
    made = Path(tempfile.mkdtemp(prefix="vssl-checks-")).resolve()
    atexit.register(shutil.rmtree, made, ignore_errors=True)
    return made


@cache
def reader() -> FrameReader:
    """The core's reader, with its cache of decoded frames."""
    return FrameReader(cache=FrameCache(folder() / "frames", max_bytes=1 << 30))


@cache
def moving_videos() -> tuple[VideoRecord, ...]:
    """Eight textures that drift, 48 x 64 pixels, without loss: of each length in `LENGTHS` one."""
    return tuple(
        _written(f"moving-{number}", _drifting(number, length, step=1 + number % 3))
        for number, length in enumerate(LENGTHS)
    )


@cache
def static_videos() -> tuple[VideoRecord, ...]:
    """Eight videos in which every frame is the same."""
    return tuple(_written(f"static-{number}", _drifting(100 + number, 48, step=0)) for number in range(8))


def renamed(records: Sequence[VideoRecord], *, name: str, labels: Sequence[int]) -> list[VideoRecord]:
    """The same videos with labels, as copies in folders that are called by them, under other names."""
    found = []
    for place, (record, label) in enumerate(zip(records, labels, strict=True)):
        path = folder() / name / f"class_{label}" / f"{name}_{label}_{place}.mkv"
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            shutil.copyfile(record.path, path)
        found.append(VideoRecord(record.video_id, str(path), label, f"{name}-{label}", record.span_seconds))
    return found


def _drifting(seed: int, num_frames: int, *, step: int) -> np.ndarray:
    """uint8 (T, 48, 64, 3): a smooth texture that moves by so many pixels a frame."""
    rng = generator("check-video", seed)
    coarse = rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)
    texture = cv2.resize(np.tile(coarse, (1, 2, 1)), (128, 48), interpolation=cv2.INTER_CUBIC)[:, 32:96]
    return np.stack([np.roll(texture, (step * t, -step * t), axis=(0, 1)) for t in range(num_frames)])


def _written(name: str, frames_THWC: np.ndarray) -> VideoRecord:
    """FFV1 in Matroska, which every FFmpeg can write and which loses nothing."""
    path = folder() / f"{name}.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=Fraction(FRAMES_PER_SECOND), options={"threads": "1"})
        stream.height, stream.width = frames_THWC.shape[1:3]
        stream.pix_fmt = "bgr0"
        for frame_HWC in frames_THWC:
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame_HWC), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return VideoRecord(name, str(path))


class NoiseReader(FrameReader):
    """Videos of independent noise: no frame tells of another one, nor of the time, and no way is up.

    Frames are square, so that a quarter turn cannot be told by a border; and of little contrast, so that a
    mark on them stands out.

    Args:
        clip: The clip to give noise for; every other one is black, which costs nothing.
        name: Another name gives other noise for the same videos.
    """

    NUM_FRAMES = 320
    SIDE = 48
    CONTRAST = 24  # grey levels around the middle, of 256

    def __init__(self, clip: str = "", *, name: str = "") -> None:
        super().__init__()
        self._clip, self._name = clip, name

    def info(self, record: VideoRecord) -> VideoInfo:
        """Every video is as long as every other one."""
        del record
        rate = Fraction(FRAMES_PER_SECOND)
        return VideoInfo(self.NUM_FRAMES, rate, self.SIDE, self.SIDE, codec="none", rotation=0, rule="pts")

    def read_clips(self, record: VideoRecord, clips: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """See `FrameReader`."""
        made = {name: np.zeros((len(i), self.SIDE, self.SIDE, 3), np.uint8) for name, i in clips.items()}
        if self._clip in clips:
            made[self._clip] = np.stack([self._frame(record, int(i)) for i in clips[self._clip]])
        return made

    def _frame(self, record: VideoRecord, index: int) -> np.ndarray:
        rng = generator("check-noise", self._name, record.video_id, index)
        low, high = 128 - self.CONTRAST, 128 + self.CONTRAST
        return rng.integers(low, high, (self.SIDE, self.SIDE, 3), dtype=np.uint8)
