"""The evaluations of one pretrained cell, from what is missing to rows on disk."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from vssl_core.cells import CellSpec, EvaluationSpec
from vssl_core.data import Index, Ledger, loader_threads
from vssl_core.errors import UsageError
from vssl_core.evaluate import FeatureStore, Surroundings, TargetData, run_evaluator
from vssl_core.instantiate import make_evaluator, pretrained
from vssl_core.interfaces import Backbone, EvaluationResult
from vssl_core.opening import open_target
from vssl_core.precision import autocast_factory
from vssl_core.progress import Progress
from vssl_core.protocol import Protocol
from vssl_core.rows import Cost, Row
from vssl_core.showcase import write_showcase
from vssl_core.store import CellFolder, per_video_file
from vssl_core.video import FrameReader

__all__ = ["CellEvaluations"]


@dataclass(frozen=True)
class CellEvaluations:
    """What the evaluations of a pretrained cell share.

    Args:
        folder: The cell's.
        spec: What the cell is.
        protocol: Its protocol.
        reader: Reads frames of test videos.
        device: Where networks run.
        progress: Where to tell what is done.
        classes: Component spec → class, for classes that no other process could import.
        precision: What the probe chose: `precision` and `memory_format`.
    """

    folder: CellFolder
    spec: CellSpec
    protocol: Protocol
    reader: FrameReader
    device: torch.device
    progress: Progress
    classes: Mapping[str, type]
    precision: Mapping[str, Any]
    _store: FeatureStore = field(default_factory=FeatureStore)
    _targets: dict[str, tuple[Index, Ledger]] = field(default_factory=dict)

    def run(
        self, todo: Sequence[tuple[EvaluationSpec, Path]], *, finished: Callable[[Sequence[Row]], None]
    ) -> None:
        """Every evaluation to its end, each in its folder; one that fails does not stop the others.

        Args:
            todo: Evaluations with their folders.
            finished: Called with the rows of each, once they are on disk.

        Raises:
            VsslError: Of the first evaluation that failed, after the others.
        """
        shares = sorted({spec.at for spec, _ in todo})
        backbones = {at: pretrained(self.folder, self.classes, at=at) for at in shares}
        failed: Exception | None = None
        for spec, path in todo:
            try:
                finished(self._one(spec, path, backbones[spec.at]))
            except Exception as error:  # noqa: BLE001 — raised below
                self.progress.say(f"{spec.label} on {spec.target.name} failed: {error}")
                failed = failed or error
        if failed is not None:  # after the others, which have nothing to do with it
            raise failed

    def _one(self, spec: EvaluationSpec, path: Path, backbone: Backbone) -> list[Row]:
        key = spec.target.spec + spec.target_digest
        if key not in self._targets:
            self._targets[key] = self._target(spec)
        index, ledger = self._targets[key]
        self.progress.say(f"evaluating {spec.label} on {spec.target.name}")
        evaluator, parts = make_evaluator(spec, self.classes)
        around = self._surroundings()
        data = TargetData(index, around=around, store=self._store)
        path.mkdir(parents=True, exist_ok=True)
        start = time.monotonic()
        scores = run_evaluator(evaluator, backbone, data, around=around, folder=path, parts=parts)
        seconds = time.monotonic() - start
        write_showcase(path, scores, index=index, reader=self.reader)
        rows = self._rows(spec, scores, ledger, path)
        self.folder.write_evaluation(
            path,
            scores,
            rows,
            videos=index.parts["test"],
            classes=index.classes,
            ledger=ledger.document(),
            seconds=seconds,
        )
        return rows

    def _surroundings(self) -> Surroundings:
        return Surroundings(
            reader=self.reader,
            protocol=self.protocol,
            seed=self.spec.seed,
            device=self.device,
            threads=loader_threads(),
            autocast=autocast_factory(self.precision["precision"], self.device),
            progress=self.progress,
            memory_format=self.precision["memory_format"],
            cell=self._other,
        )

    def _other(self, cell_id: str) -> Backbone:
        """The pretrained backbone of another cell, which takes the same clips."""
        other = CellFolder(self.folder.runs, cell_id)
        if not other.path.is_dir() or other.pretrain_result() is None:
            raise UsageError(
                f"an evaluation needs cell {cell_id!r}, which is not pretrained in this run folder; "
                "bench it first."
            )
        if other.protocol().clip != self.protocol.clip:
            raise UsageError(
                f"cell {cell_id!r} takes clips of {other.protocol().clip}; this one of {self.protocol.clip}."
            )
        return pretrained(other, self.classes)

    def _target(self, spec: EvaluationSpec) -> tuple[Index, Ledger]:
        index, ledger = open_target(
            spec.target,
            digest=spec.target_digest,
            protocol=self.protocol,
            reader=self.reader,
            progress=self.progress,
            classes=self.classes,
        )
        note = self.folder.read_note("ledger")
        note.setdefault("targets", {})[spec.target.label] = ledger.document()
        self.folder.write_note("ledger", note)
        return index, ledger

    def _coverage(self, target: Ledger) -> tuple[int, int]:
        """Videos used and listed, of the target and of what was pretrained on."""
        before = self.folder.read_note("ledger").get("pretrain", {"videos": 0, "unreadable": []})
        used = target.used + before["videos"] - len(before["unreadable"])
        return used, target.listed + before["videos"] + before.get("missing", 0)

    def _rows(
        self,
        spec: EvaluationSpec,
        scores: EvaluationResult,
        ledger: Ledger,
        path: Path,
    ) -> list[Row]:
        result = self.folder.pretrain_result() or {}
        used, listed = self._coverage(ledger)
        names = list(scores.metrics)
        relative = path.relative_to(self.folder.runs).as_posix()
        return [
            Row(
                cell_id=self.folder.cell_id,
                evaluation_id=spec.evaluation_id,
                protocol_name=self.protocol.name,
                protocol_hash=self.protocol.hash,
                task=self.spec.task.label,
                role=self.spec.role,
                backbone=self.spec.backbone.label,
                pretrain=self.spec.pretrain.label,
                target=spec.target.label,
                evaluator=spec.evaluator.name,
                evaluator_label=spec.label,
                seed=self.spec.seed,
                at=spec.at,
                metric=name,
                primary=name == names[0],
                value=float(metric.value),
                unit=metric.unit,
                higher_is_better=metric.higher_is_better,
                chance=metric.chance,
                num_videos=len(scores.video_ids),
                coverage=used / listed if listed else 1.0,
                videos_used=used,
                videos_listed=listed,
                verdict=result.get("verdict", "ok"),
                deterministic=self.device.type == "cpu",
                cost=Cost.model_validate(result["cost"]),
                backbone_fingerprint=result.get("backbone_fingerprint"),
                per_video=f"{relative}/{per_video_file(name)}" if metric.per_video is not None else None,
            )
            for name, metric in scores.metrics.items()
        ]
