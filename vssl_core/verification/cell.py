"""One cell from its description to its rows, looked through in the order in which it was made."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from vssl_core.verification.bundle import Bundle
from vssl_core.verification.copies import check_copies
from vssl_core.verification.evaluations import check_evaluation
from vssl_core.verification.findings import Book, CellVerified
from vssl_core.verification.identity import Identity, identify
from vssl_core.verification.looked import Looked
from vssl_core.verification.pretraining import check_pretraining
from vssl_core.verification.recomputing import Recomputer
from vssl_core.verification.scored import Scored, ledger_word
from vssl_core.verification.stages import Seals
from vssl_core.verification.targets import Targets

__all__ = ["look_through", "verify_cell"]

Found = TypeVar("Found")


def verify_cell(folder: Path, recomputer: Recomputer) -> CellVerified:
    """Everything that can be checked of one cell alone; whatever its files hold, this returns."""
    looked = look_through(folder, recomputer, Targets())
    check_copies([looked])
    return looked.verified()


def look_through(folder: Path, recomputer: Recomputer, targets: Targets, *, in_runs: bool = False) -> Looked:
    """One cell before it is compared with others; in a run folder its folder must have its name."""
    looked = Looked(folder, Book(), Seals())
    bundle = Bundle(folder, looked.book)
    looked.identity = _guarded(looked.book, "cell.json", lambda: identify(bundle, in_runs=in_runs))
    if looked.identity is not None:
        _check_stages(bundle, looked.identity, looked, recomputer)
        _guarded(looked.book, "", lambda: looked.seals.check_rest(bundle))
    for scored in looked.scored:
        targets.check(looked.name, scored, looked.book)
        scored.forget_videos()
    return looked


def _check_stages(bundle: Bundle, cell: Identity, looked: Looked, recomputer: Recomputer) -> None:
    book, seals = looked.book, looked.seals
    if bundle.has("lease.json"):
        book.skip("lease.json", "a process is at work in this cell, or was when it ended")
    if bundle.has("failure.json"):
        book.skip("failure.json", "the cell failed and is not finished")
    pretrained = _guarded(book, "pretrain/result.json", lambda: check_pretraining(bundle, cell, seals))
    looked.pretrained = pretrained or {}
    if bundle.has("environment.json"):
        looked.environment = bundle.document("environment.json") or {}
    top = bundle.root / "evaluations"
    for path in sorted(top.iterdir()) if top.is_dir() else ():
        if path.name.startswith("."):
            continue
        found = _guarded(
            book,
            f"evaluations/{path.name}",
            lambda name=path.name: check_evaluation(  # type: ignore[misc]
                bundle, cell, name, pretrained=pretrained, seals=seals, recomputer=recomputer
            ),
        )
        if found is not None:
            looked.scored.append(found)
    _guarded(book, "ledger.json", lambda: _check_ledger(bundle, pretrained, looked.scored))


def _check_ledger(bundle: Bundle, pretrained: Mapping[str, Any] | None, scored: Sequence[Scored]) -> None:
    """`ledger.json` repeats what the stages say; targets of one label have the last one's."""
    name, book = "ledger.json", bundle.book
    sealed = [one for one in scored if one.target is not None and one.sealed]
    if not bundle.has(name) and not sealed:
        return
    document = bundle.document(name)
    if document is None:
        return
    before = (pretrained or {}).get("ledger")
    if before is not None:
        book.same(name, "pretrain", document.get("pretrain"), before, "pretrain/result.json")
    ledgers: dict[str, list[Any]] = {}
    for one in sealed:
        target = one.target or {}
        ledgers.setdefault(ledger_word(document, one.request.spec.target), []).append(target.get("ledger"))
    targets = document.get("targets", {})
    for target_name, known in ledgers.items():
        stored = targets.get(target_name)
        if stored not in known:
            book.same(name, f"targets.{target_name}", stored, known[-1], "target.json of the evaluations")


def _guarded(book: Book, where: str, step: Callable[[], Found]) -> Found | None:
    """The last line of defence: a bundle that a step cannot make sense of is altered, too."""
    try:
        return step()
    except Exception as error:  # noqa: BLE001  a stranger may have written anything
        book.find(where, "", f"{type(error).__name__}: {error}", "what vssl writes", "the layout of a bundle")
        return None
