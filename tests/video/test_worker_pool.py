"""Processes that look into videos: what crashes or hangs one of them costs one answer."""

from __future__ import annotations

import sys
from pathlib import Path

import psutil
import pytest

from vssl_core.errors import StoreError
from vssl_core.video import worker, worker_pool
from vssl_core.video.worker_pool import look_into

JOBS = """
import os, signal, sys, time
from vssl_core.video import worker

def planted(path):
    print("a library prints this")
    if path.startswith("crash"):
        os.kill(os.getpid(), signal.SIGSEGV)
    if path.startswith("hang"):
        time.sleep(600)
    if path.startswith("killed"):
        os.kill(os.getpid(), signal.SIGKILL)
    if path.startswith("raise"):
        raise ZeroDivisionError("odd")
    return {"path": path}

worker.JOBS = {"planted": planted}
worker.main()
"""


@pytest.fixture
def planted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers that do what the path says."""
    script = tmp_path / "python"
    (tmp_path / "jobs.py").write_text(JOBS)
    script.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{tmp_path}/jobs.py" planted\n')
    script.chmod(0o755)
    monkeypatch.setattr(worker_pool.sys, "executable", str(script))


@pytest.mark.usefixtures("planted")
def test_crashes_and_hangs_are_answers_and_the_others_get_theirs() -> None:
    paths = [f"{kind}{i}" for i in range(3) for kind in ("good\n", "crash", "raise", "killed")] + ["hang"]
    found = dict(look_into("planted", paths, processes=3, limit_seconds=3))
    assert found.keys() == set(paths)
    for path, answer in found.items():
        if path.startswith("good"):
            assert answer == {"path": path}
        elif path.startswith("crash"):
            assert answer == {"error": "the process that decoded it ended with signal SIGSEGV"}
        elif path.startswith("raise"):
            assert answer == {"error": "the decoder failed with ZeroDivisionError: odd"}
        else:  # what says nothing of the file is not kept
            assert answer["passing"] is True
    assert "more than 3 s" in found["hang"]["error"]


@pytest.mark.usefixtures("planted")
def test_a_consumer_that_stops_ends_the_processes() -> None:
    before = set(psutil.Process().children())
    answers = look_into("planted", ["a", "hang", "b"], processes=2)
    assert next(answers)[0] in "ab"
    assert set(psutil.Process().children()) > before
    answers.close()
    assert set(psutil.Process().children()) <= before


def test_processes_that_do_not_start_are_no_bad_videos(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_pool.sys, "executable", "/bin/false")
    with pytest.raises(StoreError, match=r"no process for looking into videos starts.*exit code 1"):
        list(look_into("decode", ["a"], processes=1))


def test_nothing_to_do_starts_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_pool.sys, "executable", "/bin/false")
    assert list(look_into("decode", [], processes=4)) == []


def test_what_a_file_provokes_is_said_of_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "No such file" in worker.answer("decode with pyav", str(tmp_path / "none.mp4"))["error"]

    def refuse(path: str) -> dict:
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(worker, "JOBS", {"decode": refuse})
    assert worker.answer("decode", "x") == {"error": "it cannot be read: Permission denied"}
