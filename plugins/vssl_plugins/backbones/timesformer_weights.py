"""Weights that TimeSformer loads: the authors' files, Hugging Face's, and image ViTs of timm.

An image ViT initialises it as the authors' loader does: temporal attention and its norm are copies of those
in space; `temporal_fc` and the positions in time stay as initialised, at zero.
"""

from __future__ import annotations

import re

from torch import nn

from vssl_core.weights import KeyMap
from vssl_plugins.backbones.token_weights import OTHER_SIZE, Tensors, fit_tables, split_positions, square

__all__ = ["KEY_MAPS"]

TABLE = "embed.positions.table"


def _positions(tensors: Tensors, module: nn.Module) -> Tensors:
    tensors = dict(split_positions(tensors, "pos_embed", prefix="embed.positions."))
    if TABLE in tensors:
        tensors[TABLE] = square(tensors[TABLE])
    if "embed.time" in tensors:
        tensors["embed.time"] = tensors["embed.time"].flatten(0, -2)
    return fit_tables(tensors, module)


def _from_image(tensors: Tensors, module: nn.Module) -> Tensors:
    """As the authors' loader: what the image model has in space is copied to time."""
    copies = {}
    wanted = module.state_dict()
    for key, tensor in tensors.items():
        copy = re.sub(r"^(blocks\.\d+\.)(attn|norm1)\.", r"\1temporal_\2.", key)
        if copy != key and copy in wanted:
            copies[copy] = tensor
    return _positions({**copies, **tensors}, module)


AUTHORS = KeyMap(
    "TimeSformer of its authors",
    recognise=(r"patch_embed\.proj\.", r"blocks\.0\.attn\.qkv\."),
    rename=(
        (r"^patch_embed\.", "embed."),
        (r"^cls_token$", "embed.positions.cls_token"),
        (r"^time_embed$", "embed.time"),
    ),
    drop=(r"head\.",),
    convert=_positions,
)
_LAYER = r"^(timesformer\.)?encoder\.layer\.(\d+)\."
HUGGING_FACE = KeyMap(
    "Hugging Face TimeSformer",
    recognise=(r"(timesformer\.)?encoder\.layer\.0\.attention\.attention\.qkv\.",),
    rename=(
        (r"^(timesformer\.)?embeddings\.patch_embeddings\.projection\.", "embed.proj."),
        (r"^(timesformer\.)?embeddings\.cls_token$", "embed.positions.cls_token"),
        (r"^(timesformer\.)?embeddings\.position_embeddings$", "pos_embed"),
        (r"^(timesformer\.)?embeddings\.time_embeddings$", "embed.time"),
        (_LAYER + r"temporal_attention\.attention\.", r"blocks.\2.temporal_attn."),
        (_LAYER + r"temporal_attention\.output\.dense\.", r"blocks.\2.temporal_attn.proj."),
        (_LAYER + r"temporal_dense\.", r"blocks.\2.temporal_fc."),
        (_LAYER + r"temporal_layernorm\.", r"blocks.\2.temporal_norm1."),
        (_LAYER + r"attention\.attention\.", r"blocks.\2.attn."),
        (_LAYER + r"attention\.output\.dense\.", r"blocks.\2.attn.proj."),
        (_LAYER + r"layernorm_before\.", r"blocks.\2.norm1."),
        (_LAYER + r"layernorm_after\.", r"blocks.\2.norm2."),
        (_LAYER + r"intermediate\.dense\.", r"blocks.\2.mlp.fc1."),
        (_LAYER + r"output\.dense\.", r"blocks.\2.mlp.fc2."),
        (r"^(timesformer\.)?layernorm\.", "norm."),
    ),
    drop=(r"classifier\.",),
    convert=_positions,
)
IMAGE = KeyMap(
    "image ViT of timm",
    recognise=AUTHORS.recognise,
    without=(r"blocks\.\d+\.temporal_",),
    rename=AUTHORS.rename,
    drop=(*AUTHORS.drop, r"pre_logits\."),
    initial=(r"blocks\.\d+\.temporal_fc\.", r"embed\.time$"),
    convert=_from_image,
)

KEY_MAPS = (OTHER_SIZE, AUTHORS, HUGGING_FACE, IMAGE)
