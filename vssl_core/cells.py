"""What a cell is, and the key that decides whether it has to be computed.

A cell is one (task, backbone, pretraining data, options, seed) under one protocol. Its key is a flat
document; two cells are the same when their keys are. `differences` says in words why they are not.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from vssl_core.files import canonical_json

__all__ = [
    "CELL_SCHEMA",
    "NUMBERS_VERSION",
    "SCORES_VERSION",
    "CellSpec",
    "Component",
    "EvaluationSpec",
    "WeightsFile",
    "differences",
    "digest",
]

CELL_SCHEMA = 3
"""Layout of the bundle; from 3 on every finished stage has its digests."""
NUMBERS_VERSION = 3
"""Raised when a change of the core changes pretrained weights, so that no older cell is reused."""
SCORES_VERSION = 3
"""Raised when a change of the core changes scores of given weights, so that no older evaluation is reused."""


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class WeightsFile(_Frozen):
    """A file of weights that a backbone starts from; what it holds decides, not where it lies."""

    path: str
    sha256: str


class Component(_Frozen):
    """One component as the cell uses it: where it comes from, its code and its resolved options.

    Args:
        spec: What resolves to it again, in another process.
        name: The name that the user gave.
        label: What tables call it: the name, and options that are not the defaults.
        origin: `built-in`, `installed`, `module`, `file` or `in-code`.
        dist: Distribution and version, or empty.
        digest: Of the source it is made of.
        options: All of them, defaults included.
        weights: For a backbone, the file that the option `weights` names.
        contents: Option that names a file or folder → SHA-256 of the content, which stands for the path.
    """

    spec: str
    name: str
    label: str
    origin: str
    dist: str = ""
    digest: str
    options: Mapping[str, Any] = {}
    weights: WeightsFile | None = None
    contents: Mapping[str, str] = {}

    def key(self) -> dict[str, Any]:
        """What of it decides about numbers."""
        contents = {name: f"sha256:{found}" for name, found in self.contents.items()}
        key = {"name": self.name, "digest": self.digest, "options": {**self.options, **contents}}
        return key if self.weights is None else {**key, "weights": self.weights.sha256}


class CellSpec(_Frozen):
    """A cell: what is pretrained, on what, with which seed; `decoder` says what makes its frames."""

    role: Literal["method", "floor", "ceiling"]
    task: Component
    backbone: Component
    pretrain: Component
    pretrain_digest: str
    seed: int
    protocol_hash: str
    decoder: Mapping[str, str] = {}

    def key(self) -> dict[str, Any]:
        """Every field that decides about the pretrained weights."""
        return {
            "numbers_version": NUMBERS_VERSION,
            "decoder": dict(self.decoder),
            "protocol": self.protocol_hash,
            "task": self.task.key(),
            "backbone": self.backbone.key(),
            "pretrain data": self.pretrain_digest,
            "seed": self.seed,
        }

    @property
    def cell_id(self) -> str:
        """Readable start, then the key's digest; safe as a folder name."""
        return self.id_by(self.key())

    def id_by(self, key: Mapping[str, Any]) -> str:
        """The id that goes with a key, be it one that another version of vssl made."""
        words = (self.task.name, self.backbone.name, self.pretrain.name, f"s{self.seed}")
        return "-".join([*(_safe(word) for word in words), digest(key)[:12]])


class EvaluationSpec(_Frozen):
    """One evaluator on one target, for any cell.

    Args:
        evaluator: With its options.
        parts: Option → the components that it names.
        label: What tables call it.
        target: Labelled dataset.
        target_digest: Of its videos and labels.
        protocol_hash: The cell's.
        decoder: What makes its frames.
        at: Share of the pretraining budget after which the weights are taken; 1: at the end.
        needs: Cells that the evaluator's options name; they are pretrained first.
    """

    evaluator: Component
    parts: Mapping[str, tuple[Component, ...]] = {}
    label: str
    target: Component
    target_digest: str
    protocol_hash: str
    decoder: Mapping[str, str] = {}
    at: float = 1.0
    needs: tuple[str, ...] = ()

    def key(self) -> dict[str, Any]:
        """Every field that decides about the scores of given weights."""
        parts = {option: [part.key() for part in named] for option, named in self.parts.items()}
        return {
            **({} if self.at == 1.0 else {"at": self.at}),
            "numbers_version": SCORES_VERSION,
            "decoder": dict(self.decoder),
            "protocol": self.protocol_hash,
            "evaluator": self.evaluator.key(),
            "target data": self.target_digest,
            **({"parts": parts} if parts else {}),
        }

    @property
    def evaluation_id(self) -> str:
        """Readable start, then the key's digest; safe as a folder name."""
        return self.id_by(self.key())

    def id_by(self, key: Mapping[str, Any]) -> str:
        """The id that goes with a key, be it one that another version of vssl made."""
        return "-".join([_safe(self.evaluator.name), _safe(self.target.name), digest(key)[:12]])


def digest(value: Any) -> str:
    """SHA-256 of the canonical JSON of `value`."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


def differences(one: Mapping[str, Any], other: Mapping[str, Any], *, prefix: str = "") -> list[str]:
    """Fields in which two keys differ, as `field: this → that`."""
    lines = []
    for name in sorted(set(one) | set(other)):
        mine, theirs = one.get(name), other.get(name)
        if isinstance(mine, Mapping) and isinstance(theirs, Mapping):
            lines += differences(mine, theirs, prefix=f"{prefix}{name}.")
        elif mine != theirs:
            lines.append(f"{prefix}{name}: {_short(mine)} → {_short(theirs)}")
    return lines


def _short(value: Any) -> str:
    text = canonical_json(value)
    return text if len(text) <= 60 else f"{text[:28]}…{text[-28:]}"


def _safe(word: str) -> str:
    """Letters, digits, `_` and `.` of a name, at most 32, never empty."""
    kept = "".join(c if c.isascii() and (c.isalnum() or c in "_.") else "_" for c in word)
    return kept.strip(".")[:32] or "unnamed"
