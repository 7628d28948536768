"""Our numbers beside the paper's: coordinates, mean with interval, the paper's number, its source and trust.

The paper's numbers are references, never targets. It states neither seeds nor spread, and where a
coordinate differs between the two (another target, fewer videos) the table says so and shows no difference.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from vssl_core.errors import UsageError, did_you_mean
from vssl_core.findings import BySeed, RankAgreement, rank_agreement
from vssl_core.paper import TRUST, Coordinates, PaperCell
from vssl_core.report.grid import Grid, Plain, render_grid
from vssl_core.report.wording import number, plus_minus
from vssl_core.statistics import MIN_SEEDS, Interval, seed_interval

__all__ = ["Versus", "VersusLine", "render_versus", "versus", "versus_grid"]

Value = str | int
Place = tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class VersusLine:
    """One place; it has several lines where the paper's sources print several numbers.

    Args:
        place: Its coordinates, in the order of `Versus.on`.
        mean: Ours over seeds; None: we have none.
        interval: None under three seeds, or where all gave the same.
        seeds: Our seeds.
        paper: The paper's number; None: it has none.
    """

    place: Place
    mean: float | None
    interval: Interval | None
    seeds: tuple[int, ...]
    paper: PaperCell | None


@dataclass(frozen=True, slots=True)
class Versus:
    """The whole table.

    Args:
        title: What it shows.
        on: Coordinates that ours and the paper's share, the columns of names.
        metric: Of both.
        unit: Of both.
        lines: Ours in their order, then what only the paper has.
        differs: Coordinate → (ours, the paper's), where the two are not the same.
        agreement: Of our order with the paper's, over the places that both have.
    """

    title: str
    on: tuple[str, ...]
    metric: str
    unit: str
    lines: tuple[VersusLine, ...]
    differs: Mapping[str, tuple[Value, Value]]
    agreement: RankAgreement


def versus(
    ours: Mapping[Place, BySeed],
    paper: Iterable[PaperCell],
    *,
    on: Sequence[str],
    title: str,
    metric: str,
    unit: str = "%",
    where: Mapping[str, Value] | None = None,
) -> Versus:
    """Ours beside the paper's.

        theirs = find(table="supplement_table_3", architecture="r2plus1d")
        versus({("vcop",): {0: 41.0, 1: 43.5, 2: 42.2}}, theirs, on=("task",), title="Six tasks",
               metric="top1", where={"target": "shapes_motion"})

    Where several numbers of the paper stand for one place, agreement is judged with the most trusted one, the
    first of them where several are. It is the order over all places: where `on` has the target, the targets'
    difficulty decides most of it, and a table for each target says more.

    Args:
        ours: Values along `on` → seed → value.
        paper: Cells, as `vssl_core.paper.find` gives them.
        on: Names of coordinates (fields of `vssl_core.paper.Coordinates`).
        title: What the table shows.
        metric: Of both.
        unit: Of both.
        where: Our other coordinates.

    Raises:
        UsageError: A coordinate has no such name, a place is not as long as `on`, or the cells are of another
            metric or unit, or vary in a coordinate that is not in `on`.
    """
    axes, fixed, cells = tuple(on), dict(where or {}), tuple(paper)
    _check_names((*axes, *fixed))
    _check_cells(cells, axes, metric, unit)
    by_place: dict[Place, list[PaperCell]] = {place: [] for place in ours}
    for place in ours:
        if len(place) != len(axes):
            raise UsageError(f"expected values of {', '.join(axes)}; got {place!r}. Give one for each.")
    for cell in cells:
        values = tuple(getattr(cell.at, axis) for axis in axes)
        if all(value is not None for value in values):
            by_place.setdefault(values, []).append(cell)
    chosen = {place: min(found, key=_rank).value for place, found in by_place.items() if found}
    return Versus(
        title=title,
        on=axes,
        metric=metric,
        unit=unit,
        lines=tuple(line for place, found in by_place.items() for line in _lines(place, ours, found)),
        differs=_differs(fixed, cells),
        agreement=rank_agreement(ours, chosen),
    )


def versus_grid(table: Versus) -> Grid:
    """As texts and records."""
    marks: dict[str, int] = {}
    heads = (*table.on, f"ours, {table.unit}", "seeds", f"paper, {table.unit}")
    heads += ("source", "trust") if table.differs else ("ours - paper", "source", "trust")
    rows = tuple(_texts(line, table, marks) for line in table.lines)
    return Grid(
        title=f"{table.title}: ours beside the paper's ({table.metric})",
        heads=heads,
        rows=rows,
        left=len(table.on),
        notes=(*_notes(table), *(f"[{mark}] {note}" for note, mark in marks.items())),
        records=tuple(_record(line, table) for line in table.lines),
    )


def render_versus(table: Versus, fmt: str) -> str:
    """As text of one of `vssl_core.report.FORMATS`; "html" is a fragment without a page around it.

    Raises:
        UsageError: There is no such format.
    """
    return render_grid(versus_grid(table), fmt)


# ----------------------------------------------------------------------------------------------- building


def _check_names(names: Sequence[str]) -> None:
    known = tuple(Coordinates.model_fields)
    for name in names:
        if name not in known:
            raise UsageError(f"the paper's cells have no coordinate {name!r}.{did_you_mean(name, known)}")


def _check_cells(cells: Sequence[PaperCell], on: Sequence[str], metric: str, unit: str) -> None:
    for cell in cells:
        if (cell.metric, cell.unit) != (metric, unit):
            raise UsageError(
                f"expected {metric} in {unit}; {cell.table} has {cell.metric} in {cell.unit}. "
                "Look for the metric, too: find(…, metric=…)."
            )
    twins = {"complexity", "level"}
    for axis in Coordinates.model_fields:
        if axis in on or (axis in twins and twins & set(on)):
            continue
        values = _values(cells, axis)
        if len(values) > 1:
            found = ", ".join(map(str, values))
            raise UsageError(f"the paper's cells have {axis} {found}: name {axis!r} in `on`, or find one.")


def _values(cells: Iterable[PaperCell], axis: str) -> list[Value]:
    found = dict.fromkeys(getattr(cell.at, axis) for cell in cells)
    return [value for value in found if value is not None]


def _rank(cell: PaperCell) -> int:
    return list(TRUST).index(cell.trust)


def _lines(place: Place, ours: Mapping[Place, BySeed], found: Sequence[PaperCell]) -> Iterable[VersusLine]:
    by_seed = ours.get(place, {})
    values = list(by_seed.values())
    mean, interval = (fmean(values), seed_interval(values)) if values else (None, None)
    for cell in found or (None,):
        yield VersusLine(place, mean, interval, tuple(sorted(by_seed)), cell)


def _differs(fixed: Mapping[str, Value], cells: Sequence[PaperCell]) -> dict[str, tuple[Value, Value]]:
    theirs = {axis: _values(cells, axis) for axis in fixed}
    return {
        axis: (value, theirs[axis][0]) for axis, value in fixed.items() if theirs[axis] not in ([], [value])
    }


# ----------------------------------------------------------------------------------------------- printing


def _texts(line: VersusLine, table: Versus, marks: dict[str, int]) -> tuple[str, ...]:
    ours = "–"
    if line.mean is not None:
        ours = plus_minus(number(line.mean, table.unit), line.interval, table.unit)
    names = tuple(f"{value:,}" if isinstance(value, int) else value for value in line.place)
    counts = (ours, str(len(line.seeds)) if line.seeds else "–")
    if line.paper is None:
        return (*names, *counts, "–", *(() if table.differs else ("–",)), "–", "–")
    note = line.paper.note
    paper = line.paper.text + (f" [{marks.setdefault(note, len(marks) + 1)}]" if note else "")
    gap = "–" if line.mean is None else number(line.mean - line.paper.value, table.unit)
    gaps = () if table.differs else (gap,)
    return (*names, *counts, paper, *gaps, line.paper.source, line.paper.trust)


def _notes(table: Versus) -> Iterable[str]:
    for axis, (mine, theirs) in table.differs.items():
        yield f"Not like for like: {axis} is {mine} here and {theirs} in the paper."
    estimators = dict.fromkeys(line.interval.estimator for line in table.lines if line.interval is not None)
    if estimators:
        yield f"± is half the width of a 95 % interval: {'; '.join(estimators)}."
    if any(0 < len(line.seeds) < MIN_SEEDS for line in table.lines):
        yield f"No interval under {MIN_SEEDS} seeds."
    if any(line.paper is not None for line in table.lines):
        yield "The paper's figures are single numbers; it states neither seeds nor spread."
    if any(line.mean is not None for line in table.lines):
        yield table.agreement.sentence


def _record(line: VersusLine, table: Versus) -> Mapping[str, Plain]:
    interval, paper = line.interval, line.paper
    return {
        **dict(zip(table.on, line.place, strict=True)),
        "metric": table.metric,
        "unit": table.unit,
        "ours": line.mean,
        "low": interval.low if interval else None,
        "high": interval.high if interval else None,
        "estimator": interval.estimator if interval else None,
        "seeds": len(line.seeds),
        "paper": paper.value if paper else None,
        "source": paper.source if paper else None,
        "trust": paper.trust if paper else None,
        "note": paper.note if paper else None,
        "table": paper.table if paper else None,
    }
