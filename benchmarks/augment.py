"""Augmentation of a SimCLR kind against torchvision v2, albumentations and kornia, in one run.

    python benchmarks/augment.py [--rounds 15] [--json FILE]

Eight clips of 16x128x171 uint8 become 16x112x112 floats: resized crop, flip, colour jitter .4/.4/.4/.1
(p .8), grayscale (p .2), blur (p .5), normalise. Then each op alone on 16x112x112, with its largest
difference to torchvision in grey levels: more than one counts as wrong. The pipeline of vssl is checked
against its batched path, bit for bit. The floor is the way from levels to floats alone. Everybody runs
on one thread, `vssl, 2 threads` works on two clips at a time.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path

import cv2
import numpy as np
from augment_contestants import (
    BOX,
    CLIPS,
    FRAMES,
    HEIGHT,
    SIZE,
    WIDTH,
    Albumentations,
    Floor,
    Job,
    Kornia,
    Ours,
    Torchvision,
    levels_apart,
)
from contest import Contestant, Result, contest, save, show
from rich.console import Console
from rich.table import Table

from vssl_core.augmentation import DrawnView
from vssl_core.augmentation.drawn import Blurred, Flipped, Greyed, Jittered, PixelStep

PIPELINE = f"pipeline, {CLIPS} clips of {FRAMES}x{HEIGHT}x{WIDTH} to {FRAMES}x{SIZE}x{SIZE}"
OURS, BASELINE = "vssl, 1 thread", "torchvision v2"
SINGLE = (Contestant(OURS, Ours, {"threads": 1}), Contestant(BASELINE, Torchvision))
RIVAL = Contestant("albumentations", Albumentations)
TARGETS = {BASELINE: 6.0, RIVAL.name: 1.4}


def jitter(**values: float) -> Jittered:
    neutral = {"brightness": 1.0, "contrast": 1.0, "saturation": 1.0, "hue": 0.0}
    return Jittered(True, tuple(values), **{**neutral, **values})


OPS: Mapping[str, PixelStep | None] = {
    "resized crop": None,
    "flip": Flipped(True),
    "brightness 1.3": jitter(brightness=1.3125),
    "contrast 0.7": jitter(contrast=0.6875),
    "saturation 1.3": jitter(saturation=1.3125),
    "hue 0.08": jitter(hue=125 / 1536),
    "grayscale": Greyed(True),
    "blur, sigma 1.5": Blurred(True, 1.5, 11),
}


def clips_of(seed: int, height: int, width: int) -> np.ndarray:
    """Coarse and fine texture that drifts: (B, T, H, W, 3)."""
    rng = np.random.default_rng(seed)
    out = np.empty((CLIPS, FRAMES, height, width, 3), np.uint8)
    for clip in out:
        coarse = cv2.resize(rng.integers(0, 256, (9, 12, 3), dtype=np.uint8), (width, height))
        fine = rng.integers(-24, 25, (height, width, 3))
        still = np.clip(coarse.astype(np.int16) + fine, 0, 255).astype(np.uint8)
        for t, frame in enumerate(clip):
            frame[:] = np.roll(still, 2 * t, axis=1)
    return out


def op_job(step: PixelStep | None) -> Callable[[int], Job]:
    size = (SIZE, SIZE) if step else (HEIGHT, WIDTH)
    drawn = DrawnView(0.0, BOX, (step,) if step else ())
    return lambda place: Job(clips_of(place + 100, *size), place, drawn)


def levels(contestant: Contestant, job: Job) -> str:
    """The largest difference to torchvision, measured here and not by the clock."""
    try:
        work = contestant.factory(**contestant.arguments)
    except ImportError:
        return "absent"
    return str(max(levels_apart(job, work.run(job))))


def show_ops(result: Result, console: Console) -> None:
    """Milliseconds per clip and the largest difference to torchvision, op by op."""
    table = Table(title="ops alone: cpu ms / clip, and levels from torchvision", title_justify="left")
    table.add_column("", no_wrap=True)
    for title in ("vssl", "levels", "torchvision", "albumentations", "levels", "x torchvision"):
        table.add_column(title, justify="right")
    for label, heat in result.heats.items():
        job = op_job(OPS[label])(0)
        cpu = {name: f"{heat.median(name, lambda m: m.cpu_seconds) * 1e3:.2f}" for name in heat.names}
        table.add_row(
            label,
            cpu[OURS],
            levels(SINGLE[0], job),
            cpu[BASELINE],
            cpu.get(RIVAL.name, ""),
            levels(RIVAL, job),
            f"{heat.speed(OURS, BASELINE):.1f}",
        )
    console.print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--json", type=Path, help="write everything that was measured there")
    options = parser.parse_args()
    console = Console()
    whole = contest(
        [
            *SINGLE,
            Contestant("vssl, 2 threads", Ours, {"threads": 2}),
            RIVAL,
            Contestant("kornia", Kornia),
            Contestant("floor: normalise", Floor),
        ],
        {PIPELINE: lambda place: Job(clips_of(place + 100, HEIGHT, WIDTH), place)},
        baseline=BASELINE,
        rounds=options.rounds,
    )
    show(whole, item="clip", console=console)
    heat = whole.heats[PIPELINE]
    for name, target in TARGETS.items():
        if name in heat.names:
            found = heat.speed(OURS, name)
            console.print(
                f"{found:.2f} x {name} (cpu), target {target}: {'met' if found >= target else 'MISSED'}"
            )
    alone = contest([*SINGLE, RIVAL], {n: op_job(s) for n, s in OPS.items()}, baseline=BASELINE, rounds=5)
    show_ops(alone, console)
    if options.json:
        save(options.json, {"pipeline": whole, "ops": alone}, targets=TARGETS)


if __name__ == "__main__":
    main()
