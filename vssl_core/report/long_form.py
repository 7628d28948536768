"""Rows and tables for programs: CSV in long form, and one JSON document."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from dataclasses import asdict
from io import StringIO
from typing import Any

from vssl_core.report.bundles import Report
from vssl_core.report.section import Section
from vssl_core.report.table import Line, Score, Table
from vssl_core.report.wording import footnotes
from vssl_core.rows import Row
from vssl_core.statistics import Interval

__all__ = ["JSON_SCHEMA", "render_csv", "render_json"]

JSON_SCHEMA = 1

_COST = (
    "parameters",
    "gflops",
    "pretrain_seconds",
    "pretrain_clips_per_second",
    "peak_memory_mib",
    "unsupported_ops",
)


def render_csv(report: Report, tables: Sequence[Table], notes: Sequence[str]) -> str:
    """Every row of every metric, one line each; protocols apart, with an empty line and a header between."""
    del tables, notes
    hashes = dict.fromkeys(row.protocol_hash for row in report.rows)
    return "\n".join(_block([r for r in report.rows if r.protocol_hash == found]) for found in hashes)


def _block(rows: Sequence[Row]) -> str:
    out = StringIO()
    own = [name for name in Row.model_fields if name != "cost"]
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([*own, *_COST])
    for row in rows:
        cost = row.cost.model_dump()
        cost["unsupported_ops"] = json.dumps(cost["unsupported_ops"], sort_keys=True)
        values = row.model_dump()
        writer.writerow([*(_plain(values[name]) for name in own), *(cost[name] for name in _COST)])
    return out.getvalue()


def _plain(value: Any) -> Any:
    return "" if value is None else value


def render_json(
    report: Report, tables: Sequence[Table], notes: Sequence[str], *, sections: Sequence[Section] = ()
) -> str:
    """Tables with their intervals, all rows, the state of every cell, and what studies found."""
    document = {
        "schema": JSON_SCHEMA,
        "tables": [_table(table) for table in tables],
        "rows": [row.model_dump(mode="json") for row in report.rows],
        "cells": [
            {"cell_id": cell.cell_id, "state": cell.state, "failure": dict(cell.failure or {}) or None}
            for cell in report.cells
        ],
        "studies": [_study(section) for section in sections],
        "notes": list(notes),
    }
    return json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _study(section: Section) -> dict[str, Any]:
    """What text formats show of it; figures are drawn from the same numbers."""
    return {name: value for name, value in asdict(section).items() if name != "figures"}


def _table(table: Table) -> dict[str, Any]:
    return {
        "protocol_name": table.protocol_name,
        "protocol_hash": table.protocol_hash,
        "columns": [asdict(column) for column in table.columns],
        "lines": [_line(line) for line in table.lines],
        "footnotes": footnotes(table),
    }


def _line(line: Line) -> dict[str, Any]:
    values = {name: getattr(line, name) for name in ("role", "task", "backbone", "pretrain", "seeds")}
    values |= {name: getattr(line, name) for name in ("collapsed", "coverage", "videos", "deterministic")}
    scores = [_score(score) if score is not None else None for score in line.scores]
    return {**values, "cost": asdict(line.cost), "scores": scores}


def _score(score: Score) -> dict[str, Any]:
    gain = score.gain
    return {
        "mean": score.mean,
        "by_seed": {str(seed): value for seed, value in score.by_seed.items()},
        "interval": _interval(score.interval),
        "ties": score.ties,
        "ranks": score.ranks,
        "best": score.best,
        "gain": None
        if gain is None
        else {
            "mean": gain.mean,
            "interval": _interval(gain.interval),
            "p_adjusted": gain.p_adjusted,
            "effect_size": gain.effect_size,
        },
    }


def _interval(interval: Interval | None) -> dict[str, Any] | None:
    if interval is None:
        return None
    return {
        "low": interval.low,
        "high": interval.high,
        "confidence": interval.confidence,
        "estimator": interval.estimator,
        "standard_error": interval.standard_error,
        "df": interval.df,
        "p_value": interval.p_value,
    }
