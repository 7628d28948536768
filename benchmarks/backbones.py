"""The supplement's Table 1 beside ours, and training steps of backbones against their references, in one run.

    python benchmarks/backbones.py [--backbones r3d,c3d] [--clip 8x56] [--batch 2] [--rounds 3] [--json FILE]
    python benchmarks/backbones.py --rounds 0                                            # the table alone

The reference is torchvision's network with the same weights where it has one (R3D; R3D and R(2+1)D of 18
layers), else our own network as plain torch would run it: float32, contiguous. `vssl` is the same network in
the precision and memory format that the core's probe chooses here, the same for every task, in a process
with the variables of a cell's (freed memory is kept). Ratios are medians of the ratios within rounds, times
of the wall; a network whose features are not those of the plain float32 one counts as wrong. The defaults are
a try that fits two cores; figures worth telling take the clips of the paper, 16x112, and a machine that
nobody else uses.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

from backbone_contestants import Setting, device, ours, plain, torchvision
from contest import Contestant, Result, contest, save, show
from rich.console import Console
from rich.table import Table
from supplement_table import CLASSES, compared, table

from vssl_core.precision import machine
from vssl_core.probe import choose
from vssl_core.run_plan import CELL_ENVIRONMENT
from vssl_core.types import ClipSpec

EIGHTEEN = {"blocks": [2, 2, 2, 2]}
VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "r3d_18": ("r3d", EIGHTEEN),
    "r2plus1d_18": ("r2plus1d", {**EIGHTEEN, "form": "torchvision"}),
}
"""Names of this benchmark → backbone and options; any other name is a backbone with its defaults."""
IN_TORCHVISION = ("r3d", *VARIANTS)
USUAL = ("shufflenet", "mobilenetv2", "squeezenet", "c3d", "r3d", "r2plus1d")
WIDTH = 140  # columns that the tables need
VSSL, COMPILED = "vssl", "vssl, compiled"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--backbones", default=",".join(USUAL), help=f"also {', '.join(VARIANTS)}, or any other"
    )
    parser.add_argument("--clip", default="8x56", help="frames x pixels")
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--steps", type=int, default=1, help="in a job")
    parser.add_argument("--rounds", type=int, default=3, help="0: no steps, the table alone")
    parser.add_argument("--compile", action="store_true", help="also with torch.compile (slow to warm up)")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    rows = list(compared())
    console = Console(width=max(Console().width, WIDTH))
    console.print(table(rows))
    frames, pixels = map(int, args.clip.split("x"))
    clip = ClipSpec(num_frames=frames, frame_stride=1, crop_size=pixels)
    results: dict[str, Result] = {}
    modes: dict[str, dict[str, Any]] = {}
    for name in args.backbones.split(",") if args.rounds else ():
        backbone, options = VARIANTS.get(name, (name, {}))
        setting = Setting(backbone, options, clip, batch=args.batch, steps=args.steps)
        modes[name] = chosen(setting)
        results[name] = race(name, setting, modes[name], rounds=args.rounds, compiled=args.compile)
        show(results[name], item="clip", console=console)
    if results:
        console.print(ratios(results, modes, clip))
    if args.json is not None:
        document = [
            {
                "network": r.printed.network,
                "headless": r.headless,
                f"with_{CLASSES}": r.with_head,
                "gmacs": r.macs,
            }
            for r in rows
        ]
        save(args.json, results, modes=modes, clip=str(clip), batch=args.batch, parameters=document)


def chosen(setting: Setting) -> dict[str, Any]:
    """What the core would choose for this backbone on this machine."""
    with tempfile.TemporaryDirectory() as folder:
        return choose(
            "auto",
            name=f"{setting.backbone} {dict(setting.options)}",
            make=setting.network,
            clip=setting.clip,
            device=device(),
            record=Path(folder) / "precision.json",
        )


def race(name: str, setting: Setting, mode: dict[str, Any], *, rounds: int, compiled: bool) -> Result:
    """Ours against the reference."""
    words = f"{mode['precision']} {mode['memory_format']}"
    there = name in IN_TORCHVISION
    others = [Contestant("torchvision", torchvision, {"setting": setting, "name": name})] if there else []
    contestants = [
        *others,
        Contestant("plain fp32", plain, {"setting": setting}),
        Contestant(VSSL, ours, {"setting": setting, "mode": words}, CELL_ENVIRONMENT),
    ]
    if compiled:
        arguments = {"setting": setting, "mode": words, "compiled": True}
        contestants.append(Contestant(COMPILED, ours, arguments, CELL_ENVIRONMENT))
    clip = setting.clip
    label = f"{name}, {setting.batch} x {clip.num_frames} x {clip.crop_size}², {words}"
    jobs = {label: lambda round_: round_}
    return contest(contestants, jobs, baseline=contestants[0].name, rounds=rounds)


def ratios(results: dict[str, Result], modes: dict[str, dict[str, Any]], clip: ClipSpec) -> Table:
    """How many times as fast as its reference each backbone is."""
    out = Table(title=f"training step, times as fast as the reference; {clip}", caption=machine())
    for title in ("backbone", "reference", "mode", VSSL, COMPILED, "wrong"):
        out.add_column(title, justify="right" if title in (VSSL, COMPILED, "wrong") else "left")
    for name, result in results.items():
        (heat,) = result.heats.values()
        speeds = [
            f"{heat.speed(who, result.baseline, wall=True):.2f}"
            if {who, result.baseline} <= set(heat.names)
            else ""
            for who in (VSSL, COMPILED)
        ]
        wrong = [who for who in heat.names if heat.wrong(who)[0]]
        mode = f"{modes[name]['precision']} {modes[name]['memory_format']}"
        out.add_row(name, result.baseline, mode, *speeds, ", ".join(wrong) or "0")
    return out


if __name__ == "__main__":
    main()
