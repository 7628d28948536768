"""One owner per cell, also when owners die or many want it at once."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from vssl_core import lease
from vssl_core.errors import BusyError


def test_second_owner_waits_and_is_told_once(tmp_path: Path) -> None:
    path, told = tmp_path / "lease.json", []
    with (
        lease.hold(path, waiting=told.append),
        pytest.raises(BusyError, match=str(os.getpid())),
        lease.hold(path, waiting=told.append, timeout_seconds=1.2),
    ):
        pass
    assert len(told) == 1
    assert not path.exists()


def test_released_also_after_an_error(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), lease.hold(tmp_path / "l", waiting=print):
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []


def test_killed_owner_is_followed(tmp_path: Path) -> None:
    path = tmp_path / "lease.json"
    code = (
        "import sys, time, pathlib\nfrom vssl_core import lease\n"
        "with lease.hold(pathlib.Path(sys.argv[1]), waiting=print):\n"
        "    print('held', flush=True); time.sleep(60)"
    )
    owner = subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE)
    assert owner.stdout is not None
    assert owner.stdout.readline() == b"held\n"
    owner.send_signal(signal.SIGKILL)
    owner.wait()
    with lease.hold(path, waiting=print, timeout_seconds=10):
        assert json.loads(path.read_text())["pid"] == os.getpid()


def assert_only_its_heartbeat_says_that_it_is_dead(path: Path) -> None:
    with pytest.raises(BusyError), lease.hold(path, waiting=lambda _: None, timeout_seconds=0.1):
        pass
    old = time.time() - 2 * lease.STALE_SECONDS
    os.utime(path, (old, old))
    with lease.hold(path, waiting=lambda _: None, timeout_seconds=5):
        pass


def test_other_host_counts_as_dead_only_after_its_heartbeat_stopped(tmp_path: Path) -> None:
    path = tmp_path / "lease.json"
    path.write_text(json.dumps({"host": f"not-{socket.gethostname()}", "pid": 1, "token": "t"}))
    assert_only_its_heartbeat_says_that_it_is_dead(path)


def left_behind(path: Path, **changes: object) -> None:
    """The lease of an owner that looks like this process, but for these things."""
    with lease.hold(path, waiting=print):
        owner = json.loads(path.read_text())
    path.write_text(json.dumps({**owner, "token": "t", **changes}))


def test_another_process_by_the_number_of_the_owner_is_not_the_owner(tmp_path: Path) -> None:
    path = tmp_path / "lease.json"
    left_behind(path, started=1.0)
    with lease.hold(path, waiting=print, timeout_seconds=5):
        pass
    left_behind(path)
    with pytest.raises(BusyError), lease.hold(path, waiting=lambda _: None, timeout_seconds=0.1):
        pass


@pytest.mark.skipif(not Path("/proc/self/ns/pid").exists(), reason="Linux alone tells containers apart")
@pytest.mark.parametrize("key", ["boot", "namespace"])
def test_a_container_that_was_started_again_does_not_wait_for_itself(key: str, tmp_path: Path) -> None:
    """Same host name, same number: only the heartbeat says that the owner is gone."""
    path = tmp_path / "lease.json"
    left_behind(path, **{key: "another"})
    assert_only_its_heartbeat_says_that_it_is_dead(path)


def test_many_threads_never_hold_it_together(tmp_path: Path) -> None:
    path, inside, most = tmp_path / "lease.json", [0], [0]

    def work() -> None:
        with lease.hold(path, waiting=lambda _: None, timeout_seconds=60):
            inside[0] += 1
            most[0] = max(most[0], inside[0])
            time.sleep(0.02)
            inside[0] -= 1

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most[0] == 1
