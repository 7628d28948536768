"""Table 1 of the benchmark paper's supplement beside ours, with a reading for every cell that differs.

The supplement states parameters in millions and GFLOPs of one clip 3 x 16 x 112 x 112, without saying what
is counted. Its GFLOPs are multiplies and adds counted separately, 2 x MACs: no row matches MACs. Ours are
counted with a classifier of 101 classes. Where a cell of theirs is not ours, other readings are tried, and
those that give the printed digits are named: other classifiers, and for GFLOPs four per normalised element,
two per biased one, one per ReLU. That a reading fits is no proof that it was theirs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from rich.table import Table
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from vssl_core.cost import count_parameters
from vssl_core.interfaces import Backbone
from vssl_core.paper import find
from vssl_core.registry import load, resolve
from vssl_core.types import ClipSpec

CLIP = ClipSpec(num_frames=16, frame_stride=1, crop_size=112)
CLASSES = 101
PROJECTION = 512


@dataclass(frozen=True)
class Printed:
    """A row of the supplement: parameters in millions and GFLOPs, to one decimal."""

    network: str
    backbone: str
    parameters: str
    gflops: str


NETWORKS = {
    "shufflenet": "ShuffleNet",
    "mobilenetv2": "MobileNet",
    "squeezenet": "SqueezeNet",
    "c3d": "C3D",
    "r3d": "R3D",
    "r2plus1d": "R(2+1)D",
}
"""Backbone → what the supplement calls it, in its order."""


def printed() -> Iterator[Printed]:
    """The rows of Table 1 in its order, from the data that vssl ships."""
    for backbone, network in NETWORKS.items():
        cells = find(table="supplement_table_1", architecture=backbone)
        text = {cell.metric: cell.text for cell in cells}
        yield Printed(network, backbone, text["parameters"], text["gflops"])


@dataclass(frozen=True)
class Cell:
    """One number, as the supplement prints it and as each reading gives it; the first reading is ours."""

    printed: str
    readings: Mapping[str, float]

    @property
    def ours(self) -> float:
        return next(iter(self.readings.values()))

    @property
    def equal(self) -> bool:
        return f"{self.ours:.1f}" == self.printed

    @property
    def fitting(self) -> list[str]:
        """Other readings that give the printed digits."""
        _, *others = self.readings.items()
        return [name for name, value in others if f"{value:.1f}" == self.printed]

    @property
    def explanation(self) -> str:
        """Nothing where ours is equal, else what would give the printed digits."""
        if self.equal:
            return ""
        readings = [f"{name} ({self.readings[name]:.2f})" for name in self.fitting]
        return f"{self.printed} is {' or '.join(readings)}" if readings else "no reading fits"


@dataclass(frozen=True)
class Compared:
    """A row of the supplement beside ours."""

    printed: Printed
    parameters: Cell
    gflops: Cell
    headless: int
    with_head: int
    macs: float


def compared() -> Iterator[Compared]:
    """The rows of Table 1 in its order."""
    for row in printed():
        cls: Any = load(resolve("backbone", row.backbone))
        net: Backbone = cls(cls.Options(), CLIP).eval().to("meta")
        yield compare(row, net)


def compare(row: Printed, net: Backbone) -> Compared:
    """One row beside this network, which is on the meta device."""
    work = count(net)
    # The reference's SqueezeNet classifies every place of the map before it pools.
    places = work.map_places if row.backbone == "squeezenet" else 1
    products = work.products + places * net.embed_dim * CLASSES
    headless = count_parameters(net)
    heads = {f"{n} classes": n * (net.embed_dim + 1) for n in (CLASSES, 400, 600)}
    projected = PROJECTION * (net.embed_dim + 1) + CLASSES * (PROJECTION + 1)
    parameters = {name: (headless + head) / 1e6 for name, head in heads.items()}
    parameters |= {
        "no classifier": headless / 1e6,
        f"{PROJECTION} wide, then {CLASSES} classes": (headless + projected) / 1e6,
    }
    norms, rest = 4 * work.normalised, 2 * work.biased + work.rectified
    gflops = {
        "2 x MACs": 2 * products / 1e9,
        "with norms": (2 * products + norms) / 1e9,
        "with norms, biases and ReLU": (2 * products + norms + rest) / 1e9,
    }
    return Compared(
        row,
        Cell(row.parameters, parameters),
        Cell(row.gflops, gflops),
        headless=headless,
        with_head=headless + heads[f"{CLASSES} classes"],
        macs=products / 1e9,
    )


# ------------------------------------------------------------------------------------------ what is counted


@dataclass
class Work:
    """Of one clip: multiply-accumulates, and elements that biases, normalisations and ReLUs pass."""

    products: float = 0.0
    biased: int = 0
    normalised: int = 0
    rectified: int = 0
    map_places: int = 0


def count(net: Backbone) -> Work:
    """What one clip costs a network on the meta device, which computes nothing."""
    work = Work()

    def note(module: nn.Module, _inputs: Any, output: Tensor) -> None:
        if isinstance(module, nn.Conv3d) and module.bias is not None:
            work.biased += output.numel()
        elif isinstance(module, nn.BatchNorm3d):
            work.normalised += output.numel()
        elif isinstance(module, nn.ReLU | nn.ReLU6):
            work.rectified += output.numel()

    hooks = [module.register_forward_hook(note) for module in net.modules()]
    video = torch.zeros(1, 3, CLIP.num_frames, CLIP.crop_size, CLIP.crop_size, device="meta")
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        features = net.forward_features(video)
    for hook in hooks:
        hook.remove()
    work.products = counter.get_total_flops() / 2
    work.map_places = features[0, 0].numel()
    return work


# ---------------------------------------------------------------------------------------------- printing


def table(rows: list[Compared]) -> Table:
    """The supplement's Table 1 beside ours."""
    out = Table(
        title="Supplement, Table 1, beside ours (one clip 3 x 16 x 112 x 112)",
        caption=f"Ours with {CLASSES} classes. The supplement's GFLOPs are 2 x MACs. That a reading fits is "
        "no proof that it was theirs.",
        caption_justify="left",
    )
    numbers = ("theirs, M", "ours, M", "headless", f"with {CLASSES}", "theirs, G", "2 x MACs", "GMACs")
    out.add_column("")
    for title in numbers:
        out.add_column(title, justify="right")
    out.add_column("cells that differ")
    for row in rows:
        out.add_row(
            row.printed.network,
            row.printed.parameters,
            f"{row.parameters.ours:.2f}",
            f"{row.headless:,}",
            f"{row.with_head:,}",
            row.printed.gflops,
            f"{row.gflops.ours:.2f}",
            f"{row.macs:.4f}" if row.macs < 1 else f"{row.macs:.3f}",
            "; ".join(filter(None, (row.parameters.explanation, row.gflops.explanation))),
        )
    return out
