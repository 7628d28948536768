"""Features of a frozen backbone as probes take them: checked, in float64, where the run computes."""

from __future__ import annotations

import torch
from torch import Tensor

from vssl_core.interfaces import Backbone, EvaluationContext, EvaluationPart
from vssl_core.metrics import check_features

__all__ = ["frozen_features"]


def frozen_features(
    part: EvaluationPart, backbone: Backbone, num_clips: int, name: str, context: EvaluationContext
) -> Tensor:
    """Features (V, num_clips, D) in float64, on the GPU of the run where it has one.

    Raises:
        ContractError: They have another shape.
        DivergedError: A feature is not finite.
    """
    features = part.features(backbone, num_clips=num_clips)
    check_features(features, num_videos=len(part.records), num_clips=num_clips, name=name)
    device = context.device if context.device.type == "cuda" else torch.device("cpu")
    return torch.from_numpy(features).to(device, torch.float64)
