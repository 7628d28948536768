"""One evaluation: its request, its digests, and its rows against the cell that they are made from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from vssl_core.rows import ROW_SCHEMA, Row
from vssl_core.store import TARGET, per_video_file
from vssl_core.verification.bundle import Bundle
from vssl_core.verification.identity import Identity, requested
from vssl_core.verification.recomputing import Recomputer
from vssl_core.verification.scored import Scored, ledger_word, read_tables, read_target
from vssl_core.verification.scores import check_scores
from vssl_core.verification.stages import Seals, check_schema, check_stage

__all__ = ["check_evaluation"]

_LATER = ("videos_used", "videos_listed", "backbone_fingerprint")
"""Fields that rows of earlier versions lack."""


def check_evaluation(
    bundle: Bundle,
    cell: Identity,
    name: str,
    *,
    pretrained: Mapping[str, Any] | None,
    seals: Seals,
    recomputer: Recomputer,
) -> Scored | None:
    """Check one evaluation; None where it is not finished or cannot be read."""
    stage = f"evaluations/{name}"
    request = requested(bundle, cell, name)
    if not bundle.has(f"{stage}/result.json"):
        seals.without.append(stage)
        bundle.book.skip(stage, "the evaluation is not finished")
        return None
    result = bundle.document(f"{stage}/result.json", schema=ROW_SCHEMA)
    if request is None or result is None:
        return None
    schema, file = int(result["schema"]), f"{stage}/result.json"
    check_schema(bundle, file, schema, least=cell.schema, by="cell.json")
    check_schema(bundle, file, schema, least=request.schema, by=f"{stage}/request.json")
    check_stage(bundle, seals, stage, schema=schema)
    scored = Scored(bundle, cell, request, result)
    if scored.sealed or bundle.has(f"{stage}/{TARGET}"):
        scored.target = read_target(bundle, f"{stage}/{TARGET}")
    read_tables(scored)
    _check_rows(scored, pretrained or {})
    check_scores(scored, recomputer)
    return scored


def _check_rows(scored: Scored, pretrained: Mapping[str, Any]) -> None:
    book, names = scored.bundle.book, [row.get("metric") for row in scored.rows]
    stored = scored.result.get("rows")
    if not isinstance(stored, list) or not scored.rows or len(scored.rows) < len(stored):
        book.find(scored.file, "rows", stored, "one for each metric", "the layout of a bundle")
    for number, row in enumerate(scored.rows):
        metric = row.get("metric")
        if names.index(metric) != number:
            book.find(scored.file, f"rows[{number}].metric", metric, "a metric once", "the other rows")
        try:
            Row.model_validate(row)
        except ValidationError as error:
            for item in error.errors():
                where = ".".join(map(str, ("", metric, *item["loc"])))[1:]
                book.find(scored.file, where, item.get("input"), item["msg"], "the layout of a row")
            continue
        expected = _expected(scored, row, pretrained, first=number == 0)
        for name, value in expected.items():
            if name in _LATER and name not in row and not scored.sealed:
                continue
            stored = row.get(name, 1.0 if name == "at" else None)  # rows of the end need not say so
            book.same(scored.file, f"{metric}.{name}", stored, value[0], value[1])


def _expected(
    scored: Scored, row: Mapping[str, Any], pretrained: Mapping[str, Any], *, first: bool
) -> dict[str, tuple[Any, str]]:
    """Field of a row → what it should be, and by what; but for the score."""
    spec, asked = scored.cell.spec, scored.request.spec
    cell = {
        "cell_id": scored.cell.cell_id,
        "task": spec.task.label,
        "role": spec.role,
        "backbone": spec.backbone.label,
        "pretrain": spec.pretrain.label,
        "seed": spec.seed,
        "protocol_hash": spec.protocol_hash,
    }
    request = {
        "evaluation_id": scored.request.name,
        "target": asked.target.label,
        "evaluator": asked.evaluator.name,
        "evaluator_label": asked.label,
        "at": asked.at,
    }
    before = {name: pretrained.get(name) for name in ("cost", "backbone_fingerprint")}
    before["verdict"] = pretrained.get("verdict", "ok")
    found = {name: (value, "cell.json") for name, value in cell.items()}
    found |= {name: (value, "request.json") for name, value in request.items()}
    found |= {name: (value, "pretrain/result.json") for name, value in before.items()} if pretrained else {}
    found["protocol_name"] = (scored.cell.protocol.get("name"), "protocol.json")
    found["primary"] = (first, "its place among the rows")
    metric = str(row["metric"])
    table = f"cells/{scored.cell.cell_id}/{scored.folder}/{per_video_file(metric)}"
    found["per_video"] = (table if metric in scored.tables else None, "the layout of a bundle")
    if scored.target is not None or scored.tables:
        found["num_videos"] = (len(scored.ids), TARGET if scored.target is not None else "values per video")
    return found | _coverage(scored, pretrained)


def _coverage(scored: Scored, pretrained: Mapping[str, Any]) -> dict[str, tuple[Any, str]]:
    """Videos used and listed, of the target and of what was pretrained on, by the ledgers."""
    stored = scored.bundle.document("ledger.json") if scored.bundle.has("ledger.json") else None
    before = pretrained.get("ledger") or (stored or {}).get("pretrain")
    target = (scored.target or {}).get("ledger")
    if target is None:
        word = ledger_word(stored or {}, scored.request.spec.target)
        target = (stored or {}).get("targets", {}).get(word)
    if target is None:
        scored.bundle.book.skip(scored.file, "no ledger says which videos of the target were used")
        return {}
    ledgers = [ledger for ledger in (before, target) if ledger is not None]
    used = sum(ledger["videos"] - len(ledger["unreadable"]) for ledger in ledgers)
    listed = sum(ledger["videos"] + ledger.get("missing", 0) for ledger in ledgers)
    found = {"videos_used": used, "videos_listed": listed, "coverage": used / listed if listed else 1.0}
    return {name: (value, "the ledgers") for name, value in found.items()}
