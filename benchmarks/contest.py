"""The driver of all benchmarks: contestants side by side in one run, on a machine that others use too.

Every contestant lives in a process of its own, which stays alive and is told over a pipe what to do. A round
lets each of them do the same job, in an order that is reversed every other round; ratios are taken within a
round and their median is printed. Each job's result is checked outside the measured time, so that a quick
wrong answer is shown as wrong. What other processes use meanwhile is measured; rounds in which it is more
than `QUIET_CORES` are dropped and counted. A contestant that cannot run here is left out by name.

    class Sorter:                                   # in an importable module
        def run(self, job): return sorted(job)      # measured
        def check(self, job, result): return Verdict(items=len(job), wrong=result != sorted(job))

    result = contest([Contestant("ours", Sorter)], {"numbers": lambda round_: [3, 1, 2]}, baseline="ours")
    show(result)
"""

from __future__ import annotations

import json
import multiprocessing
import os
import platform
import resource
import statistics
import sys
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Protocol

from rich.console import Console
from rich.table import Table

QUIET_CORES = 0.15  # what others may use in a round that counts


class Absent(Exception):  # noqa: N818 — a statement, not an error
    """Raised by a contestant's factory: it cannot run on this machine, and why."""


@dataclass(frozen=True)
class Verdict:
    """What a result is worth.

    Args:
        items: What the time is divided by.
        wrong: How many of the `checked` answers are wrong.
        checked: How many answers there were; 0: as many as items.
        digest: Where given, equal for all who give the same answer.
        cpu_seconds: Of all items, from a contestant that counts its time itself (a floor that is put
            together from parts); None: what the driver measured.
    """

    items: int
    wrong: int = 0
    checked: int = 0
    digest: str = ""
    cpu_seconds: float | None = None


class Work(Protocol):
    """What a factory makes, in the contestant's process."""

    def run(self, job: Any) -> Any:
        """Do the job. Measured."""

    def check(self, job: Any, result: Any) -> Verdict:
        """Look at the result. Not measured."""


@dataclass(frozen=True)
class Contestant:
    """A name and an importable callable that makes its `Work`; an ImportError in it means absent.

    `environment` holds variables of its process beside those of this one.
    """

    name: str
    factory: Callable[..., Work]
    arguments: Mapping[str, Any] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Measured:
    """One contestant in one round of one heat; seconds are per item."""

    cpu_seconds: float
    wall_seconds: float
    verdict: Verdict


@dataclass
class Heat:
    """All rounds of one kind of job: per round the contestants' results, and the cores others used."""

    rounds: list[dict[str, Measured]] = field(default_factory=list)
    others: list[float] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)

    def counted(self) -> list[dict[str, Measured]]:
        """The quiet rounds; all of them where none was quiet."""
        pairs = zip(self.rounds, self.others, strict=True)
        return [found for found, cores in pairs if cores <= QUIET_CORES] or self.rounds

    def median(self, name: str, of: Callable[[Measured], float]) -> float:
        """Median over the counted rounds of one number of one contestant."""
        return statistics.median(of(found[name]) for found in self.counted() if name in found)

    def speed(self, name: str, baseline: str, *, wall: bool = False) -> float:
        """How many times as fast as the baseline: the median of the ratios within the rounds."""
        attribute = "wall_seconds" if wall else "cpu_seconds"
        return statistics.median(
            getattr(found[baseline], attribute) / getattr(found[name], attribute)
            for found in self.counted()
            if name in found and baseline in found
        )

    def wrong(self, name: str) -> tuple[int, int]:
        """(wrong, all) answers over all rounds, quiet or not."""
        verdicts = [found[name].verdict for found in self.rounds if name in found]
        return sum(v.wrong for v in verdicts), sum(v.checked or v.items for v in verdicts)

    @property
    def names(self) -> list[str]:
        return list(dict.fromkeys(name for found in self.rounds for name in found))


@dataclass
class Result:
    """A whole contest."""

    heats: dict[str, Heat]
    absent: dict[str, str]
    baseline: str


def contest(
    contestants: Sequence[Contestant],
    jobs: Mapping[str, Callable[[int], Any]],
    *,
    baseline: str,
    rounds: int = 5,
    warm_ups: int = 1,
) -> Result:
    """Run all contestants on all jobs.

    Args:
        contestants: Those to compare.
        jobs: Heat → (round number → picklable job); every contestant gets the same.
        baseline: The contestant that ratios refer to.
        rounds: Rounds that are measured. While too few of them were quiet, up to as many again.
        warm_ups: Rounds before them that do not count.
    """
    absent: dict[str, str] = {}
    children = [child for c in contestants if (child := _start(c, absent))]
    heats = {label: Heat() for label in jobs}
    try:
        for label, job in jobs.items():
            for place in range(warm_ups):
                _round(children, job(-1 - place), Heat(), place)
            heat = heats[label]
            place = 0
            while place < rounds or (place < 2 * rounds and _quiet(heat) < rounds):
                _note(f"{label}: round {place + 1}, {_quiet(heat)} quiet so far")
                _round(children, job(place), heat, place)
                place += 1
    finally:
        for child in children:
            child.stop()
    return Result(heats, absent, baseline)


def _quiet(heat: Heat) -> int:
    return sum(cores <= QUIET_CORES for cores in heat.others)


def _note(text: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)


def _round(children: Sequence[_Child], job: Any, heat: Heat, place: int) -> None:
    found: dict[str, Measured] = {}
    elsewhere = 0.0
    load = other_load()
    for child in children if place % 2 == 0 else children[::-1]:
        if child.name in heat.failed:
            continue
        answer = child.do(job)
        if isinstance(answer, str):
            heat.failed[child.name] = answer
        else:
            found[child.name], seconds = answer
            elsewhere += seconds
    heat.others.append(load(elsewhere))
    heat.rounds.append(found)


def other_load() -> Callable[..., float]:
    """Begin to watch the machine; calling the result says how many cores others have used since.

    Own are this process, its children that ended, and what the call names: processor seconds of
    children that live on.
    """
    begin, busy, own = time.perf_counter(), _busy_seconds(), _own_seconds()

    def cores(children_seconds: float = 0.0) -> float:
        mine = _own_seconds() - own + children_seconds
        return max(0.0, (_busy_seconds() - busy - mine) / (time.perf_counter() - begin))

    return cores


def _busy_seconds() -> float:
    """Processor seconds that the whole machine was busy, time stolen by its host included."""
    values = [int(x) for x in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]]
    user, nice, system, _, _, irq, soft, steal = values[:8]
    return (user + nice + system + irq + soft + steal) / os.sysconf("SC_CLK_TCK")


def _own_seconds() -> float:
    """Processor seconds of this process and of its children that ended."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + ended.ru_utime + ended.ru_stime


class _Child:
    """A contestant's process, from this side of the pipe."""

    def __init__(self, name: str, process: Any, pipe: Connection) -> None:
        self.name, self._process, self._pipe = name, process, pipe

    def do(self, job: Any) -> tuple[Measured, float] | str:
        """(measurement, all processor seconds of the child), or why it failed."""
        try:
            self._pipe.send(job)
            answer: tuple[Measured, float] | str = self._pipe.recv()
        except (EOFError, OSError):
            return f"its process died with exit code {self._process.exitcode}"
        return answer

    def stop(self) -> None:
        self._pipe.close()
        self._process.join(10)
        if self._process.is_alive():
            self._process.terminate()


def _start(contestant: Contestant, absent: dict[str, str]) -> _Child | None:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_live, args=(contestant, theirs), daemon=False)
    before = dict(os.environ)
    os.environ.update(contestant.environment)
    try:
        process.start()
    finally:
        os.environ.clear()
        os.environ.update(before)
    theirs.close()
    try:
        why_absent = ours.recv()
    except EOFError:
        why_absent = "its process died at the start"
    if why_absent:
        absent[contestant.name] = why_absent
        process.join()
        return None
    return _Child(contestant.name, process, ours)


def _live(contestant: Contestant, pipe: Connection) -> None:
    """The life of a contestant's process: make the work, then do job after job until the pipe closes."""
    try:
        work = contestant.factory(**contestant.arguments)
    except (Absent, ImportError, OSError, RuntimeError) as error:
        pipe.send((str(error).strip().splitlines() or [type(error).__name__])[0][:100])
        return
    pipe.send("")
    while True:
        try:
            job = pipe.recv()
        except EOFError:
            return
        pipe.send(_do(work, job))


def _do(work: Work, job: Any) -> tuple[Measured, float] | str:
    begin_all = _own_seconds()
    try:
        cpu, wall = _own_seconds(), time.perf_counter()
        result = work.run(job)
        cpu, wall = _own_seconds() - cpu, time.perf_counter() - wall
        verdict = work.check(job, result)
    except Exception as error:
        print(traceback.format_exc(), file=sys.stderr)
        return f"{type(error).__name__}: {error}"[:200]
    if verdict.cpu_seconds is not None:
        cpu = wall = verdict.cpu_seconds
    measured = Measured(cpu / verdict.items, wall / verdict.items, verdict)
    return measured, _own_seconds() - begin_all


# ------------------------------------------------------------------------------------------- printing


def show(result: Result, *, item: str = "item", console: Console | None = None) -> None:
    """One table per heat, on standard output."""
    out = console or Console()
    for label, heat in result.heats.items():
        table = Table(title=label, title_justify="left", caption=_caption(heat), caption_justify="left")
        table.add_column("")
        for title in (f"cpu ms / {item}", f"wall ms / {item}", "x cpu", "x wall", "wrong"):
            table.add_column(title, justify="right")
        for name in heat.names:
            table.add_row(name, *_cells(heat, name, result.baseline))
        for name, why in {**result.absent, **heat.failed}.items():
            table.add_row(name, f"left out: {why}", style="dim")
        out.print(table)


def _cells(heat: Heat, name: str, baseline: str) -> list[str]:
    wrong, items = heat.wrong(name)
    return [
        f"{heat.median(name, lambda m: m.cpu_seconds) * 1e3:.2f}",
        f"{heat.median(name, lambda m: m.wall_seconds) * 1e3:.2f}",
        f"{heat.speed(name, baseline):.2f}" if baseline in heat.names else "",
        f"{heat.speed(name, baseline, wall=True):.2f}" if baseline in heat.names else "",
        f"{wrong}/{items}" if wrong else "0",
    ]


def _caption(heat: Heat) -> str:
    quiet, load = _quiet(heat), statistics.median(heat.others)
    text = f"{len(heat.rounds)} rounds; other processes used {load:.2f} cores (median); "
    if quiet == len(heat.rounds):
        return text + "all rounds quiet"
    if quiet:
        return text + f"{len(heat.rounds) - quiet} disturbed rounds dropped"
    return text + "NO ROUND WAS QUIET: disturbed ones shown, do not publish"


def machine() -> dict[str, Any]:
    """What ran this."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return {
        "processor": models[0] if models else platform.processor(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "system": platform.platform(),
    }


def save(path: Path, results: Mapping[str, Result], **more: Any) -> None:
    """Everything that was measured, as JSON."""
    contests = {name: _document(result) for name, result in results.items()}
    path.write_text(json.dumps({"machine": machine(), "contests": contests, **more}, indent=1) + "\n")


def _document(result: Result) -> dict[str, Any]:
    heats = {
        label: {
            "rounds": [{name: asdict(m) for name, m in found.items()} for found in heat.rounds],
            "other_cores": heat.others,
            "quiet_rounds": _quiet(heat),
            "failed": heat.failed,
            "speed_cpu": _speeds(heat, result.baseline, wall=False),
            "speed_wall": _speeds(heat, result.baseline, wall=True),
        }
        for label, heat in result.heats.items()
    }
    return {"baseline": result.baseline, "absent": result.absent, "heats": heats}


def _speeds(heat: Heat, baseline: str, *, wall: bool) -> dict[str, float]:
    if baseline not in heat.names:
        return {}
    return {name: heat.speed(name, baseline, wall=wall) for name in heat.names}
