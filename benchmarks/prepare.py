"""How long finding the videos of a copy of Kinetics-400's size takes, and the second time.

    python benchmarks/prepare.py [--videos 240000] [--rounds 3] [--folder FOLDER] [--json FILE]

Makes a copy with that many small files in 400 class folders and its table, then runs these, a process each,
round after round:

- `find`: GNU find listing the tree with sizes and times, which is what a walk cannot do without,
- `prepare, new`: `vssl data prepare kinetics400` with an empty cache,
- `prepare, again`: the same once more, nothing having changed,
- `prepare, one more`: after one file was added,
- `prepare, stopped`: with an empty cache, killed half-way, then run again; the time of the second run.

Times are wall seconds with the file system's caches warm, CPU is user plus system of the process and its
threads; ratios are medians over rounds of the ratio to `find` in the same round. What is printed of the
found videos is checked: a fast wrong answer is no answer.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.resources import files
from pathlib import Path

from rich.console import Console
from rich.table import Table

CLASSES = (
    (files("vssl_plugins.datasets") / "kinetics400_classes.txt").read_text(encoding="utf-8").splitlines()
)
CONTESTANTS = ("find", "prepare, new", "prepare, again", "prepare, one more", "prepare, stopped")


@dataclass(frozen=True)
class Run:
    """One process."""

    wall_seconds: float
    cpu_seconds: float


def write_copy(root: Path, count: int) -> None:
    """`train/CLASS/ID_start_end.mp4` and `annotations/train.csv`."""
    rows = ["label,youtube_id,time_start,time_end,split,is_cc"]
    for label in CLASSES:
        (root / "train" / label).mkdir(parents=True)
    for n in range(count):
        label, video = CLASSES[n % len(CLASSES)], f"{n:011d}"
        (root / "train" / label / f"{video}_000010_000020.mp4").write_bytes(
            b"not a video, but a file of its own"
        )
        rows.append(f"{label},{video},10,20,train,0")
    (root / "annotations").mkdir()
    (root / "annotations" / "train.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")


def run(command: Sequence[str], cache: Path, expected: str) -> Run:
    """Time a process whose output has to contain `expected`."""
    start = time.perf_counter()
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**os.environ, "VSSL_CACHE": str(cache)}
    )
    assert process.stdout is not None
    output = process.stdout.read().decode()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    wall = time.perf_counter() - start
    if process.returncode != 0 or expected not in output:
        error = process.stderr.read().decode() if process.stderr else ""
        raise SystemExit(f"{' '.join(command)}: exit {process.returncode}\n{output[-2000:]}\n{error[-2000:]}")
    return Run(wall, usage.ru_utime + usage.ru_stime)


def stop_half_way(command: Sequence[str], cache: Path, seconds: float) -> None:
    """Start and kill it after so long."""
    environment = {**os.environ, "VSSL_CACHE": str(cache)}
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment)
    time.sleep(seconds)
    process.send_signal(signal.SIGKILL)
    process.wait()


def one_round(root: Path, cache: Path, count: int) -> dict[str, Run]:
    """Every contestant once."""
    prepare = (sys.executable, "-m", "vssl_core.cli", "data", "prepare", "kinetics400", "--root", str(root))
    found = f"{count:,}"
    shutil.rmtree(cache, ignore_errors=True)
    runs = {"find": run(("find", str(root), "-type", "f", "-printf", "%s %T@ %p\n"), cache, ".mp4")}
    runs["prepare, new"] = run(prepare, cache, found)
    runs["prepare, again"] = run(prepare, cache, found)
    extra = root / "train" / CLASSES[7] / "one more.mp4"
    extra.write_bytes(b"unexpected")
    runs["prepare, one more"] = run(prepare, cache, "one more.mp4")
    extra.unlink()
    shutil.rmtree(cache)
    stop_half_way(prepare, cache, 0.6 * runs["prepare, new"].wall_seconds)
    runs["prepare, stopped"] = run(prepare, cache, found)
    return runs


def show(rounds: Sequence[Mapping[str, Run]], title: str) -> None:
    """Medians and ratios to `find`."""
    table = Table(title=title, title_justify="left")
    table.add_column("process", no_wrap=True)
    for heading in ("wall s", "CPU s", "x find"):
        table.add_column(heading, justify="right")
    for name in CONTESTANTS:
        wall = statistics.median(runs[name].wall_seconds for runs in rounds)
        cpu = statistics.median(runs[name].cpu_seconds for runs in rounds)
        ratio = statistics.median(runs[name].wall_seconds / runs["find"].wall_seconds for runs in rounds)
        table.add_row(name, f"{wall:.2f}", f"{cpu:.2f}", f"{ratio:.2f}")
    Console().print(table)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--videos", type=int, default=240_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="where to make the copy; default: a temporary folder")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="vssl-prepare-", dir=arguments.folder) as folder:
        root = Path(folder) / "k400"
        write_copy(root, arguments.videos)
        time.sleep(3)  # a folder that changed a moment ago is not relied on
        rounds = [one_round(root, Path(folder) / "cache", arguments.videos) for _ in range(arguments.rounds)]
    show(rounds, f"{arguments.videos:,} files in {len(CLASSES)} folders, {arguments.rounds} rounds")
    if arguments.json:
        records = [{name: asdict(measured) for name, measured in runs.items()} for runs in rounds]
        arguments.json.write_text(json.dumps(records, indent=2))


if __name__ == "__main__":
    main()
