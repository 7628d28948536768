"""An `EvaluationData` in memory: clips whose classes are known, with the latch of the real one."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from vssl_core.errors import ContractError
from vssl_core.interfaces import Backbone, EvaluationContext, EvaluationData, EvaluationPart
from vssl_core.progress import Progress, quiet_progress
from vssl_core.seeding import generator
from vssl_core.types import ClipSpec, VideoRecord

CLIP = ClipSpec(num_frames=2, frame_stride=1, crop_size=8)
CLIPS_PER_VIDEO = 4


class TinyBackbone(Backbone):
    """Two convolutions with BatchNorm; D = 12."""

    def __init__(self, options: Any = None, clip: ClipSpec = CLIP) -> None:
        super().__init__(options, clip)
        self.embed_dim = 12
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.stem = nn.Sequential(nn.Conv3d(3, 8, 3, 2, 1), nn.BatchNorm3d(8), nn.ReLU())
            self.last = nn.Sequential(nn.Conv3d(8, 12, 3, (1, 4, 4), 1), nn.BatchNorm3d(12), nn.ReLU())

    def forward_features(self, video_BCTHW: Tensor) -> Tensor:
        features: Tensor = self.last(self.stem(video_BCTHW))
        return features

    def stages(self) -> Mapping[str, nn.Module]:
        return {"stem": self.stem, "last": self.last}


class MemoryPart(EvaluationPart):
    """Videos of a class are noise around the class's own picture; the clips of a video differ a little."""

    def __init__(self, name: str, labels: Sequence[int | None], *, signal: float, guard: Callable[[], None]):
        self.records = [
            VideoRecord(f"{name}/{row:03d}", f"/{name}/{row:03d}.mp4", label)
            for row, label in enumerate(labels)
        ]
        self.labels = np.array([-1 if label is None else label for label in labels], dtype=np.int64)
        self.guard = guard
        self.asked: list[tuple[str, int]] = []
        shape = (3, CLIP.num_frames, CLIP.crop_size, CLIP.crop_size)
        self.clips = torch.empty(len(labels), CLIPS_PER_VIDEO, *shape)
        for row, label in enumerate(self.labels):
            picture = generator("picture", int(label)).standard_normal(shape)
            noise = generator(name, row).standard_normal((CLIPS_PER_VIDEO, *shape))
            self.clips[row] = torch.from_numpy(signal * picture + noise)

    def batches(
        self, *, batch_size: int, epoch: int = 0, train: bool = False, num_clips: int = 1
    ) -> Iterator[tuple[Tensor, Tensor, np.ndarray]]:
        self.guard()
        self.asked.append(("train" if train else "batches", num_clips))
        if train:
            rows = generator("order", epoch).permutation(len(self.records))
            clips = generator("clip", epoch).integers(CLIPS_PER_VIDEO, size=len(rows))
        else:
            rows = np.repeat(np.arange(len(self.records)), num_clips)
            clips = np.tile(np.arange(num_clips), len(self.records))
        for start in range(0, len(rows), batch_size):
            row, clip = rows[start : start + batch_size], clips[start : start + batch_size]
            yield self.clips[row, clip], torch.from_numpy(self.labels[row]), row

    def subset(self, rows: Sequence[int]) -> MemoryPart:
        part = copy.copy(self)
        part.records = [self.records[row] for row in rows]
        part.labels, part.clips = self.labels[list(rows)], self.clips[list(rows)]
        return part

    @torch.no_grad()
    def features(self, backbone: Backbone, *, num_clips: int) -> np.ndarray:
        self.guard()
        self.asked.append(("features", num_clips))
        backbone.eval()
        flat = backbone(self.clips[:, :num_clips].flatten(0, 1))
        return flat.unflatten(0, (-1, num_clips)).numpy()


class MemoryData(EvaluationData):
    """Three parts; `train` and `validation` raise once `test()` was called, and so do parts taken before."""

    def __init__(
        self,
        *,
        num_classes: int = 3,
        train: Sequence[int | None] | None = None,
        validation: Sequence[int | None] | None = None,
        test: Sequence[int | None] | None = None,
        signal: float = 2.5,
    ) -> None:
        self.classes = [f"class {label}" for label in range(num_classes)]
        balanced = list(range(num_classes))
        self.opened = False
        labels = {
            "train": balanced * 8 if train is None else train,
            "validation": balanced * 3 if validation is None else validation,
            "test": balanced * 5 if test is None else test,
        }
        self.parts = {
            name: MemoryPart(name, of, signal=signal, guard=self._free if name == "test" else self._closed)
            for name, of in labels.items()
        }

    def _free(self) -> None:
        assert self.opened

    def _closed(self) -> None:
        if self.opened:
            raise ContractError("training and validation videos are closed once test() was called.")

    @property
    def train(self) -> MemoryPart:
        self._closed()
        return self.parts["train"]

    @property
    def validation(self) -> MemoryPart:
        self._closed()
        return self.parts["validation"]

    @property
    def train_and_validation(self) -> MemoryPart:
        self._closed()
        first, second = self.parts["train"], self.parts["validation"]
        both = copy.copy(first)
        both.records = [*first.records, *second.records]
        both.labels = np.concatenate([first.labels, second.labels])
        both.clips = torch.cat([first.clips, second.clips])
        return both

    def test(self) -> MemoryPart:
        self.opened = True
        return self.parts["test"]


class Said:
    """Progress that keeps what was said."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.track = quiet_progress().track

    def say(self, message: str) -> None:
        self.lines.append(message)


@pytest.fixture
def make_data() -> type[MemoryData]:
    return MemoryData


@pytest.fixture
def backbone() -> TinyBackbone:
    return TinyBackbone()


@pytest.fixture
def said() -> Said:
    return Said()


def make_context(folder: Path, progress: Progress) -> EvaluationContext:
    return EvaluationContext(
        clip=CLIP,
        seed=0,
        device=torch.device("cpu"),
        num_test_clips=3,
        folder=folder,
        progress=progress,
        autocast=nullcontext,
    )


@pytest.fixture
def context(tmp_path: Path, said: Said) -> EvaluationContext:
    return make_context(tmp_path, said)
