"""Cost: what a backbone takes, measured on clips of the target's real geometry on this machine.

- `forward@B`: clips per second of batches of B, in eval mode and without gradients, as features are made.
- `training@B`: clips per second of whole steps: forward, backward, AdamW at rate 0 over all weights.
- `peak_memory@B`: the largest memory while those training steps ran. On a GPU it is what torch had
  allocated there. On a CPU it is the process's resident set, with Python, torch and whatever else the run
  holds, counted anew from the start of the steps; where the system cannot count anew (all but Linux) it is
  the largest so far, and is said to be. `cost.json` has what was in memory before, for the difference.
- `gflops`: of one clip, multiplies and adds counted separately, by fvcore, with fused attention counted
  here. Operators that cannot be counted are named, with how often they occur, in `cost.json` and by the run.
- `parameters`: all of them, trainable or not.

A rate is that of the median repeat, after a warm-up, in the precision and memory format of the run; the
quartiles of the repeats are in `cost.json`, every repeat's seconds in the arrays. Rates and memory are facts
about a machine as busy as it was: compare what one machine measured in one run. Tables do not compare them
as scores.

Labels are not looked at, test videos not opened. The clips are centre crops of training videos, again from
the first where there are fewer than a batch. From Python, for any backbone and any clips:

    backbone = R3D(R3DOptions(), ClipSpec(num_frames=8, frame_stride=2, crop_size=48))
    timing = measure(backbone, torch.randn(4, 3, 8, 48, 48), repeats=3)
    print(timing.rate(timing.forward_seconds), "clips/s", timing.peak_mib, "MiB")
    gflops, unsupported = count_flops(backbone, ClipSpec(num_frames=8, frame_stride=2, crop_size=48))

Axes: B clip of a batch, R repeat, S batch size.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from pydantic import Field, field_validator
from torch import Tensor

from vssl_core.cost import count_flops, count_parameters, peak_memory_mib, reset_peak_memory
from vssl_core.errors import DatasetError
from vssl_core.files import write_json
from vssl_core.interfaces import (
    Backbone,
    EvaluationContext,
    EvaluationData,
    EvaluationPart,
    EvaluationResult,
    Evaluator,
    Metric,
)
from vssl_core.options import Options
from vssl_core.seeding import key_seed

__all__ = ["Cost", "CostOptions", "Timing", "measure"]

Autocast = Callable[[], AbstractContextManager[Any]]


class CostOptions(Options):
    """Options of the cost measurement."""

    batch_sizes: tuple[int, ...] = (8,)
    """Clips in a batch; every size is measured, the first one's forward rate is what tables show."""
    warmup: int = Field(2, ge=1)
    """Passes, and steps, that are not counted."""
    repeats: int = Field(7, ge=1)
    """Passes, and steps, that are; the median is the result."""

    @field_validator("batch_sizes")
    @classmethod
    def _counts(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if not value or any(size < 1 for size in value):
            raise ValueError("batch_sizes must be one or more numbers of clips of at least 1")
        return tuple(dict.fromkeys(value))


@dataclass(frozen=True, slots=True)
class Timing:
    """What batches of one size took.

    Args:
        batch_size: Clips in a batch.
        forward_seconds: (R,) seconds of a forward pass.
        training_seconds: (R,) seconds of a training step.
        before_mib: Memory before the training steps.
        peak_mib: Largest memory during them.
        peak_counted_anew: False where `peak_mib` is the largest since the process started.
    """

    batch_size: int
    forward_seconds: np.ndarray
    training_seconds: np.ndarray
    before_mib: float
    peak_mib: float
    peak_counted_anew: bool

    def rate(self, seconds: np.ndarray) -> float:
        """Clips per second of the median repeat."""
        return float(self.batch_size / np.median(seconds))

    def summary(self) -> dict[str, Any]:
        """For `cost.json`: rates of the quartiles, slowest first."""
        rates = {
            name: [float(self.batch_size / np.quantile(seconds, q)) for q in (0.75, 0.5, 0.25)]
            for name, seconds in (("forward", self.forward_seconds), ("training", self.training_seconds))
        }
        return {
            "batch_size": self.batch_size,
            "clips_per_second_quartiles": rates,
            "memory_before_mib": self.before_mib,
            "peak_memory_mib": self.peak_mib,
            "peak_counted_anew": self.peak_counted_anew,
        }


class Cost(Evaluator):
    """Parameters, FLOPs, clips per second and peak memory of the backbone in the run's precision.

    The paper states parameters and FLOPs of its backbones (supplementary, Table 1), and neither rates nor
    memory.
    """

    api_version = 1
    Options = CostOptions
    paper = "https://arxiv.org/abs/2306.06010"

    def __init__(self, options: CostOptions) -> None:
        self.options = options

    def evaluate(
        self, backbone: Backbone, data: EvaluationData, context: EvaluationContext
    ) -> EvaluationResult:
        """Count, then measure every batch size. Writes `cost.json`.

        Returns:
            `forward@B`, `training@B` (clips/s), `peak_memory@B` (MiB) for every batch size, `gflops`,
            `parameters` (M); arrays `batch_sizes` and `peak_mib` (S,), `forward_seconds` and
            `training_seconds` (S, R), `gflops` and `parameters` (1,).

        Raises:
            DatasetError: The training part holds no video.
        """
        gflops, missing = count_flops(backbone, context.clip)
        video_BCTHW = _clips(data.train, max(self.options.batch_sizes))
        timings = [self._measure(backbone, video_BCTHW[:size], context) for size in self.options.batch_sizes]
        write_json(context.folder / "cost.json", _document(timings, missing, context))
        if missing:
            context.progress.say(f"cost: gflops leave out what cannot be counted: {_listed(missing)}.")
        for timing in timings:
            context.progress.say(f"cost: {_sentence(timing)}")
        arrays = {
            "batch_sizes": np.array([timing.batch_size for timing in timings]),
            "forward_seconds": np.stack([timing.forward_seconds for timing in timings]),
            "training_seconds": np.stack([timing.training_seconds for timing in timings]),
            "peak_mib": np.array([timing.peak_mib for timing in timings]),
            "gflops": np.array([gflops]),
            "parameters": np.array([count_parameters(backbone)]),
        }
        return EvaluationResult(metrics=self.recompute(arrays), arrays=arrays)

    def recompute(self, arrays: Mapping[str, np.ndarray]) -> Mapping[str, Metric]:
        """All metrics, from the seconds of every repeat, the peaks and the counts."""
        metrics: dict[str, Metric] = {}
        for place, size in enumerate(arrays["batch_sizes"].tolist()):
            for name in ("forward", "training"):
                rate = size / float(np.median(arrays[f"{name}_seconds"][place]))
                metrics[f"{name}@{size}"] = Metric(rate, unit="clips/s")
            peak = float(arrays["peak_mib"][place])
            metrics[f"peak_memory@{size}"] = Metric(peak, unit="MiB", higher_is_better=False)
        gflops, parameters = float(arrays["gflops"][0]), float(arrays["parameters"][0]) / 1e6
        metrics["gflops"] = Metric(gflops, unit="GFLOPs", higher_is_better=False)
        metrics["parameters"] = Metric(parameters, unit="M", higher_is_better=False)
        return metrics

    def _measure(self, backbone: Backbone, video_BCTHW: Tensor, context: EvaluationContext) -> Timing:
        devices = [context.device] if context.device.type == "cuda" else []
        with torch.random.fork_rng(devices=devices):
            torch.manual_seed(key_seed("cost", context.seed))
            return measure(
                backbone,
                video_BCTHW,
                warmup=self.options.warmup,
                repeats=self.options.repeats,
                autocast=context.autocast,
            )


def measure(
    backbone: Backbone,
    video_BCTHW: Tensor,
    *,
    warmup: int = 2,
    repeats: int = 7,
    autocast: Autocast = nullcontext,
) -> Timing:
    """Time forward passes and training steps of this batch, where the clips and the backbone are.

    The weights stay what they are (the optimiser's rate is 0); BatchNorm's statistics move, and the backbone
    is left in training mode.
    """
    device = video_BCTHW.device
    forward_seconds = _seconds(lambda: _forward(backbone, video_BCTHW, autocast), device, warmup, repeats)
    anew = reset_peak_memory(device)
    before = peak_memory_mib(device)
    optimizer = torch.optim.AdamW(backbone.parameters(), lr=0.0, fused=True)
    training_seconds = _seconds(
        lambda: _step(backbone, optimizer, video_BCTHW, autocast), device, warmup, repeats
    )
    return Timing(
        batch_size=len(video_BCTHW),
        forward_seconds=forward_seconds,
        training_seconds=training_seconds,
        before_mib=before,
        peak_mib=peak_memory_mib(device),
        peak_counted_anew=anew,
    )


def _seconds(run: Callable[[], None], device: torch.device, warmup: int, repeats: int) -> np.ndarray:
    """(R,) seconds of each counted run, to the end of what it started on the device."""
    seconds = []
    for turn in range(-warmup, repeats):
        start = time.perf_counter()
        run()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        if turn >= 0:
            seconds.append(time.perf_counter() - start)
    return np.array(seconds)


@torch.no_grad()
def _forward(backbone: Backbone, video_BCTHW: Tensor, autocast: Autocast) -> None:
    backbone.eval()
    with autocast():
        backbone(video_BCTHW)


@torch.enable_grad()
def _step(
    backbone: Backbone, optimizer: torch.optim.Optimizer, video_BCTHW: Tensor, autocast: Autocast
) -> None:
    """One training step; the loss is the mean square of the features, which costs nothing beside them."""
    backbone.train()
    with autocast():
        loss = backbone(video_BCTHW).float().square().mean()
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    optimizer.step()


def _clips(part: EvaluationPart, count: int) -> Tensor:
    """So many centre crops of the part's videos (B, 3, T, H, W), again from the first where it has fewer."""
    if not part.records:
        raise DatasetError(
            "cost measures on clips of training videos, and the target's train part holds none. Give its "
            "split at least one video that can be read."
        )
    found: list[Tensor] = []
    wanted = min(count, len(part.records))
    for video_BCTHW, _, _ in part.batches(batch_size=wanted):
        found.append(video_BCTHW)
        if sum(map(len, found)) >= wanted:
            break
    clips = torch.cat(found)[:wanted]  # like a slice, it keeps the memory format of the run
    return torch.cat([clips] * -(-count // wanted))[:count]


def _document(
    timings: list[Timing], missing: Mapping[str, int], context: EvaluationContext
) -> dict[str, Any]:
    return {
        "device": str(context.device),
        "threads": torch.get_num_threads(),
        "unsupported_operators": dict(missing),
        "measured": [timing.summary() for timing in timings],
    }


def _listed(missing: Mapping[str, int]) -> str:
    return ", ".join(f"{name} ({count} x)" for name, count in sorted(missing.items()))


def _sentence(timing: Timing) -> str:
    rates = timing.summary()["clips_per_second_quartiles"]
    parts = [
        f"{name} {median:.4g} clips/s (quartiles {slow:.4g} to {fast:.4g})"
        for name, (slow, median, fast) in rates.items()
    ]
    since = "" if timing.peak_counted_anew else " since the process started"
    return f"batches of {timing.batch_size}: {', '.join(parts)}, peak {timing.peak_mib:.0f} MiB{since}."
