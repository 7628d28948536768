"""Sections of studies: `RUNS/studies/NAME.json` keeps each as plain data, here it is read and drawn.

The file has a `section`: name, title, question, answers (what it is in the paper), findings, tables, notes
and figures. A figure has a `kind`: `lines` and `bars` with ticks and series, `bubbles`, `ranks`, and `map`,
which names an array of the run folder and the `layers.json` beside it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from markupsafe import Markup
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from vssl_core.errors import ContractError, SchemaError, StoreError
from vssl_core.files import read_json
from vssl_core.report.estimates import Bubble, Estimate, Series
from vssl_core.report.figures_cost import bubble_chart
from vssl_core.report.figures_groups import bar_chart, line_chart
from vssl_core.report.figures_matrix import MAX_CELLS, heat_map
from vssl_core.report.figures_ranks import rank_diagram
from vssl_core.report.section import STUDY_RESULT_SCHEMA, Section, SectionFigure, SectionTable

__all__ = ["read_sections"]

_ALL_CELLS = 24_000  # entries of all maps of one section together: about 2.5 MB


class _Known(BaseModel):
    """What is needed of a document; what a newer version adds is passed over."""

    model_config = ConfigDict(frozen=True)


class _Value(_Known):
    mean: float
    low: float | None = None
    high: float | None = None

    def estimate(self) -> Estimate:
        return Estimate(self.mean, self.low, self.high)


class _Series(_Known):
    name: str
    values: tuple[_Value | None, ...]
    reference: bool = False
    like: str = ""


class _Chart(_Known):
    kind: Literal["lines", "bars"]
    caption: str
    x_label: str
    y_label: str
    ticks: tuple[str, ...]
    series: tuple[_Series, ...]
    chance: float | None = None


class _Bubble(_Known):
    name: str
    group: str
    gflops: float
    parameters: float
    score: _Value
    reference: bool = False


class _Bubbles(_Known):
    kind: Literal["bubbles"]
    caption: str
    y_label: str
    bubbles: tuple[_Bubble, ...]


class _Map(_Known):
    kind: Literal["map"]
    caption: str
    array: str
    layers: str


class _Ranks(_Known):
    kind: Literal["ranks"]
    caption: str
    ranks: dict[str, float]
    ties: tuple[tuple[str, ...], ...]


class _Table(_Known):
    caption: str
    headers: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()


class _Document(_Known):
    name: str
    title: str
    question: str = ""
    answers: tuple[str, ...] = ()
    findings: tuple[str, ...] = ()
    tables: tuple[_Table, ...] = ()
    figures: tuple[dict[str, Any], ...] = ()
    notes: tuple[str, ...] = ()


_FIGURE: TypeAdapter[_Chart | _Bubbles | _Map | _Ranks] = TypeAdapter(
    Annotated[_Chart | _Bubbles | _Map | _Ranks, Field(discriminator="kind")]
)


def read_sections(runs: Path, *, figures: bool = True) -> tuple[list[Section], list[str]]:
    """The sections of a run folder in the order of their names, and notes on what could not be shown.

    Args:
        runs: The run folder.
        figures: Draw them, too; text needs none.
    """
    sections: list[Section] = []
    notes: list[str] = []
    for path in sorted(runs.glob("studies/*.json")):
        try:
            document = read_json(path, schema=STUDY_RESULT_SCHEMA)
            content = document.get("section") if isinstance(document, dict) else None
            if content is not None:
                sections.append(_section(runs, _parsed(path, content), notes, figures=figures))
        except (ContractError, StoreError) as error:
            notes.append(f"study {path.stem}: {error}")
    return sections, notes


def _parsed(path: Path, content: Any) -> _Document:
    try:
        return _Document.model_validate(content)
    except ValidationError as error:
        raise SchemaError(
            f"{str(path)!r}: its section is not what this version reads ({_fields(error)})."
        ) from error


def _fields(error: ValidationError) -> str:
    return ", ".join(sorted({".".join(map(str, item["loc"])) or "fields" for item in error.errors()}))


def _section(runs: Path, document: _Document, notes: list[str], *, figures: bool) -> Section:
    return Section(
        name=document.name,
        title=document.title,
        question=document.question,
        answers=document.answers,
        findings=document.findings,
        tables=tuple(SectionTable(t.caption, t.headers, t.rows, t.notes) for t in document.tables),
        figures=_figures(runs, document, notes) if figures else (),
        notes=document.notes,
    )


def _figures(runs: Path, document: _Document, notes: list[str]) -> tuple[SectionFigure, ...]:
    """Those that can be drawn; the others become notes."""
    maps = sum(figure.get("kind") == "map" for figure in document.figures)
    figures = []
    for number, content in enumerate(document.figures):
        salt = f"study {document.name} {number}"
        try:
            figure = _FIGURE.validate_python(content)
            figures.append(SectionFigure(figure.caption, _drawn(runs, figure, salt=salt, maps=maps)))
        except ValidationError as error:
            reason = f"it is not what this version reads ({_fields(error)})"
            notes.append(f"study {document.name}, figure {content.get('caption')!r}: {reason}.")
        except (ContractError, StoreError) as error:
            notes.append(f"study {document.name}, figure {content.get('caption')!r}: {error}")
    return tuple(figures)


def _drawn(runs: Path, figure: _Chart | _Bubbles | _Map | _Ranks, *, salt: str, maps: int) -> Markup:
    if isinstance(figure, _Map):
        return _map(runs, figure, max_cells=min(MAX_CELLS, _ALL_CELLS // maps))
    if isinstance(figure, _Ranks):
        return rank_diagram(figure.ranks, ties=figure.ties, title=figure.caption, salt=salt)
    if isinstance(figure, _Bubbles):
        bubbles = [
            Bubble(b.name, b.group, b.gflops, b.parameters, b.score.estimate(), b.reference)
            for b in figure.bubbles
        ]
        return bubble_chart(bubbles, title=figure.caption, y_label=figure.y_label, salt=salt)
    draw = line_chart if figure.kind == "lines" else bar_chart
    return draw(
        [_series(series) for series in figure.series],
        ticks=figure.ticks,
        title=figure.caption,
        x_label=figure.x_label,
        y_label=figure.y_label,
        salt=salt,
        chance=figure.chance,
    )


def _series(series: _Series) -> Series:
    values = tuple(value.estimate() if value is not None else None for value in series.values)
    return Series(series.name, values, series.reference, series.like)


def _map(runs: Path, figure: _Map, *, max_cells: int) -> Markup:
    try:
        values = np.load(_inside(runs, figure.array), allow_pickle=False)
    except (OSError, ValueError) as error:
        raise StoreError(f"cannot read {figure.array!r}: {error}.") from error
    if values.ndim != 2 or values.dtype.kind != "f":
        raise ContractError(f"{figure.array!r} is no matrix of numbers: {values.dtype} {values.shape}.")
    names = read_json(_inside(runs, figure.layers))
    rows = _layers(names, len(values))
    other = names.get("other_layers") if isinstance(names, dict) else None
    columns = _layers(other if other is not None else names, values.shape[1])
    return heat_map(values, rows=rows, columns=columns, title=figure.caption, max_cells=max_cells)


def _layers(names: Any, count: int) -> Sequence[str]:
    """The names of a network's layers; their numbers where the note does not name as many."""
    layers = names.get("layers") if isinstance(names, dict) else None
    if isinstance(layers, list) and len(layers) == count:
        return [layer if isinstance(layer, str) else json.dumps(layer) for layer in layers]
    return [f"layer {number + 1}" for number in range(count)]


def _inside(runs: Path, name: str) -> Path:
    path = runs / name
    if not path.resolve().is_relative_to(runs.resolve()):
        raise StoreError(f"{name!r} lies outside the run folder.")
    return path
