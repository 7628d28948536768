"""Other surroundings, in which a pure function gives the same: another time, process, rank, random state."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest import mock

from vssl_core.testing.process_state import disturbed

__all__ = ["elsewhere"]

_LATER_SECONDS = 86_461
_ENVIRONMENT = {"RANK": "1", "LOCAL_RANK": "1", "WORLD_SIZE": "2", "VSSL_CHECK": "elsewhere"}


@contextmanager
def elsewhere() -> Iterator[None]:
    """A day later, as the second of two processes, with other states of the global generators."""
    with ExitStack() as stack:
        stack.enter_context(mock.patch.object(time, "time", _later(time.time, _LATER_SECONDS)))
        stack.enter_context(mock.patch.object(time, "time_ns", _later(time.time_ns, _LATER_SECONDS * 10**9)))
        stack.enter_context(mock.patch.object(os, "getpid", return_value=1))
        stack.enter_context(mock.patch.dict(os.environ, _ENVIRONMENT))
        stack.enter_context(disturbed(99))
        yield


def _later(clock: Callable[[], Any], seconds: int) -> Callable[[], Any]:
    return lambda: clock() + seconds
