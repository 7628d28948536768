"""One row: one metric of one evaluator on one cell. What reports and statistics read."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

__all__ = ["ROW_SCHEMA", "Cost", "Row"]

ROW_SCHEMA = 1

Role = Literal["method", "floor", "ceiling"]


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Cost(_Frozen):
    """What the cell cost. FLOPs are counted by fvcore for one clip, multiplies and adds separately."""

    parameters: int
    gflops: float
    unsupported_ops: dict[str, int] = {}
    pretrain_seconds: float
    pretrain_clips_per_second: float
    peak_memory_mib: float


class Row(_Frozen):
    """One metric of one evaluator on one cell under one protocol."""

    cell_id: str
    evaluation_id: str
    protocol_name: str
    protocol_hash: str
    task: str
    role: Role = "method"
    backbone: str
    pretrain: str
    target: str
    evaluator: str
    evaluator_label: str
    """`evaluator` plus its non-default options, so that two settings never share a column."""
    seed: int
    metric: str
    primary: bool
    """True for the evaluator's first metric, which tables show."""
    value: float
    unit: str
    higher_is_better: bool = True
    chance: float | None = None
    num_videos: int
    coverage: float
    """Share of the videos that the pretraining and target sets list and that were used, 0 … 1."""
    videos_used: int | None = None
    """How many were there and could be read; None in rows of an earlier version."""
    videos_listed: int | None = None
    """How many there should be, with those that are missing from this copy."""
    verdict: Literal["ok", "collapsed"] = "ok"
    deterministic: bool
    cost: Cost
    per_video: str | None = None
    """File with `video_id,group,value` per test video, relative to the run folder."""
