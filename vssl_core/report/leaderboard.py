"""The page's tables: every metric of every evaluator, what they can be filtered by, and their charts."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from vssl_core.report.bundles import Report
from vssl_core.report.figures import cost_figure, score_figure
from vssl_core.report.table import Column, Line, Table
from vssl_core.report.tables import build_tables
from vssl_core.report.wording import (
    cost_texts,
    count_texts,
    entry,
    footnotes,
    header,
    line_marks,
    name_headers,
    name_texts,
    number,
    title,
)

__all__ = ["facets", "leaderboard"]

_ColumnName = tuple[str, str, str]


def leaderboard(report: Report, tables: Sequence[Table]) -> list[dict[str, Any]]:
    """What the template draws of each protocol's table.

    Args:
        report: The run folder.
        tables: What other formats show: its columns are seen first, the other metrics on demand.
    """
    first = {table.protocol_hash: [_column_name(column) for column in table.columns] for table in tables}
    every = tuple(sorted({row.metric for row in report.rows}))
    full = list(tables) if report.metrics or not tables else build_tables(replace(report, metrics=every))[0]
    return [
        _table(table, set(first.get(table.protocol_hash, ())), number) for number, table in enumerate(full)
    ]


def facets(board: Sequence[dict[str, Any]]) -> list[tuple[str, str, list[str]]]:
    """(key, word, values) of what there is a choice of. Controls are no choice: they always stand by."""
    lines = [line for table in board for line in table["lines"]]
    columns = [column for table in board for column in table["columns"]]
    methods = [line for line in lines if line["role"] == "method"]
    found = [
        ("protocol", "protocol", [table["protocol"] for table in board]),
        ("task", "task", [line["task"] for line in methods]),
        ("backbone", "backbone", [line["backbone"] for line in lines]),
        ("pretrain", "pretrained on", [line["pretrain"] for line in methods]),
        ("target", "target", [column["target"] for column in columns]),
        ("evaluator", "evaluator", [column["evaluator"] for column in columns]),
        ("metric", "metric", [column["metric"] for column in columns]),
    ]
    unique = [(key, word, sorted(set(values), key=_natural)) for key, word, values in found]
    return [facet for facet in unique if len(facet[2]) > 1]


def _table(table: Table, first: set[_ColumnName], place: int) -> dict[str, Any]:
    order = sorted(range(len(table.columns)), key=lambda i: _position(table.columns[i], first))
    table = replace(
        table,
        columns=tuple(table.columns[i] for i in order),
        lines=tuple(replace(line, scores=tuple(line.scores[i] for i in order)) for line in table.lines),
    )
    shown = [i for i, column in enumerate(table.columns) if _column_name(column) in first]
    return {
        "protocol": f"{table.protocol_name} {table.protocol_hash}",
        "title": title(table),
        "names": name_headers(table),
        "columns": [_column(column, more=_column_name(column) not in first) for column in table.columns],
        "lines": [_line(line, table) for line in table.lines],
        "gaps": any(column.detectable_gap is not None for column in table.columns),
        "footnotes": footnotes(table, gaps=False),
        "charts": [_charts(table, i, place) for i in shown if _several(table, i)],
    }


def _column(column: Column, *, more: bool) -> dict[str, Any]:
    gap = column.detectable_gap
    return {
        "target": column.target,
        "evaluator": column.evaluator,
        "metric": column.metric,
        "more": more,
        "head": [word for word in header(column) if word],
        "gap": number(gap, column.unit) if gap is not None else None,
    }


def _line(line: Line, table: Table) -> dict[str, Any]:
    cost = line.cost
    costs = (cost.parameters, cost.gflops, cost.clips_per_second, cost.peak_memory_mib, cost.pretrain_seconds)
    return {
        "role": line.role,
        "task": line.task,
        "backbone": line.backbone,
        "pretrain": line.pretrain,
        "names": name_texts(line, table),
        "marks": line_marks(line),
        "seeds": line.seeds,
        "cells": line.cells,
        "coverage": line.coverage,
        "videos": count_texts(line)[1],
        "entries": [
            (entry(score, column, table), score) if score is not None else (None, None)
            for score, column in zip(line.scores, table.columns, strict=True)
        ],
        "costs": list(zip(cost_texts(line), costs, strict=True)),
    }


def _charts(table: Table, i: int, place: int) -> dict[str, Any]:
    column = table.columns[i]
    return {
        "target": column.target,
        "evaluator": column.evaluator,
        "metric": column.metric,
        "scores": score_figure(table, i, salt=f"score {place} {i}"),
        "cost": cost_figure(table, i, salt=f"cost {place} {i}"),
    }


def _several(table: Table, i: int) -> bool:
    return sum(line.scores[i] is not None for line in table.lines) > 1


def _column_name(column: Column) -> _ColumnName:
    return (column.target, column.evaluator, column.metric)


def _position(column: Column, first: set[_ColumnName]) -> tuple[Any, ...]:
    """By target and evaluator; there the metrics that are seen first, then R@5 before R@10."""
    return (
        _natural(column.target),
        _natural(column.evaluator),
        _column_name(column) not in first,
        _natural(column.metric),
    )


def _natural(text: str) -> list[Any]:
    """Numbers in a text sort as numbers."""
    return [
        (0, int(part), "") if part.isdigit() else (1, 0, part) for part in re.split(r"(\d+)", text) if part
    ]
