"""The charts of the page: scores with intervals, cost beside score, learning curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isfinite
from typing import Any

import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from vssl_core.report.svg import INK, SERIES, drawing, inline
from vssl_core.report.table import Column, Table
from vssl_core.report.wording import line_name

__all__ = ["Curve", "cost_figure", "curve_figures", "epoch_figure", "score_figure"]

Curve = Sequence[Mapping[str, Any]]

_MARKERS = {"floor": "v", "method": "o", "ceiling": "^"}
_POINTS = 200  # at most, per line of a learning curve
_OWN = {"step", "epoch", "fraction", "lr", "grad_norm", "held_out", "chance"}
_HEALTH = {"feature_std": "feature std", "effective_rank": "effective rank"}


def score_figure(table: Table, index: int, *, salt: str) -> Markup:
    """Mean and interval of every line in one column, as dots and whiskers."""
    column = table.columns[index]
    shown = [(line, line.scores[index]) for line in table.lines if line.scores[index] is not None]
    backbones = _colours(table)
    with drawing():
        figure = Figure(figsize=(4.6, 0.8 + 0.3 * len(shown)), layout="constrained")
        axes = figure.add_subplot()
        names = []
        for place, (line, score) in enumerate(shown):
            assert score is not None
            half = score.interval.half_width if score.interval is not None else 0.0
            colour = backbones[line.backbone]
            axes.errorbar(
                score.mean, place, xerr=half or None, fmt=_MARKERS[line.role], color=colour, capsize=3
            )
            names.append(line_name(line) + (f", {line.backbone}" if len(backbones) > 1 else ""))
        axes.set_yticks(range(len(names)), names)
        axes.set_ylim(len(names) - 0.5, -0.5)
        axes.set_xlabel(_unit(column))
        axes.grid(axis="y", visible=False)
        if column.chance is not None:
            axes.axvline(column.chance, color=INK, linestyle=":", linewidth=1)
        return inline(
            figure, salt=salt, label=f"Scores with intervals, {_name(column)}; the table holds the numbers"
        )


def cost_figure(table: Table, index: int, *, salt: str) -> Markup:
    """Score over pretraining time; colour is the backbone, shape the role."""
    column, backbones = table.columns[index], _colours(table)
    with drawing():
        figure = Figure(figsize=(4.6, 3.1), layout="constrained")
        axes = figure.add_subplot()
        labels = []
        for line in table.lines:
            score = line.scores[index]
            if score is None:
                continue
            half = score.interval.half_width if score.interval is not None else 0.0
            place, colour = (line.cost.pretrain_seconds, score.mean), backbones[line.backbone]
            axes.errorbar(
                *place, yerr=half or None, fmt=_MARKERS[line.role], color=colour, capsize=3, elinewidth=1
            )
            labels.append((place, line.task))
        axes.set_xlabel("pretraining, seconds per cell")
        axes.set_ylabel(_unit(column))
        axes.margins(x=0.16, y=0.1)
        axes.set_xlim(left=min(0.0, axes.get_xlim()[0]))
        _legend(axes, backbones)
        _annotate(figure, axes, labels)
        return inline(
            figure,
            salt=salt,
            label=f"Score over pretraining time, {_name(column)}; the table holds the numbers",
        )


def curve_figures(curves: Mapping[int, Curve], *, salt: str) -> list[tuple[str, Markup]]:
    """Charts of one line's learning curves, seeds over one another: (title, chart)."""
    rows = [row for curve in curves.values() for row in curve]
    held_out = dict.fromkeys(name for row in rows for name in row.get("held_out", ()) if name != "loss")
    logged = dict.fromkeys(
        name for row in rows if "held_out" not in row for name in row if name not in _OWN and name != "loss"
    )
    metrics = [name for name in held_out if name not in _HEALTH] or [n for n in logged if n not in _HEALTH]
    chance = {name: value for row in rows for name, value in row.get("chance", {}).items()}
    names = ["loss", *sorted(metrics, key=lambda name: name not in chance)[:2], *_HEALTH]
    figures = []
    for name in names:
        chart = _curve_figure(name, curves, chance.get(name), salt=f"{salt} {name}")
        if chart is not None:
            figures.append((_HEALTH.get(name, name), chart))
    return figures


def _curve_figure(
    name: str, curves: Mapping[int, Curve], chance: float | None, *, salt: str
) -> Markup | None:
    with drawing():
        figure, axes = _small()
        for place, curve in enumerate(curves.values()):
            colour = SERIES[place % len(SERIES)]
            axes.plot(*_thinned(_points(curve, name)), color=colour, linewidth=1, alpha=0.75)
            axes.plot(*_held_out(curve, name), color=colour, marker="o", markersize=4, linestyle="--")
        if not any(len(line.get_xdata()) for line in axes.get_lines()):  # type: ignore[arg-type]
            return None
        if chance is not None:
            axes.axhline(chance, color=INK, linestyle=":", linewidth=1)
        if name in _HEALTH:
            axes.set_ylim(0, 1.08 * max(axes.get_ylim()))
        axes.set_xlim(left=0)
        _steps(axes, "step")
        return inline(figure, salt=salt, label=f"{_HEALTH.get(name, name)} over steps, one line per seed")


def _steps(axes: Axes, label: str) -> None:
    axes.set_xlabel(label)
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))


def epoch_figure(name: str, by_seed: Mapping[int, Sequence[Any]], *, salt: str) -> Markup | None:
    """A curve over an evaluator's own epochs, seeds over one another; None without a finite value."""
    lines = {seed: _finite(list(enumerate(values, start=1))) for seed, values in by_seed.items()}
    if not any(len(points) for points in lines.values()):
        return None
    with drawing():
        figure, axes = _small()
        for place, points in enumerate(lines.values()):
            axes.plot(points[:, 0], points[:, 1], color=SERIES[place % len(SERIES)], marker=".")
        _steps(axes, "epoch")
        return inline(figure, salt=salt, label=f"{name} over epochs, one line per seed")


def _small() -> tuple[Figure, Axes]:
    figure = Figure(figsize=(3.3, 2.1))
    return figure, figure.add_axes((0.13, 0.2, 0.85, 0.76))  # fixed: fitting costs as much as drawing


def _points(curve: Curve, name: str) -> np.ndarray:
    """(step, value) of training lines, (N, 2)."""
    return _finite([(row.get("step"), row.get(name)) for row in curve if "held_out" not in row])


def _held_out(curve: Curve, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Steps and values of held-out points; the monitors stand beside the metrics, not among them."""
    rows = [row for row in curve if "held_out" in row]
    found = _finite([(row.get("step"), row["held_out"].get(name, row.get(name))) for row in rows])
    return found[:, 0], found[:, 1]


def _finite(pairs: Sequence[tuple[Any, Any]]) -> np.ndarray:
    kept = [
        (step, value)
        for step, value in pairs
        if isinstance(step, int | float) and isinstance(value, int | float) and isfinite(value)
    ]
    return np.array(kept, dtype=float).reshape(-1, 2)


def _thinned(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Means over runs of neighbouring steps, at most `_POINTS` of them."""
    groups = np.array_split(points, min(_POINTS, len(points)) or 1)
    means = np.array([group.mean(axis=0) for group in groups if len(group)]).reshape(-1, 2)
    return means[:, 0], means[:, 1]


def _colours(table: Table) -> dict[str, str]:
    names = dict.fromkeys(line.backbone for line in table.lines)
    return {name: SERIES[i % len(SERIES)] for i, name in enumerate(names)}


def _legend(axes: Axes, backbones: Mapping[str, str]) -> None:
    if len(backbones) > 1:
        for name, colour in backbones.items():
            axes.plot([], [], "o", color=colour, label=name)
        axes.legend(loc="best", fontsize="small")


def _annotate(figure: Figure, axes: Axes, labels: Sequence[tuple[tuple[float, float], str]]) -> None:
    """Names beside their points, moved up where two would lie over one another."""
    figure.draw_without_rendering()
    taken: list[tuple[float, float]] = []
    for place, name in sorted(labels, key=lambda label: label[0][::-1]):
        x, y = axes.transData.transform(place)
        start = y
        while any(abs(x - other_x) < 70 and abs(y - other_y) < 12 for other_x, other_y in taken):
            y += 4
        taken.append((x, y))
        offset = (7.0, (y - start) * 72 / figure.dpi - 3)
        axes.annotate(name, place, xytext=offset, textcoords="offset points", fontsize="small")


def _unit(column: Column) -> str:
    return f"{column.metric}, {column.unit}"


def _name(column: Column) -> str:
    return f"{column.metric} of {column.evaluator} on {column.target}"
