"""The benchmarks' driver: ratios within rounds, wrong answers shown, absent and failing ones named."""

from __future__ import annotations

import io
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))

from contest import QUIET_CORES, Absent, Contestant, Heat, Measured, Result, Verdict, contest, save, show


class Busy:
    """Works for some time; gives wrong answers where it is told to."""

    def __init__(self, *, seconds: float, wrong: int = 0) -> None:
        self._seconds, self._wrong = seconds, wrong

    def run(self, job: int) -> int:
        end = time.process_time() + self._seconds
        while time.process_time() < end:
            pass
        return job

    def check(self, job: int, result: int) -> Verdict:
        time.sleep(0.05)  # no part of the measurement
        return Verdict(items=2, wrong=self._wrong, digest=str(result))


def missing() -> Any:
    raise Absent("not on this machine")


def not_installed() -> Any:
    import a_package_that_is_not_there  # noqa: F401


class Fails(Busy):
    def run(self, job: int) -> int:
        raise ValueError("cannot")


class Dies(Busy):
    def run(self, job: int) -> int:
        os._exit(3)


def measured(seconds: float) -> Measured:
    return Measured(seconds, seconds, Verdict(items=1))


def test_a_contest_from_end_to_end(tmp_path: Path) -> None:
    result = contest(
        [
            Contestant("slow", Busy, {"seconds": 0.08}),
            Contestant("quick", Busy, {"seconds": 0.02, "wrong": 1}),
            Contestant("missing", missing),
            Contestant("not installed", not_installed),
            Contestant("fails", Fails, {"seconds": 0}),
            Contestant("dies", Dies, {"seconds": 0}),
        ],
        {"work": lambda place: place},
        baseline="slow",
        rounds=2,
    )
    heat = result.heats["work"]
    assert result.absent.keys() == {"missing", "not installed"}
    assert heat.failed.keys() == {"fails", "dies"}
    assert heat.speed("quick", "slow") == pytest.approx(4, rel=0.3)
    assert heat.median("slow", lambda m: m.cpu_seconds) == pytest.approx(0.04, rel=0.3)
    assert heat.wrong("quick") == (len(heat.rounds), 2 * len(heat.rounds))
    assert [found["slow"].verdict.digest for found in heat.rounds] == [
        str(k) for k in range(len(heat.rounds))
    ]

    out = io.StringIO()
    show(result, console=Console(file=out, width=120))
    assert "left out: not on this machine" in out.getvalue()
    assert "ValueError: cannot" in out.getvalue()
    save(tmp_path / "x.json", {"one": result}, note="n")
    document = json.loads((tmp_path / "x.json").read_text())
    assert document["note"] == "n"
    assert document["contests"]["one"]["heats"]["work"]["speed_cpu"]["slow"] == 1.0


def test_ratios_are_taken_within_rounds_and_disturbed_rounds_dropped() -> None:
    rounds = [
        {"a": measured(1.0), "b": measured(0.5)},
        {"a": measured(9.0), "b": measured(3.0)},  # the machine was slow: so were both
        {"a": measured(1.0), "b": measured(9.0)},  # disturbed in the middle
    ]
    heat = Heat(rounds, [0.0, QUIET_CORES, 1.5])
    assert heat.speed("b", "a") == 2.5
    assert Heat(rounds, [1.0, 1.0, 1.0]).speed("b", "a") == 2.0  # none was quiet: all count


def test_the_page_says_when_no_round_was_quiet() -> None:
    heat = Heat([{"a": measured(1.0)}], [1.0])
    out = io.StringIO()
    show(Result({"h": heat}, {}, "a"), console=Console(file=out, width=120))
    assert "NO ROUND WAS QUIET" in " ".join(out.getvalue().split())
