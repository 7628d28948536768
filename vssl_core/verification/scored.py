"""An evaluation while it is checked: its rows as stored, the target as the core saw it, values per video."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from vssl_core.cells import Component
from vssl_core.rows import ROW_SCHEMA
from vssl_core.store import TARGET, per_video_file
from vssl_core.verification.bundle import Bundle, Table
from vssl_core.verification.identity import Identity, Request
from vssl_core.verification.stages import SEALED_SINCE

__all__ = ["Scored", "ledger_word", "read_tables", "read_target"]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class _Video(_Strict):
    video_id: str
    group: str
    label: int | None


class _Unreadable(_Strict):
    video_id: str
    reason: str


class _Ledger(_Strict):
    videos: int
    missing: int
    unreadable: list[_Unreadable]


class _Target(_Strict):
    """`target.json`."""

    schema_: int = Field(alias="schema")
    classes: list[str]
    videos: list[_Video]
    ledger: _Ledger


@dataclass
class Scored:
    """An evaluation while it is checked.

    Args:
        bundle: The cell.
        cell: What it is.
        request: What was asked for.
        result: `result.json` of the evaluation.
        target: `target.json`; None in bundles of an earlier version.
        tables: Metric → values per video.
        prints: Digests of the arrays that no other network's evaluation has.
    """

    bundle: Bundle
    cell: Identity
    request: Request
    result: Mapping[str, Any]
    target: Mapping[str, Any] | None = None
    tables: dict[str, Table] = field(default_factory=dict)
    prints: dict[str, str] = field(default_factory=dict)

    @property
    def sealed(self) -> bool:
        """Whether the version of vssl that wrote it writes digests and the target."""
        return int(self.result["schema"]) >= SEALED_SINCE

    @property
    def folder(self) -> str:
        """Its folder in the cell."""
        return f"evaluations/{self.request.name}"

    @property
    def file(self) -> str:
        """Its rows' file."""
        return f"{self.folder}/result.json"

    @property
    def rows(self) -> list[Mapping[str, Any]]:
        """Rows as they are stored."""
        return [row for row in self.result.get("rows") or () if isinstance(row, Mapping)]

    def forget_videos(self) -> None:
        """Keep what other cells are compared with, and nothing that grows with the number of videos."""
        self.target, self.tables = None, {}

    @property
    def ids(self) -> list[str]:
        """Scored videos in the order of everything that is stored for each."""
        if self.target is not None:
            return [str(video["video_id"]) for video in self.target["videos"]]
        return next(iter(self.tables.values())).ids if self.tables else []


def ledger_word(ledger: Mapping[str, Any], target: Component) -> str:
    """What `ledger.json` calls a target: its label, in earlier versions its name."""
    return target.label if target.label in ledger.get("targets", {}) else target.name


def read_target(bundle: Bundle, name: str) -> Mapping[str, Any] | None:
    """`target.json`; None and findings where it is not as the core writes it."""
    document = bundle.document(name, schema=ROW_SCHEMA)
    try:
        return document if document is None else _Target.model_validate(document).model_dump()
    except ValidationError as error:
        for item in error.errors():
            where = ".".join(map(str, item["loc"]))
            bundle.book.find(name, where, item.get("input"), item["msg"], "the layout of a bundle")
        return None


def read_tables(scored: Scored) -> None:
    """Tables of all metrics that have one; they speak of the same videos as the target."""
    for row in scored.rows:
        metric = str(row.get("metric"))
        name = f"{scored.folder}/{per_video_file(metric)}"
        if row.get("per_video") is None and not scored.bundle.has(name):
            continue
        table = scored.bundle.table(name)
        if table is not None:
            scored.tables[metric] = table
    groups = None
    if scored.target is not None:
        groups = [str(video["group"]) for video in scored.target["videos"]]
    for metric, table in scored.tables.items():
        name, by = f"{scored.folder}/{per_video_file(metric)}", TARGET
        if groups is None:
            first = next(iter(scored.tables.values()))
            groups, by = first.groups, "the first metric's"
        scored.bundle.book.same(name, "video_id", table.ids, scored.ids, by)
        scored.bundle.book.same(name, "group", table.groups, groups, by)
