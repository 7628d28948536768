"""Digests of the stages of a cell, compared with the files that are there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from vssl_core.cells import digest
from vssl_core.digests import DIGESTS, DIGESTS_SCHEMA, files_of
from vssl_core.verification.bundle import Bundle

__all__ = ["SEALED_SINCE", "Seals", "check_schema", "check_stage"]

SEALED_SINCE = 3
"""Schema of `result.json` from which on a stage has digests."""

_REPEATED = ("ledger.json", "failure.json")
"""Files of the cell that change after a stage is finished; what they say stands elsewhere, too."""


@dataclass
class Seals:
    """What is known of the stages: file → its digest, and stage → digest of its `digests.json`."""

    files: dict[str, str] = field(default_factory=dict)
    stages: dict[str, str] = field(default_factory=dict)
    without: list[str] = field(default_factory=list)

    @property
    def digest(self) -> str:
        """Over the digests of all stages; empty where one has none."""
        return digest(self.stages) if self.stages and not self.without else ""

    def check_rest(self, bundle: Bundle) -> None:
        """What was read must stand in some digests; what was not, and does not, is told."""
        known = {*self.files, *(f"{stage}/{DIGESTS}" for stage in self.stages), *_REPEATED}
        open_ones = tuple(f"{stage}/" for stage in self.without)
        for name in files_of(bundle.root):
            inside = name.startswith(open_ones) or (bool(open_ones) and "/" not in name)
            if name in known or inside:
                continue
            if name in bundle.used:
                bundle.book.find(name, "", "in no digests.json", "listed", "the digests of its stage")
            else:
                bundle.book.skip(name, "no digests.json lists it; no number of a row comes from it")


def check_schema(bundle: Bundle, file: str, schema: int, *, least: int, by: str) -> None:
    """A finished stage is written by the version that described it, or a later one, never by one before."""
    if schema < least:
        bundle.book.find(file, "schema", schema, f"at least {least}", by)


def check_stage(bundle: Bundle, seals: Seals, stage: str, *, schema: int) -> None:
    """Compare every file of a finished stage with its digest.

    Args:
        bundle: The cell.
        seals: Takes what is found.
        stage: `pretrain`, or `evaluations/ID`.
        schema: Of the stage's `result.json`.
    """
    name, book = f"{stage}/{DIGESTS}", bundle.book
    if schema < SEALED_SINCE and not bundle.has(name):
        seals.without.append(stage)
        book.skip(
            stage, "an earlier version of vssl wrote it, without digests: only what follows was checked"
        )
        return
    document = bundle.document(name, schema=DIGESTS_SCHEMA)
    files = document.get("files") if document is not None else None
    own = bundle.sha256(name) if isinstance(files, Mapping) else None
    if document is None or not isinstance(files, Mapping) or own is None:
        seals.without.append(stage)
        if document is not None:
            book.find(name, "files", files, "file → SHA-256", "the layout of a bundle")
        return
    seals.stages[stage] = own
    for file, listed in sorted(files.items()):
        seals.files[file] = str(listed)
        found = bundle.sha256(file)
        book.files += 1
        if found is not None and found != listed:
            book.find(file, "", f"SHA-256 {found[:12]}", f"SHA-256 {str(listed)[:12]}", name)
    if stage != "pretrain":
        _check_chain(bundle, name, document.get("pretrain"))


def _check_chain(bundle: Bundle, name: str, listed: object) -> None:
    """An evaluation names the digests of the pretraining that it scored."""
    before = f"pretrain/{DIGESTS}"
    if listed is None and not bundle.has(before):
        bundle.book.skip(name, "the weights were pretrained by an earlier version of vssl, without digests")
        return
    found = bundle.sha256(before)
    if found is not None and found != listed:
        bundle.book.find(name, "pretrain", str(listed)[:12], found[:12], before)
