"""What vssl adds to a training step, and what loading adds to an epoch on cached data.

    python benchmarks/training_step.py [--rounds 7] [--steps 12] [--json FILE]

Contestants take turns in one process, in an order that is reversed every round, on the same uint8 clips,
network, loss and optimiser:

- `bare`: a plain torch loop: normalise, forward, backward, clip the gradient, fused AdamW;
- `vssl`: `vssl_core.pretrain.pretrain` with its bookkeeping, fed from memory;
- `vssl cached`: the same, fed by the real pipeline from the decoded-frame cache.

The first two steps of every run are left out (memory is allocated, FLOPs are counted there). Ratios are
medians over rounds of the ratios of median step times; the load of other processes is shown.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from contest import other_load
from rich.console import Console
from rich.table import Table
from torch import Tensor

from vssl_core.controls import Supervised, SupervisedOptions
from vssl_core.data import build_index, loader_threads
from vssl_core.hooks import Hooks, RunInfo
from vssl_core.interfaces import DatasetContext, TaskContext
from vssl_core.pretrain import PretrainJob, pretrain
from vssl_core.progress import quiet_progress
from vssl_core.protocol import Protocol, load_protocol
from vssl_core.registry import load, resolve
from vssl_core.sampling import UniformClip
from vssl_core.types import VideoRecord
from vssl_core.video import FrameCache, FrameReader
from vssl_core.views import Key, Sample, ViewPipeline

SKIP = 2  # steps


class StepClock(Hooks):
    """Notes when steps end."""

    def __init__(self) -> None:
        super().__init__({})
        self.times: list[float] = []

    def step_end(self, run: RunInfo, step: int, metrics: Mapping[str, float]) -> None:
        self.times.append(time.perf_counter())

    @property
    def seconds(self) -> float:
        """Median step."""
        return float(np.median(np.diff(self.times)[SKIP:]))


class FromMemory(ViewPipeline):
    """Gives samples that were made before."""

    def __init__(self, made: Mapping[str, Sample], **parts: Any) -> None:
        super().__init__(**parts)
        self._made = made

    def __call__(self, key: Key) -> Sample:
        return self._made[key.record.video_id]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        contest = Contest(Path(folder), args.steps)
        runs = {"bare": contest.bare, "vssl": contest.vssl, "vssl cached": contest.cached}
        rows: dict[str, list[float]] = {name: [] for name in runs}
        loads = []
        for turn in range(args.rounds):
            before = other_load()
            for name in list(runs) if turn % 2 == 0 else reversed(runs):
                rows[name].append(runs[name]())
            loads.append(before())
    report(rows, loads, contest.protocol, args.json)


class Contest:
    """The same clips, network, loss and optimiser for all."""

    def __init__(self, folder: Path, steps: int) -> None:
        self._folder, self._steps = folder, steps
        protocol = load_protocol("laptop", {"pretrain.held_out_points": 0, "pretrain.precision": "fp32"})
        context = DatasetContext(folder, quiet_progress())
        cls: Any = load(resolve("dataset", "shapes_motion"))
        dataset = cls(cls.Options(), context)
        dataset.prepare()
        records = build_index("shapes", dataset, protocol.data).parts["train"]
        batch = protocol.pretrain.batch_size
        self._records: Sequence[VideoRecord] = records[: batch * 4]
        epochs = steps * batch / len(self._records)
        self.protocol: Protocol = load_protocol(
            "laptop",
            {
                "pretrain.held_out_points": 0,
                "pretrain.precision": "fp32",
                "pretrain.budget": {"currency": "epochs", "amount": epochs},
            },
        )
        self._labels = {record.video_id: record.label or 0 for record in self._records}
        clip = self.protocol.clip.spec()
        self._reader = FrameReader(cache=FrameCache(folder / "frames", max_bytes=4 * 2**30))
        options = SupervisedOptions(num_classes=len(dataset.classes))
        self._parts: dict[str, Any] = {
            "reader": self._reader,
            "sampler": UniformClip(clip),
            "augmentation": Supervised.augmentation(options, clip),
            "clip": clip,
            "seed": 0,
            "labels": self._labels,
        }
        self._options, self._clip = options, clip
        pipeline = ViewPipeline(**self._parts)
        self._made = {record.video_id: pipeline(Key(0, record)) for record in self._records}

    def _task(self) -> Supervised:
        cls: Any = load(resolve("backbone", self.protocol.backbone))
        torch.manual_seed(0)
        context = TaskContext(self._clip, len(self._records), self.protocol.pretrain.batch_size)
        return Supervised(lambda: cls(cls.Options(), self._clip), self._options, context)

    def _run(self, pipeline: ViewPipeline) -> float:
        clock = StepClock()
        with tempfile.TemporaryDirectory(dir=self._folder) as folder:
            pretrain(
                PretrainJob(
                    task=self._task(),
                    pipeline=pipeline,
                    records=self._records,
                    held_out=[],
                    protocol=self.protocol,
                    seed=0,
                    device=torch.device("cpu"),
                    precision="fp32",
                    memory_format="channels_last_3d",
                    folder=Path(folder),
                    threads=loader_threads(),
                    checkpoint_seconds=1e9,
                    hooks=clock,
                    run=RunInfo("bench", Path(folder), "supervised", "", 0, 1.0, "epochs"),
                    progress=quiet_progress(),
                )
            )
        return clock.seconds

    def vssl(self) -> float:
        """Our loop, fed from memory."""
        return self._run(FromMemory(self._made, **self._parts))

    def cached(self) -> float:
        """Our loop, fed from the decoded-frame cache."""
        return self._run(ViewPipeline(**self._parts))

    def bare(self) -> float:
        """A plain torch loop on the same clips."""
        task = self._task().to(memory_format=torch.channels_last_3d).train()  # type: ignore[call-overload]
        options = self.protocol.pretrain.optimizer
        optimizer = torch.optim.AdamW(
            task.parameters(), lr=options.lr, weight_decay=options.weight_decay, fused=True
        )
        mean = torch.tensor(self.protocol.data.mean) * 255
        std = torch.tensor(self.protocol.data.std) * 255
        size, times = self.protocol.pretrain.batch_size, []
        for step in range(self._steps):
            chosen = [self._records[(step * size + i) % len(self._records)] for i in range(size)]
            clips = np.stack([self._made[record.video_id].views["clip"] for record in chosen])
            video: Tensor = ((torch.from_numpy(clips).float() - mean) / std).permute(0, 4, 1, 2, 3)
            labels = torch.tensor([self._labels[record.video_id] for record in chosen])
            loss = task({"clip": video}, {"label": labels}).loss
            loss.backward()
            torch.nn.utils.clip_grad_norm_(task.parameters(), options.clip_norm or 1.0)
            optimizer.step()
            optimizer.zero_grad()
            times.append(time.perf_counter())
        return float(np.median(np.diff(times)[SKIP:]))


def report(
    rows: Mapping[str, Sequence[float]], loads: Sequence[float], protocol: Protocol, path: Path | None
) -> None:
    """One table: milliseconds and ratios."""
    table = Table(
        title=f"training step, {protocol.backbone}, batch {protocol.pretrain.batch_size}, {protocol.clip}"
    )
    for column in ("contestant", "ms per step", "x bare", "x vssl", "target"):
        table.add_column(column, justify="left" if column == "contestant" else "right")
    targets = {"vssl": "≤ 1.03 x bare", "vssl cached": "≤ 1.15 x vssl"}
    document: dict[str, Any] = {"other_load": list(loads)}
    for name, seconds in rows.items():
        ratios = {
            base: statistics.median(b / a for a, b in zip(rows[base], seconds, strict=True))
            for base in ("bare", "vssl")
        }
        document[name] = {"seconds": list(seconds), **ratios}
        table.add_row(
            name,
            f"{1e3 * statistics.median(seconds):.1f}",
            f"{ratios['bare']:.3f}",
            f"{ratios['vssl']:.3f}",
            targets.get(name, ""),
        )
    Console().print(table)
    others = statistics.median(loads)
    print(f"load of other processes: median {others:.2f} cores, threads {torch.get_num_threads()}")
    if path is not None:
        path.write_text(json.dumps(document, indent=2), encoding="utf-8")


if __name__ == "__main__":
    main()
