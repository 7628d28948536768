"""The result table of one protocol: methods beside their controls, with intervals, gains and ties.

One line per task, backbone and pretraining data; one column per target, evaluator and its first metric.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from vssl_core.errors import UsageError
from vssl_core.report.comparison import NOT_COMPARED, Gain, LineKey, compare
from vssl_core.report.evidence import Evidence, PerVideo
from vssl_core.rows import Row
from vssl_core.statistics import Interval
from vssl_core.units import is_cost

__all__ = ["Column", "Line", "MeanCost", "Score", "Table", "build_table", "is_shown"]

EACH_TARGET = "each target"
_ORDER = ("floor", "method", "ceiling")


@dataclass(frozen=True, slots=True)
class Column:
    """One target, evaluator and metric.

    Args:
        target: Dataset that is scored.
        evaluator: Evaluator and its options that are not the defaults.
        metric: The evaluator's first metric.
        unit: Its unit.
        higher_is_better: False for errors and times; None where neither direction is better.
        chance: What guessing gives, where known.
        detectable_gap: Smallest true gap between two lines that this many seeds and videos find four
            times in five: the median over the pairs that were compared. None without an interval.
        num_gains: Comparisons with random initialisation, the family of Holm's correction.
        num_pairs: Comparisons between methods, the family of the letters.
    """

    target: str
    evaluator: str
    metric: str
    unit: str
    higher_is_better: bool | None
    chance: float | None
    detectable_gap: float | None = None
    num_gains: int = 0
    num_pairs: int = 0


@dataclass(frozen=True, slots=True)
class Score:
    """One entry.

    Args:
        mean: Mean over seeds.
        by_seed: Seed → score.
        interval: None under three seeds.
        gain: None for controls, and without a control to compare with.
        ties: Letters; methods of a column that share one could not be told apart.
        ranks: First and last rank that the method can have in the column, 1 being the best.
        best: Better than every other method by a corrected test on at least five seeds.
    """

    mean: float
    by_seed: Mapping[int, float]
    interval: Interval | None
    gain: Gain | None = None
    ties: str = ""
    ranks: tuple[int, int] | None = None
    best: bool = False


@dataclass(frozen=True, slots=True)
class MeanCost:
    """What a cell of the line costs, mean over seeds. FLOPs are of one clip."""

    parameters: float
    gflops: float
    clips_per_second: float
    peak_memory_mib: float
    pretrain_seconds: float
    unsupported_ops: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Line:
    """One method or control.

    Args:
        role: `method`, `floor` (random initialisation) or `ceiling` (supervised).
        task: Task and its options that are not the defaults.
        backbone: Backbone, likewise.
        pretrain: Pretraining data, likewise.
        seeds: Seeds with any result.
        collapsed: Seeds whose features collapsed.
        coverage: Smallest share of listed videos that were used, 0 … 1.
        videos: How many were used and how many are listed where that share is smallest; None where rows of
            an earlier version do not say it.
        deterministic: Whether every run was.
        cost: What a cell costs.
        scores: One per column, None where there is no result.
        cells: Seed and id of every cell that the line is made of.
    """

    role: str
    task: str
    backbone: str
    pretrain: str
    seeds: tuple[int, ...]
    collapsed: tuple[int, ...]
    coverage: float
    videos: tuple[int, int] | None
    deterministic: bool
    cost: MeanCost
    scores: tuple[Score | None, ...]
    cells: tuple[tuple[int, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Table:
    """Results that may be compared, because one protocol made them."""

    protocol_name: str
    protocol_hash: str
    columns: tuple[Column, ...]
    lines: tuple[Line, ...]


_ColumnKey = tuple[str, str, str]
_Grid = dict[_ColumnKey, dict[LineKey, Evidence]]


def build_table(
    rows: Iterable[Row],
    *,
    per_video: Callable[[Row], PerVideo | None] = lambda row: None,
    metrics: Collection[str] = (),
) -> Table:
    """The table of rows of one protocol.

    Args:
        rows: Rows of any cells.
        per_video: Gives a row's values per test video, from which intervals also cover the test set.
        metrics: What to show; empty: the first metric of every evaluator.

    Raises:
        UsageError: There is no row to show, the rows are of several protocols, or two rows claim one entry.
    """
    shown = [row for row in rows if is_shown(row, metrics)]
    _check(shown)
    grid = _grid(shown, per_video)
    columns, scores = [], {}
    for key in sorted(grid):
        sample = next(r for r in shown if _column_key(r) == key)
        column, entries = _column(sample, grid[key])
        columns.append(column)
        scores[key] = entries
    names = sorted({row.protocol_name for row in shown})
    lines = [
        _line(key, [r for r in shown if _line_key(r) == key], [scores[c].get(key) for c in sorted(grid)])
        for key in sorted({_line_key(row) for row in shown}, key=_position)
    ]
    return Table(" = ".join(names), shown[0].protocol_hash, tuple(columns), tuple(lines))


def is_shown(row: Row, metrics: Collection[str]) -> bool:
    """Whether tables that show these metrics (empty: each evaluator's first) have this row."""
    return row.metric in metrics if metrics else row.primary


def _check(rows: Sequence[Row]) -> None:
    if not rows:
        raise UsageError("a table needs at least one row with a first metric; got none.")
    hashes = sorted({f"{row.protocol_name} ({row.protocol_hash})" for row in rows})
    if len({row.protocol_hash for row in rows}) > 1:
        raise UsageError(
            f"rows of {len(hashes)} protocols cannot share a table: {', '.join(hashes)}. "
            "Make one table for each protocol."
        )
    seen: dict[object, Row] = {}
    for row in rows:
        other = seen.setdefault((_line_key(row), _column_key(row), row.seed), row)
        if other is not row:
            raise UsageError(
                f"cells {other.cell_id!r} and {row.cell_id!r} both claim seed {row.seed} of "
                f"{row.task} on {row.target}; give the two different names."
            )


def _line_key(row: Row) -> LineKey:
    # A supervised control is trained on the target that it is scored on: one line for all targets.
    pretrain = EACH_TARGET if row.role == "ceiling" else row.pretrain
    return (row.role, row.task, row.backbone, pretrain)


def _column_key(row: Row) -> _ColumnKey:
    return (row.target, row.evaluator_label, row.metric)


def _position(key: LineKey) -> tuple[str, int, str, str]:
    role, task, backbone, pretrain = key
    return (backbone, _ORDER.index(role), pretrain, task)


def _grid(rows: Sequence[Row], per_video: Callable[[Row], PerVideo | None]) -> _Grid:
    entries: dict[_ColumnKey, dict[LineKey, list[Row]]] = {}
    for row in rows:
        entries.setdefault(_column_key(row), {}).setdefault(_line_key(row), []).append(row)
    return {
        column: {line: Evidence(found, per_video) for line, found in lines.items()}
        for column, lines in entries.items()
    }


def _column(sample: Row, found: Mapping[LineKey, Evidence]) -> tuple[Column, dict[LineKey, Score]]:
    """A column and its entries; costs stand beside one another, and are not compared."""
    scored = not is_cost(sample.unit)
    compared = compare(found, higher_is_better=sample.higher_is_better) if scored else NOT_COMPARED
    scores = {
        key: Score(
            mean=fmean(evidence.by_seed.values()),
            by_seed=evidence.by_seed,
            interval=evidence.interval,
            gain=compared.gains.get(key),
            ties=compared.ties.get(key, ""),
            ranks=compared.ranks.get(key),
            best=key == compared.best,
        )
        for key, evidence in found.items()
    }
    column = Column(
        target=sample.target,
        evaluator=sample.evaluator_label,
        metric=sample.metric,
        unit=sample.unit,
        higher_is_better=sample.higher_is_better,
        chance=sample.chance,
        detectable_gap=compared.detectable_gap,
        num_gains=sum(gain.p_adjusted is not None for gain in compared.gains.values()),
        num_pairs=compared.num_pairs,
    )
    return column, scores


def _line(key: LineKey, rows: Sequence[Row], scores: Sequence[Score | None]) -> Line:
    role, task, backbone, pretrain = key
    cells = {row.cell_id: row for row in rows}.values()
    costs = [row.cost for row in cells]
    least = min(rows, key=lambda row: row.coverage)
    return Line(
        role=role,
        task=task,
        backbone=backbone,
        pretrain=pretrain,
        seeds=tuple(sorted({row.seed for row in rows})),
        collapsed=tuple(sorted({row.seed for row in rows if row.verdict == "collapsed"})),
        coverage=least.coverage,
        videos=None
        if least.videos_used is None or least.videos_listed is None
        else (least.videos_used, least.videos_listed),
        deterministic=all(row.deterministic for row in rows),
        cost=MeanCost(
            parameters=fmean(cost.parameters for cost in costs),
            gflops=fmean(cost.gflops for cost in costs),
            clips_per_second=fmean(cost.pretrain_clips_per_second for cost in costs),
            peak_memory_mib=fmean(cost.peak_memory_mib for cost in costs),
            pretrain_seconds=fmean(cost.pretrain_seconds for cost in costs),
            unsupported_ops={name: n for cost in costs for name, n in cost.unsupported_ops.items()},
        ),
        scores=tuple(scores),
        cells=tuple(sorted({(row.seed, row.cell_id) for row in rows})),
    )
