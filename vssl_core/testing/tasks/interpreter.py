"""A second Python, started when it is first needed, which knows nothing but a component's name.

It is talked to by lines of JSON, ends with this process, and loads a component as `vssl bench` would.
"""

from __future__ import annotations

import atexit
import base64
import json
import os
import selectors
import subprocess
import sys
from contextlib import suppress
from functools import cache
from typing import Any

from vssl_core.errors import VsslError
from vssl_core.registry import load, resolve
from vssl_core.testing.component import Component
from vssl_core.testing.outcome import CheckFailed
from vssl_core.testing.tasks.plain import PlainSample

__all__ = ["importable", "in_another_interpreter", "interpreters"]

_SECONDS = 180.0


def importable(subject: Component) -> str | None:
    """A name by which another process finds this class; None for one that lives in this process alone."""
    cls = subject.cls
    if subject.ref.spec is not None:
        return subject.ref.spec
    if "<locals>" in cls.__qualname__ or cls.__module__ == "__main__":
        return None
    name = f"{cls.__module__}:{cls.__qualname__}"
    try:
        return name if load(resolve("task", name)) is cls else None
    except VsslError:
        return None


def in_another_interpreter(subject: Component, sampler: bytes, draws: int) -> list[PlainSample]:
    """What a pickled sampler gives in a Python that was started without it.

    Raises:
        CheckFailed: It cannot be loaded there, or raises.
    """
    other = interpreters()[0]
    text = base64.b64encode(sampler).decode("ascii")
    other.send({"task": importable(subject), "sampler": text, "draws": draws})
    answer = other.answer()
    if "error" in answer:
        raise CheckFailed(
            "expected the task and its pickled sampler to load in another Python, but there: "
            f"{answer['error']}"
        )
    found: list[PlainSample] = answer["samples"]
    return found


@cache
def interpreters() -> tuple[Interpreter, Interpreter]:
    """Two of them, which last as long as this process."""
    return Interpreter(), Interpreter()


class Interpreter:
    """The process and the pipes to it; started anew when it was lost."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None
        atexit.register(self.close)

    def send(self, request: dict[str, Any]) -> None:
        """Give it something to do; started when it is not there."""
        if self._process is None or self._process.poll() is not None:
            self._process = _started()
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()

    def answer(self) -> dict[str, Any]:
        """What came of it, `{"error": …}` where nothing did."""
        assert self._process is not None
        assert self._process.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            line = self._process.stdout.readline() if selector.select(_SECONDS) else ""
        if line:
            answer: dict[str, Any] = json.loads(line)
            return answer
        late = self._process.poll() is None
        self.close()
        return {"error": f"it did not answer within {_SECONDS:g} s" if late else "it ended the process"}

    def close(self) -> None:
        """End it."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()


def _started() -> subprocess.Popen[str]:
    hash_seed = "2" if os.environ.get("PYTHONHASHSEED") == "1" else "1"
    path = os.pathsep.join(entry or os.getcwd() for entry in sys.path)  # noqa: PTH109
    return subprocess.Popen(
        [sys.executable, "-m", "vssl_core.testing.tasks.interpreter_child"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "PYTHONPATH": path, "PYTHONHASHSEED": hash_seed, "OMP_NUM_THREADS": "1"},
    )
