"""A matrix as a heat map: fixed scale, origin at the lower left, names and values on hover."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape

import numpy as np
from markupsafe import Markup
from matplotlib import colormaps

from vssl_core.errors import ContractError
from vssl_core.report.svg import opening

__all__ = ["MAX_CELLS", "heat_map"]

MAX_CELLS = 4096
"""Entries that are told on hover; a larger matrix is shown in means over blocks of layers."""

_SIZE, _LEFT, _BOTTOM, _TOP = 300.0, 44.0, 34.0, 8.0
_SCALE_STEPS = 20


def heat_map(
    values: np.ndarray,
    *,
    rows: Sequence[str],
    columns: Sequence[str],
    title: str,
    row_label: str = "layer",
    column_label: str = "layer",
    low: float = 0.0,
    high: float = 1.0,
    max_cells: int = MAX_CELLS,
) -> Markup:
    """The matrix; colours are cividis, which colour-blind readers see as others do.

    Args:
        values: float array (rows, columns); NaN where there is no value.
        rows: Names of the rows, the first one at the bottom.
        columns: Names of the columns, the first one at the left.
        title: What it shows, in words.
        row_label: What rows are.
        column_label: What columns are.
        low: The value that has the darkest colour.
        high: The value that has the brightest colour; equal in figures that are to be compared.
        max_cells: Entries beyond which means over blocks of neighbouring layers are shown.

    Raises:
        ContractError: Names and values differ in number, or there is none.
    """
    if values.shape != (len(rows), len(columns)) or 0 in values.shape:
        raise ContractError(
            f"a heat map needs values of shape (rows, columns) = ({len(rows)}, {len(columns)}), each at "
            f"least 1; got {values.shape}."
        )
    shown, row_names, column_names = _within_bound(
        np.asarray(values, dtype=float), rows, columns, max_cells=max_cells
    )
    cell = _SIZE / max(shown.shape)
    width, height = cell * shown.shape[1], cell * shown.shape[0]
    parts = [
        opening(f"0 0 {_LEFT + width + 62:.1f} {_TOP + height + _BOTTOM:.1f}", title, _described(values)),
        *_cells(shown, row_names, column_names, cell=cell, low=low, high=high),
        _text(_LEFT + width / 2, _TOP + height + 28, column_label),
        _text(0, 0, row_label, f' transform="translate(12 {_TOP + height / 2:.1f}) rotate(-90)"'),
        *_numbers(len(rows), len(columns), width=width, height=height),
        *_scale(_LEFT + width + 14, height, low=low, high=high),
        "</svg>",
    ]
    return Markup("\n".join(parts))


def _within_bound(
    values: np.ndarray, rows: Sequence[str], columns: Sequence[str], *, max_cells: int
) -> tuple[np.ndarray, list[str], list[str]]:
    """The matrix itself, or means over blocks of neighbouring layers where it has too many entries."""
    step = 1
    while -(-len(rows) // step) * -(-len(columns) // step) > max_cells:
        step += 1
    if step == 1:
        return values, list(rows), list(columns)
    row_starts, column_starts = range(0, len(rows), step), range(0, len(columns), step)
    means = [[_mean(values[i : i + step, j : j + step]) for j in column_starts] for i in row_starts]
    return np.array(means), _spans(rows, step), _spans(columns, step)


def _mean(block: np.ndarray) -> float:
    known = block[np.isfinite(block)]
    return float(known.mean()) if known.size else float("nan")


def _spans(names: Sequence[str], step: int) -> list[str]:
    blocks = [names[start : start + step] for start in range(0, len(names), step)]
    return [block[0] if len(block) == 1 else f"{block[0]} … {block[-1]}" for block in blocks]


def _cells(
    shown: np.ndarray, rows: Sequence[str], columns: Sequence[str], *, cell: float, low: float, high: float
) -> Iterator[str]:
    """One group per row; entries are placed by their number, sizes are the group's."""
    for i, row in enumerate(rows):
        top = _TOP + cell * (len(rows) - 1 - i)
        yield f'<g transform="translate({_LEFT:g} {top:.2f})" shape-rendering="crispEdges">'
        for j, column in enumerate(columns):
            value = shown[i, j]
            fill = _colour(value, low, high)
            text = f"{value:.3f}" if np.isfinite(value) else "no value"
            yield (
                f'<rect x="{j * cell:.2f}" width="{cell + 0.3:.2f}" height="{cell + 0.3:.2f}" fill="{fill}">'
                f"<title>{escape(row)} × {escape(column)}: {text}</title></rect>"
            )
        yield "</g>"


def _colour(value: float, low: float, high: float) -> str:
    if not np.isfinite(value):
        return "var(--panel)"
    share = min(1.0, max(0.0, (value - low) / (high - low)))
    red, green, blue, _ = colormaps["cividis"](share, bytes=True)
    return f"#{int(red):02x}{int(green):02x}{int(blue):02x}"


def _text(x: float, y: float, words: str, more: str = ' text-anchor="middle"') -> str:
    anchor = more if "text-anchor" in more else f'{more} text-anchor="middle"'
    return f'<text x="{x:.1f}" y="{y:.1f}" font-size="9" fill="var(--ink)"{anchor}>{escape(words)}</text>'


def _numbers(num_rows: int, num_columns: int, *, width: float, height: float) -> Iterator[str]:
    """Numbers of the first, middle and last row and column, from 1."""
    for place in sorted({0, num_columns // 2, num_columns - 1}):
        yield _text(_LEFT + width * (place + 0.5) / num_columns, _TOP + height + 13, str(place + 1))
    for place in sorted({0, num_rows // 2, num_rows - 1}):
        middle = _TOP + height * (1 - (place + 0.5) / num_rows)
        yield _text(_LEFT - 5, middle + 3, str(place + 1), ' text-anchor="end"')


def _scale(x: float, height: float, *, low: float, high: float) -> Iterator[str]:
    step = height / _SCALE_STEPS
    for place in range(_SCALE_STEPS):
        value = low + (high - low) * (place + 0.5) / _SCALE_STEPS
        top = _TOP + height - (place + 1) * step
        yield (
            f'<rect x="{x:.1f}" y="{top:.2f}" width="10" height="{step + 0.3:.2f}" '
            f'fill="{_colour(value, low, high)}"/>'
        )
    for value in (low, (low + high) / 2, high):
        y = _TOP + height * (1 - (value - low) / (high - low)) + 3
        yield _text(x + 14, y, f"{value:g}", ' text-anchor="start"')


def _described(values: np.ndarray) -> str:
    known = values[np.isfinite(values)]
    if not known.size:
        return "No entry has a value."
    return (
        f"{values.shape[0]} rows, {values.shape[1]} columns; lowest {known.min():.3f}, "
        f"mean {known.mean():.3f}, highest {known.max():.3f}."
    )
