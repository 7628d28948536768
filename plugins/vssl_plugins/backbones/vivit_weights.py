"""Weights that ViViT loads: Hugging Face's joint model, in both of its layouts, and image ViTs of timm.

There is no published PyTorch checkpoint of the factorised encoder. An image ViT initialises it as in the
paper (section 3.4): the spatial encoder with its positions is the image model, whose patch kernel stands at
the central frame of a tubelet, and the temporal encoder stays as initialised. In the joint encoder every time
step gets the image's positions.
"""

from __future__ import annotations

from torch import Tensor, nn

from vssl_core.errors import WeightsError
from vssl_core.weights import KeyMap
from vssl_plugins.backbones.token_weights import (
    OTHER_SIZE,
    Tensors,
    fit_tables,
    inflate,
    join_qkv,
    split_positions,
    square,
)

__all__ = ["KEY_MAPS"]

TUBELET_FRAMES = 2
PUBLISHED_SIDE = 14  # patches along a side at 224 pixels


def _cube(table_LD: Tensor, grid: tuple[int, ...]) -> Tensor:
    """Flat positions of a clip → (T', H', W', D): of 224 pixels and any number of frames, or of this grid.

    Some numbers are those of both (3136 is 16 x 14 x 14 and 4 x 28 x 28): then what is published counts.
    """
    rows, area = table_LD.shape[0], PUBLISHED_SIDE**2
    frames, height, width = grid
    if rows % area == 0:
        return table_LD.unflatten(0, (rows // area, PUBLISHED_SIDE, PUBLISHED_SIDE))
    if rows == frames * height * width:
        return table_LD.unflatten(0, grid)
    raise WeightsError(f"expected positions of {grid} tokens or of 14 x 14 tokens a time step; got {rows}")


def _joint(tensors: Tensors, module: nn.Module) -> Tensors:
    wanted = module.state_dict().get("encoders.joint.positions.table")
    if wanted is None:
        raise WeightsError("this is a joint model; set -o backbone.attention=joint")
    tensors = split_positions(join_qkv(tensors), "position_embeddings", prefix="encoders.joint.positions.")
    table_LD = tensors.get("encoders.joint.positions.table")
    if table_LD is not None:
        tensors = {**tensors, "encoders.joint.positions.table": _cube(table_LD, tuple(wanted.shape[:-1]))}
    return fit_tables(tensors, module)


def _from_image(tensors: Tensors, module: nn.Module, *, encoder: str) -> Tensors:
    table = f"encoders.{encoder}.positions.table"
    wanted = module.state_dict().get(table)
    if wanted is None:
        raise WeightsError(f"the network has no {encoder} encoder")
    tensors = split_positions(tensors, "pos_embed", prefix=f"encoders.{encoder}.positions.")
    tensors = inflate(tensors, "tubelets.weight", frames=TUBELET_FRAMES, central=True)
    if table in tensors:
        space_HWD = square(tensors[table])
        time = (wanted.shape[0],) if wanted.ndim == 4 else ()
        tensors = {**tensors, table: space_HWD.expand(*time, *space_HWD.shape)}
    return fit_tables(tensors, module)


def _into_joint(tensors: Tensors, module: nn.Module) -> Tensors:
    return _from_image(tensors, module, encoder="joint")


def _into_spatial(tensors: Tensors, module: nn.Module) -> Tensors:
    return _from_image(tensors, module, encoder="spatial")


_BLOCK = r"^encoders\.joint\.blocks\.(\d+)\."
_EMBEDDINGS = (
    (r"^(vivit\.)?embeddings\.patch_embeddings\.projection\.", "tubelets."),
    (r"^(vivit\.)?embeddings\.cls_token", "encoders.joint.positions.cls_token"),
    (r"^(vivit\.)?embeddings\.position_embeddings", "position_embeddings"),
    (r"^(vivit\.)?layernorm\.", "encoders.joint.norm."),
)
_NORMS = ((_BLOCK + r"layernorm_before\.", r"encoders.joint.blocks.\1.norm1."),)
_NORMS += ((_BLOCK + r"layernorm_after\.", r"encoders.joint.blocks.\1.norm2."),)
_HEADS = (r"classifier\.", r"(vivit\.)?pooler\.")

HUGGING_FACE_4 = KeyMap(
    "Hugging Face ViViT, saved by transformers 4",
    recognise=(r"(vivit\.)?encoder\.layer\.0\.attention\.attention\.query\.",),
    rename=(
        *_EMBEDDINGS,
        (r"^(vivit\.)?encoder\.layer\.(\d+)\.", r"encoders.joint.blocks.\2."),
        *_NORMS,
        (_BLOCK + r"attention\.attention\.(q|k|v)(uery|ey|alue)\.", r"encoders.joint.blocks.\1.attn.\2."),
        (_BLOCK + r"attention\.output\.dense\.", r"encoders.joint.blocks.\1.attn.proj."),
        (_BLOCK + r"intermediate\.dense\.", r"encoders.joint.blocks.\1.mlp.fc1."),
        (_BLOCK + r"output\.dense\.", r"encoders.joint.blocks.\1.mlp.fc2."),
    ),
    drop=_HEADS,
    convert=_joint,
)
HUGGING_FACE_5 = KeyMap(
    "Hugging Face ViViT, saved by transformers 5",
    recognise=(r"(vivit\.)?layers\.0\.attention\.q_proj\.",),
    rename=(
        *_EMBEDDINGS,
        (r"^(vivit\.)?layers\.(\d+)\.", r"encoders.joint.blocks.\2."),
        *_NORMS,
        (_BLOCK + r"attention\.(q|k|v)_proj\.", r"encoders.joint.blocks.\1.attn.\2."),
        (_BLOCK + r"attention\.o_proj\.", r"encoders.joint.blocks.\1.attn.proj."),
    ),
    drop=_HEADS,
    convert=_joint,
)


def _image(encoder: str) -> tuple[tuple[str, str], ...]:
    return (
        (r"^patch_embed\.proj\.", "tubelets."),
        (r"^cls_token$", f"encoders.{encoder}.positions.cls_token"),
        (r"^(blocks|norm)\.", rf"encoders.{encoder}.\1."),
    )


IMAGE_JOINT = KeyMap(
    "image ViT of timm, into the joint encoder",
    recognise=(r"patch_embed\.proj\.", r"blocks\.0\.attn\.qkv\."),
    rename=_image("joint"),
    drop=(r"head\.", r"pre_logits\."),
    convert=_into_joint,
)
IMAGE_SPATIAL = KeyMap(
    "image ViT of timm, into the spatial encoder",
    recognise=IMAGE_JOINT.recognise,
    rename=_image("spatial"),
    drop=IMAGE_JOINT.drop,
    initial=(r"encoders\.temporal\.",),
    convert=_into_spatial,
)

KEY_MAPS = (OTHER_SIZE, HUGGING_FACE_5, HUGGING_FACE_4, IMAGE_SPATIAL, IMAGE_JOINT)
