"""A small labelled target for the checks of evaluators: coloured clips of six classes, hard to tell apart."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

import av
import numpy as np
import torch
from torch import Tensor, nn

from vssl_core.data import Index, loader_threads
from vssl_core.evaluate import Surroundings
from vssl_core.interfaces import Backbone
from vssl_core.progress import quiet_progress
from vssl_core.protocol import load_protocol
from vssl_core.seeding import generator
from vssl_core.types import ClipSpec, Split, VideoRecord
from vssl_core.video import FrameCache, FrameReader

__all__ = ["NUM_CLASSES", "ColourBackbone", "Target", "target"]

NUM_CLASSES = 6
_PER_CLASS: Mapping[Split, int] = {"train": 8, "validation": 2, "test": 6}
_KEPT = 2  # test videos of each class that keep label and file in every variant
_SIDE, _FRAMES = 36, 8
_COLOURS = np.array([[90, 60, 60], [60, 90, 60], [60, 60, 90], [90, 90, 60], [60, 90, 90], [90, 60, 90]])
_SPREAD = 12.0  # of a video's colour around that of its class


@dataclass(frozen=True)
class Target:
    """The target's videos and everything around an evaluation of them.

    Args:
        index: As it is.
        around: What evaluations share; the clip geometry is the smallest preset's.
        kept: Ids of the test videos that no variant changes.
        loud: Files of videos that look like none of the others.
    """

    index: Index
    around: Surroundings
    kept: frozenset[str]
    loud: tuple[str, ...]

    def with_labels(self, *, half: str, turn: int) -> Index:
        """The index with the labels of test videos turned by so many classes.

        Args:
            half: `first` or `second` half of the videos that are not kept, or `both`.
            turn: How many classes further. The number of videos of each class stays what it is.
        """
        records = []
        for number, record in enumerate(self.index.parts["test"]):
            turned = record.video_id not in self.kept and half in ("both", _half(number))
            label = (record.label or 0) + (turn if turned else 0)
            records.append(replace(record, label=label % NUM_CLASSES))
        return self._with_test(records)

    def with_one_class(self) -> Index:
        """The index with the first class's label on all test videos that are not kept."""
        records = self.index.parts["test"]
        return self._with_test([r if r.video_id in self.kept else replace(r, label=0) for r in records])

    def with_loud_videos(self) -> Index:
        """The index with the files of all test videos that are not kept replaced by loud ones."""
        return self._with_test(
            [
                record
                if record.video_id in self.kept
                else replace(record, path=self.loud[n % len(self.loud)])
                for n, record in enumerate(self.index.parts["test"])
            ]
        )

    def reordered(self) -> Index:
        """The index with the test videos in another order."""
        records = self.index.parts["test"]
        order = generator("order of the test videos").permutation(len(records))
        return self._with_test([records[row] for row in order])

    def _with_test(self, records: list[VideoRecord]) -> Index:
        return Index(self.index.name, self.index.classes, {**self.index.parts, "test": tuple(records)})


class ColourBackbone(Backbone):
    """Two random convolutions with BatchNorm, handed over in train mode; D = 24."""

    def __init__(self, options: Any, clip: ClipSpec) -> None:
        super().__init__(options, clip)
        self.embed_dim = 24
        self.stem = nn.Sequential(nn.Conv3d(3, 12, 3, stride=2, padding=1), nn.BatchNorm3d(12), nn.ReLU())
        self.last = nn.Sequential(nn.Conv3d(12, 24, 3, stride=4, padding=1), nn.BatchNorm3d(24), nn.ReLU())

    def forward_features(self, video_BCTHW: Tensor) -> Tensor:
        """(B, 3, T, H, W) → (B, 24, T / 8, H / 8, W / 8), rounded up."""
        features: Tensor = self.last(self.stem(video_BCTHW))
        return features

    def stages(self) -> Mapping[str, nn.Module]:
        """Two."""
        return {"stem": self.stem, "last": self.last}


@cache
def target() -> Target:
    """The target, rendered once per process into a temporary folder."""
    folder = Path(tempfile.mkdtemp(prefix="vssl-check-"))
    atexit.register(_remove, folder, os.getpid())
    parts = {split: _render(folder, split, count) for split, count in _PER_CLASS.items()}
    loud = tuple(str(_write(folder / f"loud-{n}.mp4", _loud(n))) for n in range(3))
    around = Surroundings(
        reader=FrameReader(cache=FrameCache(folder / "frames", max_bytes=1 << 28)),
        protocol=load_protocol("smoke"),
        seed=0,
        device=torch.device("cpu"),
        threads=loader_threads(),
        autocast=nullcontext,
        progress=quiet_progress(),
    )
    kept = frozenset(r.video_id for n, r in enumerate(parts["test"]) if _half(n) == "kept")
    return Target(
        Index("checks", tuple(f"colour {c}" for c in range(NUM_CLASSES)), parts), around, kept, loud
    )


def _remove(folder: Path, owner: int) -> None:
    if os.getpid() == owner:  # a forked child ends too
        shutil.rmtree(folder, ignore_errors=True)


def _half(number: int) -> str:
    """Which third the test video of this number is of: each holds as many of every class."""
    turn = number // NUM_CLASSES
    return "kept" if turn < _KEPT else ("first" if turn % 2 == 0 else "second")


def _render(folder: Path, split: Split, per_class: int) -> tuple[VideoRecord, ...]:
    records = []
    for number in range(per_class * NUM_CLASSES):
        label, name = number % NUM_CLASSES, f"{split}-{number:03d}"
        path = _write(folder / f"{name}.mp4", _coloured(name, label))
        records.append(VideoRecord(name, str(path), label, f"{split}-group-{number // 2}"))
    return tuple(records)


def _coloured(name: str, label: int) -> np.ndarray:
    """uint8 (T, H, W, 3): a coarse texture around a colour near that of the class, which moves."""
    draw = generator("video", name)
    colour = _COLOURS[label] + _SPREAD * draw.standard_normal(3)
    texture = np.kron(draw.standard_normal((6, 6, 1)), np.ones((_SIDE // 6, _SIDE // 6, 1)))
    frames = [colour + 25.0 * np.roll(texture, frame, axis=1) for frame in range(_FRAMES)]
    video_THWC: np.ndarray = np.clip(np.stack(frames), 0, 255).astype(np.uint8)
    return video_THWC


def _loud(number: int) -> np.ndarray:
    """uint8 (T, H, W, 3): black and white checks."""
    fields = np.indices((_SIDE, _SIDE)).sum(axis=0) // (number + 2) % 2
    return np.broadcast_to(255 * fields[None, :, :, None], (_FRAMES, _SIDE, _SIDE, 3)).astype(np.uint8)


def _write(path: Path, frames_THWC: np.ndarray) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=Fraction(12), options={"threads": "1"})
        stream.height, stream.width = frames_THWC.shape[1:3]
        stream.pix_fmt = "yuv420p"
        for frame in frames_THWC:
            container.mux(
                stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24"))
            )
        container.mux(stream.encode())
    return path
