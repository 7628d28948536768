"""What evaluators see: labelled parts of a target, made into clips by the protocol, test videos last."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vssl_core import precision
from vssl_core.augmentation.ops import CenterCrop, HorizontalFlip, Op, RandomCrop, ViewAugmentation
from vssl_core.checkpoint import weights_digest
from vssl_core.data import Index
from vssl_core.errors import ContractError, DatasetError
from vssl_core.interfaces import (
    Backbone,
    EvaluationContext,
    EvaluationData,
    EvaluationPart,
    EvaluationResult,
    Evaluator,
    ViewSampler,
)
from vssl_core.progress import Progress
from vssl_core.protocol import Protocol
from vssl_core.sampling import EvenClips, UniformClip
from vssl_core.seeding import key_seed
from vssl_core.types import Split, VideoRecord
from vssl_core.video import FrameReader
from vssl_core.views import Key, ViewPipeline, epoch_order, load_batches, to_device

__all__ = ["FeatureStore", "Surroundings", "TargetData", "check_result", "evaluate_copy", "run_evaluator"]

_CLIP = "clip"


@dataclass(frozen=True)
class Surroundings:
    """What every evaluation of a cell shares."""

    reader: FrameReader
    protocol: Protocol
    seed: int
    device: torch.device
    threads: int
    autocast: Callable[[], AbstractContextManager[Any]]
    progress: Progress
    memory_format: str = precision.CHANNELS_LAST


class FeatureStore:
    """Pooled features per (weights, part, clips), so that evaluators of one cell share them."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, str, int], np.ndarray] = {}

    def get(self, key: tuple[str, str, int], make: Callable[[], np.ndarray]) -> np.ndarray:
        """The features under `key`, computed at the first call."""
        if key not in self._kept:
            self._kept[key] = make()
        return self._kept[key]


class _Part(EvaluationPart):
    def __init__(
        self,
        records: Sequence[VideoRecord],
        *,
        name: str,
        around: Surroundings,
        store: FeatureStore,
        guard: Callable[[], None],
    ) -> None:
        self.records = tuple(records)
        self.labels = np.array([record.label for record in records], dtype=np.int64)
        self._name, self._around, self._store, self._guard = name, around, store, guard

    def batches(
        self, *, batch_size: int, epoch: int = 0, train: bool = False, num_clips: int = 1
    ) -> Iterator[tuple[Tensor, Tensor, np.ndarray]]:
        """See `EvaluationPart.batches`."""
        self._guard()
        order = (
            epoch_order(self.records, seed=self._around.seed, epoch=epoch) if train else list(self.records)
        )
        rows = {record.video_id: row for row, record in enumerate(self.records)}
        pipeline = self._pipeline(train=train, num_clips=num_clips)
        per_batch = batch_size if train else max(1, batch_size // num_clips)
        keys = [
            [Key(epoch, record) for record in order[start : start + per_batch]]
            for start in range(0, len(order), per_batch)
        ]
        around = self._around
        for batch in load_batches(pipeline, keys, threads=around.threads, prefetch=2 * per_batch):
            views, _ = to_device(batch, pipeline, data=around.protocol.data, device=around.device)
            found = np.repeat([rows[key.record.video_id] for key in batch.keys], len(views))
            # (V, clips, …) → (V · clips, …), the clips of one video following one another
            video = torch.stack(list(views.values()), dim=1).flatten(0, 1)
            video = video.contiguous(memory_format=precision.FORMATS[around.memory_format])
            yield video, torch.from_numpy(self.labels[found]).to(around.device), found

    def _pipeline(self, *, train: bool, num_clips: int) -> ViewPipeline:
        around = self._around
        clip, evaluation = around.protocol.clip.spec(), around.protocol.evaluation
        if train:
            crops: dict[str, tuple[Op, ...]] = {
                "center": (CenterCrop(evaluation.crop_scale),),
                "crop": (RandomCrop(evaluation.crop_scale),),
                "crop_flip": (RandomCrop(evaluation.crop_scale), HorizontalFlip()),
            }
            crop = crops[evaluation.augmentation]
            sampler: ViewSampler = UniformClip(clip)
            augmentation = {_CLIP: ViewAugmentation(crop)}
        else:
            view = ViewAugmentation((CenterCrop(evaluation.crop_scale),))
            sampler = EvenClips(clip, num_clips)
            augmentation = {f"{_CLIP}_{i}": view for i in range(num_clips)}
        return ViewPipeline(
            reader=around.reader,
            sampler=sampler,
            augmentation=augmentation,
            clip=clip,
            seed=around.seed,
            pixels_here=around.device.type == "cpu",
        )

    def features(self, backbone: Backbone, *, num_clips: int) -> np.ndarray:
        """See `EvaluationPart.features`."""
        self._guard()
        key = (weights_digest(backbone), self._name, num_clips)
        return self._store.get(key, lambda: self._features(backbone, num_clips))

    @torch.no_grad()
    def _features(self, backbone: Backbone, num_clips: int) -> np.ndarray:
        backbone.eval()
        parts = []
        with self._around.progress.track(f"features of {self._name}", len(self.records), "videos") as bar:
            for video, _, _ in self.batches(batch_size=64, num_clips=num_clips):
                with self._around.autocast():
                    parts.append(backbone(video).float().cpu().numpy())
                bar.advance(len(video) / num_clips)
        return np.concatenate(parts).reshape(len(self.records), num_clips, -1)


class TargetData(EvaluationData):
    """A target dataset for one evaluator, with the latch that keeps the test part for the end.

    Args:
        index: The target's videos, readable ones alone.
        around: What the evaluations of the cell share.
        store: Kept features.

    Raises:
        DatasetError: The target has no labels, no test part or a single class.
    """

    def __init__(self, index: Index, *, around: Surroundings, store: FeatureStore) -> None:
        self.classes = index.classes
        self._index, self._around, self._store = index, around, store
        self._opened = False
        for split, records in index.parts.items():
            if any(record.label is None for record in records):
                raise DatasetError(
                    f"target {index.name!r} has videos without a label in {split!r}; "
                    "an evaluation needs a labelled dataset."
                )
        if not index.parts["test"]:
            raise DatasetError(f"target {index.name!r} has no test videos; an evaluation needs some.")
        if len(index.classes) < 2:
            raise DatasetError(
                f"target {index.name!r} has {len(index.classes)} classes; expected at least 2."
            )

    def _part(self, split: Split, guard: Callable[[], None]) -> EvaluationPart:
        name = f"{self._index.name} {split}"
        return _Part(self._index.parts[split], name=name, around=self._around, store=self._store, guard=guard)

    def _closed_after_test(self) -> None:
        if self._opened:
            raise ContractError(
                "training and validation videos are closed once test() was called: "
                "fit and choose first, score last."
            )

    @property
    def train(self) -> EvaluationPart:
        """See `EvaluationData.train`."""
        self._closed_after_test()
        return self._part("train", self._closed_after_test)

    @property
    def validation(self) -> EvaluationPart:
        """See `EvaluationData.validation`."""
        self._closed_after_test()
        return self._part("validation", self._closed_after_test)

    def test(self) -> EvaluationPart:
        """See `EvaluationData.test`."""
        self._opened = True
        return self._part("test", lambda: None)


def run_evaluator(
    evaluator: Evaluator, backbone: Backbone, data: EvaluationData, *, around: Surroundings, folder: Path
) -> EvaluationResult:
    """Run one evaluator on a copy of the backbone and check what it says.

    Raises:
        ContractError: The result breaks the contract.
    """
    result = evaluate_copy(evaluator, backbone, data, around=around, folder=folder)
    check_result(type(evaluator).__name__, result)
    return result


def evaluate_copy(
    evaluator: Evaluator, backbone: Backbone, data: EvaluationData, *, around: Surroundings, folder: Path
) -> EvaluationResult:
    """What an evaluator says of a copy of the backbone, as it comes; torch is seeded by the cell's seed."""
    context = EvaluationContext(
        clip=around.protocol.clip.spec(),
        seed=around.seed,
        device=around.device,
        num_test_clips=around.protocol.evaluation.num_test_clips,
        folder=folder,
        progress=around.progress,
        autocast=around.autocast,
    )
    torch.manual_seed(key_seed("evaluate", around.seed))
    mine = precision.to_device(copy.deepcopy(backbone), around.device, memory_format=around.memory_format)
    return evaluator.evaluate(mine, data, context)


def check_result(name: str, result: EvaluationResult) -> None:
    """Raise ContractError where metrics are missing, not finite or not the mean of their per_video."""
    if not isinstance(result, EvaluationResult) or not result.metrics:
        raise ContractError(f"{name}.evaluate must return an EvaluationResult with at least one metric.")
    for metric, score in result.metrics.items():
        if not np.isfinite(score.value):
            raise ContractError(f"{name}: metric {metric!r} is {score.value}; expected a finite number.")
        if score.per_video is None:
            continue
        if len(score.per_video) != len(result.video_ids):
            raise ContractError(
                f"{name}: metric {metric!r} has {len(score.per_video)} values per video "
                f"for {len(result.video_ids)} video_ids."
            )
        if not np.isclose(np.mean(score.per_video), score.value, rtol=1e-4, atol=1e-6):
            raise ContractError(
                f"{name}: metric {metric!r} is {score.value}, "
                f"but its values per video have the mean {np.mean(score.per_video)}."
            )


def readable(index: Index, missing: Mapping[str, str]) -> Index:
    """The index without the videos that cannot be read."""
    parts = {
        split: tuple(record for record in records if record.video_id not in missing)
        for split, records in index.parts.items()
    }
    return replace(index, parts=parts)
