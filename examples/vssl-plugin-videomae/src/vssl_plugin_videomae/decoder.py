"""The light half of VideoMAE: from features of the shown tokens to pixels of the hidden ones."""

from __future__ import annotations

import torch
from timm.layers import trunc_normal_
from torch import Tensor, nn

from vssl_plugin_videomae.tokens import blocks, sinusoids

__all__ = ["Decoder"]


class Decoder(nn.Module):
    """Blocks of joint attention over the shown tokens and one learnt vector for every hidden one.

    Args:
        in_dim: Channels of the encoder's tokens.
        dim: Channels inside; a multiple of 32. Heads have 64 channels where that divides it, else 32.
        depth: Number of blocks.
        num_tokens: Tokens L of a clip.
        out_dim: Values P to tell of each hidden token.
    """

    def __init__(self, in_dim: int, *, dim: int, depth: int, num_tokens: int, out_dim: int) -> None:
        super().__init__()
        self.positions_LD: Tensor
        self.enter = nn.Linear(in_dim, dim, bias=False)
        self.mask_token = nn.Parameter(torch.empty(dim))  # of one axis: without weight decay, as theirs
        trunc_normal_(self.mask_token, std=0.02, a=-0.02, b=0.02)
        self.blocks = blocks(dim, depth=depth, num_heads=dim // (64 if dim % 64 == 0 else 32))
        self.norm = nn.LayerNorm(dim, eps=1e-6)
        self.head = nn.Linear(dim, out_dim)
        nn.init.xavier_uniform_(self.head.weight)
        nn.init.zeros_(self.head.bias)
        self.register_buffer("positions_LD", sinusoids(num_tokens, dim), persistent=False)

    def forward(self, shown_BND: Tensor, shown_BN: Tensor, hidden_BM: Tensor) -> Tensor:
        """Features (B, N, D) of the tokens `shown_BN`, and which are hidden → (B, M, P)."""
        shown_BND = self.enter(shown_BND) + self.positions_LD[shown_BN]
        hidden_BMD = self.mask_token + self.positions_LD[hidden_BM]
        tokens_BLD = self.blocks(torch.cat([shown_BND, hidden_BMD], dim=1))
        return self.head(self.norm(tokens_BLD[:, shown_BN.shape[1] :]))
