"""One cell beside the others of its run folder: what only a cell that was copied has in common with another.

A cell's start follows from its backbone and its seed, its trained weights and its predictions from its own
run. So the same bits under two seeds say that one of the two is a copy. Which of the two cannot be known:
it is found in the later one, which names the other.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import Any

from vssl_core.cells import digest
from vssl_core.verification.looked import Looked
from vssl_core.verification.scored import Scored

__all__ = ["check_copies"]

_RESULT = "pretrain/result.json"
_EQUAL_DRAWS_SINCE = 3
"""Numbers version from which on a seed draws the same initial weights on every processor."""


def check_copies(cells: Sequence[Looked]) -> None:
    """Starts and weights that two seeds share, and predictions that two networks share."""
    _check_starts(cells)
    _check_weights(cells)
    _check_predictions(cells)


def _check_starts(cells: Sequence[Looked]) -> None:
    """Of one backbone under one protocol a seed has its own initial weights, and all its cells have these."""
    groups = _grouped((cell for cell in cells if cell.initial_weights), _start)
    for group in groups.values():
        by_seed: dict[int, Looked] = {}
        by_weights: dict[str, Looked] = {}
        seeds_matter = len({cell.initial_weights for cell in group}) > 1
        for cell in group:
            own = by_seed.setdefault(cell.seed, cell)
            field = "backbone_fingerprint.initial_weights"
            if own.initial_weights != cell.initial_weights:
                _tell_other_start(cell, own, field)
            first = by_weights.setdefault(cell.initial_weights, cell)
            if first.seed == cell.seed:
                continue
            if seeds_matter:
                by = f"{first.name}, of another seed"
                cell.book.find(_RESULT, field, f"those of seed {first.seed}", "others", by)
            elif cell.untrained:
                why = (
                    f"it begins as {first.name} does, of another seed: a copy, or weights that no seed draws"
                )
                cell.book.skip(_RESULT, why)


def _tell_other_start(cell: Looked, own: Looked, field: str) -> None:
    assert cell.identity is not None
    if cell.identity.numbers_version < _EQUAL_DRAWS_SINCE:
        why = f"it begins otherwise than {own.name}, of the same seed"
        cell.book.skip(_RESULT, f"{why}: the version that wrote it drew other weights on other processors")
        return
    by = f"{own.name}, of the same seed"
    cell.book.find(_RESULT, field, cell.initial_weights, own.initial_weights, by)


def _start(cell: Looked) -> Hashable:
    """What initial weights depend on, but for the seed: versions of vssl or torch may draw others."""
    assert cell.identity is not None
    packages = cell.environment.get("packages")
    torch = packages.get("torch") if isinstance(packages, Mapping) else None
    backbone = cell.identity.spec.backbone.key()
    machine = str(cell.environment.get("machine"))
    version = cell.identity.numbers_version
    return digest([version, backbone, cell.identity.spec.protocol_hash, str(torch), machine])


def _check_weights(cells: Sequence[Looked]) -> None:
    """No two seeds train the same weights."""
    trained = (cell for cell in cells if cell.weights(1.0) and not cell.untrained)
    for group in _grouped(trained, lambda cell: cell.weights(1.0)).values():
        for cell in group[1:]:
            if cell.seed != group[0].seed:
                stored, by = f"those of seed {group[0].seed}", f"{group[0].name}, of another seed"
                cell.book.find(_RESULT, "weights_sha256", stored, "its own", by)


def _check_predictions(cells: Sequence[Looked]) -> None:
    """No two networks predict the same bits, but where the evaluator does not look at them."""
    every = ((cell, scored) for cell in cells for scored in cell.scored)
    for group in _grouped(every, lambda one: one[1].request.name).values():
        told: set[str] = set()
        for kind in ("scores", "arrays"):
            some = [(cell, scored) for cell, scored in group if kind in scored.prints]
            alike = _grouped(some, lambda one, kind=kind: one[1].prints[kind])  # type: ignore[misc]
            for same in alike.values():
                _tell(same, kind, told, all_alike=len(alike) == 1)


def _tell(same: Sequence[tuple[Looked, Scored]], kind: str, told: set[str], *, all_alike: bool) -> None:
    """Evaluations of equal bits: those whose networks are not the first one's."""
    first, its = same[0]
    at = its.request.spec.at
    for cell, scored in same[1:]:
        if cell.name in told or cell.weights(at) == first.weights(at):
            continue
        told.add(cell.name)
        if all_alike:
            why = f"its {kind} are, bit for bit, those of {first.name}: a copy, or no matter of the backbone"
            cell.book.skip(scored.file, why)
        else:
            by = f"{first.name}: {its.folder}"
            cell.book.find(scored.folder, kind, "bit for bit those of another cell", "its own", by)


def _grouped(items: Iterable[Any], key: Callable[[Any], Hashable]) -> dict[Hashable, list[Any]]:
    groups: dict[Hashable, list[Any]] = {}
    for item in items:
        groups.setdefault(key(item), []).append(item)
    return groups
