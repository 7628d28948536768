"""What a study leaves in the run folder: `studies/NAME.json`, from which its section can be made again, and
its scores as `studies/NAME.csv`.

The document holds the study's file, whose rows are the results of each point, which of these were there, and
the section made of them. So `vssl verify` makes both from the rows once more, and compares.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from vssl_core.errors import ContractError
from vssl_core.files import write_bytes, write_json
from vssl_core.planning import Plan
from vssl_core.report.evidence import PerVideo
from vssl_core.report.section import STUDY_RESULT_SCHEMA
from vssl_core.rows import Row
from vssl_core.studies.grid import Point, expand, pick_scale
from vssl_core.studies.long_form import study_csv
from vssl_core.studies.plan import Impossible, PlannedPoint, PlannedResult, StudyPlan
from vssl_core.studies.schema import Study
from vssl_core.studies.scores import method_scores
from vssl_core.studies.sections import section_document
from vssl_core.studies.table import StudyTable, build_study_table

__all__ = ["StudyFound", "WrittenStudy", "read_study", "study_found", "write_study"]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Result(_Part):
    cell_id: str
    evaluation_id: str
    role: str
    seed: int
    scored: bool


class _Point(_Part):
    coordinates: dict[str, str]
    protocol: str
    results: tuple[_Result, ...]


class _Left(_Part):
    point: str
    evaluation: str
    reason: str


class _Document(_Part):
    """`studies/NAME.json`."""

    schema_: int = Field(alias="schema")
    study: Study
    scale: str
    changes: dict[str, Any]
    differing_protocol_fields: tuple[str, ...]
    points: tuple[_Point, ...]
    impossible: tuple[_Left, ...]
    section: dict[str, Any]


@dataclass(frozen=True)
class WrittenStudy:
    """A study as its file describes it.

    Args:
        plan: The study with its points; its cells are known by their ids alone.
        scored: (cell, evaluation) of the results that the section is made of.
        section: The section as it stands there.
    """

    plan: StudyPlan
    scored: frozenset[tuple[str, str]]
    section: Mapping[str, Any]


@dataclass(frozen=True)
class StudyFound:
    """What follows from the rows of a study: its table, its section of the report, its scores as CSV."""

    table: StudyTable
    section: Mapping[str, Any]
    csv: str


def study_found(
    plan: StudyPlan, rows: Sequence[Row], *, per_video: Callable[[Row], PerVideo | None]
) -> StudyFound:
    """Table, section and CSV of the rows of a study; `per_video` reads what a row names."""
    table = build_study_table(plan, rows, per_video=per_video)
    scores = method_scores(plan, rows, per_video=per_video)
    return StudyFound(table, section_document(plan, table, scores), study_csv(plan, table, scores))


def write_study(
    runs: Path, plan: StudyPlan, found: StudyFound, rows: Iterable[Row], changes: Mapping[str, Any]
) -> None:
    """Write `studies/NAME.json` and `studies/NAME.csv`.

    Args:
        runs: The run folder.
        plan: The study.
        found: From `study_found`.
        rows: What it is made of.
        changes: Settings that replaced those of the study's file.
    """
    study = plan.study.model_copy(update={"scales": {plan.scale: plan.study.scales[plan.scale]}})
    scored = {(row.cell_id, row.evaluation_id) for row in rows}
    document = {
        "schema": STUDY_RESULT_SCHEMA,
        "study": study.model_dump(mode="json", by_alias=True),
        "scale": plan.scale,
        "changes": json.loads(json.dumps(dict(changes), default=str)),
        "differing_protocol_fields": list(plan.differing),
        "points": [
            {
                "coordinates": dict(planned.point.coordinates),
                "protocol": planned.protocol_hash,
                "results": [_result(result, scored) for result in planned.results],
            }
            for planned in plan.points
        ],
        "impossible": [
            {name: getattr(one, name) for name in ("point", "evaluation", "reason")}
            for one in plan.impossible
        ],
        "section": found.section,
    }
    path = runs / "studies" / f"{plan.study.name}.json"
    write_json(path, document)
    write_bytes(path.with_suffix(".csv"), found.csv.encode())


def _result(result: PlannedResult, scored: set[tuple[str, str]]) -> dict[str, Any]:
    named = {name: getattr(result, name) for name in ("cell_id", "evaluation_id", "role", "seed")}
    return {**named, "scored": (result.cell_id, result.evaluation_id) in scored}


def read_study(document: Mapping[str, Any]) -> WrittenStudy:
    """Understand a `studies/NAME.json` of this version's schema.

    Raises:
        ContractError: A field is missing or is not what it should be, or a point is not one of the grid.
    """
    try:
        found = _Document.model_validate(document)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise ContractError(f"{place}: {first['msg']}") from error
    grid = expand(pick_scale(found.study, found.scale), found.changes)
    points = tuple(
        PlannedPoint(
            _point(grid, one.coordinates),
            one.protocol,
            tuple(PlannedResult(r.cell_id, r.evaluation_id, r.role, r.seed) for r in one.results),
        )
        for one in found.points
    )
    left = tuple(Impossible(one.point, one.evaluation, one.reason) for one in found.impossible)
    nothing = Plan((), {}, {})
    plan = StudyPlan(found.study, found.scale, points, left, found.differing_protocol_fields, nothing)
    scored = frozenset((r.cell_id, r.evaluation_id) for one in found.points for r in one.results if r.scored)
    return WrittenStudy(plan, scored, found.section)


def _point(grid: Iterable[Point], coordinates: Mapping[str, str]) -> Point:
    for point in grid:
        if point.coordinates == coordinates:
            return point
    raise ContractError(f"points: the grid has no point {coordinates}.")
