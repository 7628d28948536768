"""Weights that MViT loads: SlowFast's, pytorchvideo's and torchvision's, projections joint or split."""

from __future__ import annotations

from torch import nn

from vssl_core.weights import KeyMap
from vssl_plugins.backbones.token_weights import OTHER_SIZE, Tensors, fit_tables, join_qkv, square

__all__ = ["KEY_MAPS"]


def _positions(tensors: Tensors, module: nn.Module) -> Tensors:
    """Tables in the form that the network keeps them in, and of its size."""
    tensors = join_qkv(tensors)
    for name in ("cls_token", "cls_position"):
        if f"positions.{name}" in tensors:
            tensors[f"positions.{name}"] = tensors[f"positions.{name}"].reshape(1, 1, -1)
    if "positions.space" in tensors:
        tensors["positions.space"] = square(tensors["positions.space"].flatten(0, -2))
    if "positions.time" in tensors:
        tensors["positions.time"] = tensors["positions.time"].flatten(0, -2)
    return fit_tables(tensors, module)


def _flat_positions(tensors: Tensors) -> Tensors:
    """Tables as torchvision keeps them: the class token's (D,), of places (H'·W', D), of time (T', D)."""
    flat = {}
    for name, tensor in tensors.items():
        table = tensor.flatten(0, -2) if name.startswith("pos_encoding.") else tensor
        flat[name] = table[0] if name.startswith("pos_encoding.class_") else table
    return flat


_DISTANCES = (r"\.attn\.rel_pos_", ".attn.distances.rel_pos_")
_OF_SLOWFAST = (
    (r"^cls_token$", "positions.cls_token"),
    (r"^pos_embed_class$", "positions.cls_position"),
    (r"^pos_embed_spatial$", "positions.space"),
    (r"^pos_embed_temporal$", "positions.time"),
    (r"\.attn\.pool_(q|k|v)\.weight$", r".attn.pool_\1.pool.weight"),
    (r"\.attn\.norm_(q|k|v)\.", r".attn.pool_\1.norm."),
)

SLOWFAST = KeyMap(
    "SlowFast MViT",
    recognise=(r"patch_embed\.proj\.", r"blocks\.0\.attn\.pool_k\.weight"),
    rename=(
        (r"^patch_embed\.proj\.", "patch_embed."),
        *_OF_SLOWFAST,
        _DISTANCES,
    ),
    drop=(r"head\.",),
    convert=_positions,
)
PYTORCHVIDEO = KeyMap(
    "pytorchvideo MViT",
    recognise=(r"patch_embed\.patch_model\.", r"cls_positional_encoding\.cls_token"),
    rename=(
        (r"^patch_embed\.patch_model\.", "patch_embed."),
        (r"^cls_positional_encoding\.", ""),
        *_OF_SLOWFAST,
        (r"^norm_embed\.", "norm."),
    ),
    drop=(r"head\.",),
    convert=_positions,
)
TORCHVISION = KeyMap(
    "torchvision mvit",
    recognise=(r"conv_proj\.", r"pos_encoding\.class_token"),
    rename=(
        (r"^conv_proj\.", "patch_embed."),
        (r"^pos_encoding\.class_token$", "positions.cls_token"),
        (r"^pos_encoding\.class_pos$", "positions.cls_position"),
        (r"^pos_encoding\.spatial_pos$", "positions.space"),
        (r"^pos_encoding\.temporal_pos$", "positions.time"),
        (r"\.attn\.project\.0\.", ".attn.proj."),
        (r"\.norm_act\.0\.", ".norm."),
        (r"\.project\.", ".proj."),
        (r"\.mlp\.0\.", ".mlp.fc1."),
        (r"\.mlp\.3\.", ".mlp.fc2."),
        _DISTANCES,
    ),
    drop=(r"head\.",),
    convert=_positions,
    back=(
        (r"^patch_embed\.", "conv_proj."),
        (r"^positions\.cls_token$", "pos_encoding.class_token"),
        (r"^positions\.cls_position$", "pos_encoding.class_pos"),
        (r"^positions\.space$", "pos_encoding.spatial_pos"),
        (r"^positions\.time$", "pos_encoding.temporal_pos"),
        (r"\.attn\.proj\.", ".attn.project.0."),
        (r"^(blocks\.\d+)\.proj\.", r"\1.project."),
        (r"\.(pool_[qkv])\.norm\.", r".\1.norm_act.0."),
        (r"\.mlp\.fc1\.", ".mlp.0."),
        (r"\.mlp\.fc2\.", ".mlp.3."),
        (r"\.distances\.", "."),
    ),
    convert_back=_flat_positions,
)

KEY_MAPS = (OTHER_SIZE, SLOWFAST, PYTORCHVIDEO, TORCHVISION)
