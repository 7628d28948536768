"""A dataset as a stranger would write it, in one file: small drifting textures, made on first use."""

from __future__ import annotations

import os
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from vssl_core import DatasetContext, Options, Split, VideoDataset, VideoRecord


class TinyOptions(Options):
    """How many videos."""

    train: int = 16
    """Training videos."""


class Tiny(VideoDataset):
    """Textures that drift left or right: two classes, four parts of one seed."""

    Options = TinyOptions

    def __init__(self, options: Any, context: DatasetContext) -> None:
        self._counts = {"train": options.train, "validation": 8, "test": 8}
        self._folder = context.cache_dir / "tiny"

    @property
    def classes(self) -> Sequence[str]:
        return ("left", "right")

    def prepare(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        for split, count in self._counts.items():
            for i in range(count):
                path = self._path(split, i)
                if not path.exists():
                    staged = path.with_suffix(f".{os.getpid()}.mp4")
                    write_video(staged, drifting(seed=sum(map(ord, split)) * 1000 + i, step=2 * (i % 2) - 1))
                    staged.replace(path)

    def _path(self, split: str, i: int) -> Path:
        return self._folder / f"{split}-{i}.mp4"

    def records(self, split: Split) -> Sequence[VideoRecord]:
        return [
            VideoRecord(f"{split}-{i}", str(self._path(split, i)), i % 2, f"{split}-group-{i // 2}")
            for i in range(self._counts[split])
        ]


def drifting(*, seed: int, step: int, num_frames: int = 30) -> np.ndarray:
    """uint8 (T, 48, 64, 3): a smooth random texture that moves by `step` pixels a frame."""
    generator = np.random.default_rng(seed)
    texture = np.kron(generator.integers(0, 256, (12, 16, 3)), np.ones((4, 4, 1))).astype(np.uint8)
    return np.stack([np.roll(texture, step * t, axis=1) for t in range(num_frames)])


def write_video(path: Path, frames_THWC: np.ndarray, rate: Fraction = Fraction(15)) -> None:
    """H.264 in MP4 at 15 frames a second, or another rate."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=rate, options={"qp": "24"})
        stream.codec_context.thread_count = (
            1  # and a fixed quantiser: else x264's bytes are not always the same
        )
        stream.height, stream.width = frames_THWC.shape[1:3]
        stream.pix_fmt = "yuv420p"
        for frame in frames_THWC:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
