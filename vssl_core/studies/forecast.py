"""What a study would cost before it starts: hours, memory, disk and budget, each with where it is known from.

An estimate is one of three: recorded (the same work was done on this machine in this run folder), probed (a
few real batches and steps, times their number), or by rule (an evaluation without a record: one pass over its
videos, and as many training passes as its option `epochs` says). What none of them gives is unknown, and is
said to be.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import torch

from vssl_core.cells import CellSpec, Component, EvaluationSpec, digest
from vssl_core.controls import RANDOM_INIT, SUPERVISED
from vssl_core.data import Index, build_index, subset, target_subset
from vssl_core.opening import open_dataset
from vssl_core.planning import Plan
from vssl_core.progress import Progress, quiet_progress
from vssl_core.protocol import Protocol
from vssl_core.run_cell import Settings
from vssl_core.store import CellFolder
from vssl_core.studies.history import History, read_history
from vssl_core.studies.rates import Rates, known_rates, rates_of

__all__ = ["Amounts", "CellForecast", "Estimate", "Forecaster"]

Source = Literal["recorded", "probed", "rule", "unknown"]


@dataclass(frozen=True)
class Estimate:
    """Seconds, and where they are known from; None: unknown."""

    seconds: float | None
    source: Source


NOTHING = Estimate(0.0, "recorded")
UNKNOWN = Estimate(None, "unknown")


@dataclass(frozen=True)
class Amounts:
    """What one cell's pretraining is in each currency of the budget."""

    epochs: float
    frames: float
    gflops: float
    seconds: float


@dataclass(frozen=True)
class CellForecast:
    """What is left to do of one cell.

    Args:
        cell_id: The cell.
        task: Its label; likewise the others.
        state: `finished`, `to evaluate`, `new`, or `again` where a snapshot is wanted that it did not keep.
        evaluations: How many are open.
        pretraining: What is left of it.
        evaluating: All open evaluations together.
        bottleneck: What pretraining waits for: `decoding` or `compute`; empty where unknown.
        peak_mib: Memory; None: unknown.
        disk_mib: Of what it will write and keep; None: unknown.
        amounts: Of its whole pretraining; None: unknown, or there is none.
    """

    cell_id: str
    task: str
    backbone: str
    pretrain: str
    role: str
    seed: int
    state: str
    evaluations: int
    pretraining: Estimate
    evaluating: Estimate
    bottleneck: str = ""
    peak_mib: float | None = None
    disk_mib: float | None = None
    amounts: Amounts | None = None

    @property
    def seconds(self) -> float | None:
        """All that is left; None where a part of it is unknown."""
        parts = (self.pretraining.seconds, self.evaluating.seconds)
        return None if None in parts else sum(part for part in parts if part is not None)


@dataclass
class Forecaster:
    """Estimates cells of one moment.

    Args:
        runs: Run folder.
        settings: Size of the frame cache, and classes of this process.
        probe: Take a few batches and steps where nothing is recorded.
        progress: Progress bars.
    """

    runs: Path
    settings: Settings
    probe: bool
    progress: Progress = field(default_factory=quiet_progress)
    _indexes: dict[str, Index] = field(default_factory=dict)

    def forecast(self, plan: Plan) -> list[CellForecast]:
        """Every cell of the plan; what is finished costs nothing."""
        history = read_history(self.runs)
        rates: dict[str, Rates] = {}
        like: dict[tuple[str, str], Rates] = {}  # backbone and protocol: for random initialisation
        for spec, evaluations in plan.cells:
            found = self._rates(spec, evaluations, plan.protocols[spec.protocol_hash])
            if found is not None:
                rates[spec.cell_id] = like[_kind(spec)] = found
        return [
            _Forecast(
                cell=CellFolder(self.runs, spec.cell_id),
                spec=spec,
                wanted=evaluations,
                protocol=plan.protocols[spec.protocol_hash],
                rates=rates.get(spec.cell_id) or like.get(_kind(spec)),
                history=history,
                index=self._index,
                cache_mib=self.settings.cache_gib * 1024,
            ).made()
            for spec, evaluations in plan.cells
        ]

    def _rates(self, spec: CellSpec, wanted: Sequence[EvaluationSpec], protocol: Protocol) -> Rates | None:
        """Of a cell that is pretrained and has work left."""
        if spec.task.name == RANDOM_INIT:
            return None
        found = known_rates(spec, protocol, self.runs)
        cell = CellFolder(self.runs, spec.cell_id)
        idle = cell.pretrain_result() is not None and all(cell.has_result(e) for e in wanted)
        if found is not None or idle or not self.probe:
            return found
        self.progress.say(f"probing {spec.task.label} on {spec.backbone.label}")
        parts = self._index(spec.pretrain, protocol).parts["train"]
        records = parts if spec.task.name == SUPERVISED else subset(parts, protocol.data)
        return rates_of(spec, protocol, records, runs=self.runs, settings=self.settings)

    def _index(self, dataset: Component, protocol: Protocol) -> Index:
        key = f"{dataset.spec} {sorted(dataset.options.items())} {protocol.data.validation_fraction}"
        if key not in self._indexes:
            opened = open_dataset(dataset, progress=self.progress, classes=self.settings.classes)
            self._indexes[key] = build_index(dataset.name, opened, protocol.data)
        return self._indexes[key]


def _kind(spec: CellSpec) -> tuple[str, str]:
    return digest(spec.backbone.key()), spec.protocol_hash


@dataclass(frozen=True)
class _Forecast:
    """One cell, with all that is known of its kind."""

    cell: CellFolder
    spec: CellSpec
    wanted: Sequence[EvaluationSpec]
    protocol: Protocol
    rates: Rates | None
    history: History
    index: Callable[[Component, Protocol], Index]
    cache_mib: float

    def made(self) -> CellForecast:
        state, again = self._state(), bool(self.cell.missing_snapshots(self.wanted))
        trains = state in ("new", "again")
        still = [e for e in self.wanted if again or not self.cell.has_result(e)]
        pretraining, bottleneck, amounts = self._pretraining()
        return CellForecast(
            cell_id=self.spec.cell_id,
            task=self.spec.task.label,
            backbone=self.spec.backbone.label,
            pretrain=self.spec.pretrain.label,
            role=self.spec.role,
            seed=self.spec.seed,
            state=state,
            evaluations=len(still),
            pretraining=pretraining if trains else NOTHING,
            evaluating=_together([self._evaluation(e) for e in still]),
            bottleneck=bottleneck if trains else "",
            peak_mib=self.history.peak_mib(self.spec) or (self.rates.peak_mib if self.rates else None),
            disk_mib=self._disk(trains=trains),
            amounts=amounts,
        )

    def _state(self) -> str:
        if self.cell.pretrain_result() is None:
            return "new"
        if self.cell.missing_snapshots(self.wanted):
            return "again"
        return "finished" if all(self.cell.has_result(e) for e in self.wanted) else "to evaluate"

    def _pretraining(self) -> tuple[Estimate, str, Amounts | None]:
        """Of the whole cell, whatever of it is done."""
        recorded = self.history.pretrain_seconds(self.spec)
        if self.spec.task.name == RANDOM_INIT:
            return NOTHING, "", None
        if self.rates is None:
            return UNKNOWN if recorded is None else Estimate(recorded, "recorded"), "", None
        rates, options = self.rates, self.protocol.pretrain
        parts = self.index(self.spec.pretrain, self.protocol).parts["train"]
        count = len(parts if self.spec.task.name == SUPERVISED else subset(parts, self.protocol.data))
        epoch = count - count % min(options.batch_size, count)
        per_video = self._seconds(rates.cached_seconds, rates.step_seconds)
        unit = {"epochs": epoch, "frames": 1 / rates.frames, "flops": 1e-9 / max(rates.gflops, 1e-9)}
        videos = options.budget.amount * unit.get(options.budget.currency, 1 / per_video)
        load = videos * rates.cached_seconds if self._cached(count) else videos * rates.decode_seconds
        if self._cached(count):  # the first pass decodes
            load += min(videos, count) * (rates.decode_seconds - rates.cached_seconds)
        compute = videos * rates.step_seconds
        seconds = self._seconds(load, compute)
        amounts = Amounts(videos / epoch, videos * rates.frames, videos * rates.gflops, seconds)
        estimate = Estimate(seconds, "probed") if recorded is None else Estimate(recorded, "recorded")
        return estimate, "decoding" if load > compute else "compute", amounts

    def _evaluation(self, spec: EvaluationSpec) -> Estimate:
        recorded = self.history.evaluation_seconds(self.spec, spec)
        if recorded is not None:
            return Estimate(recorded, "recorded")
        if self.rates is None:
            return UNKNOWN
        rates = self.rates
        parts = target_subset(self.index(spec.target, self.protocol), self.protocol).parts
        train, chosen = len(parts["train"]), len(parts["validation"])
        tested = len(parts["test"]) * self.protocol.evaluation.num_test_clips
        load = rates.cached_seconds / rates.views
        forward = self._seconds(load, rates.clip_seconds)
        seconds = (train + chosen + tested) * forward
        epochs = spec.evaluator.options.get("epochs", 0)
        if isinstance(epochs, int):
            seconds += epochs * (train * self._seconds(load, rates.clip_train_seconds) + chosen * forward)
        return Estimate(seconds, "rule")

    def _seconds(self, load: float, compute: float) -> float:
        """Threads load beside a GPU; on a CPU they take its cores."""
        return max(load, compute) if torch.cuda.is_available() else load + compute

    def _cached(self, count: int) -> bool:
        return self.rates is not None and count * self.rates.video_mib <= self.cache_mib

    def _disk(self, *, trains: bool) -> float | None:
        if not trains:
            return 0.0
        if self.rates is None:
            return None
        return self.rates.weights_mib * (1 + len({e.at for e in self.wanted} - {1.0}))


def _together(parts: Sequence[Estimate]) -> Estimate:
    """The sum; it is as good as its weakest part."""
    order: tuple[Source, ...] = ("recorded", "probed", "rule", "unknown")
    source: Source = order[max((order.index(part.source) for part in parts), default=0)]
    if source == "unknown":
        return UNKNOWN
    return Estimate(sum(part.seconds or 0.0 for part in parts), source)
