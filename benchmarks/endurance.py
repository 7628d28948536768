"""Does reading go on for ever? Memory and open files of one process over ten thousand clips.

    python benchmarks/endurance.py [--clips 10000] [--decoder pyav] [--threads 2]

Clips of 16 frames at random places of all readable files of ../shared/data/clips and of 60 Weizmann and
UCF101 files. Every tenth of the way prints resident memory, open files and clips per second; after the first
tenth memory must stay flat: exit code 1 where it grows by more than 5 % or a file stays open. The process has
the variables of a cell's.
"""

from __future__ import annotations

import argparse
import gc
import os
import random
import sys
import time
from pathlib import Path

import psutil

from vssl_core.errors import VideoError
from vssl_core.run_plan import CELL_ENVIRONMENT
from vssl_core.types import VideoRecord
from vssl_core.video import FrameReader, ordered_map

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
LENGTH = 16


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--clips", type=int, default=10_000)
    parser.add_argument("--decoder", default="pyav")
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    if missing := CELL_ENVIRONMENT.keys() - os.environ.keys():  # read when a process starts
        changed = {**os.environ, **{name: CELL_ENVIRONMENT[name] for name in missing}}
        os.execve(sys.executable, [sys.executable, *sys.argv], changed)
    reader = FrameReader(short_side=128, decoder=args.decoder)
    files = _readable(reader)
    rng, process = random.Random(0), psutil.Process()

    def read(number: int) -> None:
        record, count = files[number % len(files)]
        start = rng.randrange(max(1, count - LENGTH))
        reader.read(record, range(start, min(start + LENGTH, count)))

    print(f"{len(files)} files, {args.clips:,} clips, {args.decoder}, {args.threads} threads")
    seen: list[tuple[float, int]] = []
    for tenth in range(10):
        begin = time.perf_counter()
        numbers = range(tenth * args.clips // 10, (tenth + 1) * args.clips // 10)
        for _ in ordered_map(read, numbers, threads=args.threads, prefetch=2 * args.threads):
            pass
        gc.collect()
        seen.append((process.memory_info().rss / 2**20, len(os.listdir("/proc/self/fd"))))  # noqa: PTH208
        rate = len(numbers) / (time.perf_counter() - begin)
        print(f"{numbers.stop:>8,} clips  {seen[-1][0]:8.1f} MiB  {seen[-1][1]:3} files  {rate:6.0f} clips/s")
    flat = seen[-1][0] <= 1.05 * seen[0][0] and seen[-1][1] <= seen[0][1]
    print("flat" if flat else "GROWS")
    sys.exit(0 if flat else 1)


def _readable(reader: FrameReader) -> list[tuple[VideoRecord, int]]:
    paths = sorted(
        path for path in (DATA / "clips").rglob("*") if path.suffix in {".avi", ".mp4", ".webm", ".mkv"}
    )
    for folder, pattern in (("weizmann", "*.avi"), ("ucf101-6", "*.mp4")):
        found = sorted((DATA / folder).rglob(pattern))
        paths += found[:: max(1, len(found) // 30)]
    files = []
    for path in paths:
        record = VideoRecord(path.name, str(path))
        try:
            count = reader.info(record).num_frames
            reader.read(record, range(count))
        except VideoError as error:
            print(f"left out: {error}"[:120])
        else:
            files.append((record, count))
    return files


if __name__ == "__main__":
    main()
