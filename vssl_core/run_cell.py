"""One cell from its description to its rows: pretrain and evaluate what is not done."""

from __future__ import annotations

import os
import platform
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from vssl_core import cost, distributed
from vssl_core.augmentation.ops import Augmentation
from vssl_core.cache_dir import user_cache
from vssl_core.cells import CellSpec, Component, EvaluationSpec
from vssl_core.checkpoint import clear, save_weights
from vssl_core.controls import RANDOM_INIT, SUPERVISED, Supervised
from vssl_core.data import (
    Index,
    Ledger,
    audit,
    build_index,
    held_out,
    loader_threads,
    num_missing,
    subset,
)
from vssl_core.draws import equal_draws
from vssl_core.errors import ContractError, DatasetError
from vssl_core.evaluate_cell import CellEvaluations
from vssl_core.fingerprint import fingerprint
from vssl_core.global_seeds import seed_everything
from vssl_core.hooks import Hooks, RunInfo, load_hooks
from vssl_core.instantiate import (
    component_class,
    component_options,
    load_published,
    make_backbone,
    refuse_changed_code,
)
from vssl_core.interfaces import (
    Backbone,
    PretextTask,
    TaskContext,
    ViewSampler,
)
from vssl_core.lease import hold
from vssl_core.ledger import DecodeLedger
from vssl_core.opening import open_dataset
from vssl_core.precision import deterministic, machine
from vssl_core.pretrain import PretrainJob, pretrain
from vssl_core.probe import choose
from vssl_core.progress import Progress
from vssl_core.protocol import Protocol
from vssl_core.rows import Cost, Row
from vssl_core.store import CellFolder
from vssl_core.strips import write_strips
from vssl_core.types import ClipSpec
from vssl_core.video import FrameCache, FrameReader
from vssl_core.views import ViewPipeline

__all__ = ["Settings", "run_cell"]


@dataclass(frozen=True)
class Settings:
    """What may differ between two runs of a cell without changing its numbers.

    Args:
        checkpoint_seconds: Pause between two checkpoints.
        cache_gib: Size of the decoded-frame cache; 0 decodes every time.
        no_plugins: Hooks that stay out, by name.
        classes: Component spec → class, for classes that no other process could import.
        evaluations: Ids of the evaluations that are wanted; None: all that were ever asked for.
    """

    checkpoint_seconds: float = 20.0
    cache_gib: float = 8.0
    no_plugins: tuple[str, ...] = ()
    classes: Mapping[str, type] = field(default_factory=dict)
    evaluations: tuple[str, ...] | None = None


def run_cell(runs: Path, cell_id: str, *, settings: Settings, progress: Progress) -> None:
    """Do what is missing of one cell; wait first if another process is at it.

    Raises:
        VsslError: The cell failed; the reason also stands in its `failure.json`.
        KeyboardInterrupt: Interrupted; the cell can be resumed.
    """
    folder = CellFolder(runs, cell_id)
    spec = folder.spec()

    def waiting(owner: str) -> None:
        progress.say(f"{cell_id}: waiting for {owner}, which is at it")

    decided = distributed.meet(_device())  # before one of them waits
    if not _is_first():  # the first process of the cell holds the lease for all
        _Cell(folder, spec, settings, progress).run(decided)
        return
    with hold(folder.path / "lease.json", waiting=waiting):
        folder.clear_failure()
        try:
            _Cell(folder, spec, settings, progress).run(decided)
        except Exception as error:
            folder.write_failure(error)
            raise


class _Cell:
    """The parts that pretraining and evaluations of one cell share."""

    def __init__(self, folder: CellFolder, spec: CellSpec, settings: Settings, progress: Progress) -> None:
        self._folder, self._spec, self._settings, self._progress = folder, spec, settings, progress
        self._protocol: Protocol = folder.protocol()
        self._clip: ClipSpec = self._protocol.clip.spec()
        self._device = _device()
        cache = None
        if settings.cache_gib > 0:
            cache = FrameCache(user_cache() / "frames", max_bytes=int(settings.cache_gib * 2**30))
        data = self._protocol.data
        self._reader = FrameReader(short_side=data.short_side, cache=cache, decoder=data.decoder)

    def run(self, decided: Callable[[bool], bool]) -> None:
        """Pretrain, then evaluate; each only if it is not done.

        Args:
            decided: What the first process finds missing, once it holds the lease, holds for all.
        """
        self._check_decoder()
        hooks, run = load_hooks(disabled=self._settings.no_plugins), self._run_info()
        for problem in hooks.problems:
            self._progress.say(problem)
        try:
            hooks.run_start(run)
            with deterministic(self._device):
                wanted = [spec for spec, _, _ in self._wanted()]
                finished = self._folder.pretrain_result() is not None
                if decided(not finished or bool(self._folder.missing_snapshots(wanted))):
                    self._pretrain(hooks)
                if _is_first():
                    self._evaluate(hooks)
        except BaseException as error:
            hooks.run_end(run, error)
            raise
        hooks.run_end(run)

    def _wanted(self) -> list[tuple[EvaluationSpec, Path, bool]]:
        """The evaluations that this run is to see to, each with its folder and whether it is done."""
        ids = self._settings.evaluations
        return [one for one in self._folder.evaluations() if ids is None or one[0].evaluation_id in ids]

    def _check_decoder(self) -> None:
        """The cell's key says what makes its frames; other versions here would make other frames."""
        here, planned = self._reader.decoder_identity, self._spec.decoder
        if planned and planned != here:
            other = ", ".join(f"{key} {planned.get(key)}" for key in planned if planned[key] != here.get(key))
            raise DatasetError(
                f"this cell was planned with another decoder ({other}) than this process has; start the "
                "bench again here, or install those versions."
            )

    def _run_info(self) -> RunInfo:
        budget = self._protocol.pretrain.budget
        return RunInfo(
            cell_id=self._folder.cell_id,
            folder=self._folder.path,
            task=self._spec.task.name,
            backbone=self._spec.backbone.name,
            seed=self._spec.seed,
            budget=budget.amount,
            currency=budget.currency,
        )

    def _backbone(self) -> Backbone:
        """A new backbone with the weights that this seed gives, whatever was drawn before."""
        return make_backbone(
            self._spec.backbone, self._clip, seed=self._spec.seed, classes=self._settings.classes
        )

    def _start(self) -> Backbone:
        """A new backbone as pretraining finds it: with published weights, where the user named some."""
        backbone = self._backbone()
        load_published(backbone, self._spec.backbone)
        return backbone

    # ------------------------------------------------------------------------------------ pretraining

    def _pretrain(self, hooks: Hooks) -> None:
        if _is_first():
            self._folder.write_note("environment", _environment(self._spec, self._reader, self._device))
        refuse_changed_code("backbone", self._spec.backbone, self._settings.classes)
        if self._spec.task.name not in (RANDOM_INIT, SUPERVISED):
            refuse_changed_code("task", self._spec.task, self._settings.classes)
        backbone = self._start()
        gflops, missing = cost.count_flops(backbone, self._clip)
        start = fingerprint(backbone, gflops=gflops)
        result: dict[str, Any] = {}
        clips_per_second = 0.0
        if self._spec.task.name != RANDOM_INIT:
            result, backbone, clips_per_second = self._train(hooks)
        if not _is_first():
            return
        if self._folder.pretrain_result() is not None:  # pretrained again, for snapshots
            self._progress.say(f"{self._folder.cell_id}: pretrained again; its evaluations are computed anew")
            self._folder.forget_evaluations()
        digest = save_weights(
            self._folder.weights, backbone, {"format": "vssl", "cell_id": self._folder.cell_id}
        )
        costs = Cost(
            parameters=start.parameters,
            gflops=gflops,
            unsupported_ops=missing,
            pretrain_seconds=float(result.get("seconds", 0.0)),
            pretrain_clips_per_second=clips_per_second,
            peak_memory_mib=cost.peak_memory_mib(self._device),
        )
        notes = {"cost": costs.model_dump(mode="json"), "backbone_fingerprint": start.model_dump(mode="json")}
        self._folder.write_pretrain_result({"verdict": "ok", **result, "weights_sha256": digest, **notes})
        clear(self._folder.pretrain / "checkpoints")

    def _snapshots(self) -> dict[float, Path]:
        """The shares of the budget whose weights are wanted, and those that are kept already, with files."""
        kept = (self._folder.pretrain_result() or {}).get("snapshots", {})
        shares = {*self._folder.wanted_snapshots(), *map(float, kept)}
        return {share: self._folder.weights_at(share) for share in sorted(shares)}

    def _train(self, hooks: Hooks) -> tuple[dict[str, Any], Backbone, float]:
        train, validation, labels, ledger = self._pretraining_videos()
        if _is_first():
            self._folder.write_note("ledger", {"pretrain": ledger.document()})
        task, sampler, augmentation = self._task(len(train), labels)
        pipeline = ViewPipeline(
            reader=self._reader,
            sampler=sampler,
            augmentation=augmentation,
            clip=self._clip,
            seed=self._spec.seed,
            pixels_here=self._device.type == "cpu",
            labels=labels,
        )
        write_strips(self._folder.pretrain / "views", pipeline, train)
        precision = self._training_precision()
        job = PretrainJob(
            task=task,
            pipeline=pipeline,
            records=train,
            held_out=validation,
            protocol=self._protocol,
            seed=self._spec.seed,
            device=self._device,
            precision=precision["precision"],
            memory_format=precision["memory_format"],
            folder=self._folder.pretrain,
            threads=loader_threads(),
            checkpoint_seconds=self._settings.checkpoint_seconds,
            hooks=hooks,
            run=self._run_info(),
            progress=self._progress,
            snapshots=self._snapshots(),
        )
        result = pretrain(job)
        clips = result["videos_seen"] * len(augmentation)
        rate = clips / max(result["seconds"], 1e-9)
        return {**result, "precision": precision, "ledger": ledger.document()}, task.backbone, rate

    def _pretraining_videos(self) -> tuple[Any, Any, dict[str, int] | None, Ledger]:
        """Training and held-out videos without labels; labels apart, for the supervised control alone."""
        index = self._index(self._spec.pretrain)
        expected = self._spec.pretrain_digest
        found = index.digest if self._spec.task.name == SUPERVISED else index.unlabelled_digest
        if found != expected:
            raise DatasetError(
                f"dataset {index.name!r} has changed since this cell was planned "
                f"(digest {found[:12]}, planned with {expected[:12]}); start the bench again."
            )
        data = self._protocol.data
        train = subset(index.parts["train"], data)
        validation = held_out(index.parts["validation"], data)
        usable, ledger = audit(
            [*train, *validation],
            self._reader,
            ledger=DecodeLedger(user_cache()),
            data=data,
            progress=self._progress,
            missing=num_missing(index, ("train",), bound=data.num_videos),
        )
        ids = {record.video_id for record in usable}
        labels = None
        if self._spec.task.name == SUPERVISED:
            labelled = [*index.parts["train"], *index.parts["validation"]]
            labels = {r.video_id: r.label for r in labelled if r.label is not None}
        return (
            [record for record in train if record.video_id in ids],
            [record for record in validation if record.video_id in ids],
            labels,
            ledger,
        )

    def _index(self, component: Component) -> Index:
        dataset = open_dataset(component, progress=self._progress, classes=self._settings.classes)
        return build_index(component.name, dataset, self._protocol.data)

    def _task(self, num_videos: int, labels: Any) -> tuple[PretextTask, ViewSampler, Augmentation]:
        cls: Any = Supervised
        if labels is None:
            cls = component_class("task", self._spec.task, self._settings.classes)
        options = component_options(cls, self._spec.task, "task")
        context = TaskContext(
            clip=self._clip,
            num_videos=num_videos,
            batch_size=min(self._protocol.pretrain.batch_size, num_videos),
        )
        seed_everything("task", self._spec.seed)
        with warnings.catch_warnings(record=True) as remarks, equal_draws():
            warnings.simplefilter("always", UserWarning)
            task: PretextTask = cls(self._start, options, context)
        for remark in remarks:
            self._progress.say(f"{self._spec.task.name}: {remark.message}")
        if not isinstance(getattr(task, "backbone", None), Backbone):
            raise ContractError(
                f"task {self._spec.task.name!r}: __init__ must set self.backbone = make_backbone()."
            )
        return task, cls.sampler(options, self._clip), cls.augmentation(options, self._clip)

    def _training_precision(self) -> dict[str, Any]:
        """What training began with, where it goes on: another machine's probe may choose otherwise."""
        if (self._folder.pretrain / "checkpoints").is_dir() and (kept := self._folder.read_note("precision")):
            return kept
        chosen = self._precision()
        if _is_first():
            self._folder.write_note("precision", chosen)
        return chosen

    def _precision(self) -> dict[str, Any]:
        name = f"{self._spec.backbone.name} {dict(self._spec.backbone.options)}"
        return choose(
            self._protocol.pretrain.precision,
            name=name,
            make=self._backbone,
            clip=self._clip,
            device=self._device,
            record=self._folder.runs / "precision.json",
        )

    def _evaluate(self, hooks: Hooks) -> None:
        todo = [
            (spec, path) for spec, path, done in self._wanted() if not done and self._folder.is_ready(spec)
        ]
        if not todo:
            return
        evaluations = CellEvaluations(
            folder=self._folder,
            spec=self._spec,
            protocol=self._protocol,
            reader=self._reader,
            device=self._device,
            progress=self._progress,
            classes=self._settings.classes,
            precision=self._precision(),
        )

        def finished(rows: Sequence[Row]) -> None:
            for row in rows:
                hooks.result(self._run_info(), row)

        evaluations.run(todo, finished=finished)


def _is_first() -> bool:
    """Whether this process writes for all processes of the cell, be it one that trains nothing."""
    return int(os.environ.get("RANK", "0")) == 0


def _device() -> torch.device:
    """The GPU of this process, where there is one."""
    if not torch.cuda.is_available():
        return torch.device("cpu")
    return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))


def _environment(spec: CellSpec, reader: FrameReader, device: torch.device) -> dict[str, Any]:
    packages: Callable[[str], str] = version
    return {
        "vssl": packages("vssl"),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "machine": machine(),
        "device": str(device),
        "threads": torch.get_num_threads(),
        "loader_threads": loader_threads(),
        "processes": int(os.environ.get("WORLD_SIZE", "1")),
        "packages": {name: packages(name) for name in ("torch", "numpy", "av", "opencv-python-headless")},
        "decoder": reader.decode_parameters,
        "components": {
            kind: getattr(spec, kind).model_dump(mode="json") for kind in ("task", "backbone", "pretrain")
        },
    }
