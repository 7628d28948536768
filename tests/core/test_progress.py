"""Progress for people: bars where there is a terminal, lines where there is none."""

from __future__ import annotations

import io
import re
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from vssl_core._bars import Bars
from vssl_core._meter import Meter, duration_text
from vssl_core.progress import Progress, quiet_progress, terminal_progress


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(time, "monotonic", clock)
    return clock


def plain(text: str) -> str:
    """Without the terminal's control sequences."""
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)


def test_lines_come_every_five_seconds_and_once_at_the_end(clock: Clock) -> None:
    out = io.StringIO()
    with terminal_progress(out).track("decoding", 40, "files") as task:
        for _ in range(24):
            clock.now += 0.5
            task.advance(1, note="a.mp4")
    assert out.getvalue().splitlines() == [
        "decoding: 10/40 files, 2.0 files/s, 15 s left, a.mp4",
        "decoding: 20/40 files, 2.0 files/s, 10 s left, a.mp4",
        "decoding: 24/40 files, 2.0 files/s, 8.0 s left, a.mp4",
    ]


def test_a_finished_task_says_how_long_it_took(clock: Clock) -> None:
    out = io.StringIO()
    shown = terminal_progress(out)
    with shown.track("x", 4, "steps") as task:
        clock.now += 8
        task.advance(4)
    with shown.track("y", None) as task:
        clock.now += 4
        task.advance(2000)
    assert out.getvalue() == "x: 4/4 steps, 2.0 s each, 8.0 s\ny: 2,000, 500/s, 4.0 s\n"


def test_a_task_that_fails_shows_how_far_it_came(clock: Clock) -> None:
    out = io.StringIO()

    def work() -> None:
        with terminal_progress(out).track("x", 10) as task:
            clock.now += 1
            task.advance(3)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        work()
    assert out.getvalue().startswith("x: 3/10,")


def test_nothing_done_has_no_rate(clock: Clock) -> None:
    clock.now = 0.0
    assert Meter("x", 10, "steps").text() == "x: 0/10 steps, 0.0 steps/s, 0.0 s"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.04, "0.0 s"),
        (9.94, "9.9 s"),
        (10, "10 s"),
        (59.4, "59 s"),
        (60, "1 min 00 s"),
        (3599, "59 min 59 s"),
        (3600, "1 h 00 min"),
        (7500, "2 h 05 min"),
        (360_000, "100 h 00 min"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration_text(seconds) == text


@pytest.mark.parametrize("out", [io.StringIO, Terminal])
def test_no_step_of_any_thread_is_lost(out: type[io.StringIO]) -> None:
    stream = out()
    with terminal_progress(stream).track("x", 4000) as task, ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: task.advance(), range(4000)))
    assert "x: 4,000/4,000," in plain(stream.getvalue())


def test_a_terminal_gets_bars_that_leave_one_line_each(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    out = Terminal()
    shown = terminal_progress(out)
    assert isinstance(shown, Bars)
    with shown.track("outer", 2, "cells") as outer:
        shown.say("[a message]")
        for number in range(2):
            with shown.track(f"inner {number}", 3, "steps") as inner:
                inner.advance(3, note="loss 0.5")
            outer.advance()
    with shown.track("next", None, "videos") as task:
        task.advance(5)
    text = plain(out.getvalue())
    for line in (
        "[a message]",
        "inner 0: 3/3 steps",
        "inner 1: 3/3 steps",
        "outer: 2/2 cells",
        "next: 5 videos",
    ):
        assert text.count(line) == 1, line
    assert text.index("inner 0: 3/3") < text.index("inner 1: 3/3") < text.index("outer: 2/2")
    assert (
        out.getvalue().count("\x1b[?25l") == out.getvalue().count("\x1b[?25h") == 2
    )  # cursor: one display, twice


def test_tracks_of_several_threads_share_one_display() -> None:
    out = Terminal()
    shown = terminal_progress(out)
    all_open = threading.Barrier(3)

    def work(number: int) -> None:
        with shown.track(f"thread {number}", 10) as task:
            all_open.wait(10)
            task.advance(10)

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(work, range(3)))
    text = plain(out.getvalue())
    assert all(f"thread {number}: 10/10" in text for number in range(3))
    assert out.getvalue().count("\x1b[?25l") == 1


def test_bars_leave_stdout_alone(capsys: pytest.CaptureFixture[str]) -> None:
    out = Terminal()
    with terminal_progress(out).track("x", 1) as task:
        sys.stdout.write("a result\n")
        task.advance()
    assert capsys.readouterr().out == "a result\n"
    assert "a result" not in out.getvalue()


def test_without_a_stream_it_is_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    terminal_progress().say("hello")
    assert capsys.readouterr() == ("", "hello\n")


def test_quiet_is_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    shown: Progress = quiet_progress()
    shown.say("x")
    with shown.track("y", 2, "z") as task:
        task.advance(2, note="n")
    assert capsys.readouterr() == ("", "")
