"""Attention with a bias that may be learned, by the kernel that is fast for it."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

__all__ = ["attend"]


def attend(query_BHLD: Tensor, key_BHMD: Tensor, value_BHMD: Tensor, bias: Tensor | None) -> Tensor:
    """Softmax of scaled products plus `bias` (broadcast to B, H, L, M), times the values: (B, H, L, D).

    On a CPU torch (2.15) has no fused kernel that gives the bias a gradient. What it takes instead multiplies
    bfloat16 in float32 and looks twice for rows that are masked as a whole, which are not possible here.
    """
    learned = bias is not None and bias.requires_grad and torch.is_grad_enabled()
    if bias is None or not learned or query_BHLD.device.type != "cpu" or torch.compiler.is_compiling():
        mask = None if bias is None else bias.to(query_BHLD.dtype)
        return F.scaled_dot_product_attention(query_BHLD, key_BHMD, value_BHMD, attn_mask=mask)
    scores_BHLM = query_BHLD * query_BHLD.shape[-1] ** -0.5 @ key_BHMD.transpose(-2, -1)
    weights_BHLM = (scores_BHLM + bias).softmax(dim=-1, dtype=torch.promote_types(bias.dtype, torch.float32))
    return weights_BHLM.to(value_BHMD.dtype) @ value_BHMD
