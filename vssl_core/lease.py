"""One owner per cell: a lease file with a heartbeat, good on local and on network file systems.

The process that creates the file holds the cell. It refreshes the file's time every few seconds. A
lease is free again when its owner is known to be dead (a process of this machine and of this
container that is gone, or whose number another one has now) or when its heartbeat has stopped for
longer than any pause that a live owner could have.
"""

from __future__ import annotations

import json
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from vssl_core.errors import BusyError, StoreError

__all__ = ["hold"]

BEAT_SECONDS = 5.0
STALE_SECONDS = 120.0
_CLOCK_SECONDS = 5.0  # the system counts starts from its own, and corrects that now and then


@contextmanager
def hold(
    path: Path, *, waiting: Callable[[str], None], timeout_seconds: float | None = None
) -> Iterator[None]:
    """Hold the lease at `path`; wait for its present owner first.

    Args:
        path: The lease file; its folder must exist.
        waiting: Called once with the owner's description when there is somebody to wait for.
        timeout_seconds: Give up after this long; None waits for ever.

    Raises:
        BusyError: The time is over and somebody else still holds it.
        StoreError: The file cannot be written.
    """
    token = uuid.uuid4().hex
    _acquire(path, token, waiting, timeout_seconds)
    stop = threading.Event()
    beat = threading.Thread(target=_beat, args=(path, stop), daemon=True)
    beat.start()
    try:
        yield
    finally:
        stop.set()
        beat.join()
        if _read(path).get("token") == token:
            with suppress(OSError):
                path.unlink()


def _acquire(path: Path, token: str, waiting: Callable[[str], None], timeout: float | None) -> None:
    start, told = time.monotonic(), False
    while not _create(path, token):
        owner = _read(path)
        if _abandoned(path, owner):
            _take_away(path, owner)
            continue
        who = f"process {owner.get('pid', '?')} on {owner.get('host', '?')}"
        if timeout is not None and time.monotonic() - start >= timeout:
            raise BusyError(f"{path.parent.name} is held by {who}; wait for it or stop it.")
        if not told:
            waiting(who)
            told = True
        time.sleep(0.5)


def _create(path: Path, token: str) -> bool:
    owner = {**_here(), "pid": os.getpid(), "started": _started(os.getpid()), "token": token}
    content = json.dumps(owner)
    staged = path.with_name(f".{path.name}.{token}")
    try:
        staged.write_text(content, encoding="utf-8")
        try:
            os.link(staged, path)  # whole file or no file, and never over another's
        finally:
            staged.unlink()
    except FileExistsError:
        return False
    except OSError as error:
        raise StoreError(f"cannot write {str(path)!r}: {error.strerror or error}.") from error
    return True


def _read(path: Path) -> dict[str, object]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def _abandoned(path: Path, owner: dict[str, object]) -> bool:
    try:
        age = time.time() - path.stat().st_mtime
    except OSError:
        return False  # just released: the next attempt creates it
    here, pid = _here(), owner.get("pid")
    if isinstance(pid, int) and all(owner.get(key, value) == value for key, value in here.items()):
        return not _alive(pid, owner.get("started"))
    return age > STALE_SECONDS


def _alive(pid: int, since: object) -> bool:
    """Whether there is such a process, and it is the one that began at this time."""
    try:
        started = _started(pid)
    except psutil.NoSuchProcess:
        return False
    except psutil.AccessDenied:
        return True
    return not isinstance(since, float) or abs(started - since) <= _CLOCK_SECONDS


def _here() -> dict[str, object]:
    """Where process numbers mean what they mean here: the host since its start, and the container."""
    found: dict[str, object] = {"host": socket.gethostname()}
    with suppress(OSError):  # Linux alone tells these
        found["boot"] = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    with suppress(OSError):
        found["namespace"] = str(Path("/proc/self/ns/pid").readlink())
    return found


def _started(pid: int) -> float:
    return float(psutil.Process(pid).create_time())


def _take_away(path: Path, owner: dict[str, object]) -> None:
    """Remove a dead owner's lease; of several who try, one succeeds."""
    grave = path.with_name(f".{path.name}.dead-{owner.get('token', 'unknown')}")
    with suppress(OSError):
        path.rename(grave)
        if _read(grave).get("token") != owner.get("token"):
            os.link(grave, path)  # somebody took the lease in between: give it back
        grave.unlink()


def _beat(path: Path, stop: threading.Event) -> None:
    while not stop.wait(BEAT_SECONDS):
        with suppress(OSError):
            os.utime(path)
