"""Check that two processes with half a batch each do what one does with the whole."""

from __future__ import annotations

import multiprocessing
import sys
import tempfile
import warnings
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

import torch
import torch.distributed as dist
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from vssl_core import distributed
from vssl_core.testing.outcome import CheckFailed, CheckSkipped
from vssl_core.testing.tasks.interpreter import importable, interpreters
from vssl_core.testing.tasks.steps import (
    backward,
    checked,
    copy_of,
    draws_in_forward,
    in_the_core,
    progress,
    seed_everything,
)
from vssl_core.testing.tasks.subject import BATCH, Batch, TaskSubject, rows

__all__ = ["CHECKS", "run_rank"]

WORLD = 2
SECONDS = 120.0
RATE = 0.01
TOLERANCE = {"loss": 1e-3, "metric": 0.05, "chance": 1e-6, "gradient": 2e-2, "state": 1e-2}
"""Relative errors that rounding may cause."""
LEAST = {"loss": 0.05, "metric": 4.0, "chance": 0.05, "state": 0.05}
"""Numbers below these are taken for as large: of eight videos, one may lie on either side of a tie."""


def check_two_processes_equal_one(subject: TaskSubject) -> None:
    """Loss, gradient and the state after a step are those of one process with the whole batch.

    A task that draws in forward, masks for instance, is compared in evaluation, since draws go by place.
    """
    batch, task = subject.batch(), subject.task()
    _without_dropout(task)
    train = not draws_in_forward(task, batch, train=True)
    if not train and draws_in_forward(task, batch):
        raise CheckSkipped("forward draws from the global generators, so halves of a batch get other draws")
    with tempfile.TemporaryDirectory(prefix="vssl-two-") as name:
        folder = Path(name)
        _write(folder / "views.safetensors", batch[0])
        _write(folder / "info.safetensors", batch[1])
        _run_both(subject, folder, train=train)
        expected = _step(subject, batch, train=train)
        for rank in range(WORLD):
            _compare(expected, load_file(folder / f"rank{rank}.safetensors"))


def _without_dropout(task: nn.Module) -> None:
    """The core itself draws one mask of `nn.Dropout` for the batch of all processes."""
    for module in task.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0


def _compare(expected: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> None:
    total = max(float(v.norm()) for k, v in expected.items() if k.startswith("gradient"))
    for name, value in expected.items():
        kind = name.split()[0]
        scale = max(float(value.double().norm()), LEAST.get(kind, 0.05 * total))
        error = float((found[name].double() - value.double()).norm())
        if not value.is_floating_point() and error:
            raise CheckFailed(_message(name, value, found[name]))
        if not error <= TOLERANCE[kind] * scale:
            raise CheckFailed(_message(name, value, found[name]))


def _message(name: str, one: Tensor, two: Tensor) -> str:
    size = "" if one.numel() > 1 else f", {float(two):.6g} instead of {float(one):.6g}"
    return (
        "expected two processes with half of the batch each to do what one does with the whole, but the "
        f"{name} is another one{size}. A loss is the mean over the videos of its process; one that compares "
        "videos with each other takes those of all processes by vssl_core.distributed.gather_with_grad, and "
        "so does a queue."
    )


# ---------------------------------------------------------------------------------- in one process


def run_rank(subject: TaskSubject, folder: Path, *, rank: int, train: bool) -> None:
    """One of the two processes: read the batch, take a step with its half, write what came of it."""
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo",
        init_method=f"file://{folder}/meet",
        rank=rank,
        world_size=WORLD,
        timeout=timedelta(seconds=SECONDS / 2),
    )
    try:
        batch = load_file(folder / "views.safetensors"), load_file(folder / "info.safetensors")
        with in_the_core():
            part = rows(batch, slice(rank * BATCH // WORLD, (rank + 1) * BATCH // WORLD))
            _write(folder / f"rank{rank}.safetensors", _step(subject, part, train=train))
    finally:
        dist.destroy_process_group()


def _step(subject: TaskSubject, batch: Batch, *, train: bool) -> dict[str, Tensor]:
    """Loss, metrics and gradient, averaged over the processes, and the state after a step."""
    task = distributed.share_batch_layers(subject.task())
    task.train(train)
    seed_everything(0)
    task.before_step(progress(0))
    output = checked(task(*copy_of(batch)))
    backward(output)
    found = {"loss": distributed.mean_over_processes(output.loss.detach())}
    for name, value in output.metrics.items():
        found[f"metric {name!r}"] = distributed.mean_over_processes(value)
    for name, level in output.chance.items():
        found[f"chance level of {name!r}"] = torch.tensor(float(level))
    for name, parameter in task.named_parameters():
        if parameter.grad is not None:
            parameter.grad = distributed.mean_over_processes(parameter.grad)
            found[f"gradient of {name}"] = parameter.grad.clone()
    with torch.no_grad():
        for parameter in task.parameters():
            if parameter.grad is not None:
                parameter.sub_(RATE * parameter.grad)
    task.after_step(progress(0))
    return found | {f"state {name} after a step": value for name, value in task.state_dict().items()}


def _write(path: Path, tensors: Mapping[str, Tensor]) -> None:
    save_file({name: value.detach().clone().contiguous() for name, value in tensors.items()}, path)


# ----------------------------------------------------------------------------------- two processes


def _run_both(subject: TaskSubject, folder: Path, *, train: bool) -> None:
    """Start both and wait; a class without a name for others is inherited by a fork.

    Raises:
        CheckFailed: One of them failed.
        CheckSkipped: The class cannot be brought to another process.
    """
    name = importable(subject)
    if name is None and (sys.platform != "linux" or torch.cuda.is_available()):
        raise CheckSkipped(
            "the class lives in this process alone, so that no other process can import it; put it in a file"
        )
    errors = _forked(subject, folder, train) if name is None else _asked(subject, name, folder, train)
    own = [error for error in errors if "onnection" not in error]  # the other one lost its partner
    if errors:
        raise CheckFailed(f"expected a step in two processes to work, but it failed: {(own or errors)[0]}")


def _asked(subject: TaskSubject, name: str, folder: Path, train: bool) -> list[str]:
    request = {"task": name, "options": dict(subject.values), "folder": str(folder), "train": train}
    for rank, interpreter in enumerate(interpreters()):
        interpreter.send({**request, "rank": rank})
    answers = [interpreter.answer() for interpreter in interpreters()]
    return [answer["error"] for answer in answers if "error" in answer]


def _forked(subject: TaskSubject, folder: Path, train: bool) -> list[str]:
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=_noted, args=(subject, folder, rank, train)) for rank in range(WORLD)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of threads, of which the children need none
        for process in processes:
            process.start()
    for process in processes:
        process.join(SECONDS)
        if process.is_alive():
            process.kill()
            process.join()
    errors = [path.read_text(encoding="utf-8") for path in sorted(folder.glob("error*"))]
    return errors or ["a process was lost" for process in processes if process.exitcode][:1]


def _noted(subject: TaskSubject, folder: Path, rank: int, train: bool) -> None:
    try:
        run_rank(subject, folder, rank=rank, train=train)
    except Exception as error:  # noqa: BLE001  whatever it is, the parent has to hear of it
        (folder / f"error{rank}").write_text(f"{type(error).__name__}: {error}", encoding="utf-8")


CHECKS = (check_two_processes_equal_one,)
