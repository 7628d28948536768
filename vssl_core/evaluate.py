"""What evaluators see: labelled parts of a target, made into clips by the protocol, test videos last."""

from __future__ import annotations

import copy
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from vssl_core import precision
from vssl_core.augmentation.ops import CenterCrop, HorizontalFlip, Op, RandomCrop, ViewAugmentation
from vssl_core.checkpoint import weights_digest
from vssl_core.corrupted import CorruptedReader, Order
from vssl_core.corruption import Corruption
from vssl_core.data import Index
from vssl_core.errors import ContractError, DatasetError
from vssl_core.global_seeds import seed_everything
from vssl_core.interfaces import (
    Backbone,
    EvaluationContext,
    EvaluationData,
    EvaluationPart,
    EvaluationResult,
    Evaluator,
    ViewSampler,
    no_other_cells,
)
from vssl_core.progress import Progress
from vssl_core.protocol import Protocol
from vssl_core.sampling import EvenClips, UniformClip
from vssl_core.types import ClipSpec, Split, VideoRecord
from vssl_core.video import FrameReader
from vssl_core.views import Key, ViewPipeline, epoch_order, load_batches, to_device

__all__ = ["FeatureStore", "Surroundings", "TargetData", "check_result", "evaluate_copy", "run_evaluator"]

_CLIP = "clip"

Anything = TypeVar("Anything")


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
    cell: Callable[[str], Backbone] = no_other_cells


class FeatureStore:
    """What evaluators of one cell share: features per (weights, part of the data, clips), and classifiers."""

    def __init__(self) -> None:
        self._kept: dict[Hashable, Any] = {}

    def get(self, key: Hashable, make: Callable[[], Anything]) -> Anything:
        """What stands under `key`, made at the first call."""
        if key not in self._kept:
            self._kept[key] = make()
        found: Anything = self._kept[key]
        return found


class _Part(EvaluationPart):
    def __init__(
        self,
        records: Sequence[VideoRecord],
        *,
        name: str,
        data_digest: str,
        around: Surroundings,
        store: FeatureStore,
        guard: Callable[[], None],
        corrupted: CorruptedReader | None = None,
        order: Order = "native",
    ) -> None:
        self.records = tuple(records)
        self.labels = np.array([record.label for record in records], dtype=np.int64)
        self._name, self._data_digest = name, data_digest
        self._around, self._store, self._guard = around, store, guard
        self._corrupted, self._order = corrupted, order

    def corrupted(
        self, corruption: Corruption | None, *, severity: int = 1, order: Order = "native", seed: int = 0
    ) -> EvaluationPart:
        """See `EvaluationPart.corrupted`."""
        if self._corrupted is not None:
            raise ContractError("these videos are corrupted already; corrupt the part that they come from.")
        protocol = self._around.protocol
        reader = CorruptedReader(
            self._around.reader,
            corruption,
            severity=severity,
            order=order,
            seed=seed,
            clip=protocol.clip.spec(),
            crop_scale=protocol.evaluation.crop_scale,
        )
        return _Part(
            self.records,
            name=f"corrupted {self._name}",
            data_digest=self._data_digest,
            around=self._around,
            store=FeatureStore(),
            guard=self._guard,
            corrupted=reader,
            order=order,
        )

    def subset(self, rows: Sequence[int]) -> EvaluationPart:
        """See `EvaluationPart.subset`."""
        if len(set(rows)) < len(rows):
            raise ContractError("expected each row of a subset once at most; some are there twice.")
        return _Part(
            [self.records[row] for row in rows],
            name=f"subset of {self._name}",
            data_digest=self._data_digest,
            around=self._around,
            store=FeatureStore(),
            guard=self._guard,
            corrupted=self._corrupted,
            order=self._order,
        )

    def batches(
        self, *, batch_size: int, epoch: int = 0, train: bool = False, num_clips: int = 1
    ) -> Iterator[tuple[Tensor, Tensor, np.ndarray]]:
        """See `EvaluationPart.batches`."""
        self._guard()
        if train and self._corrupted is not None:
            raise ContractError("corrupted videos are for scoring; train on the part that they come from.")
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

    def frames(
        self, clip: ClipSpec, *, batch_size: int, num_clips: int = 1
    ) -> Iterator[tuple[Tensor, np.ndarray]]:
        """See `EvaluationPart.frames`."""
        self._guard()
        pipeline = self._pipeline(train=False, num_clips=num_clips, clip=clip, pixels_here=True)
        per_batch = max(1, batch_size // num_clips)
        starts = range(0, len(self.records), per_batch)
        keys = [[Key(0, record) for record in self.records[start : start + per_batch]] for start in starts]
        threads = self._around.threads
        for start, batch in zip(
            starts, load_batches(pipeline, keys, threads=threads, prefetch=2 * per_batch), strict=True
        ):
            video_NTHWC = torch.stack(list(batch.views.values()), dim=1).flatten(0, 1)
            rows = np.repeat(np.arange(start, start + len(batch.keys)), num_clips)
            yield video_NTHWC.to(self._around.device).permute(0, 4, 1, 2, 3), rows

    def _pipeline(
        self, *, train: bool, num_clips: int, clip: ClipSpec | None = None, pixels_here: bool | None = None
    ) -> ViewPipeline:
        around = self._around
        clip, evaluation = clip or around.protocol.clip.spec(), around.protocol.evaluation
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
            cropped = self._corrupted is not None and self._order == "post_resize"
            view = ViewAugmentation((CenterCrop(1.0 if cropped else evaluation.crop_scale),))
            sampler = EvenClips(clip, num_clips)
            augmentation = {f"{_CLIP}_{i}": view for i in range(num_clips)}
        return ViewPipeline(
            reader=self._corrupted or around.reader,
            sampler=sampler,
            augmentation=augmentation,
            clip=clip,
            seed=around.seed,
            pixels_here=around.device.type == "cpu" if pixels_here is None else pixels_here,
        )

    def features(self, backbone: Backbone, *, num_clips: int) -> np.ndarray:
        """See `EvaluationPart.features`."""
        self._guard()
        # A study may score one cell on several targets of one name: splits, versions, other options.
        key = (weights_digest(backbone), self._data_digest, self._name, num_clips)
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
        self.classes, self.name = index.classes, index.name
        self._index, self._around, self._store = index, around, store
        self._digest = index.digest
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

    def _part(self, *splits: Split, guard: Callable[[], None]) -> EvaluationPart:
        name = f"{self._index.name} {' and '.join(splits)}"
        records = [record for split in splits for record in self._index.parts[split]]
        return _Part(
            records,
            name=name,
            data_digest=self._digest,
            around=self._around,
            store=self._store,
            guard=guard,
        )

    def keep(self, key: str, make: Callable[[], Anything]) -> Anything:
        """See `EvaluationData.keep`."""
        return self._store.get((self._index.name, self._digest, key), make)

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
        return self._part("train", guard=self._closed_after_test)

    @property
    def validation(self) -> EvaluationPart:
        """See `EvaluationData.validation`."""
        self._closed_after_test()
        return self._part("validation", guard=self._closed_after_test)

    @property
    def train_and_validation(self) -> EvaluationPart:
        """See `EvaluationData.train_and_validation`."""
        self._closed_after_test()
        return self._part("train", "validation", guard=self._closed_after_test)

    def test(self) -> EvaluationPart:
        """See `EvaluationData.test`."""
        self._opened = True
        return self._part("test", guard=lambda: None)


def run_evaluator(
    evaluator: Evaluator,
    backbone: Backbone,
    data: EvaluationData,
    *,
    around: Surroundings,
    folder: Path,
    parts: Mapping[str, Sequence[Any]] | None = None,
) -> EvaluationResult:
    """Run one evaluator on a copy of the backbone and check what it says.

    Raises:
        ContractError: The result breaks the contract.
    """
    result = evaluate_copy(evaluator, backbone, data, around=around, folder=folder, parts=parts)
    check_result(type(evaluator).__name__, result)
    return result


def evaluate_copy(
    evaluator: Evaluator,
    backbone: Backbone,
    data: EvaluationData,
    *,
    around: Surroundings,
    folder: Path,
    parts: Mapping[str, Sequence[Any]] | None = None,
) -> EvaluationResult:
    """What an evaluator says of a copy of the backbone, as it comes; the cell's seed sets what it draws."""

    def placed(network: Backbone) -> Backbone:
        return precision.to_device(network, around.device, memory_format=around.memory_format)

    context = EvaluationContext(
        clip=around.protocol.clip.spec(),
        seed=around.seed,
        device=around.device,
        num_test_clips=around.protocol.evaluation.num_test_clips,
        folder=folder,
        progress=around.progress,
        autocast=around.autocast,
        parts=parts or {},
        cell=lambda cell_id: placed(around.cell(cell_id)),
    )
    seed_everything("evaluate", around.seed)
    return evaluator.evaluate(placed(copy.deepcopy(backbone)), data, context)


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
