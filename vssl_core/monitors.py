"""Signs of collapse in features, recorded while a task trains."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

__all__ = ["collapse_verdict", "effective_rank", "feature_std"]

MIN_STD = 0.05
MIN_RANK = 1.5


def feature_std(features_ND: Tensor) -> float:
    """Standard deviation of L2-normalised features, times sqrt(D).

    1 for features spread evenly over the sphere, 0 when all are equal (SimSiam, section 4.1).
    """
    unit = torch.nn.functional.normalize(features_ND.double(), dim=1)
    return float(unit.std(dim=0).mean() * features_ND.shape[1] ** 0.5)


def effective_rank(features_ND: Tensor) -> float:
    """Exponential of the entropy of the centred features' singular values (Roy and Vetterli, 2007).

    Between 1 (one direction) and min(N - 1, D); 0 when all features are equal.
    """
    centred = features_ND.double() - features_ND.double().mean(dim=0)
    values = torch.linalg.svdvals(centred)
    if float(values.sum()) <= 1e-9 * max(1.0, float(features_ND.abs().max())) * len(values):
        return 0.0
    share = values / values.sum()
    share = share[share > 0]
    return float(torch.exp(-(share * share.log()).sum()))


def collapse_verdict(stds: Sequence[float], ranks: Sequence[float]) -> Literal["ok", "collapsed"]:
    """`collapsed` when the last features hardly differ or span one direction."""
    if stds and ranks and (stds[-1] < MIN_STD or ranks[-1] < MIN_RANK):
        return "collapsed"
    return "ok"
