"""A plain vision transformer over tubelets, which can be given some of its tokens only.

The encoder of VideoMAE (Tong et al., NeurIPS 2022), after ViT (Dosovitskiy et al., ICLR 2021) and ViViT
(Arnab et al., ICCV 2021): boxes of t x p x p pixels pass a linear layer, fixed sinusoids say where they are,
and blocks of joint attention over space and time follow. No class token, no dropout.

Sizes `small` and `base` are the authors'; `tiny` has half of the depth and width of `small`, for two cores.
Their tokens are 2 x 16 x 16 of 16 x 224 x 224; the default here is 2 x 8 x 8, which gives as many tokens
(8 x 14 x 14) for clips of half their side.

Differences from the authors' code: the embedding is a linear layer over the pixels of a box, which is their
convolution with its weights in one row; keys have a bias, which softmax takes away again; the last
normalisation stays when the network is finetuned, where theirs moves behind the mean.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field
from torch import Tensor, nn

from vssl_core import Backbone, ClipSpec, OptionError, Options, UsageError
from vssl_plugin_videomae.tokens import Size3d, blocks, sinusoids, tubelets

__all__ = ["VideoMAEViT", "VideoMAEViTOptions"]

# embed_dim, depth, heads
SIZES: dict[str, tuple[int, int, int]] = {"tiny": (192, 6, 3), "small": (384, 12, 6), "base": (768, 12, 12)}


class VideoMAEViTOptions(Options):
    """Size of the network and of its tokens."""

    size: Literal["tiny", "small", "base"] = "tiny"
    """`small`, `base`: ViT-S and ViT-B; `tiny`: 192 channels and 6 blocks."""
    patch_size: int = Field(8, ge=2)
    """Side of a token in pixels; divides the crop size. The paper's is 16."""
    tubelet_size: int = Field(2, ge=1)
    """Frames of a token; divides the frames of a clip."""


class VideoMAEViT(Backbone):
    """ViT over tubelets: clips (B, 3, T, H, W) → map (B, D, T/t, H/p, W/p).

    It provides `masked_tokens`: `token_size` is (t, p, p), and `forward_tokens` sees chosen tokens alone.
    """

    api_version = 1
    Options = VideoMAEViTOptions
    provides = frozenset({"feature_map", "masked_tokens"})
    paper = "https://arxiv.org/abs/2203.12602"

    def __init__(self, options: Any, clip: ClipSpec) -> None:
        """Build the network for clips of this geometry.

        Raises:
            OptionError: A clip does not divide into tokens.
        """
        super().__init__(options, clip)
        self.positions_LD: Tensor
        time, side = options.tubelet_size, options.patch_size
        if clip.num_frames % time or clip.crop_size % side:
            raise OptionError(
                f"videomae_vit takes clips of a multiple of tubelet_size={time} frames and patch_size={side} "
                f"pixels; got {clip.num_frames} frames of {clip.crop_size} pixels. Set "
                "-o backbone.tubelet_size or -o backbone.patch_size to divisors of these, or the protocol's "
                "clip to multiples."
            )
        self.token_size: Size3d = (time, side, side)
        self.clip_CTHW = (3, clip.num_frames, clip.crop_size, clip.crop_size)
        self.grid_THW: Size3d = (clip.num_frames // time, clip.crop_size // side, clip.crop_size // side)
        self.embed_dim, depth, heads = SIZES[options.size]
        self.embed = nn.Linear(3 * time * side * side, self.embed_dim)
        self.blocks = blocks(self.embed_dim, depth=depth, num_heads=heads)
        self.norm = nn.LayerNorm(self.embed_dim, eps=1e-6)
        positions_LD = sinusoids(self.grid_THW[0] * self.grid_THW[1] * self.grid_THW[2], self.embed_dim)
        self.register_buffer("positions_LD", positions_LD, persistent=False)

    def forward_features(self, video_BCTHW: Tensor) -> Tensor:
        """(B, 3, T, H, W) → (B, D, T/t, H/p, W/p).

        Raises:
            UsageError: Clips of another shape than the network was built for.
        """
        tokens_BLD = self._encode(self._patches(video_BCTHW), self.positions_LD)
        return tokens_BLD.transpose(1, 2).unflatten(2, self.grid_THW)

    def forward_tokens(self, video_BCTHW: Tensor, visible_BN: Tensor) -> Tensor:
        """Features (B, N, D) of the tokens `visible_BN` (int64), from the pixels of these alone."""
        visible_BNP = self._patches(video_BCTHW).take_along_dim(visible_BN[..., None], dim=1)
        return self._encode(visible_BNP, self.positions_LD[visible_BN])

    def stages(self) -> Mapping[str, nn.Module]:
        """Embedding, blocks and the last normalisation; their outputs are tokens (B, L, D)."""
        numbered = {f"block{number}": block for number, block in enumerate(self.blocks, 1)}
        return {"embed": self.embed, **numbered, "norm": self.norm}

    def _patches(self, video_BCTHW: Tensor) -> Tensor:
        if video_BCTHW.shape[1:] != self.clip_CTHW:
            raise UsageError(
                f"this videomae_vit takes clips (B, {', '.join(map(str, self.clip_CTHW))}); got "
                f"{tuple(video_BCTHW.shape)}. Build it with the ClipSpec of these clips."
            )
        return tubelets(video_BCTHW, self.token_size)

    def _encode(self, patches_BNP: Tensor, positions_ND: Tensor) -> Tensor:
        return self.norm(self.blocks(self.embed(patches_BNP) + positions_ND))
