"""How fast this machine loads and trains one kind of cell: a few real batches and steps, kept with the runs.

A kind is a task on a backbone with a clip geometry, a batch size and pretraining data. Loading is timed
twice, by decoding and from the frame cache; a training step with the task's own heads, forward and backward
with the optimiser; and the backbone alone on noise, forward and in training, for evaluations.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor, nn

from vssl_core import cost, precision
from vssl_core.cache_dir import user_cache
from vssl_core.cells import CellSpec, digest
from vssl_core.controls import SUPERVISED, Supervised
from vssl_core.data import loader_threads
from vssl_core.errors import StoreError
from vssl_core.files import read_json, write_json
from vssl_core.instantiate import component_class, component_options, make_backbone
from vssl_core.interfaces import PretextTask, TaskContext, TrainProgress
from vssl_core.optim import build_optimizer
from vssl_core.probe import choose
from vssl_core.protocol import Protocol
from vssl_core.run_cell import Settings
from vssl_core.types import VideoRecord
from vssl_core.video import FrameCache, FrameReader
from vssl_core.views import Batch, Key, ViewPipeline, load_batches, to_device

__all__ = ["Rates", "known_rates", "rates_of"]

_SCHEMA = 1
_STEPS = 3  # timed, after one to warm up
_CLIPS = 8  # of noise, through the backbone alone


class Rates(BaseModel):
    """What one video, or one clip, of a kind of cell takes on this machine.

    Args:
        decode_seconds: To load one video's views by decoding, with all threads.
        cached_seconds: The same from the frame cache.
        step_seconds: To train on one video, loading apart.
        frames: Decoded frames of one video.
        video_mib: Of one video's frames in the frame cache.
        gflops: Of training on one video.
        clip_seconds: Forward pass of one clip through the backbone.
        clip_train_seconds: Forward and backward pass of one clip through the backbone.
        views: Clips of one video.
        weights_mib: Size of the backbone's file of weights.
        checkpoint_mib: Size of a checkpoint.
        peak_mib: Most memory until the end of the probe: of the GPU, or of this process.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    decode_seconds: float
    cached_seconds: float
    step_seconds: float
    frames: float
    video_mib: float
    gflops: float
    clip_seconds: float
    clip_train_seconds: float
    views: int
    weights_mib: float
    checkpoint_mib: float
    peak_mib: float


def known_rates(spec: CellSpec, protocol: Protocol, runs: Path) -> Rates | None:
    """What an earlier probe of this kind found on this machine."""
    found = _read(runs).get(_kind(spec, protocol))
    return Rates.model_validate(found) if found is not None else None


def rates_of(
    spec: CellSpec, protocol: Protocol, records: Sequence[VideoRecord], *, runs: Path, settings: Settings
) -> Rates:
    """The rates of a cell's kind, probed unless they are known.

    Args:
        spec: The cell.
        protocol: Its document.
        records: Videos that it pretrains on, with labels for the supervised control.
        runs: Run folder, which keeps what was found.
        settings: Size of the frame cache, and classes of this process.

    Raises:
        VsslError: The task cannot be built, or a video cannot be read.
    """
    known = known_rates(spec, protocol, runs)
    if known is not None:
        return known
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        found = _Probe(spec, protocol, records, runs, settings).run()
    probes = {**_read(runs), _kind(spec, protocol): found.model_dump(mode="json")}
    write_json(runs / "rates.json", {"schema": _SCHEMA, "probes": probes})
    return found


def _kind(spec: CellSpec, protocol: Protocol) -> str:
    """Name and digest of what decides about rates."""
    decides = {
        "task": spec.task.key(),
        "backbone": spec.backbone.key(),
        "data": spec.pretrain.key(),
        "clip": protocol.clip.model_dump(mode="json"),
        "loading": [protocol.data.short_side, protocol.data.decoder],
        "batch": [protocol.pretrain.batch_size, protocol.pretrain.accumulation, protocol.pretrain.precision],
        "machine": [precision.machine(), loader_threads()],
    }
    return f"{spec.task.name} {spec.backbone.name} {digest(decides)[:12]}"


def _read(runs: Path) -> dict[str, Any]:
    path = runs / "rates.json"
    if not path.exists():
        return {}
    try:
        probes: dict[str, Any] = read_json(path, schema=_SCHEMA)["probes"]
    except (StoreError, KeyError):
        return {}  # only a probe: it is made again
    return probes


class _Probe:
    def __init__(
        self,
        spec: CellSpec,
        protocol: Protocol,
        records: Sequence[VideoRecord],
        runs: Path,
        settings: Settings,
    ) -> None:
        self._spec, self._protocol, self._settings = spec, protocol, settings
        self._clip = protocol.clip.spec()
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._size = min(protocol.pretrain.batch_size // protocol.pretrain.accumulation, len(records))
        wanted = self._size * (_STEPS + 1)
        self._records = [records[i % len(records)] for i in range(wanted)]
        self._supervised = spec.task.name == SUPERVISED
        chosen = choose(
            protocol.pretrain.precision,
            name=f"{spec.backbone.name} {dict(spec.backbone.options)}",
            make=self._backbone,
            clip=self._clip,
            device=self._device,
            record=runs / "precision.json",
        )
        self._autocast = precision.autocast_factory(chosen["precision"], self._device)
        self._layout = chosen["memory_format"]

    def run(self) -> Rates:
        if self._device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self._device)
        cls: Any = Supervised
        if not self._supervised:
            cls = component_class("task", self._spec.task, self._settings.classes)
        options = component_options(cls, self._spec.task, "task")
        context = TaskContext(self._clip, num_videos=len(self._records), batch_size=self._size)
        task = cls(self._backbone, options, context)
        weights = _mib(task.backbone.state_dict().values())
        parts = (cls.sampler(options, self._clip), cls.augmentation(options, self._clip))
        decode, frames, _ = self._load(self._pipeline(*parts, cached=False))
        pipeline = self._pipeline(*parts, cached=True)
        self._load(pipeline)  # fills the cache
        cached, _, batches = self._load(pipeline)
        step, gflops = self._train(task, pipeline, batches)
        trained = sum(p.numel() * p.element_size() for p in task.parameters() if p.requires_grad) / 2**20
        states = 1 if self._protocol.pretrain.optimizer.name == "sgd" else 2
        clip, clip_train = self._backbone_alone(task.backbone)
        return Rates(
            decode_seconds=decode,
            cached_seconds=cached,
            step_seconds=step,
            frames=frames,
            video_mib=self._video_mib(),
            gflops=gflops,
            clip_seconds=clip,
            clip_train_seconds=clip_train,
            views=len(pipeline.augmentation),
            weights_mib=weights,
            checkpoint_mib=_mib(task.state_dict().values()) + states * trained,
            peak_mib=cost.peak_memory_mib(self._device),
        )

    def _backbone(self) -> Any:
        return make_backbone(
            self._spec.backbone, self._clip, seed=self._spec.seed, classes=self._settings.classes
        )

    def _pipeline(self, sampler: Any, augmentation: Any, *, cached: bool) -> ViewPipeline:
        data, cache = self._protocol.data, None
        if cached and self._settings.cache_gib > 0:
            cache = FrameCache(user_cache() / "frames", max_bytes=int(self._settings.cache_gib * 2**30))
        labels = {r.video_id: r.label or 0 for r in self._records} if self._supervised else None
        return ViewPipeline(
            reader=FrameReader(short_side=data.short_side, cache=cache, decoder=data.decoder),
            sampler=sampler,
            augmentation=augmentation,
            clip=self._clip,
            seed=self._spec.seed,
            pixels_here=self._device.type == "cpu",
            labels=labels,
        )

    def _video_mib(self) -> float:
        data = self._protocol.data
        reader = FrameReader(short_side=data.short_side, cache=None, decoder=data.decoder)
        sizes = []
        for record in self._records[: self._size]:
            seen = reader.info(record)
            shrunk = min(1.0, (data.short_side or np.inf) / min(seen.height, seen.width))
            sizes.append(3 * seen.num_frames * seen.height * seen.width * shrunk**2 / 2**20)
        return statistics.fmean(sizes)

    def _load(self, pipeline: ViewPipeline) -> tuple[float, float, list[Batch]]:
        """Seconds and decoded frames of one video, and the batches."""
        keys = [
            [Key(0, record) for record in self._records[start : start + self._size]]
            for start in range(0, len(self._records), self._size)
        ]
        start = time.perf_counter()
        batches = list(load_batches(pipeline, keys, threads=loader_threads(), prefetch=2 * self._size))
        seconds = time.perf_counter() - start
        count = len(self._records)
        return seconds / count, sum(batch.num_frames for batch in batches) / count, batches

    def _train(
        self, task: PretextTask, pipeline: ViewPipeline, batches: Iterable[Batch]
    ) -> tuple[float, float]:
        """Seconds and GFLOPs of training on one video."""
        task = precision.to_device(task, self._device, memory_format=self._layout).train()
        optimizer = build_optimizer(task, self._protocol.pretrain.optimizer)
        seconds, gflops = [], 0.0
        for number, batch in enumerate(batches):
            views, info = to_device(
                batch,
                pipeline,
                data=self._protocol.data,
                device=self._device,
                memory_format=precision.FORMATS[self._layout],
            )
            if number == 0:
                with cost.step_flop_counter() as counter:
                    self._step(task, optimizer, views, info)
                gflops = counter.get_total_flops() / 1e9 / len(batch.keys)
            else:
                step = partial(self._step, task, optimizer, views, info)
                seconds.append(self._timed(step) / len(batch.keys))
        return statistics.median(seconds), gflops

    def _step(
        self,
        task: PretextTask,
        optimizer: torch.optim.Optimizer,
        views: Mapping[str, Tensor],
        info: Mapping[str, Tensor],
    ) -> None:
        now = TrainProgress(step=0, epoch=0, fraction=0.0)
        task.before_step(now)
        with self._autocast():
            loss = task(views, info).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        task.after_step(now)

    def _backbone_alone(self, backbone: nn.Module) -> tuple[float, float]:
        """Seconds of one clip, forward in eval mode and forward and backward in training."""
        clip = self._clip
        shape = (_CLIPS, 3, clip.num_frames, clip.crop_size, clip.crop_size)
        video_BCTHW = torch.randn(shape, generator=torch.Generator().manual_seed(0)).to(self._device)
        video_BCTHW = video_BCTHW.contiguous(memory_format=precision.FORMATS[self._layout])

        def forward() -> None:
            with torch.no_grad(), self._autocast():
                backbone(video_BCTHW)

        def train() -> None:
            with self._autocast():
                loss = backbone(video_BCTHW).float().square().mean()
            loss.backward()

        backbone.eval()
        seconds = self._best(forward)
        backbone.train()
        return seconds, self._best(train)

    def _best(self, work: Callable[[], None]) -> float:
        work()
        return min(self._timed(work) for _ in range(2)) / _CLIPS

    def _timed(self, work: Callable[[], None]) -> float:
        start = time.perf_counter()
        work()
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        return time.perf_counter() - start


def _mib(tensors: Iterable[Tensor]) -> float:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors) / 2**20
