"""Loading training batches from real files: vssl, with and without a packed copy, beside its rivals.

    python benchmarks/loading.py [--rounds 5] [--quick] [--stride 2] [--json FILE] [--folder FOLDER]

An item is one clip: opened, decoded, resized, cropped, flipped, normalised, stacked into a batch; one thread
each. `x cpu` says how many times as fast as the torchvision style. "reading alone" is frames of short side
128 without what follows, for what a packed copy saves. `wrong` counts frames that clearly are others than
those asked for. Packed copies are made before, with the settings of `vssl data pack`; what they weigh is
printed. The data lies in ../shared/data; who or what is absent is named.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

import av
from contest import Contestant, Heat, Result, contest, save, show
from loading_contestants import (
    ClipJob,
    DecordPipeline,
    LoadJob,
    Ours,
    PyTorchVideoStyle,
    TorchCodecPipeline,
    TorchVisionStyle,
)
from rich.console import Console
from rich.table import Table

from vssl_core.packing import PackSettings
from vssl_core.packing.encoding import encode
from vssl_core.types import VideoRecord
from vssl_core.video import FrameReader

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
LENGTH = 16
H264, XVID = "UCF101 as H.264, default GOP", "UCF101 originals, Xvid"
STYLES = ("torchvision style", "pytorchvideo style")
RIVALS = ("torchcodec exact", "torchcodec approximate", "decord")
FORMATS = ("mpeg4", "jpeg", "raw")
PIPELINES = [
    Contestant("torchvision style", TorchVisionStyle),
    Contestant("pytorchvideo style", PyTorchVideoStyle),
    Contestant("torchcodec exact", TorchCodecPipeline, {"mode": "exact"}),
    Contestant("torchcodec approximate", TorchCodecPipeline, {"mode": "approximate"}),
    Contestant("decord", DecordPipeline),
    Contestant("vssl", Ours),
]
PACKED = [Contestant(f"vssl, packed {name}", Ours, {"packed": name}) for name in FORMATS]
READING = "reading alone: "

Sets = dict[str, list[Path]]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="fewer files and rounds: does it run?")
    parser.add_argument("--stride", type=int, default=2, help="source frames from one to the next")
    parser.add_argument("--json", type=Path, help="write everything that was measured to this file")
    default = Path(tempfile.gettempdir()) / "vssl-benchmark-loading"
    parser.add_argument("--folder", type=Path, default=default, help="where copies are made and kept")
    args = parser.parse_args()
    rounds, count = (2, 3) if args.quick else (args.rounds, 18)
    console = Console() if sys.stdout.isatty() else Console(width=130)
    sets = _sets(count, args.folder)
    if not sets:
        print(f"there is no data in {DATA}")
        return
    packed = {name: _packed(name, sets, args.folder) for name in FORMATS}
    lengths = _lengths(sets)
    result = contest(
        [*PIPELINES, *PACKED],
        _jobs(sets, packed, lengths, args.stride, clips=6 if args.quick else 16),
        baseline=STYLES[0],
        rounds=rounds,
    )
    show(result, item="clip", console=console)
    shares = _shares(sets, packed)
    rows = _targets(result, shares)
    _show_targets(rows, shares, console)
    if args.json:
        save(args.json, {"loading": result}, targets=rows, bytes_of_originals=shares)


# ---------------------------------------------------------------------------------------------- files


def _sets(count: int, folder: Path) -> Sets:
    """Real files, evenly spaced by name; the originals also as H.264 with the encoder's default GOP."""
    found = {
        XVID: sorted((DATA / "clips" / "ucf101").rglob("*.avi"))[:count],
        "UCF101 re-encoded, H.264 160 x 120": _spread(sorted((DATA / "ucf101-6").rglob("*.mp4")), count),
        "Weizmann, MPEG-4": _spread(sorted((DATA / "weizmann").rglob("*.avi")), count),
        "Kinetics-400, H.264": sorted((DATA / "clips" / "kinetics400").glob("*.mp4"))[:count],
    }
    found = {name: files for name, files in found.items() if files}
    if XVID in found:
        found[H264] = [_as_h264(path, folder / "h264") for path in found[XVID]]
    return found


def _spread(files: list[Path], count: int) -> list[Path]:
    return [files[place * len(files) // count] for place in range(min(count, len(files)))]


def _as_h264(path: Path, folder: Path) -> Path:
    out = folder / f"{path.stem}.mp4"
    if not out.exists():
        folder.mkdir(parents=True, exist_ok=True)
        reader, record = FrameReader(), VideoRecord("v", str(path))
        frames = reader.read(record, range(reader.info(record).num_frames))
        part = out.with_suffix(".part.mp4")
        with av.open(str(part), "w") as file:
            stream = file.add_stream("libx264", rate=25, options={"crf": "23"})
            stream.height, stream.width = frames.shape[1:3]
            stream.pix_fmt = "yuv420p"
            for frame in frames:
                file.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
            file.mux(stream.encode(None))
        part.replace(out)
    return out


def _packed(name: str, sets: Sets, folder: Path) -> dict[str, str]:
    """Original → packed file, as `vssl data pack` encodes."""
    settings = PackSettings(format=name)
    reader, out = FrameReader(short_side=settings.short_side), {}
    for place, path in enumerate(path for files in sets.values() for path in files):
        target = folder / name / f"{path.parent.name}-{path.stem}{settings.suffix}"
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            record = VideoRecord("v", str(path))
            pts, base = reader.stamps(record)
            part = target.with_name(f"part-{place}{settings.suffix}")
            encode(
                part, iter(reader.read(record, range(len(pts)))), pts=pts, time_base=base, settings=settings
            )
            part.replace(target)
        out[str(path)] = str(target)
    return out


def _lengths(sets: Sets) -> dict[str, int]:
    reader = FrameReader()
    files = (str(path) for files in sets.values() for path in files)
    return {path: reader.info(VideoRecord("v", path)).num_frames for path in files}


# ----------------------------------------------------------------------------------------------- jobs


def _jobs(
    sets: Sets,
    packed: Mapping[str, Mapping[str, str]],
    lengths: Mapping[str, int],
    stride: int,
    *,
    clips: int,
) -> dict[str, Callable[[int], LoadJob]]:
    jobs: dict[str, Callable[[int], LoadJob]] = {}
    for augment in (True, False):
        for name, files in sets.items():
            label = name if augment else f"{READING}{name}"
            jobs[label] = lambda r, f=files, a=augment: LoadJob(
                _clips(f, lengths, stride, seed=r, count=clips), packed, a
            )
    return jobs


def _clips(
    files: list[Path], lengths: Mapping[str, int], stride: int, *, seed: int, count: int
) -> list[ClipJob]:
    rng = random.Random(seed)
    made = []
    for place in range(count):
        path = str(files[place % len(files)])
        step = min(stride, (lengths[path] - 1) // (LENGTH - 1))
        start = rng.randrange(lengths[path] - (LENGTH - 1) * step)
        index = list(range(start, start + LENGTH * step, step))
        made.append(ClipJob(path, index, rng.random(), rng.random(), rng.random() < 0.5))
    return made


# -------------------------------------------------------------------------------------------- results


def _shares(sets: Sets, packed: Mapping[str, Mapping[str, str]]) -> dict[str, dict[str, float]]:
    """Set → format → bytes of the packed copy in those of the originals."""

    def share(files: list[Path], name: str) -> float:
        copies = sum(Path(packed[name][str(path)]).stat().st_size for path in files)
        return copies / sum(path.stat().st_size for path in files)

    return {kind: {name: share(files, name) for name in FORMATS} for kind, files in sets.items()}


def _targets(result: Result, shares: Mapping[str, Mapping[str, float]]) -> list[tuple[str, str, str]]:
    whole = {label: heat for label, heat in result.heats.items() if not label.startswith(READING)}
    rows = [(f"vssl / {style}, cpu", ">= 1.5", _worst(whole, "vssl", style)) for style in STYLES]
    for rival in RIVALS:
        exact = {
            label: heat for label, heat in whole.items() if rival in heat.names and not heat.wrong(rival)[0]
        }
        rows.append((f"vssl / {rival} where that is exact, cpu", "> 1", _worst(exact, "vssl", rival)))
    for kind, goal in ((H264, 10), (XVID, 5)):
        if kind in shares:
            heats = {kind: result.heats[f"{READING}{kind}"]}
            rows.append(
                (
                    f"packed mpeg4 / vssl, reading, {kind}, cpu",
                    f">= {goal}",
                    _worst(heats, "vssl, packed mpeg4", "vssl"),
                )
            )
            rows.append((f"bytes of packed mpeg4, {kind}", "<= 1.5", f"{shares[kind]['mpeg4']:.2f}"))
    ours = [contestant.name for contestant in PIPELINES + PACKED if contestant.name.startswith("vssl")]
    wrong = sum(heat.wrong(name)[0] for heat in result.heats.values() for name in ours)
    return [*rows, ("wrong frames of vssl", "0", str(wrong))]


def _worst(heats: Mapping[str, Heat], name: str, baseline: str) -> str:
    both = [heat for heat in heats.values() if {name, baseline} <= set(heat.names)]
    return f"{min(heat.speed(name, baseline) for heat in both):.2f}" if both else "absent"


def _show_targets(
    rows: list[tuple[str, str, str]], shares: Mapping[str, Mapping[str, float]], console: Console
) -> None:
    sizes = Table("bytes / originals", *FORMATS, title="packed copies", title_justify="left")
    for kind, of_kind in shares.items():
        sizes.add_row(kind, *(f"{of_kind[name]:.2f}" for name in FORMATS))
    console.print(sizes)
    table = Table("what", "target", "measured", title="targets, worst heat", title_justify="left")
    for row in rows:
        table.add_row(*row)
    console.print(table)


if __name__ == "__main__":
    main()
