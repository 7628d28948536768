"""Checks of pretext tasks: what a task is shown, what it computes, keeps and learns, and how it behaves.

A task is built and fed by the core's own parts on eight small videos, and trained for some dozens of steps
at most, so that all of it takes well under a minute. No check knows a task by name.
"""

from __future__ import annotations

from vssl_core.testing.component import OPTION_CHECKS
from vssl_core.testing.tasks import (
    batching,
    blindness,
    conduct,
    levels,
    losses,
    momentum,
    processes,
    sampling,
    signal,
    state,
    views,
)
from vssl_core.testing.tasks.steps import calmly
from vssl_core.testing.tasks.subject import subject

__all__ = ["CHECKS", "subject"]

CHECKS = (
    *OPTION_CHECKS,
    *(
        calmly(check)
        for part in (
            levels,
            sampling,
            views,
            blindness,
            losses,
            batching,
            state,
            momentum,
            signal,
            processes,
            conduct,
        )
        for check in part.CHECKS
    ),
)
