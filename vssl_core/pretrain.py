"""Pretraining of one cell: the loop, on one page, the same for every task.

Nothing here draws a random number that depends on what happened before: samples are functions of
(seed, epoch, video_id), and the global generators are set anew from (seed, step) before each step. So
a run that was killed goes on from its last checkpoint with the bits of an undisturbed one.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from vssl_core import checkpoint, distributed, precision
from vssl_core.budget import Meter, Spent
from vssl_core.cost import step_flop_counter
from vssl_core.curve import Curve
from vssl_core.errors import ContractError, DatasetError, DivergedError
from vssl_core.global_seeds import seed_everything
from vssl_core.hooks import Hooks, RunInfo
from vssl_core.interfaces import PretextTask, TaskOutput, TrainProgress
from vssl_core.interrupt import Interruption
from vssl_core.monitors import collapse_verdict, effective_rank, feature_std
from vssl_core.optim import build_optimizer, set_rate
from vssl_core.progress import Progress
from vssl_core.protocol import Protocol
from vssl_core.types import VideoRecord
from vssl_core.views import Batch, Key, ViewPipeline, epoch_order, load_batches, to_device

__all__ = ["PretrainJob", "pretrain"]

HELD_OUT_EPOCH = -1  # the epoch of the draws for held-out videos


@dataclass(frozen=True)
class PretrainJob:
    """Everything that pretraining of one cell needs, already built.

    Args:
        task: On the host, with its seeded weights.
        pipeline: Makes its samples.
        records: Videos to train on, in the index's order.
        held_out: Videos for the held-out pretext metrics; none of their groups is in `records`.
        protocol: Budget, optimiser, batch.
        seed: The cell's.
        device: Where to train.
        precision: `fp32` or `bf16`.
        memory_format: Of weights and views, a key of `precision.FORMATS`.
        folder: Takes `curve.jsonl` and checkpoints.
        threads: Threads that load.
        checkpoint_seconds: Pause between two checkpoints.
        hooks: Told of steps and checkpoints.
        run: What hooks are told the run is.
        progress: Progress bars.
        snapshots: Shares of the budget, below 1, after which the backbone's weights are kept, and the file of
            each.
    """

    task: PretextTask
    pipeline: ViewPipeline
    records: Sequence[VideoRecord]
    held_out: Sequence[VideoRecord]
    protocol: Protocol
    seed: int
    device: torch.device
    precision: str
    memory_format: str
    folder: Path
    threads: int
    checkpoint_seconds: float
    hooks: Hooks
    run: RunInfo
    progress: Progress
    snapshots: Mapping[float, Path] = field(default_factory=dict)

    def views(self, batch: Batch) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """The batch as the task takes it: views on the device in the memory format, and information."""
        layout = precision.FORMATS[self.memory_format]
        return to_device(
            batch, self.pipeline, data=self.protocol.data, device=self.device, memory_format=layout
        )


def pretrain(job: PretrainJob) -> dict[str, Any]:
    """Train until the budget is used; gives what the bundle's `pretrain/result.json` says of it.

    Raises:
        DivergedError: The loss or the gradient is not usable any more.
        KeyboardInterrupt: Ctrl-C or SIGTERM; a checkpoint was written, the cell can be resumed.
    """
    options = job.protocol.pretrain
    accelerator = Accelerator(
        cpu=job.device.type == "cpu", gradient_accumulation_steps=options.accumulation, mixed_precision="no"
    )
    task = precision.to_device(
        distributed.share_batch_layers(job.task), job.device, memory_format=job.memory_format
    )
    optimizer = build_optimizer(task, options.optimizer)
    model, stepper = accelerator.prepare(task, optimizer)
    autocast = precision.autocast_factory(job.precision, job.device)

    plan = _Plan.of(job)
    meter = Meter(options.budget, plan.steps_per_epoch * plan.batch_size)
    run = _Run(job, task, optimizer, meter)
    run.resume()

    batches = load_batches(
        job.pipeline, plan.micro_batches(run.step), threads=job.threads, prefetch=2 * plan.micro_size
    )
    with closing(batches), Interruption() as interruption, run.bar() as bar:
        meter.start()
        while not meter.done:
            left = meter.left
            now = TrainProgress(run.step, run.step // plan.steps_per_epoch, meter.fraction)
            rate = set_rate(optimizer, options.optimizer, meter.fraction)
            seed_everything("step", job.seed, run.step)
            task.train()
            task.before_step(now)
            frames, outputs = 0, []
            with run.counting_flops():
                for _ in range(options.accumulation):
                    batch = next(batches)
                    views, info = job.views(batch)
                    with accelerator.accumulate(model):
                        with autocast():
                            output = _checked(model(views, info))
                        accelerator.backward(output.loss)
                    frames += batch.num_frames
                    outputs.append(output)
            norm = accelerator.clip_grad_norm_(task.parameters(), options.optimizer.clip_norm or float("inf"))
            metrics = _reduce(outputs)
            run.check_divergence(metrics["loss"], float(norm))
            stepper.step()
            stepper.zero_grad()
            task.after_step(now)
            run.finish_step(plan.batch_size, frames, {**metrics, "lr": rate, "grad_norm": float(norm)}, now)
            bar.advance(left - meter.left, note=f"loss {metrics['loss']:.3f}")
            run.take_snapshots()
            if run.held_out_due():
                run.take_held_out(plan, autocast)
            stop = distributed.any_process(interruption.requested, on=job.device)
            if stop or run.checkpoint_due() or meter.done:
                run.save()
            if stop or (meter.done and interruption.requested):
                raise KeyboardInterrupt
    return run.result()


def _checked(output: TaskOutput) -> TaskOutput:
    if not isinstance(output, TaskOutput):
        raise ContractError(f"forward must return a TaskOutput; got {type(output).__name__}.")
    if output.loss.ndim != 0 or not output.loss.requires_grad:
        raise ContractError(
            f"TaskOutput.loss must be a scalar with gradient; got shape {tuple(output.loss.shape)}, "
            f"requires_grad={output.loss.requires_grad}."
        )
    return output


def _reduce(outputs: Sequence[TaskOutput]) -> dict[str, float]:
    """Loss, its parts and metrics, averaged over forward passes and processes."""
    rows = [{"loss": o.loss, **o.losses, **o.metrics} for o in outputs]
    names = list(rows[0])
    if not names:
        return {}
    table = torch.stack([torch.stack([row[name].detach().float() for name in names]) for row in rows])
    means = distributed.mean_over_processes(table.mean(0)).tolist()
    return dict(zip(names, means, strict=True))


@dataclass(frozen=True)
class _Plan:
    """Which videos stand in which forward pass on which process."""

    records: Sequence[VideoRecord]
    seed: int
    batch_size: int
    micro_size: int
    accumulation: int
    steps_per_epoch: int

    @classmethod
    def of(cls, job: PretrainJob) -> _Plan:
        options = job.protocol.pretrain
        count = len(job.records)
        parts = options.accumulation * distributed.world_size()
        wanted = min(options.batch_size, count)
        size = wanted - wanted % parts
        if size < 2 * parts:
            raise DatasetError(
                f"{count} videos cannot fill a batch: {parts} forward passes need two videos each. "
                "Use more videos, fewer processes or less accumulation."
            )
        if size < options.batch_size:
            job.progress.say(
                f"batch size {size} instead of {options.batch_size}: "
                f"{count} videos over {parts} forward passes allow no more"
            )
        return cls(job.records, job.seed, size, size // parts, options.accumulation, count // size)

    def micro_batches(self, first_step: int) -> Iterator[list[Key]]:
        """This process's part of every forward pass, from a step on, without end."""
        epoch, skip = divmod(first_step, self.steps_per_epoch)
        while True:
            order = epoch_order(self.records, seed=self.seed, epoch=epoch)
            for step in range(skip, self.steps_per_epoch):
                batch = order[step * self.batch_size : (step + 1) * self.batch_size]
                yield from self.split(batch, epoch)
            epoch, skip = epoch + 1, 0

    def split(self, batch: Sequence[VideoRecord], epoch: int) -> Iterator[list[Key]]:
        """This process's share of each forward pass of one batch."""
        whole = self.micro_size * distributed.world_size()
        offset = distributed.rank() * self.micro_size
        for start in range(0, len(batch) - whole + 1, whole):
            part = batch[start + offset : start + offset + self.micro_size]
            yield [Key(epoch, record) for record in part]

    def fills_a_batch(self, records: Sequence[VideoRecord]) -> bool:
        """Whether there are enough videos for a forward pass of all processes."""
        return len(records) >= self.micro_size * distributed.world_size()

    def held_out_batches(self, records: Sequence[VideoRecord]) -> Iterator[list[Key]]:
        """Full batches of held-out videos; with fewer than one, all of them at once on every process."""
        if self.fills_a_batch(records):
            yield from self.split(records, HELD_OUT_EPOCH)
        else:
            yield [Key(HELD_OUT_EPOCH, record) for record in records]


class _Run:
    """State of one run: counters, curve, checkpoints."""

    def __init__(
        self, job: PretrainJob, task: PretextTask, optimizer: torch.optim.Optimizer, meter: Meter
    ) -> None:
        self._job, self._task, self._optimizer, self._meter = job, task, optimizer, meter
        self._curve = Curve(job.folder / "curve.jsonl")
        self._checkpoints = job.folder / "checkpoints"
        self._saved = time.monotonic()
        self.step = 0
        self._flops_per_video = 0.0
        self._flop_counter: FlopCounterMode | None = None
        self._first_loss: float | None = None
        self._held_out: list[dict[str, Any]] = []
        self._snapshots: dict[str, str] = {}  # share → digest of its weights

    # -- resuming

    def resume(self) -> None:
        """Go on from the newest whole checkpoint, if there is one."""
        found = checkpoint.load_latest(self._checkpoints)
        if found is None:
            self._curve.truncate(0)
            return
        tensors, state = found
        self._meter.restore(state["meter"])
        self._snapshots = state.get("snapshots", {})
        if lost := self._lost_snapshots():
            self._job.progress.say(
                f"the weights at {lost} of the budget were asked for after this cell had passed them; it "
                "begins again"
            )
            checkpoint.clear(self._checkpoints)
            self._meter.restore({"videos": 0, "frames": 0, "flops": 0.0, "seconds": 0.0})
            self._snapshots = {}
            self._curve.truncate(0)
            return
        if state["world_size"] != distributed.world_size():
            raise ContractError(
                f"this cell was started with {state['world_size']} processes and cannot go on exactly "
                f"with {distributed.world_size()}; start it with the same number, or remove "
                f"{str(self._checkpoints)!r} to begin again."
            )
        weights = {k.removeprefix("task."): v for k, v in tensors.items() if k.startswith("task.")}
        self._task.load_state_dict(weights)
        checkpoint.restore_optimizer(self._optimizer, tensors)
        self.step = int(state["step"])
        self._flops_per_video = state["flops_per_video"]
        self._first_loss = state["first_loss"]
        self._held_out = state["held_out"]
        self._curve.truncate(self.step)
        self._job.progress.say(f"resuming at step {self.step}")

    def checkpoint_due(self) -> bool:
        """True when the last checkpoint is old enough."""
        return time.monotonic() - self._saved >= self._job.checkpoint_seconds

    def save(self) -> None:
        """Write a checkpoint. Every process has the same state, so the first one writes it."""
        self._saved = time.monotonic()
        if distributed.rank() != 0:
            return
        tensors = {f"task.{name}": value for name, value in self._task.state_dict().items()}
        tensors |= checkpoint.optimizer_tensors(self._optimizer)
        state = {
            "step": self.step,
            "world_size": distributed.world_size(),
            "meter": self._meter.state(),
            "flops_per_video": self._flops_per_video,
            "first_loss": self._first_loss,
            "held_out": self._held_out,
            "snapshots": self._snapshots,
        }
        path = checkpoint.save_checkpoint(self._checkpoints, self.step, tensors, state)
        self._job.hooks.checkpoint_saved(self._job.run, path)
        self._meter.start()

    # -- a step

    def bar(self) -> AbstractContextManager[Any]:
        """A progress bar over the budget."""
        return self._job.progress.track("pretraining", self._meter.left, self._meter.unit)

    def counting_flops(self) -> AbstractContextManager[Any]:
        """Counts the first step's FLOPs, forward and backward, heads and twins included."""
        if self._flops_per_video or self.step:
            return nullcontext()
        self._flop_counter = step_flop_counter()
        return self._flop_counter

    def check_divergence(self, loss: float, norm: float) -> None:
        """Stop when the loss or the gradient is not usable."""
        first = self._first_loss if self._first_loss is not None else loss
        self._first_loss = first
        if not np.isfinite(loss):
            what = f"the loss is {loss}"
        elif not np.isfinite(norm):
            what = f"the gradient's norm is {norm}"
        elif loss > 1000.0 * max(abs(first), 1.0):
            what = f"the loss rose from {first:.4g} to {loss:.4g}"
        else:
            return
        raise DivergedError(
            f"{type(self._task).__name__} diverged at step {self.step}: {what}. "
            "Lower pretrain.optimizer.lr or set pretrain.optimizer.clip_norm in the protocol."
        )

    def finish_step(self, videos: int, frames: int, metrics: Mapping[str, float], now: TrainProgress) -> None:
        """Count the step and write it to the curve."""
        if self._flop_counter is not None:
            self._flops_per_video = self._flop_counter.get_total_flops() * distributed.world_size() / videos
            self._flop_counter = None
        device = self._job.device
        total = int(distributed.sum_over_processes(torch.tensor(float(frames), device=device)))
        # By their own clocks processes would follow different schedules and end at different steps.
        seconds = distributed.of_first_process(self._meter.lap(), on=device)
        self._meter.add(Spent(videos, total, self._flops_per_video * videos, seconds))
        self.step += 1
        row = {"step": self.step, "epoch": now.epoch, "fraction": self._meter.fraction, **metrics}
        if distributed.rank() == 0:
            self._curve.append(row)
        self._job.hooks.step_end(self._job.run, self.step, metrics)

    # -- snapshots

    def take_snapshots(self) -> None:
        """Keep the backbone's weights where the last step was the first to reach a share."""
        for share, path in self._job.snapshots.items():
            new = f"{share:g}" not in self._snapshots
            if new and self._meter.has_reached(share) and distributed.rank() == 0:
                note = {"format": "vssl", "share_of_budget": f"{share:g}"}
                self._snapshots[f"{share:g}"] = checkpoint.save_weights(path, self._task.backbone, note)

    def _lost_snapshots(self) -> str:
        """Shares that a resumed run is past and that were not kept."""
        passed = [share for share in self._job.snapshots if self._meter.has_reached(share)]
        return ", ".join(f"{share:g}" for share in passed if f"{share:g}" not in self._snapshots)

    # -- held-out videos and monitors

    def held_out_due(self) -> bool:
        """True when the next point of the budget is reached."""
        points = self._job.protocol.pretrain.held_out_points
        due = len(self._held_out) + 1
        return bool(self._job.held_out) and due <= points and self._meter.has_reached(due / points)

    @torch.no_grad()
    def take_held_out(self, plan: _Plan, autocast: Callable[[], AbstractContextManager[Any]]) -> None:
        """Pretext metrics on held-out videos with fixed draws, and signs of collapse.

        With fewer videos than a batch every process has all of them: gathered, each would meet its copies.
        """
        job, rows, features, chance = self._job, [], [], {}
        self._task.eval()
        keys = plan.held_out_batches(job.held_out)
        batches = load_batches(job.pipeline, keys, threads=job.threads, prefetch=plan.micro_size)
        with nullcontext() if plan.fills_a_batch(job.held_out) else distributed.alone():
            for batch in batches:
                views, info = job.views(batch)
                with autocast():
                    output = self._task(views, info)
                    features.append(self._features(batch, views))
                rows.append((len(batch.keys), _reduce([output])))
                chance = dict(output.chance)
        weights = np.array([count for count, _ in rows], dtype=float)
        means = {
            name: float(np.average([row[name] for _, row in rows], weights=weights)) for name in rows[0][1]
        }
        cloud = torch.cat(features).cpu()
        self._check_held_out(means, cloud)
        point = {
            "step": self.step,
            "fraction": self._meter.fraction,
            "held_out": means,
            "chance": chance,
            "feature_std": feature_std(cloud),
            "effective_rank": effective_rank(cloud),
        }
        self._held_out.append(point)
        if distributed.rank() == 0:
            self._curve.append(point)
        self._meter.start()

    def _check_held_out(self, means: Mapping[str, float], cloud_ND: Tensor) -> None:
        """Stop where a held-out point would hold no number."""
        wrong = [f"{name} is {value}" for name, value in means.items() if not np.isfinite(value)]
        if not torch.isfinite(cloud_ND).all():
            wrong.append("features are not finite")
        if wrong:
            raise DivergedError(
                f"{type(self._task).__name__} gives no numbers on the held-out videos ({len(cloud_ND)}) "
                f"after step {self.step}: {', '.join(wrong)}. Expected finite losses, metrics and features. "
                "Lower pretrain.optimizer.lr in the protocol; where the task cannot do with so few videos, "
                "set pretrain.held_out_points to 0."
            )

    def _features(self, batch: Batch, views: Mapping[str, Tensor]) -> Tensor:
        """Pooled features of the first view, of all processes."""
        first = views[next(iter(batch.views))]
        return distributed.gather_with_grad(self._task.backbone(first).float())

    # -- the end

    def result(self) -> dict[str, Any]:
        """For `pretrain/result.json`."""
        last = self._held_out[-1] if self._held_out else {}
        meter = self._meter.state()
        return {
            "steps": self.step,
            **({"snapshots": self._snapshots} if self._snapshots else {}),
            "videos_seen": meter["videos"],
            "frames_decoded": meter["frames"],
            "seconds": meter["seconds"],
            "training_gflops_per_video": self._flops_per_video / 1e9,
            "held_out": last.get("held_out", {}),
            "chance": last.get("chance", {}),
            "verdict": collapse_verdict(
                [point["feature_std"] for point in self._held_out],
                [point["effective_rank"] for point in self._held_out],
            ),
        }

    def clear(self) -> None:
        """Remove checkpoints once the result is written."""
        checkpoint.clear(self._checkpoints)
