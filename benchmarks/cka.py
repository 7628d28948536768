"""Minibatch linear CKA of the layers of two networks: vssl beside torch_cka, in one run.

    python benchmarks/cka.py [--rounds 5] [--layers 30] [--samples 1024] [--threads 2] [--json FILE]

Both compare all layers of two networks over batches of 256 samples, through hooks on the same modules. The
layers are wide and cheap, so that the passes, which both need, are a small part; the floor is the passes
alone. `wrong` counts entries of the map that differ from the definition in float64 by more than 2e-5. Memory
is by how much a process of its own grows at most while it compares, networks and inputs not counted.
torch_cka is on the package index as `torch_cka`.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import multiprocessing
import statistics
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import torch
from contest import Contestant, Result, Verdict, contest, save, show
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from vssl_plugins.evaluators.cka import compare

BATCH = 256
NARROW = 64  # features that the next layer takes
GAIN = 4.0  # large enough that thirty layers do not map all samples to one point
WIDTHS = (512, 8192)
TOLERANCE = 2e-5
WIDTH = 120  # columns that the table needs
TARGETS = {"speed": 15.0, "error": TOLERANCE}


@dataclass(frozen=True)
class Job:
    """Two networks of `layers` layers that give `width` features, and `samples` inputs."""

    layers: int
    width: int
    samples: int


class Stack(nn.Module):
    """Linear layers, the outputs of which are compared; each takes tanh of the one before, a part of it."""

    def __init__(self, job: Job, seed: int) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.layers = nn.ModuleList(nn.Linear(NARROW, job.width) for _ in range(job.layers))

    def outputs(self, x_NP: Tensor) -> list[Tensor]:
        """What each layer makes of a batch."""
        found = []
        for layer in self.layers:
            found.append(layer(x_NP))
            x_NP = torch.tanh(GAIN * found[-1][:, :NARROW])
        return found

    def forward(self, x_NP: Tensor) -> Tensor:
        """The last layer's output."""
        for layer in self.layers:
            found: Tensor = layer(x_NP)
            x_NP = torch.tanh(GAIN * found[:, :NARROW])
        return found


def networks(job: Job) -> tuple[Stack, Stack, Tensor]:
    """Both networks and all inputs."""
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(job.samples, NARROW, generator=generator)
    return Stack(job, 0).eval(), Stack(job, 1).eval(), inputs


def direct(job: Job) -> np.ndarray:
    """CKA by its definition, pair by pair, in float64."""
    one, two, inputs = networks(job)
    terms = np.zeros((3, job.layers, job.layers))
    for batch in inputs.split(BATCH):
        with torch.no_grad():
            grams = [[_gram64(out) for out in net.double().outputs(batch.double())] for net in (one, two)]
        own = [[_hsic64(g, g) for g in some] for some in grams]
        for i, left in enumerate(grams[0]):
            for j, right in enumerate(grams[1]):
                terms[:, i, j] += (_hsic64(left, right), own[0][i], own[1][j])
    return np.asarray(terms[0] / np.sqrt(terms[1] * terms[2]))


def _gram64(out_NP: Tensor) -> Tensor:
    return (out_NP @ out_NP.T).fill_diagonal_(0)


def _hsic64(k_NN: Tensor, l_NN: Tensor) -> float:
    n, rows_k, rows_l = len(k_NN), k_NN.sum(dim=1), l_NN.sum(dim=1)
    middle = rows_k.sum() * rows_l.sum() / ((n - 1) * (n - 2))
    return float(((k_NN * l_NN).sum() + middle - 2 * (rows_k @ rows_l) / (n - 2)) / (n * (n - 3)))


class Compared:
    """What the contestants share: the networks, made before anything is measured, and the check."""

    def __init__(self, threads: int) -> None:
        torch.set_num_threads(threads)
        self._made: dict[Job, tuple[Stack, Stack, Tensor]] = {}
        self._right: dict[Job, np.ndarray] = {}

    def made(self, job: Job) -> tuple[Stack, Stack, Tensor]:
        """The networks and inputs of a job; the warm-up makes them."""
        if job not in self._made:
            self._made = {job: networks(job)}
        return self._made[job]

    def check(self, job: Job, result: np.ndarray) -> Verdict:
        if job not in self._right:
            self._right[job] = direct(job)
        off = np.abs(result - self._right[job])
        return Verdict(1, int((off > TOLERANCE).sum()), off.size, digest=f"{off.max():.1e}")


class Ours(Compared):
    """`compare`, what the evaluator calls."""

    def run(self, job: Job) -> np.ndarray:
        one, two, inputs = self.made(job)
        return compare(one, two, batches=inputs.split(BATCH), components=False).cka


class TorchCKA(Compared):
    """torch_cka's `CKA.compare`."""

    def __init__(self, threads: int) -> None:
        super().__init__(threads)
        from torch_cka import CKA

        self._cka = CKA

    @torch.no_grad()
    def run(self, job: Job) -> np.ndarray:
        one, two, inputs = self.made(job)
        names = [f"layers.{number}" for number in range(job.layers)]
        loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(inputs), batch_size=BATCH)
        with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            cka = self._cka(one, two, model1_layers=names, model2_layers=names)
            cka.compare(loader)
        return np.asarray(cka.export()["CKA"])


class Passes(Compared):
    """The floor: both networks' passes alone."""

    @torch.no_grad()
    def run(self, job: Job) -> None:
        one, two, inputs = self.made(job)
        for batch in inputs.split(BATCH):
            one(batch)
            two(batch)

    def check(self, job: Job, result: Any) -> Verdict:
        return Verdict(1)


FACTORIES = {"torch_cka": TorchCKA, "vssl": Ours, "passes": Passes}


# -------------------------------------------------------------------------------------------- memory


def growth(contestant: Contestant, job: Job) -> float | None:
    """MiB by which a process of its own grows at most while it compares; None where it cannot run."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_grow, args=(contestant, job, theirs))
    process.start()
    found: float | None = ours.recv()
    process.join()
    return found


def _grow(contestant: Contestant, job: Job, pipe: Connection) -> None:
    try:
        work: Any = contestant.factory(**contestant.arguments)
    except ImportError:
        pipe.send(None)
        return
    work.run(Job(2, NARROW, BATCH))  # brings in what the first run needs
    work.made(job)
    Path("/proc/self/clear_refs").write_text("5")  # the highest size begins anew
    before = _status("VmRSS")
    work.run(job)
    pipe.send((_status("VmHWM") - before) / 1024)


def _status(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))


# ------------------------------------------------------------------------------------------- printing


def summary(
    result: Result, jobs: Mapping[str, Job], contestants: Sequence[Contestant], *, repeats: int
) -> list[dict[str, Any]]:
    """Per job: times as fast, largest errors, MiB, and how many times the memory of vssl torch_cka takes."""
    rows = []
    for label, job in jobs.items():
        heat = result.heats[label]
        names = [name for name in heat.names if name != "passes"]
        errors = {name: max(float(found[name].verdict.digest) for found in heat.rounds) for name in names}
        memory = {
            c.name: statistics.median(found)
            for c in contestants
            if c.name in names and None not in (found := [growth(c, job) for _ in range(repeats)])
        }
        row: dict[str, Any] = {"job": label, "errors": errors, "mib": memory}
        if {"torch_cka", "vssl"} <= set(names):
            row["speed"] = heat.speed("vssl", "torch_cka", wall=True)
            row["memory_ratio"] = memory["torch_cka"] / memory["vssl"]
        rows.append(row)
    return rows


def show_summary(rows: Sequence[Mapping[str, Any]]) -> None:
    """One line per job, with what was aimed at."""
    table = Table(title=f"aims: {TARGETS['speed']:g} x as fast, error <= {TOLERANCE:g}", title_justify="left")
    for head in (
        "",
        "x wall",
        "error vssl",
        "error torch_cka",
        "MiB vssl",
        "MiB torch_cka",
        "x memory",
        "kept",
    ):
        table.add_column(head, justify="right" if head else "left")
    for row in rows:
        speed, ratio = row.get("speed"), row.get("memory_ratio")
        kept = row["errors"].get("vssl", 1.0) <= TOLERANCE and speed is not None and speed >= TARGETS["speed"]
        table.add_row(
            row["job"],
            f"{speed:.1f}" if speed else "",
            *(
                f"{row['errors'][name]:.1e}" if name in row["errors"] else ""
                for name in ("vssl", "torch_cka")
            ),
            *(f"{row['mib'][name]:.0f}" if name in row["mib"] else "" for name in ("vssl", "torch_cka")),
            f"{ratio:.1f}" if ratio else "",
            "yes" if kept else "no",
        )
    Console(width=max(Console().width, WIDTH)).print(table)


def main() -> None:
    """Print times, errors and memory."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--layers", type=int, default=30)
    parser.add_argument("--samples", type=int, default=1024)
    parser.add_argument("--widths", type=int, nargs="+", default=list(WIDTHS))
    parser.add_argument("--threads", type=int, default=2, help="of torch, for both")
    parser.add_argument("--json", type=Path, help="write everything that was measured to this file")
    given = parser.parse_args()
    jobs = {
        f"{given.layers} layers of {width}, {given.samples} samples": Job(given.layers, width, given.samples)
        for width in given.widths
    }
    heats = {label: (lambda _, job=job: job) for label, job in jobs.items()}
    contestants = [Contestant(name, made, {"threads": given.threads}) for name, made in FACTORIES.items()]
    result = contest(contestants, heats, baseline="torch_cka", rounds=given.rounds)
    show(result, item="comparison")
    rows = summary(result, jobs, contestants, repeats=3)
    show_summary(rows)
    if given.json:
        save(given.json, {"cka": result}, summary=rows, targets=TARGETS)


if __name__ == "__main__":
    main()
