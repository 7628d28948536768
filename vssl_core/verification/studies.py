"""What studies wrote beside the cells: every section is made anew from the rows that its file names.

Labels are checked, too: the cell that a point names must be of the task, backbone, options and protocol for
which the point's labels stand, so that two lines cannot change places.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from vssl_core.cells import CellSpec, Component, EvaluationSpec
from vssl_core.errors import StoreError, VsslError
from vssl_core.report.evidence import PerVideo, read_per_video
from vssl_core.report.section import STUDY_RESULT_SCHEMA
from vssl_core.rows import Row
from vssl_core.store import CellFolder
from vssl_core.studies.grid import owner_of, stands_for
from vssl_core.studies.plan import PlannedPoint, PlannedResult
from vssl_core.studies.written import WrittenStudy, read_study, study_found
from vssl_core.verification.bundle import Bundle
from vssl_core.verification.findings import Book
from vssl_core.verification.looked import Looked

__all__ = ["check_studies"]

_SELF_DESCRIBING_SINCE = 2
_ANEW = "`vssl study` writes it anew from the rows"


def check_studies(runs: Path, cells: Sequence[Looked]) -> Book:
    """Look through `studies/*.json` of a run folder whose cells were looked through."""
    book = Book()
    bundle, known = Bundle(runs, book), {cell.name: cell for cell in cells}
    for path in sorted((runs / "studies").glob("*.json")):
        _check(f"studies/{path.name}", runs, bundle, known)
    return book


def _check(file: str, runs: Path, bundle: Bundle, cells: Mapping[str, Looked]) -> None:
    book, document = bundle.book, bundle.document(file, schema=STUDY_RESULT_SCHEMA)
    if document is None:
        return
    book.files += 1
    if document["schema"] < _SELF_DESCRIBING_SINCE:
        book.skip(file, f"an earlier version wrote it, without what its numbers follow from; {_ANEW}")
        return
    try:
        study = read_study(document)
    except VsslError as error:
        book.find(file, "", str(error), "what a study writes", "its layout")
        return
    if open_question := _not_provable(study, cells):
        book.skip(file, open_question)
        return
    for number, point in enumerate(study.plan.points):
        _check_point(file, f"points[{number}]", study, point, cells, book)
    _check_section(file, runs, study, cells, bundle)


def _not_provable(study: WrittenStudy, cells: Mapping[str, Looked]) -> str:
    named = sorted({cell_id for cell_id, _ in study.scored})
    for name in named:
        if name not in cells:
            return f"its numbers follow from cell {name}, which is not in this run folder"
        if cells[name].book.altered:
            return f"its numbers follow from cell {name}, which is altered"
    return ""


def _check_section(
    file: str, runs: Path, study: WrittenStudy, cells: Mapping[str, Looked], bundle: Bundle
) -> None:
    book = bundle.book

    def per_video(row: Row) -> PerVideo | None:
        try:
            return read_per_video(runs, row)
        except StoreError:
            return None

    try:
        rows = [
            row
            for name in sorted({cell_id for cell_id, _ in study.scored})
            for row in CellFolder(runs, cells[name].folder.name).rows()
            if (row.cell_id, row.evaluation_id) in study.scored
        ]
        missing = study.scored - {(row.cell_id, row.evaluation_id) for row in rows}
        for cell_id, evaluation_id in sorted(missing):
            book.find(file, "points", f"{evaluation_id} of {cell_id} is scored", "no row", "the cell")
        made = study_found(study.plan, rows, per_video=per_video)
    except Exception as error:  # noqa: BLE001  whatever an altered file makes of a study is a finding
        book.find(file, "section", f"{type(error).__name__}: {error}", "a section", "making it anew")
        return
    by = f"the rows of its cells; {_ANEW}"
    book.same(file, "section", study.section, json.loads(json.dumps(made.section)), by)
    table = file.removesuffix(".json") + ".csv"
    if bundle.has(table) and (lines := bundle.text(table)) is not None:
        book.files += 1
        book.same(table, "line", lines.splitlines(), made.csv.splitlines(), by)


# ------------------------------------------------------------------------------------- labels and cells


def _check_point(
    file: str, where: str, study: WrittenStudy, point: PlannedPoint, cells: Mapping[str, Looked], book: Book
) -> None:
    """Every cell and evaluation that a point names is what its labels say."""
    scale = study.plan.study.scales[study.plan.scale]
    meant = stands_for(scale, point.point.coordinates)
    for result in point.results:
        cell = cells.get(result.cell_id)
        if (result.cell_id, result.evaluation_id) not in study.scored or cell is None or not cell.identity:
            continue
        spec, by = cell.identity.spec, f"cell {result.cell_id}"
        asked = [s.request.spec for s in cell.scored if s.request.spec.evaluation_id == result.evaluation_id]
        book.same(file, f"{where}.protocol", point.protocol_hash, spec.protocol_hash, by)
        book.same(file, f"{where}.role", result.role, spec.role, by)
        book.same(file, f"{where}.seed", result.seed, spec.seed, by)
        for word, value in meant.items():
            for found in _found(word, result, spec, asked, cell.identity.protocol):
                if not _means(value, found):
                    book.find(file, f"{where}.{word}", value, found, by)


def _found(
    word: str,
    result: PlannedResult,
    spec: CellSpec,
    asked: Sequence[EvaluationSpec],
    protocol: Mapping[str, Any],
) -> Iterator[Any]:
    """What a cell has for a setting; nothing where the setting does not concern it."""
    owner, option = owner_of(word)
    kind, _, name = owner.partition("/")
    parts: list[Component] = []
    if kind in ("task", "pretrain") and result.role == "method":
        parts = [getattr(spec, kind)]
    elif kind == "backbone":
        parts = [spec.backbone]
    elif kind == "target":
        parts = [one.target for one in asked]
    elif kind == "data":
        used = [one.target for one in asked] + ([spec.pretrain] if result.role == "method" else [])
        parts = [part for part in used if part.name == name]
    elif kind == "eval":
        parts = [one.evaluator for one in asked if one.evaluator.name == name]
    elif kind == "protocol":
        yield from _inner(protocol, option)
    for part in parts:
        if not option:
            yield part.name
        elif option in part.options:
            yield part.options[option]


def _inner(document: Any, path: str) -> Iterator[Any]:
    for name in path.split("."):
        if not isinstance(document, Mapping) or name not in document:
            return
        document = document[name]
    yield document


def _means(value: Any, found: Any) -> bool:
    """Whether a setting of a file is what was resolved; what is written in several ways is let through."""
    if isinstance(value, list | tuple) and isinstance(found, str):
        return found in value or not all(map(_is_name, value))
    if isinstance(value, str) and isinstance(found, str):
        return value == found or not _is_name(value)
    plain = bool | int | float
    return value == found or not (isinstance(value, plain) and isinstance(found, plain))


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and re.fullmatch(r"\w[\w-]*", value) is not None
