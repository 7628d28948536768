"""Reading clips: speed and exactness of vssl beside plain PyAV, torchcodec, OpenCV and decord.

    python benchmarks/decode.py [--rounds 7] [--quick] [--json FILE] [--folder FOLDER]

A clip is 16 frames of a 320 x 240 video, delivered as RGB bytes, opening of the file included; `s4` takes
every 4th frame. `x cpu` and `x wall` say how many times as fast as plain PyAV. `wrong` counts frames that are
not the ones asked for. The floor is `ffmpeg -threads 1` for all frames from the key frame on, plus opening
the file and converting. vssl keeps its packet tables between clips, as it does between epochs; "first look"
is its price for a file that it has not seen. Who is absent is named; `pip install vssl[benchmarks]` and a
system FFmpeg (for torchcodec and the floor) bring everybody.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from contest import Contestant, Heat, Result, contest, save, show
from decode_contestants import (
    SMALL,
    Decord,
    Floor,
    Job,
    OpenCV,
    Ours,
    PlainPyAV,
    Threads,
    TorchCodec,
    TwoViews,
)
from footage import KINDS, SHARED, videos
from rich.console import Console
from rich.table import Table

LENGTH = 16  # frames of a clip
PARTS = ["exactness", "views", "threads", "cache", "clips"]
LONG, SHORT, XVID = list(KINDS)[:3]
TORCHCODEC = Contestant("torchcodec", TorchCodec, {"mode": "approximate"})
DECORD = Contestant("decord", Decord)
READERS = [
    Contestant("plain PyAV", PlainPyAV),
    Contestant("vssl", Ours),
    Contestant("vssl, first look", Ours, {"anew": True}),
    TORCHCODEC,
    Contestant("OpenCV", OpenCV),
    DECORD,
]
CACHED = Contestant("vssl, cached", Ours, {"cached": True})

JUDGED = [
    *(reader for reader in READERS if reader.name != "vssl, first look"),
    CACHED,
    Contestant("torchcodec exact", TorchCodec, {"mode": "exact"}),
]

Files = list[tuple[Path, int]]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--quick", action="store_true", help="fewer files and rounds: does it run?")
    parser.add_argument("--json", type=Path, help="write everything that was measured to this file")
    default = Path(tempfile.gettempdir()) / "vssl-benchmark-videos"
    parser.add_argument("--folder", type=Path, default=default, help="where the videos are made and kept")
    parser.add_argument("--only", choices=PARTS, action="append", help="this part (may be repeated)")
    args = parser.parse_args()
    rounds, count = (2, 2) if args.quick else (args.rounds, 8)
    console = Console() if sys.stdout.isatty() else Console(width=130)
    with console.status("writing videos"):
        files = {kind: videos(kind, args.folder, count=count) for kind in (LONG, SHORT, XVID)}
        odd = {kind: videos(kind, args.folder, count=2) for kind in KINDS}
    results: dict[str, Result] = {}
    for name in args.only or PARTS:
        results[name] = _contest(name, files, odd, rounds)
        if name == "exactness":
            _show_exactness(results[name], console)
        else:
            show(results[name], item="clip", console=console)
        if args.json:
            save(args.json, results, targets=_targets(results))
    _show_targets(_targets(results), console)


def _contest(name: str, files: dict[str, Files], odd: dict[str, Files], rounds: int) -> Result:
    if name == "clips":
        contestants = [*READERS, Contestant("floor", Floor)]
        return contest(contestants, _speed_jobs(files), baseline="plain PyAV", rounds=rounds)
    if name == "cache":
        both = [READERS[0], CACHED]
        return contest(both, _cache_jobs(files), baseline="plain PyAV", rounds=rounds)
    if name == "views":
        return contest(_VIEWS, _view_jobs(files), baseline="two calls", rounds=rounds)
    if name == "threads":
        return contest(_THREADS, _thread_jobs(files), baseline="one thread", rounds=rounds)
    return contest(JUDGED, _exactness_jobs(odd), baseline="plain PyAV", rounds=1, warm_ups=0)


_VIEWS = [
    Contestant("two calls", TwoViews, {"one_pass": False}),
    Contestant("one pass", TwoViews, {"one_pass": True}),
]
_THREADS = [
    Contestant("one thread", Threads, {"threads": 1}),
    Contestant("two threads", Threads, {"threads": 2}),
]


# ----------------------------------------------------------------------------------------------- jobs


def _clips(files: Files, stride: int, seed: str, *, per_file: int = 2) -> list[tuple[str, list[int]]]:
    rng = random.Random(seed)
    clips = []
    for path, frames in files * per_file:
        start = rng.randrange(frames - (LENGTH - 1) * stride)
        clips.append((str(path), list(range(start, start + LENGTH * stride, stride))))
    return clips


def _speed_jobs(files: dict[str, Files]) -> dict[str, Callable[[int], Job]]:
    jobs: dict[str, Callable[[int], Job]] = {}
    for kind, of_kind in files.items():
        for stride, size in ((1, SMALL), (4, SMALL), (1, None)):
            shown = "{} x {}".format(*size) if size else "full size"
            jobs[f"{kind}, s{stride}, {shown}"] = lambda r, f=of_kind, st=stride, sz=size: Job(
                _clips(f, st, f"{st} {r}"), sz
            )
    return jobs


def _cache_jobs(files: dict[str, Files]) -> dict[str, Callable[[int], Job]]:
    """As the second epoch reads: video after video, with nothing else between that drives pages out."""
    return {
        f"{kind}, s{stride}, cached": lambda r, f=of_kind, st=stride: Job(
            _clips(f, st, f"cache {st} {r}", per_file=6)
        )
        for kind, of_kind in files.items()
        for stride in (1, 4)
    }


def _view_jobs(files: dict[str, Files]) -> dict[str, Callable[[int], Job]]:
    """Two clips of each video at independent places, as a contrastive task takes them."""
    jobs: dict[str, Callable[[int], Job]] = {}
    for kind in (LONG, XVID):

        def job(round_: int, of_kind: Files = files[kind]) -> Job:
            one, two = (_clips(of_kind, 2, f"view {v} {round_}") for v in range(2))
            return Job([clip for pair in zip(one, two, strict=True) for clip in pair])

        jobs[f"{kind}, both views of a video"] = job
    return jobs


def _thread_jobs(files: dict[str, Files]) -> dict[str, Callable[[int], Job]]:
    return {
        f"{LONG}, two threads": lambda r: Job(_clips(files[LONG], 1, f"thread {r}", per_file=3)),
    }


def _exactness_jobs(files: dict[str, Files]) -> dict[str, Callable[[int], Job]]:
    def job(of_kind: Files, *, nearest: bool) -> Callable[[int], Job]:
        clips = [c for stride in (1, 2, 4) for c in _clips(of_kind, stride, f"exact {stride}", per_file=3)]
        return lambda _: Job(clips, nearest=nearest)

    jobs = {kind: job(of_kind, nearest=False) for kind, of_kind in files.items()}
    real = SHARED / "ucf101" / "ApplyEyeMakeup" / "v_ApplyEyeMakeup_g01_c01.avi"
    if real.exists():
        jobs["UCF101 original, packed B"] = job([(real, 164)], nearest=True)
    return jobs


# -------------------------------------------------------------------------------------------- results


def _show_exactness(result: Result, console: Console) -> None:
    names = [reader.name for reader in JUDGED if reader.name not in result.absent]
    table = Table(title="wrong frames", title_justify="left", pad_edge=False)
    table.add_column("", no_wrap=True)
    for name in names:
        table.add_column(name, justify="right")
    for label, heat in result.heats.items():
        table.add_row(label, *(_share(heat, name) for name in names))
    console.print(table)


def _share(heat: Heat, name: str) -> str:
    wrong, checked = heat.wrong(name)
    return f"{wrong}/{checked}" if wrong else "0"


def _targets(results: dict[str, Result]) -> list[tuple[str, str, str]]:
    """(what, target, measured) of the parts that were run; of several heats the worst."""
    rows = _clip_targets(results["clips"]) if "clips" in results else []
    if "views" in results:
        rows.append(
            ("one pass / two calls, cpu", ">= 1.25", _worst(results["views"].heats, "one pass", "two calls"))
        )
    if "cache" in results:
        heats = results["cache"].heats
        rows.append(("cached / plain PyAV, cpu", ">= 40", _worst(heats, "vssl, cached", "plain PyAV")))
    if "threads" in results:
        heats = results["threads"].heats
        rows.append(
            ("two threads / one, wall", ">= 1.7", _worst(heats, "two threads", "one thread", wall=True))
        )
    wrong = {
        name: sum(heat.wrong(name)[0] for result in results.values() for heat in result.heats.values())
        for name in ("vssl", "vssl, cached", "one pass", "two threads")
    }
    return [*rows, ("wrong frames of vssl", "0", str(sum(wrong.values())))]


def _clip_targets(result: Result) -> list[tuple[str, str, str]]:
    small = {label: heat for label, heat in result.heats.items() if "full size" not in label}
    h264 = {label: heat for label, heat in small.items() if "H.264" in label}
    rows = [("vssl / plain PyAV, cpu", ">= 1.4", _worst(small, "vssl", "plain PyAV"))]
    for rival in (TORCHCODEC, DECORD):
        rows.append((f"vssl / {rival.name} on H.264, cpu", ">= 1.15", _worst(h264, "vssl", rival.name)))
    for kind, limit in ((LONG, 1.1), (SHORT, 1.4)):
        of_kind = {label: heat for label, heat in small.items() if label.startswith(kind)}
        rows.append((f"vssl / floor, {kind}, cpu", f">= {1 / limit:.2f}", _worst(of_kind, "vssl", "floor")))
    return rows


def _worst(heats: dict[str, Heat], name: str, baseline: str, *, wall: bool = False) -> str:
    speeds = [heat.speed(name, baseline, wall=wall) for heat in heats.values() if baseline in heat.names]
    return f"{min(speeds):.2f}" if speeds else "absent"


def _show_targets(rows: list[tuple[str, str, str]], console: Console) -> None:
    table = Table("what", "target", "measured", title="targets, worst heat", title_justify="left")
    for row in rows:
        table.add_row(*row)
    console.print(table)


if __name__ == "__main__":
    main()
