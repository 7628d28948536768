"""How numbers, names and footnotes are worded, the same in every format."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from vssl_core.report.comparison import ALPHA, Gain
from vssl_core.report.table import Column, Line, Score, Table
from vssl_core.statistics import MIN_SEEDS, MIN_SEEDS_FOR_BEST, Interval

__all__ = [
    "COST_HEADERS",
    "COUNT_HEADERS",
    "Entry",
    "cost_texts",
    "count_texts",
    "entry",
    "estimators",
    "footnotes",
    "gain_text",
    "header",
    "line_marks",
    "line_name",
    "name_headers",
    "name_texts",
    "number",
    "title",
]

COUNT_HEADERS = ("seeds", "videos")
COST_HEADERS = ("params", "GFLOPs", "clips/s", "peak MiB", "pretrain s")

_CONTROLS = {"floor": "floor", "ceiling": "ceiling"}


@dataclass(frozen=True, slots=True)
class Entry:
    """The parts of one entry's text; a renderer puts them together.

    Args:
        value: The mean.
        half_width: What stands behind ±, or empty.
        mark: Number of the estimator's footnote, or empty where the table has one estimator.
        ties: Letters.
        best: Whether to mark it as the best.
        gain: Text of the gain, or empty.
    """

    value: str
    half_width: str
    mark: str
    ties: str
    best: bool
    gain: str

    @property
    def plain(self) -> str:
        """Without the gain, on one line."""
        words = [self.value, f"± {self.half_width}" if self.half_width else "", self.ties]
        return " ".join(word for word in words if word) + (f" [{self.mark}]" if self.mark else "")


def number(value: float, unit: str) -> str:
    """Percentages with one decimal, everything else with four significant digits."""
    return f"{value:.1f}" if unit == "%" else f"{value:.4g}"


def signed(value: float, unit: str) -> str:
    """A number with its sign, whichever that is."""
    text = number(value, unit)
    return text if text.startswith("-") else f"+{text}"


def plus_minus(text: str, interval: Interval | None, unit: str) -> str:
    """`12.3 ± 4.5`: a text with half the width of its interval behind it, where there is one."""
    return text if interval is None else f"{text} ± {number(interval.half_width, unit)}"


def title(table: Table) -> str:
    """The protocol's name and hash, and what all lines have in common."""
    words = [f"protocol {table.protocol_name} · {table.protocol_hash}"]
    backbones, pretrains = _backbones(table), _pretrains(table)
    if len(backbones) == 1:
        words.append(f"backbone {backbones[0]}")
    if len(pretrains) == 1:
        words.append(f"pretrained on {pretrains[0]}")
    return " · ".join(words)


def name_headers(table: Table) -> list[str]:
    """Headers of the columns that say what a line is; what all lines share stands in the title."""
    heads = ["task"]
    heads += ["backbone"] if len(_backbones(table)) != 1 else []
    return heads + (["pretrained on"] if len(_pretrains(table)) != 1 else [])


def name_texts(line: Line, table: Table) -> list[str]:
    """What a line is, in the order of `name_headers`."""
    texts = {"task": line_name(line), "backbone": line.backbone, "pretrained on": line.pretrain}
    return [texts[head] for head in name_headers(table)]


def header(column: Column) -> tuple[str, str, str, str]:
    """Target, evaluator, metric with its unit and direction, and chance level (may be empty)."""
    lower = ", lower is better" if column.higher_is_better is False else ""
    metric = f"{column.metric}, {column.unit}{lower}"
    chance = f"chance {number(column.chance, column.unit)}" if column.chance is not None else ""
    return column.target, column.evaluator, metric, chance


def line_name(line: Line) -> str:
    """The task; controls say that they are one."""
    return f"{line.task} ({_CONTROLS[line.role]})" if line.role in _CONTROLS else line.task


def count_texts(line: Line) -> tuple[str, str]:
    """Seeds, and videos used of those listed, in the order of `COUNT_HEADERS`."""
    share = f"{_floor_percent(line.coverage)} %"
    return str(len(line.seeds)), f"{line.videos[0]:,}/{line.videos[1]:,}" if line.videos else share


def line_marks(line: Line) -> list[str]:
    """Warnings that belong to a line."""
    marks = []
    if line.collapsed:
        marks.append(f"collapsed in {len(line.collapsed)} of {len(line.seeds)} seeds")
    if line.coverage < 1:
        marks.append(f"{_floor_percent(line.coverage)} % of listed videos used")
    if not line.deterministic:
        marks.append("not deterministic")
    return marks


def entry(score: Score, column: Column, table: Table) -> Entry:
    """The text of one entry."""
    known = estimators(table)
    interval = score.interval
    return Entry(
        value=number(score.mean, column.unit),
        half_width=number(interval.half_width, column.unit) if interval is not None else "",
        mark=str(known.index(interval.estimator) + 1) if interval is not None and len(known) > 1 else "",
        ties=score.ties,
        best=score.best,
        gain=gain_text(score.gain, column) if score.gain is not None else "",
    )


def gain_text(gain: Gain, column: Column) -> str:
    """`+12.3 ± 4.0 **`: one star where the interval excludes zero, two where Holm's correction agrees."""
    text = plus_minus(signed(gain.mean, column.unit), gain.interval, column.unit)
    if gain.interval is None:
        return text
    corrected = column.num_gains > 1 and gain.p_adjusted is not None and gain.p_adjusted < ALPHA
    return text + (" **" if corrected else " *" if gain.interval.excludes_zero else "")


def cost_texts(line: Line) -> tuple[str, ...]:
    """In the order of `COST_HEADERS`."""
    cost = line.cost
    rate = f"{cost.clips_per_second:.4g}" if cost.clips_per_second else "–"
    return (
        f"{cost.parameters / 1e6:.3f} M",
        f"{cost.gflops:.4g}",
        rate,
        f"{cost.peak_memory_mib:.0f}",
        f"{cost.pretrain_seconds:.4g}",
    )


def estimators(table: Table) -> list[str]:
    """The estimators of the table's intervals, each once."""
    found = [score.interval.estimator for score in _scores(table) if score.interval is not None]
    return list(dict.fromkeys(found))


def footnotes(table: Table, *, gaps: bool = True) -> list[str]:
    """What a reader must know to believe the table; without `gaps` where the table itself tells them."""
    notes = [*_interval_notes(table), *_comparison_notes(table, gaps=gaps), *_control_notes(table)]
    notes.append("videos: used/listed, of pretraining and target together, where a line's cells had fewest.")
    missing = sorted({name for line in table.lines for name in line.cost.unsupported_ops})
    if missing:
        notes.append(f"GFLOPs of one clip leave out what cannot be counted: {', '.join(missing)}.")
    return notes


def _interval_notes(table: Table) -> list[str]:
    known, confidences = estimators(table), {i.confidence for i in _intervals(table)}
    percent = " and ".join(f"{100 * value:.0f} %" for value in sorted(confidences))
    notes = []
    if len(known) == 1:
        notes.append(f"± is half the width of a {percent} interval: {known[0]}.")
    elif known:
        listed = "; ".join(f"[{i}] {name}" for i, name in enumerate(known, start=1))
        notes.append(f"± is half the width of a {percent} interval: {listed}.")
    counts = [len(score.by_seed) for score in _scores(table)]
    if counts and min(counts) < MIN_SEEDS:
        seeds = f"{min(counts)} seed{'s' if min(counts) > 1 else ''}"
        notes.append(f"No interval under {MIN_SEEDS} seeds ({seeds} here): add --seeds 0,1,2 for intervals.")
    if any(score.interval is None and len(score.by_seed) >= MIN_SEEDS for score in _scores(table)):
        notes.append("An entry without ± did not vary at all, which does not mean that it never would.")
    return notes


def _comparison_notes(table: Table, *, gaps: bool) -> list[str]:
    gains = [score.gain for score in _scores(table) if score.gain is not None]
    notes = []
    if gains:
        notes.append(_gain_note(table, gains))
    if any(score.ties for score in _scores(table)):
        pairs = _count((c.num_pairs for c in table.columns if c.num_pairs), "pair")
        notes.append(
            "Tasks of a column that share a letter could not be told apart "
            f"(paired by seed, Holm's correction over {pairs})."
        )
        if not any(score.best for score in _scores(table)):
            notes.append(
                f"No task is marked best: none beat all others on {MIN_SEEDS_FOR_BEST} seeds or more."
            )
    found = [_gap(c, c.detectable_gap) for c in table.columns if c.detectable_gap is not None]
    if found and gaps:
        notes.append(
            "Smallest gap between two lines that these runs would find four times in five: "
            f"{'; '.join(found)}."
        )
    elif gains and not found:
        notes.append("Without intervals no smallest detectable gap can be stated.")
    return notes


def _gap(column: Column, gap: float) -> str:
    unit = "points" if column.unit == "%" else column.unit
    return f"{number(gap, column.unit)} {unit} on {column.target} {column.evaluator} {column.metric}"


def _gain_note(table: Table, gains: Sequence[Gain]) -> str:
    text = "Gain (+ is better): paired by seed with random initialisation of the same backbone"
    if all(gain.interval is None for gain in gains):
        return f"{text}."
    text += "; * its interval excludes zero"
    families = [column.num_gains for column in table.columns if column.num_gains > 1]
    if families:
        text += f", ** also after Holm's correction over a column's {_count(families, 'gain')}"
    text += "."
    used = {gain.interval.estimator for gain in gains if gain.interval is not None}
    other = sorted(used - set(estimators(table)))
    return f"{text} Gains without an estimator above: {'; '.join(other)}." if other else text


def _control_notes(table: Table) -> list[str]:
    notes = []
    backbones = {line.backbone for line in table.lines}
    for role, name in (("floor", "random initialisation"), ("ceiling", "supervised training")):
        without = backbones - {line.backbone for line in table.lines if line.role == role}
        if without:
            notes.append(f"No {name} control for {', '.join(sorted(without))}.")
    if any(line.collapsed for line in table.lines):
        notes.append("Collapsed: the features of held-out videos hardly differ, or span one direction.")
    return notes


def _scores(table: Table) -> Iterable[Score]:
    return [score for line in table.lines for score in line.scores if score is not None]


def _intervals(table: Table) -> list[Interval]:
    return [score.interval for score in _scores(table) if score.interval is not None]


def _floor_percent(share: float) -> str:
    return f"{int(share * 1000) / 10:.1f}"


def _count(counts: Iterable[int], noun: str) -> str:
    found = sorted(set(counts))
    range_ = str(found[0]) if len(found) == 1 else f"{found[0]} to {found[-1]}"
    return f"{range_} {noun}" + ("" if found[-1] == 1 else "s")


def _backbones(table: Table) -> list[str]:
    return sorted({line.backbone for line in table.lines})


def _pretrains(table: Table) -> list[str]:
    return sorted({line.pretrain for line in table.lines if line.role == "method"})
