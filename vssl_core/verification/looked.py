"""A cell that was looked through: what was found, and what other cells are compared with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vssl_core.controls import RANDOM_INIT
from vssl_core.verification.findings import Book, CellVerified
from vssl_core.verification.identity import Identity
from vssl_core.verification.scored import Scored
from vssl_core.verification.stages import Seals

__all__ = ["Looked"]


@dataclass
class Looked:
    """A cell that was looked through.

    Args:
        folder: Its folder.
        book: What was found.
        seals: Its digests.
        identity: As it describes itself; None where that cannot be read.
        pretrained: `pretrain/result.json`.
        environment: `environment.json`.
        scored: Its finished evaluations.
    """

    folder: Path
    book: Book
    seals: Seals
    identity: Identity | None = None
    pretrained: Mapping[str, Any] = field(default_factory=dict)
    environment: Mapping[str, Any] = field(default_factory=dict)
    scored: list[Scored] = field(default_factory=list)

    @property
    def name(self) -> str:
        """Its id, or its folder's name."""
        return self.identity.cell_id if self.identity is not None else self.folder.name

    @property
    def seed(self) -> int:
        """Its seed; -1 where it describes none."""
        return self.identity.spec.seed if self.identity is not None else -1

    @property
    def untrained(self) -> bool:
        """Whether it is the floor, whose weights nothing has trained."""
        return self.identity is not None and self.identity.spec.task.name == RANDOM_INIT

    @property
    def initial_weights(self) -> str:
        """Digest of the weights before the first step, as the seed drew them; empty where it did not."""
        start = self.pretrained.get("backbone_fingerprint")
        drawn = self.identity is not None and self.identity.spec.backbone.weights is None
        return str(start.get("initial_weights") or "") if drawn and isinstance(start, Mapping) else ""

    def weights(self, at: float) -> str:
        """Digest of the weights after this share of the budget; empty where none is known."""
        kept = self.pretrained.get("snapshots")
        snapshots = kept if isinstance(kept, Mapping) else {}
        found = self.pretrained.get("weights_sha256") if at == 1.0 else snapshots.get(f"{at:g}")
        return str(found or "")

    def verified(self) -> CellVerified:
        """What to say of it."""
        book = self.book
        return CellVerified(
            cell_id=self.name,
            folder=self.folder,
            digest=self.seals.digest,
            files=book.files,
            values=book.values,
            metrics=tuple(book.metrics),
            altered=tuple(dict.fromkeys(book.altered)),
            unchecked=tuple(dict.fromkeys(book.unchecked)),
        )
