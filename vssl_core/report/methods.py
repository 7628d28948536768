"""Methods and their cells as the page shows them: what differs in its seed alone stands together."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from markupsafe import Markup

from vssl_core.cells import digest
from vssl_core.report.bundles import CellRecord
from vssl_core.report.evaluations import Evaluations
from vssl_core.report.figures import curve_figures, epoch_figure
from vssl_core.report.pictures import Pictures
from vssl_core.report.svg import SERIES

__all__ = ["component_rows", "grouped", "methods", "task_views"]

_GroupKey = tuple[str, str, str, str]
_ORDER = {"floor": 0, "method": 1, "ceiling": 2}


def grouped(cells: Iterable[CellRecord]) -> dict[_GroupKey, list[CellRecord]]:
    """Cells that differ in their seed alone, by what they are called."""
    found: dict[_GroupKey, list[CellRecord]] = {}
    for cell in sorted(cells, key=lambda cell: cell.seed):
        key = (cell.label("task"), cell.label("backbone"), cell.label("pretrain"), cell.lineage)
        found.setdefault(key, []).append(cell)
    return dict(sorted(found.items(), key=lambda group: (_ORDER.get(group[1][0].role, 1), group[0])))


def methods(
    groups: Mapping[_GroupKey, Sequence[CellRecord]], evaluations: Evaluations, pictures: Pictures
) -> list[dict[str, Any]]:
    """What the template draws of each group: curves of all its seeds, then each cell."""
    shown = []
    for (*names, lineage), cells in groups.items():
        curves = {cell.seed: cell.curve() for cell in cells}
        salt = f"curve {lineage} {names}"
        group = {
            "id": f"method-{digest([*names, lineage])[:12]}",
            "name": " · ".join([*names, f"protocol {cells[0].protocol.get('name', '?')}"]),
            "seeds": [(cell.seed, place % len(SERIES)) for place, cell in enumerate(cells)],
            "charts": curve_figures(curves, salt=salt),
            "evaluators": _evaluator_charts(cells, salt),
            "cells": [_cell(cell, evaluations, pictures) for cell in cells],
        }
        shown.append(group)
    return shown


def _cell(cell: CellRecord, evaluations: Evaluations, pictures: Pictures) -> dict[str, Any]:
    result, failure = cell.result or {}, cell.failure or {}
    return {
        "id": cell.cell_id,
        "role": cell.role,
        "state": cell.state,
        "seed": cell.seed,
        "failure": {"reason": cell.reason, "kind": failure.get("kind", ""), "when": failure.get("when", "")}
        if cell.failure is not None
        else None,
        "facts": _facts(cell, result),
        "views": [
            (name, pictures.add(path, within=cell.folder), path.relative_to(cell.folder))
            for name, path in cell.views().items()
        ],
        "rows": cell.rows,
        "waiting": cell.waiting,
        "evaluations": evaluations.of(cell),
        "ledger": _ledger_parts(cell),
        "components": component_rows([cell]),
        "key": json.dumps(cell.key, indent=2, sort_keys=True, ensure_ascii=False),
        "environment": _readable({k: v for k, v in cell.environment.items() if k != "components"}),
        "result": _readable({name: value for name, value in result.items() if name != "schema"}),
    }


def _facts(cell: CellRecord, result: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What a reader looks for first."""
    cost = result.get("cost")
    fingerprint = result.get("backbone_fingerprint")
    facts = [
        ("state", cell.state),
        ("seed", str(cell.seed)),
        ("role", cell.role),
        ("protocol", f"{cell.protocol.get('name', '?')} {cell.spec.get('protocol_hash', '')}"),
        ("verdict", str(result.get("verdict", ""))),
        ("videos seen", _count(result.get("videos_seen"))),
        ("pretraining", f"{result['seconds']:.4g} s" if _is_number(result.get("seconds")) else ""),
        ("weights", str(result.get("weights_sha256", ""))),
    ]
    if isinstance(fingerprint, Mapping):
        facts.append(("network", str(fingerprint.get("graph", ""))))
        facts.append(("initial weights", str(fingerprint.get("initial_weights", ""))))
    if isinstance(cost, Mapping) and _is_number(cost.get("peak_memory_mib")):
        facts.append(("peak memory", f"{cost['peak_memory_mib']:.0f} MiB"))
    machine = cell.environment.get("machine", cell.environment.get("device"))
    facts.append(("machine", str(machine or "")))
    return [(name, value) for name, value in facts if value.strip()]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _count(value: Any) -> str:
    return f"{value:,}" if _is_number(value) else ""


def _readable(document: Mapping[str, Any]) -> str:
    return json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False) if document else ""


def _evaluator_charts(cells: Sequence[CellRecord], salt: str) -> list[tuple[str, Markup]]:
    """What evaluators recorded over their own epochs: (title, chart)."""
    names = sorted({(e, name) for cell in cells for e, curves in cell.curves.items() for name in curves})
    charts = []
    for evaluation, name in names:
        by_seed = {cell.seed: _values(cell.curves.get(evaluation, {}).get(name)) for cell in cells}
        request = next((cell.requests[evaluation] for cell in cells if cell.requests.get(evaluation)), {})
        heading = f"{request.get('label', evaluation)} on {_label(request.get('target'))}: {name}"
        chart = epoch_figure(heading, by_seed, salt=f"{salt} {evaluation} {name}")
        if chart is not None:
            charts.append((heading, chart))
    return charts


def _values(curve: Any) -> Sequence[Any]:
    return curve if isinstance(curve, list) else ()


def _label(component: Any) -> str:
    return str(component.get("label", "?")) if isinstance(component, Mapping) else "?"


def task_views(groups: Mapping[_GroupKey, Sequence[CellRecord]], pictures: Pictures) -> list[dict[str, Any]]:
    """Pictures of each task once: of its first cell that has some."""
    shown: dict[tuple[str, ...], dict[str, Any]] = {}
    for (task, _, pretrain, _), cells in groups.items():
        for cell in cells:
            protocol = str(cell.protocol.get("name", "?"))
            if (task, pretrain, protocol) in shown:
                continue
            found = [(name, pictures.add(path, within=cell.folder)) for name, path in cell.views().items()]
            kept = [(name, picture) for name, picture in found if picture is not None]
            if kept:
                name = f"{task} · {pretrain} · protocol {protocol}"
                shown[task, pretrain, protocol] = {"name": name, "task": task, "pictures": kept}
    return list(shown.values())


def component_rows(cells: Iterable[CellRecord]) -> list[dict[str, Any]]:
    """Every component that was used, with where its code came from."""
    found: dict[str, dict[str, Any]] = {}
    for cell in cells:
        parts = [(kind, cell.spec.get(kind)) for kind in ("task", "backbone", "pretrain")]
        parts += [
            (kind, spec.get(kind)) for spec in cell.requests.values() for kind in ("target", "evaluator")
        ]
        for kind, part in parts:
            if not isinstance(part, Mapping):
                continue
            shown = {name: str(part.get(name, "")) for name in ("label", "origin", "dist", "digest", "spec")}
            options = json.dumps(part.get("options", {}), sort_keys=True, ensure_ascii=False)
            row = {"kind": kind, **shown, "options": options}
            found.setdefault(json.dumps(row, sort_keys=True), row)
    return sorted(found.values(), key=lambda row: (row["kind"], row["label"], row["digest"]))


def _ledger_parts(cell: CellRecord) -> list[dict[str, Any]]:
    """What was asked for and could not be read, for each set of videos."""
    parts = {"pretraining": cell.ledger.get("pretrain"), **cell.ledger.get("targets", {})}
    return [
        {
            "name": name,
            "videos": part.get("videos", 0),
            "missing": part.get("missing", 0),
            "unreadable": part.get("unreadable", []),
        }
        for name, part in parts.items()
        if isinstance(part, Mapping)
    ]
