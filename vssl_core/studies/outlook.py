"""What `vssl plan` says of a study: its cells by kind, what is left to do and costs, what cannot be."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from io import StringIO
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.table import Table as Grid
from rich.text import Text

from vssl_core import terminal
from vssl_core.studies.forecast import CellForecast
from vssl_core.studies.plan import Impossible, StudyPlan, told_reasons

__all__ = ["Outlook", "hours", "outlook_document", "render_outlook"]

OUTLOOK_SCHEMA = 1


@dataclass(frozen=True)
class Outlook:
    """A study, or several, before the start.

    Args:
        plans: Each study's plan.
        cells: Every cell once.
        slots: Cells that run at once here.
    """

    plans: Sequence[StudyPlan]
    cells: Sequence[CellForecast]
    slots: int

    @property
    def impossible(self) -> list[tuple[str, Impossible]]:
        """Study → what cannot be."""
        return [(plan.study.name, one) for plan in self.plans for one in plan.impossible]

    @property
    def open(self) -> list[CellForecast]:
        """Cells with work left."""
        return [cell for cell in self.cells if cell.state != "finished"]

    @property
    def unknown(self) -> list[CellForecast]:
        """Cells of which a part of the time is unknown."""
        return [cell for cell in self.open if cell.seconds is None]

    @property
    def seconds(self) -> float | None:
        """Until the end, on the slots of this machine, as far as it is known; None: nothing is."""
        known = [cell.seconds for cell in self.open if cell.seconds is not None]
        return sum(known) / self.slots if known or not self.open else None


def hours(seconds: float | None) -> str:
    """`1 h 05 min`, `3.2 min`, `12 s`."""
    if seconds is None:
        return "unknown"
    if seconds >= 3600:
        whole, rest = divmod(round(seconds / 60), 60)
        return f"{whole:,} h {rest:02d} min"
    return f"{seconds / 60:.1f} min" if seconds >= 100 else f"{seconds:.0f} s"


def outlook_document(outlook: Outlook) -> dict[str, Any]:
    """The same for programs."""
    return {
        "schema": OUTLOOK_SCHEMA,
        "studies": [
            {
                "name": plan.study.name,
                "scale": plan.scale,
                "points": len(plan.points),
                "cells": [spec.cell_id for spec, _ in plan.plan.cells],
                "protocols": sorted(plan.plan.protocols),
                "differing_protocol_fields": list(plan.differing),
            }
            for plan in outlook.plans
        ],
        "cells": [{**asdict(cell), "seconds": cell.seconds} for cell in outlook.cells],
        "impossible": [{"study": name, **asdict(one)} for name, one in outlook.impossible],
        "total": {
            "cells": len(outlook.cells),
            "finished": len(outlook.cells) - len(outlook.open),
            "seconds": outlook.seconds,
            "cells_of_unknown_time": len(outlook.unknown),
            "slots": outlook.slots,
            "disk_mib": sum(cell.disk_mib or 0.0 for cell in outlook.open),
            "peak_mib": _peak(outlook.open),
        },
        "trust": trust(outlook),
    }


def render_outlook(outlook: Outlook) -> str:
    """Plain text without colours, as wide as the terminal."""
    out = StringIO()
    width = terminal.columns()
    console = Console(file=out, width=width, color_system=None, highlight=False)
    for part in _parts(outlook):
        console.print(part)
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines()) + "\n"


def _parts(outlook: Outlook) -> Iterator[RenderableType]:
    for plan in outlook.plans:
        line = f"{plan.study.name} at the {plan.scale} scale: {plan.study.question}"
        yield Text(line, style="bold")
    yield _cells(outlook)
    if any(cell.amounts for cell in outlook.open):
        yield Text("one cell's pretraining in each currency of the budget", style="bold")
        yield _currencies(outlook)
    for line in told_reasons(outlook.plans):
        yield Text(f"cannot be: {line}", style="red")
    yield Text(_summary(outlook), style="bold")
    for sentence in trust(outlook):
        yield Padding(Text(sentence, style="dim"), (0, 0, 0, 2))


_HEADS = (
    "cells", "state", "evaluations", "pretraining", "evaluating", "known from", "waits for", "MiB memory",
    "MiB disk",
)  # fmt: skip


def _cells(outlook: Outlook) -> Grid:
    grid = Grid(box=SIMPLE_HEAD, header_style="bold", pad_edge=False)
    for name in ("task", "backbone", "pretrained on"):
        grid.add_column(name, overflow="fold")
    for name in _HEADS:
        grid.add_column(name, justify="right")
    for cells in _groups(outlook.cells):
        one = cells[0]
        pretraining = _sum([cell.pretraining.seconds for cell in cells])
        evaluating = _sum([cell.evaluating.seconds for cell in cells])
        finished = one.state == "finished"
        sources = dict.fromkeys(
            estimate.source
            for cell in cells
            for estimate in (cell.pretraining, cell.evaluating)
            if estimate.seconds != 0.0
        )
        grid.add_row(
            *map(Text, (one.task, one.backbone, one.pretrain)),
            str(len(cells)),
            {"again": "pretrained again"}.get(one.state, one.state),
            str(sum(cell.evaluations for cell in cells)),
            "–" if finished else hours(pretraining),
            "–" if finished else hours(evaluating),
            "–" if finished else ", ".join(sources),
            one.bottleneck or "–",
            _mib(_peak(cells)),
            _mib(_sum([cell.disk_mib for cell in cells])),
        )
    return grid


def _currencies(outlook: Outlook) -> Grid:
    grid = Grid(box=SIMPLE_HEAD, header_style="bold", pad_edge=False)
    for name in ("task", "backbone"):
        grid.add_column(name, overflow="fold")
    for name in ("epochs", "million frames", "TFLOPs", "seconds"):
        grid.add_column(name, justify="right")
    for cells in _groups(outlook.open):
        amounts = cells[0].amounts
        if amounts is not None:
            grid.add_row(
                Text(cells[0].task),
                Text(cells[0].backbone),
                f"{amounts.epochs:.4g}",
                f"{amounts.frames / 1e6:.4g}",
                f"{amounts.gflops / 1e3:.4g}",
                f"{amounts.seconds:.4g}",
            )
    return grid


def _groups(cells: Sequence[CellForecast]) -> list[list[CellForecast]]:
    """Cells that differ in their seed alone, in the order of the plan."""
    groups: dict[tuple[Any, ...], list[CellForecast]] = {}
    for cell in cells:
        amounts = cell.amounts and round(cell.amounts.frames)
        key = (cell.role, cell.task, cell.backbone, cell.pretrain, cell.state, cell.evaluations, amounts)
        groups.setdefault(key, []).append(cell)
    return list(groups.values())


def _summary(outlook: Outlook) -> str:
    finished = len(outlook.cells) - len(outlook.open)
    words = [f"{len(outlook.cells)} cells, {finished} finished"]
    if again := sum(cell.state == "again" for cell in outlook.cells):
        words.append(f"{again} pretrained again, for weights within their run that they did not keep")
    if outlook.open:
        known = hours(outlook.seconds)
        count = len(outlook.unknown)
        more = f" beside {count} cell{'s' if count > 1 else ''} of unknown time" if count else ""
        at_once = f" with {outlook.slots} cells at once" if outlook.slots > 1 else ""
        words.append(f"expected: {known}{more}{at_once}")
        disk = _sum([cell.disk_mib for cell in outlook.open])
        words.append(f"{'unknown' if disk is None else f'{disk:,.0f}'} MiB of weights on disk")
    return "; ".join(words)


def trust(outlook: Outlook) -> list[str]:
    """How far the estimates can be trusted, in sentences."""
    sources = {
        e.source for cell in outlook.open for e in (cell.pretraining, cell.evaluating) if e.seconds != 0.0
    }
    known = {
        "recorded": "recorded: the mean of equal work that was done in this run folder on this machine.",
        "probed": "probed: a few batches and training steps, times their number, without "
        "checkpoints, held-out videos and the start of each process; other work on the machine counts.",
        "rule": "rule: an evaluation that was not done here yet, taken for one pass over its videos and "
        "as many training passes as its option `epochs` says; it may be wrong by a factor.",
        "unknown": "unknown: nothing is recorded and nothing was probed.",
    }
    sentences = [text for source, text in known.items() if source in sources]
    if any(cell.peak_mib for cell in outlook.open):
        sentences.append(
            "memory: the most of a GPU, or of a whole process, so far; for probed cells an upper bound."
        )
    return sentences


def _sum(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) if len(known) == len(values) else None


def _peak(cells: Sequence[CellForecast]) -> float | None:
    return max((cell.peak_mib for cell in cells if cell.peak_mib is not None), default=None)


def _mib(value: float | None) -> str:
    return "–" if value is None else f"{value:,.0f}"
