"""What `vssl` costs before it does anything, with many distributions installed.

    python benchmarks/startup.py [--distributions 300] [--rounds 11] [--json FILE]

Writes that many fake distributions into a temporary folder on the import path: most have nothing to do with
vssl, one in four is a plugin, and of the plugins some raise at import, some never return from it, some take
a built-in's name and some each other's. Then every contestant runs once per round, as a process of its own,
in an order that is reversed every round; the first round fills caches and is not counted.

CPU is user plus system time of the process as the kernel reports it at its end. Ratios are medians over
rounds of the ratio within the round. The floor is `python -c pass` on the same import path. `others` is how
many cores other processes used meanwhile; rounds above 0.15 are left out where at least three remain.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil
from rich.console import Console
from rich.table import Table

TARGET_CPU_SECONDS = 0.25
DISTURBED_CORES = 0.15
FLOOR = "python -c pass"

CONTESTANTS: Mapping[str, Sequence[str]] = {
    FLOOR: ("-c", "pass"),
    "vssl --help": ("-m", "vssl_core.cli", "--help"),
    "vssl plugins list": ("-m", "vssl_core.cli", "plugins", "list"),
    "import vssl_core": ("-c", "import vssl_core"),
    "import numpy": ("-c", "import numpy"),
    "import torch": ("-c", "import torch"),
    "import torchvision": ("-c", "import torchvision"),
}

PLUGINS: Sequence[tuple[str, str, str]] = (
    # what is wrong with it, entry point, source of its module
    ("nothing", "[vssl.tasks]\nmethod_{n} = fake_{n}:Task\n", "class Task: api_version = 1\n"),
    ("raises", "[vssl.backbones]\nnetwork_{n} = fake_{n}:Network\n", "raise RuntimeError('at import')\n"),
    ("hangs", "[vssl.hooks]\nwatch_{n} = fake_{n}\n", "import time\nwhile True:\n    time.sleep(3600)\n"),
    ("a built-in's name", "[vssl.tasks]\nvcop = fake_{n}:Task\n", "class Task: api_version = 1\n"),
    ("each other's name", "[vssl.evaluators]\npopular = fake_{n}:Score\n", "class Score: api_version = 1\n"),
)


def write_distributions(folder: Path, count: int) -> int:
    """Write them; gives how many are plugins."""
    description = "A sentence that stands in for a long description.\n" * 200
    plugins = 0
    for n in range(count):
        info = folder / f"fake_{n}-1.{n}.dist-info"
        info.mkdir()
        head = f"Metadata-Version: 2.1\nName: fake-{n}\nVersion: 1.{n}\n"
        requires = "".join(f"Requires-Dist: fake-{m}\n" for m in range(12))
        (info / "METADATA").write_text(f"{head}{requires}\n{description}")
        (info / "top_level.txt").write_text(f"fake_{n}\n")
        entry, source = f"[console_scripts]\nfake-{n} = fake_{n}:main\n", ""
        if n % 4 == 0:
            _, of_vssl, source = PLUGINS[plugins % len(PLUGINS)]
            entry += of_vssl.format(n=n)
            plugins += 1
        (info / "entry_points.txt").write_text(entry)
        (folder / f"fake_{n}.py").write_text(source)
    return plugins


@dataclass(frozen=True)
class Run:
    """One process: CPU and wall time, and the cores that all other processes used meanwhile."""

    cpu_seconds: float
    wall_seconds: float
    other_cores: float


def machine_cpu_seconds() -> float:
    times = psutil.cpu_times()
    return times.user + times.nice + times.system


def run(arguments: Sequence[str], environment: Mapping[str, str]) -> tuple[Run, bytes]:
    before, own, start = machine_cpu_seconds(), sum(os.times()[:2]), time.perf_counter()
    process = subprocess.Popen([sys.executable, *arguments], stdout=subprocess.PIPE, env=dict(environment))
    assert process.stdout is not None
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    process.stdout.close()
    if process.returncode != 0:
        raise SystemExit(f"{' '.join(arguments)} ended with {process.returncode}")
    cpu, wall = usage.ru_utime + usage.ru_stime, time.perf_counter() - start
    others = machine_cpu_seconds() - before - cpu - (sum(os.times()[:2]) - own)
    return Run(cpu, wall, max(others, 0.0) / wall), output


def compete(environment: Mapping[str, str], rounds: int, plugins: int) -> dict[str, list[Run]]:
    """Rounds of every contestant. The list must be complete: a fast wrong answer is no answer."""
    records: dict[str, list[Run]] = {name: [] for name in CONTESTANTS}
    for number in range(-1, rounds):
        names = list(CONTESTANTS) if number % 2 else list(reversed(CONTESTANTS))
        for name in names:
            measured, output = run(CONTESTANTS[name], environment)
            listed = len(re.findall(rb" fake-\d+ +1\.", output))
            if name == "vssl plugins list" and listed != plugins:
                raise SystemExit(f"expected {plugins} plugins in the list, got {listed}")
            if number >= 0:
                records[name].append(measured)
    return records


def quiet_rounds(records: Mapping[str, Sequence[Run]]) -> list[int]:
    """Rounds that nothing else disturbed; all of them where fewer than three are quiet."""
    count = len(records[FLOOR])
    quiet = [
        number
        for number in range(count)
        if statistics.mean(runs[number].other_cores for runs in records.values()) <= DISTURBED_CORES
    ]
    return quiet if len(quiet) >= 3 else list(range(count))


def summary(records: Mapping[str, Sequence[Run]], rounds: Sequence[int]) -> list[dict[str, object]]:
    rows = []
    for name, runs in records.items():
        cpu = [runs[number].cpu_seconds for number in rounds]
        ratios = {
            base: statistics.median(
                runs[number].cpu_seconds / max(records[base][number].cpu_seconds, 1e-9) for number in rounds
            )
            for base in (FLOOR, "import torch")
        }
        rows.append(
            {
                "command": name,
                "cpu_ms": 1e3 * statistics.median(cpu),
                "cpu_ms_least": 1e3 * min(cpu),
                "wall_ms": 1e3 * statistics.median(runs[number].wall_seconds for number in rounds),
                "to_floor": ratios[FLOOR],
                "to_torch": ratios["import torch"],
                "other_cores": statistics.mean(runs[number].other_cores for number in rounds),
            }
        )
    return rows


def show(rows: Sequence[Mapping[str, object]], title: str) -> None:
    table = Table(title=title, title_justify="left")
    table.add_column("process", no_wrap=True)
    for heading in ("CPU ms", "least", "wall ms", "x floor", "x torch", "others, cores"):
        table.add_column(heading, justify="right")
    for row in rows:
        numbers = [row[key] for key in ("cpu_ms", "cpu_ms_least", "wall_ms")]
        ratios = [row[key] for key in ("to_floor", "to_torch", "other_cores")]
        table.add_row(str(row["command"]), *(f"{n:.0f}" for n in numbers), *(f"{n:.2f}" for n in ratios))
    Console().print(table)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--distributions", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="vssl-startup-") as folder:
        plugins = write_distributions(Path(folder), arguments.distributions)
        environment = {**os.environ, "PYTHONPATH": folder, "OMP_NUM_THREADS": "1"}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)  # as for users: compiled once
        records = compete(environment, arguments.rounds, plugins)
    rounds = quiet_rounds(records)
    rows = summary(records, rounds)
    left = f"{len(rounds)} of {arguments.rounds} rounds counted"
    show(rows, f"{arguments.distributions} distributions, {plugins} of them plugins; {left}")
    for row in rows:
        if str(row["command"]).startswith("vssl "):
            verdict = "within" if float(str(row["cpu_ms"])) <= 1e3 * TARGET_CPU_SECONDS else "ABOVE"
            print(f"{row['command']}: {verdict} {TARGET_CPU_SECONDS} s of CPU")
    if arguments.json:
        arguments.json.write_text(json.dumps({"rounds": len(rounds), "rows": rows}, indent=2))


if __name__ == "__main__":
    main()
