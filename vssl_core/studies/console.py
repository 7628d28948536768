"""A study's table for a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from io import StringIO

from rich.box import SIMPLE_HEAD
from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.table import Table as Grid
from rich.text import Text

from vssl_core import terminal
from vssl_core.report.wording import number, plus_minus
from vssl_core.statistics import MIN_SEEDS
from vssl_core.studies.plan import StudyPlan, told_reasons
from vssl_core.studies.table import ANY, StudyColumn, StudyLine, StudyScore, StudyTable

__all__ = ["render_study"]

_CONTROLS = {"floor": "floor", "ceiling": "ceiling"}


def render_study(plan: StudyPlan, table: StudyTable, findings: Sequence[str] = ()) -> str:
    """Heading, table, findings and what a reader must know, as plain text as wide as the terminal."""
    out = StringIO()
    width = terminal.columns()
    console = Console(file=out, width=width, color_system=None, highlight=False)
    for part in _parts(plan, table, findings):
        console.print(part)
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines()) + "\n"


def _parts(plan: StudyPlan, table: StudyTable, findings: Sequence[str]) -> Iterator[RenderableType]:
    study = plan.study
    answers = f" (the paper's {', '.join(study.answers)})" if study.answers else ""
    yield Text(f"{study.title}{answers}", style="bold")
    yield Text(study.question)
    if table.lines:
        yield _grid(table)
    else:
        yield Text("no results yet")
    for finding in findings:
        yield Text(finding)
    for note in study_notes(plan, table):
        yield Padding(Text(note, style="dim"), (0, 0, 0, 2))


def _grid(table: StudyTable) -> Grid:
    grid = Grid(box=SIMPLE_HEAD, header_style="bold", pad_edge=False)
    for axis in table.axes or ("",):
        grid.add_column(Text(axis), overflow="fold")
    for column in table.columns:
        grid.add_column(Text("\n".join(column_words(column))), justify="right")
    for line in table.lines:
        scores = zip(line.scores, table.columns, strict=True)
        words = [*line_words(line), *(score_text(score, column.unit) for score, column in scores)]
        grid.add_row(*map(Text, words))
    return grid


def line_words(line: StudyLine) -> list[str]:
    """A line's labels; a control says in the first one what it is."""
    if line.role not in _CONTROLS:
        return list(line.labels)
    first, *rest = line.labels or ("",)
    own = f"{line.name} ({_CONTROLS[line.role]})"
    return [own if first in ("", ANY) else f"{own}: {first}", *rest]


def column_words(column: StudyColumn) -> list[str]:
    """Header of a column, a word a line."""
    direction = ", lower is better" if column.higher_is_better is False else ""
    chance = f"chance {number(column.chance, column.unit)}" if column.chance is not None else ""
    words = [*column.labels, column.target, column.evaluator, f"{column.metric}, {column.unit}{direction}"]
    return [word for word in (*words, chance) if word]


def score_text(score: StudyScore | None, unit: str) -> str:
    """`12.3 ± 4.5`."""
    if score is None:
        return "–"
    return plus_minus(number(score.mean, unit), score.interval, unit)


def study_notes(plan: StudyPlan, table: StudyTable) -> list[str]:
    """What must be known to believe the table."""
    notes = list(plan.study.notes)
    if table.differing:
        fields = ", ".join(table.differing)
        notes.append(
            f"Entries differ in the protocol's {fields}, which the study varies; every other field is equal "
            f"({len(table.protocols)} protocols: {', '.join(table.protocols)})."
        )
    else:
        notes.append(f"One protocol: {', '.join(table.protocols)}.")
    notes += _interval_notes(table)
    return [*notes, *(f"Left out: {line}" for line in told_reasons([plan]))]


def _interval_notes(table: StudyTable) -> list[str]:
    scores = [score for line in table.lines for score in line.scores if score is not None]
    estimators = dict.fromkeys(s.interval.estimator for s in scores if s.interval is not None)
    notes = [f"± is half the width of a 95 % interval: {'; '.join(estimators)}."] if estimators else []
    counts: Sequence[int] = [len(score.by_seed) for score in scores]
    if counts and min(counts) < MIN_SEEDS:
        notes.append(f"No interval under {MIN_SEEDS} seeds: add --seeds 0,1,2.")
    return notes
