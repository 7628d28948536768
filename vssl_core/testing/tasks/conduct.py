"""Checks of conduct: what a task does to the process and the machine that it runs on."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
from torch import nn

from vssl_core.testing.file_events import Events, recorded, written_beyond_python
from vssl_core.testing.outcome import CheckFailed
from vssl_core.testing.process_state import generator_states, unchanged
from vssl_core.testing.tasks.steps import adamw, forward, listed, seed_everything, train_step
from vssl_core.testing.tasks.subject import BATCH, TaskSubject, load_views
from vssl_core.testing.tasks.videos import moving_videos

__all__ = ["CHECKS"]

TIMED_STEPS = 3
SOME_THREADS = 3  # neither one nor as many as there are: whoever sets a number is seen


def check_global_generators_are_not_seeded(subject: TaskSubject) -> None:
    """Building, forward and hooks may draw from the global generators, but their seeds are the core's."""
    batch, task = subject.batch(), subject.task()
    still = torch.optim.SGD([p for p in task.parameters() if p.requires_grad], lr=0.0)
    actions: dict[str, Callable[[], object]] = {
        "building the task": lambda: subject.task(seed=None),
        "a step": lambda: train_step(task, batch, still, step=0, seeded=False),
    }
    for what, act in actions.items():
        before, after = [], []
        for number in (1, 2):
            seed_everything(number)
            before.append(generator_states())
            act()
            after.append(generator_states())
        seeded = [n for n in before[0] if before[0][n] != before[1][n] and after[0][n] == after[1][n]]
        if seeded:
            raise CheckFailed(
                f"expected {what} to leave seeds to the core, but it seeds the global generator of "
                f"{', '.join(seeded)}, so that every step would draw the same."
            )


def check_settings_of_the_process_are_left_alone(subject: TaskSubject) -> None:
    """Neither building nor a step changes what holds for the whole process."""
    torch.set_num_threads(SOME_THREADS)
    with unchanged("the task", generators=()):
        task = subject.task()
        train_step(task, subject.batch(), adamw(task), step=0)
        forward(task, subject.batch())


def check_no_file_is_written(subject: TaskSubject) -> None:
    """A task has no folder of its own: it writes nowhere."""
    with written_beyond_python() as beyond:
        events = _life(subject)
    if written := list(dict.fromkeys([*events.written, *beyond])):
        raise CheckFailed(
            f"expected the task to write no file, but it wrote {listed(written)}; what is worth keeping goes "
            "into buffers, metrics and warnings."
        )


def check_no_socket_is_opened(subject: TaskSubject) -> None:
    """No socket is opened, no address asked for and no program started: a run depends on nothing outside."""
    events = _life(subject)
    for found, what in (
        (events.addresses, "to ask for no address"),
        (events.sockets, "to open no socket"),
        (events.programs, "to start no program"),
    ):
        if found:
            raise CheckFailed(
                f"expected the task {what}, but it did: {listed(list(dict.fromkeys(found)))}; a run must not "
                "depend on a network or on what is installed. Published weights are an option that names a "
                "file."
            )


def _life(subject: TaskSubject) -> Events:
    """Everything that is done with a task, from its making to its state."""
    batch = subject.batch()  # once before, because reading it fills the cache of frames
    _wake_torch()
    with recorded() as events:
        task = subject.task()
        optimizer = adamw(task)
        load_views(subject.pipeline(), moving_videos())
        for step in range(2):
            train_step(task, batch, optimizer, step=step)
        forward(task, batch)
        task.load_state_dict(task.state_dict())
    return events


def _wake_torch() -> None:
    """What torch imports and writes at the first step of an optimiser is done before anything is noted."""
    layer = nn.Linear(1, 1)
    optimizer = torch.optim.AdamW(layer.parameters())
    layer(torch.ones(1, 1)).sum().backward()
    optimizer.step()


def check_cpu_time_is_told(subject: TaskSubject) -> str:
    """How much processor time a clip takes, in the loader and in a training step; nothing can fail here."""
    subject.batch()
    start = time.process_time()
    batches = [subject.batch(epoch=epoch) for epoch in range(1, TIMED_STEPS + 1)]
    loaded = time.process_time()
    task = subject.task()
    optimizer = adamw(task)
    train_step(task, batches[0], optimizer, step=0)
    warm = time.process_time()
    for step, batch in enumerate(batches):
        train_step(task, batch, optimizer, step=step)
    clips = TIMED_STEPS * BATCH * len(subject.augmentation)
    loading, training = (loaded - start) / clips, (time.process_time() - warm) / clips
    return (
        f"{1000 * loading:.2f} ms of processor time to load a clip and {1000 * training:.2f} ms to train on "
        f"it, with {subject.backbone.__name__}"
    )


CHECKS = (
    check_global_generators_are_not_seeded,
    check_settings_of_the_process_are_left_alone,
    check_no_file_is_written,
    check_no_socket_is_opened,
    check_cpu_time_is_told,
)
