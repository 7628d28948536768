"""One row: one metric of one evaluator on one cell. What reports and statistics read."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

__all__ = ["ROW_SCHEMA", "Cost", "Fingerprint", "Row"]

ROW_SCHEMA = 3

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


class Fingerprint(_Frozen):
    """Which network the cell started from; rows of "the same backbone" agree in all but `initial_weights`,
    and in that too where the seed is the same.

    Args:
        graph: SHA-256 over the tree of modules, their settings and the shapes of their tensors.
        parameters: How many, trainable or not.
        gflops: Of one clip, multiplies and adds counted separately.
        initial_weights: SHA-256 over names, shapes and bytes of the state before the first step.
    """

    graph: str
    parameters: int
    gflops: float
    initial_weights: str


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
    at: float = 1.0
    """Share of the pretraining budget after which the weights were taken; 1: at the end."""
    metric: str
    primary: bool
    """True for the evaluator's first metric, which tables show."""
    value: float
    unit: str
    higher_is_better: bool | None = True
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
    backbone_fingerprint: Fingerprint | None = None
    """None in rows of schema 1."""
    per_video: str | None = None
    """File with `video_id,group,value` per test video, relative to the run folder."""
