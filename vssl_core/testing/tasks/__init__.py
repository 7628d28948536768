"""Checks of pretext tasks: what a task is shown, what it computes, keeps and learns, and how it behaves.

A task is built and fed by the core's own parts on eight small videos, and trained for some dozens of steps
at most, so that all of it takes well under a minute. No check knows a task by name.
"""

from __future__ import annotations

from vssl_core.testing.component import OPTION_CHECKS
from vssl_core.testing.process_state import isolated
from vssl_core.testing.tasks import (
    batching,
    blindness,
    conduct,
    devices,
    learning,
    lengths,
    levels,
    losses,
    momentum,
    processes,
    requirements,
    sampling,
    signal,
    state,
    training,
    views,
)
from vssl_core.testing.tasks.steps import as_in_the_core
from vssl_core.testing.tasks.subject import subject

__all__ = ["CHECKS", "subject"]

_PARTS = (
    requirements,
    levels,
    sampling,
    lengths,
    views,
    blindness,
    losses,
    batching,
    state,
    momentum,
    training,
    learning,
    signal,
    processes,
    devices,
    conduct,
)

CHECKS = isolated((*OPTION_CHECKS, *(as_in_the_core(check) for part in _PARTS for check in part.CHECKS)))
