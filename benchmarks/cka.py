"""Minibatch linear CKA of a network's layers: vssl beside torch_cka, in one run.

    python benchmarks/cka.py [--rounds 5] [--layers 30] [--samples 1024]

Both compare all layers of two networks over batches of 256 samples; the passes through the networks are part
of the time and are the floor. `wrong` counts entries that differ from the definition in float64 by more than
2e-5 for vssl's tolerance. Memory is what a process grows by, in a process of its own for each.
torch_cka is on the package index as `torch_cka`.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import multiprocessing
import resource
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from contest import Contestant, Verdict, contest, show
from torch import Tensor, nn

from vssl_core.similarity import MinibatchCKA, gram

BATCH = 256
TOLERANCE = 2e-5


@dataclass(frozen=True)
class Job:
    """Two networks of `layers` layers of width `width`, and `samples` inputs."""

    layers: int
    width: int
    samples: int


class Stack(nn.Module):
    """Linear layers, each followed by tanh; the outputs of the linear ones are compared."""

    def __init__(self, job: Job, seed: int) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.layers = nn.ModuleList(nn.Linear(job.width, job.width) for _ in range(job.layers))

    def outputs(self, x_NP: Tensor) -> list[Tensor]:
        """What each layer makes of a batch."""
        found = []
        for layer in self.layers:
            found.append(layer(x_NP))
            x_NP = torch.tanh(found[-1])
        return found

    def forward(self, x_NP: Tensor) -> Tensor:
        """The last layer's output."""
        return self.outputs(x_NP)[-1]


def networks(job: Job) -> tuple[Stack, Stack, Tensor]:
    """Both networks and all inputs."""
    generator = torch.Generator().manual_seed(0)
    return (
        Stack(job, 0).eval(),
        Stack(job, 1).eval(),
        torch.randn(job.samples, job.width, generator=generator),
    )


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
    """What the contestants share: the check against the definition."""

    def __init__(self) -> None:
        torch.set_num_threads(1)
        self._right: dict[Job, np.ndarray] = {}

    def check(self, job: Job, result: np.ndarray) -> Verdict:
        if job not in self._right:
            self._right[job] = direct(job)
        off = np.abs(result - self._right[job])
        return Verdict(1, int((off > TOLERANCE).sum()), off.size, digest=f"{off.max():.1e}")


class Ours(Compared):
    """`MinibatchCKA`."""

    @torch.no_grad()
    def run(self, job: Job) -> np.ndarray:
        one, two, inputs = networks(job)
        cka = MinibatchCKA()
        for batch in inputs.split(BATCH):
            cka.add(*(torch.stack([gram(out) for out in net.outputs(batch)]) for net in (one, two)))
        return cka.result()


class TorchCKA(Compared):
    """torch_cka's `CKA.compare`."""

    def __init__(self) -> None:
        super().__init__()
        from torch_cka import CKA

        self._cka = CKA

    @torch.no_grad()
    def run(self, job: Job) -> np.ndarray:
        one, two, inputs = networks(job)
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
        one, two, inputs = networks(job)
        for batch in inputs.split(BATCH):
            one(batch)
            two(batch)

    def check(self, job: Job, result: Any) -> Verdict:
        return Verdict(1)


def growth(factory: Any, job: Job, pipe: Any) -> None:
    """MiB by which the process grows over a run, after a small one has brought everything in."""
    try:
        work = factory()
    except ImportError:
        pipe.send(None)
        return
    work.run(Job(2, 8, BATCH))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    work.run(job)
    pipe.send((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)


def main() -> None:
    """Print times and memory."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--layers", type=int, default=30)
    parser.add_argument("--samples", type=int, default=1024)
    arguments = parser.parse_args()
    contestants = [
        Contestant("torch_cka", TorchCKA),
        Contestant("vssl", Ours),
        Contestant("floor: passes", Passes),
    ]
    jobs = {
        f"{arguments.layers} layers of {width}, {arguments.samples} samples": lambda _, w=width: Job(
            arguments.layers, w, arguments.samples
        )
        for width in (512, 2048)
    }
    result = contest(contestants, jobs, baseline="torch_cka", rounds=arguments.rounds)
    show(result, item="comparison")
    for label, heat in result.heats.items():
        errors = {name: heat.rounds[0][name].verdict.digest for name in heat.names if name != "floor: passes"}
        print(f"{label}: largest error against float64: {errors}")
        for contestant in contestants[:2]:
            context = multiprocessing.get_context("spawn")
            ours, theirs = context.Pipe()
            process = context.Process(target=growth, args=(contestant.factory, jobs[label](0), theirs))
            process.start()
            print(f"  {contestant.name}: grows by {ours.recv()} MiB")
            process.join()


if __name__ == "__main__":
    main()
