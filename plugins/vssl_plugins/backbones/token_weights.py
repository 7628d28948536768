"""What the key maps of the transformers share: positions of other sizes, split projections, image kernels.

Each function takes and gives the tensors of a file, renamed to the backbone's names as far as a map goes.
"""

from __future__ import annotations

import math
import re

import torch
from torch import Tensor, nn

from vssl_core.errors import WeightsError
from vssl_core.weights import KeyMap
from vssl_plugins.backbones.tokens import resize_table

__all__ = ["OTHER_SIZE", "Tensors", "fit_tables", "inflate", "join_qkv", "split_positions", "square"]

Tensors = dict[str, Tensor]

_TABLE = re.compile(r".*(positions\.(table|space|time)|embed\.time|rel_pos_[thw])$")


def fit_tables(tensors: Tensors, module: nn.Module) -> Tensors:
    """Tables of positions and distances, interpolated to the network's where they have the same axes."""
    wanted = module.state_dict()
    fitted = dict(tensors)
    for key, table in tensors.items():
        if _TABLE.match(key) and key in wanted and table.ndim == wanted[key].ndim:
            fitted[key] = resize_table(table, wanted[key].shape[:-1])
    return fitted


OTHER_SIZE = KeyMap("names of vssl, clips of another size", convert=fit_tables)
"""The backbone's own names, from a network that was built for other clips: positions are interpolated."""


def square(table_LD: Tensor) -> Tensor:
    """Positions of a square frame, (L, D) → (√L, √L, D).

    Raises:
        WeightsError: L is no square.
    """
    side = math.isqrt(table_LD.shape[0])
    if side * side != table_LD.shape[0]:
        raise WeightsError(f"expected positions of a square frame; got {table_LD.shape[0]}")
    return table_LD.unflatten(0, (side, side))


def split_positions(tensors: Tensors, name: str, *, prefix: str) -> Tensors:
    """Positions `name` (1, 1 + L, D) become `cls_position` (1, 1, D) and `table` (L, D) under `prefix`."""
    if name not in tensors:
        return tensors
    tensors = dict(tensors)
    positions = tensors.pop(name)
    if positions.ndim != 3 or positions.shape[0] != 1:
        raise WeightsError(f"expected {name} of shape (1, 1 + L, D); got {tuple(positions.shape)}")
    return tensors | {f"{prefix}cls_position": positions[:, :1], f"{prefix}table": positions[0, 1:]}


def join_qkv(tensors: Tensors, names: tuple[str, str, str] = ("q", "k", "v")) -> Tensors:
    """Projections `X.q`, `X.k` and `X.v` become one, `X.qkv`; an incomplete three is left as it is."""
    joined = dict(tensors)
    first = re.compile(rf"(.*\.){re.escape(names[0])}\.(weight|bias)")
    for key in tensors:
        match = first.fullmatch(key)
        parts = [f"{match[1]}{name}.{match[2]}" for name in names] if match else []
        if match and all(part in tensors for part in parts):
            joined[f"{match[1]}qkv.{match[2]}"] = torch.cat([joined.pop(part) for part in parts])
    return joined


def inflate(tensors: Tensors, key: str, *, frames: int, central: bool) -> Tensors:
    """An image's patch kernel (D, 3, H, W) becomes one of a clip, (D, 3, frames, H, W).

    Args:
        tensors: With the kernel.
        key: Its name.
        frames: Frames of a patch.
        central: The kernel stands at the central frame and the others are zero (ViViT, section 3.4);
            else each frame has its share of it (the inflation of I3D).

    Raises:
        WeightsError: There is no such kernel, or it is not an image's.
    """
    kernel = tensors.get(key)
    if kernel is None or kernel.ndim != 4:
        found = "none" if kernel is None else f"one of shape {tuple(kernel.shape)}"
        raise WeightsError(f"expected an image's patch kernel (D, 3, H, W) as {key}; got {found}")
    inflated = kernel[:, :, None].repeat(1, 1, frames, 1, 1) / frames
    if central:
        inflated = torch.zeros_like(inflated)
        inflated[:, :, frames // 2] = kernel
    return {**tensors, key: inflated}
