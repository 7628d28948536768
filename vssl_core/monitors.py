"""Signs of collapse in features, recorded while a task trains."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

__all__ = ["collapse_verdict", "effective_rank", "feature_std"]

MIN_STD = 0.05
MIN_RANK = 1.5


def feature_std(features_ND: Tensor) -> float | None:
    """Standard deviation of L2-normalised features, times sqrt(D).

    1 for features spread evenly over the sphere, 0 when all are equal (SimSiam, section 4.1); None for one
    feature, which cannot differ from another.
    """
    if len(features_ND) < 2:
        return None
    unit = torch.nn.functional.normalize(features_ND.double(), dim=1)
    return float(unit.std(dim=0).mean() * features_ND.shape[1] ** 0.5)


def effective_rank(features_ND: Tensor) -> float | None:
    """Exponential of the entropy of the centred features' singular values (Roy and Vetterli, 2007).

    Between 1 (one direction) and min(N - 1, D); 0 when all features are equal. None under three features,
    which lie in one direction always.
    """
    if len(features_ND) < 3:
        return None
    centred = features_ND.double() - features_ND.double().mean(dim=0)
    values = torch.linalg.svdvals(centred)
    if float(values.sum()) <= 1e-9 * max(1.0, float(features_ND.abs().max())) * len(values):
        return 0.0
    share = values / values.sum()
    share = share[share > 0]
    return float(torch.exp(-(share * share.log()).sum()))


def collapse_verdict(
    stds: Sequence[float | None], ranks: Sequence[float | None]
) -> Literal["ok", "collapsed"]:
    """`collapsed` when the last features hardly differ or span one direction; None says nothing."""
    for values, least in ((stds, MIN_STD), (ranks, MIN_RANK)):
        last = values[-1] if values else None
        if last is not None and last < least:
            return "collapsed"
    return "ok"
