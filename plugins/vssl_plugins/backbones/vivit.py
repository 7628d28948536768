"""ViViT: a transformer over tubelets, ViViT-B/16x2 by default.

Arnab et al., ViViT: A Video Vision Transformer, ICCV 2021. Tubelets of 2 frames and 16 x 16 pixels become
tokens. Two of the paper's models:

- `factorised_encoder` (Model 2): a spatial encoder of 12 blocks looks at the tokens of one time step, with a
  class token shared by all steps; its class tokens, one per step, go through a temporal encoder of 4 blocks
  with positions and a class token of its own.
- `joint` (Model 1): one encoder of 12 blocks over all tokens.

Wiring and initialisation are those of the authors' code (scenic): tanh-approximated GELU, epsilon 1e-6, no
dropout, attention and MLP from Xavier's uniform distribution, positions from a normal of 0.02, class tokens
zero, tubelets from LeCun's normal distribution. Their tubelet kernel starts with its central frame alone,
because it is overwritten by an image model's; so do the key maps of image weights here, while a network from
scratch starts with all frames, or it would not see every second one.

The map of the factorised encoder is the temporal encoder's output, 1 x 1 in space: that model forgets where
things are before it looks at time, and a map of its spatial tokens would leave out the temporal encoder.

`forward` is the mean over the map, as for all backbones. The authors' classifier reads the class token (of
the temporal encoder); `pool="cls"` gives that one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Literal

from einops import rearrange
from pydantic import Field, PositiveInt
from timm.layers import Attention, Mlp, lecun_normal_
from timm.models.vision_transformer import Block
from torch import Tensor, nn

from vssl_core.interfaces import Backbone
from vssl_core.options import Options
from vssl_core.types import ClipSpec
from vssl_plugins.backbones.checkpointing import run
from vssl_plugins.backbones.clip_shape import Size3d
from vssl_plugins.backbones.tokens import VIT_SIZES, Positions, check_and_pad, drop_path_rates, grid_of
from vssl_plugins.backbones.vivit_weights import KEY_MAPS

__all__ = ["Encoder", "ViViT", "ViViTOptions"]

PATCH_THW: Size3d = (2, 16, 16)


class ViViTOptions(Options):
    """The defaults are ViViT-B/16x2 with a factorised encoder."""

    attention: Literal["factorised_encoder", "joint"] = "factorised_encoder"
    """`factorised_encoder`: first space, then time (the paper's Model 2); `joint`: all tokens (Model 1)."""
    size: Literal["tiny", "small", "base", "large"] = "base"
    """Width, heads and blocks of the ViT family, from 192 to 1024 channels; the last two are in the paper."""
    depth: PositiveInt | None = None
    """Blocks of the spatial (or joint) encoder; null: 12, or 24 of `large`."""
    temporal_depth: PositiveInt | None = None
    """Blocks of the temporal encoder; null: 4, or 24 of `large`, as the authors configure it."""
    drop_path: float = Field(0.0, ge=0, lt=1)
    """Stochastic depth of the last block of each encoder; the base model's configuration has none."""
    pool: Literal["mean", "cls"] = "mean"
    """What `forward` gives: the mean over the map, or the class token, which the authors classify by."""
    checkpointing: bool = False
    """Compute blocks again in the backward pass: less memory, more time, same gradient."""


class Encoder(nn.Module):
    """A ViT encoder: class token and positions, blocks, last normalisation. (N, L, D) → (N, 1 + L, D).

    Args:
        width: Channels D.
        heads: Attention heads.
        depth: Blocks.
        drop_path: Stochastic depth of the last block.
        grid: Tokens along each axis, for which the positions are made.
    """

    def __init__(self, width: int, *, heads: int, depth: int, drop_path: float, grid: Sequence[int]) -> None:
        super().__init__()
        self.positions = Positions(width, grid)
        self.blocks = nn.ModuleList(
            Block(
                width,
                heads,
                qkv_bias=True,
                drop_path=rate,
                act_layer=partial(nn.GELU, approximate="tanh"),
                norm_layer=partial(nn.LayerNorm, eps=1e-6),
            )
            for rate in drop_path_rates(drop_path, depth)
        )
        self.norm = nn.LayerNorm(width, eps=1e-6)

    def forward(self, tokens_NLD: Tensor, grid: Sequence[int], *, checkpointing: bool) -> Tensor:
        """(N, L, D) tokens of this grid → (N, 1 + L, D), the class token first."""
        tokens_NLD = self.positions(tokens_NLD, grid)
        for block in self.blocks:
            tokens_NLD = run(block, tokens_NLD, checkpointing=checkpointing)
        return self.norm(tokens_NLD)


def init_as_scenic(net: nn.Module) -> None:
    """The initial weights of the authors' Flax modules."""
    for module in net.modules():
        if isinstance(module, nn.Conv3d):
            lecun_normal_(module.weight)
            nn.init.zeros_(module.bias)
        elif isinstance(module, Attention):
            for weight in (*module.qkv.weight.chunk(3), module.proj.weight):
                nn.init.xavier_uniform_(weight)
            nn.init.zeros_(module.qkv.bias)
            nn.init.zeros_(module.proj.bias)
        elif isinstance(module, Mlp):
            for linear in (module.fc1, module.fc2):
                nn.init.xavier_uniform_(linear.weight)
                nn.init.normal_(linear.bias, std=1e-6)
        elif isinstance(module, Positions):
            nn.init.normal_(module.cls_position, std=0.02)
            nn.init.normal_(module.table, std=0.02)


class ViViT(Backbone):
    """ViViT: clips (B, 3, T, H, W) → map (B, 768, ceil(T/2), 1, 1); joint: ceil(H/16) x ceil(W/16).

    114,636,288 parameters and 35.060 G multiply-accumulates for 16 x 112 x 112 (joint: 86,539,008 and
    36.689 G). Any clip size works: an odd last frame is repeated, zeros fill the last patches below and to
    the right, and positions are interpolated (linearly, as the authors' code does).
    """

    api_version = 1
    Options = ViViTOptions
    key_maps = KEY_MAPS
    paper = "https://arxiv.org/abs/2103.15691"

    def __init__(self, options: Any, clip: ClipSpec) -> None:
        super().__init__(options, clip)
        width, heads, depth = VIT_SIZES[options.size]
        late = depth if options.size == "large" else 4
        grid = grid_of(clip, PATCH_THW)
        make = partial(Encoder, width, heads=heads, drop_path=options.drop_path)
        self.embed_dim = width
        self.pool = options.pool
        self.checkpointing = options.checkpointing
        self.tubelets = nn.Conv3d(3, width, PATCH_THW, PATCH_THW)
        depth = options.depth or depth
        self.encoders = nn.ModuleDict()
        if options.attention == "joint":
            self.encoders["joint"] = make(depth=depth, grid=grid)
        else:
            self.encoders["spatial"] = make(depth=depth, grid=grid[1:])
            self.encoders["temporal"] = make(depth=options.temporal_depth or late, grid=grid[:1])
        init_as_scenic(self)

    def _encode(self, video_BCTHW: Tensor) -> tuple[Tensor, Size3d]:
        """Tokens (B, 1 + L, D), the class token first, and their grid.

        Raises:
            UsageError: Not (B, 3, T, H, W), or an empty axis.
        """
        video_BCTHW = check_and_pad(video_BCTHW, name="ViViT", patch_THW=PATCH_THW, repeat_frames=True)
        map_BDTHW = self.tubelets(video_BCTHW)
        frames, height, width = map_BDTHW.shape[2:]
        if "joint" in self.encoders:
            tokens_BLD = rearrange(map_BDTHW, "b d t h w -> b (t h w) d")
            grid = (frames, height, width)
            return self.encoders["joint"](tokens_BLD, grid, checkpointing=self.checkpointing), grid
        tokens_NLD = rearrange(map_BDTHW, "b d t h w -> (b t) (h w) d")
        tokens_NLD = self.encoders["spatial"](tokens_NLD, (height, width), checkpointing=self.checkpointing)
        steps_BTD = rearrange(tokens_NLD[:, 0], "(b t) d -> b t d", t=frames)
        steps_BTD = self.encoders["temporal"](steps_BTD, (frames,), checkpointing=self.checkpointing)
        return steps_BTD, (frames, 1, 1)

    def forward_features(self, video_BCTHW: Tensor) -> Tensor:
        """(B, 3, T, H, W) → (B, D, ceil(T/2), 1, 1), with joint attention (…, ceil(H/16), ceil(W/16)).

        Raises:
            UsageError: Not (B, 3, T, H, W), or an empty axis.
        """
        tokens_BLD, (frames, height, _) = self._encode(video_BCTHW)
        return rearrange(tokens_BLD[:, 1:], "b (t h w) d -> b d t h w", t=frames, h=height)

    def forward(self, video_BCTHW: Tensor) -> Tensor:
        """(B, 3, T, H, W) → (B, D): the mean over the map, or with `pool="cls"` the class token."""
        if self.pool == "mean":
            return super().forward(video_BCTHW)
        return self._encode(video_BCTHW)[0][:, 0]

    def stages(self) -> Mapping[str, nn.Module]:
        """Tubelets, then of each encoder positions, blocks, norm; spatial ones see (B·T', 1 + H'·W', D)."""
        stages: dict[str, nn.Module] = {"tubelets": self.tubelets}
        for name, encoder in self.encoders.items():
            stages[f"{name}.positions"] = encoder.positions
            stages |= {f"{name}.blocks.{number}": block for number, block in enumerate(encoder.blocks)}
            stages[f"{name}.norm"] = encoder.norm
        return stages
