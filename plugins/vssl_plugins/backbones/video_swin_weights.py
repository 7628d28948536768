"""Weights that Video Swin loads: the authors' files, torchvision's, and image Swins, inflated.

An image Swin initialises it as the authors' loader does: each of the two frames of a patch gets half of the
image's kernel, and the table of biases is the same for every distance in time.
"""

from __future__ import annotations

from torch import nn

from vssl_core.errors import WeightsError
from vssl_core.weights import KeyMap
from vssl_plugins.backbones.token_weights import Tensors, inflate

__all__ = ["KEY_MAPS"]

PATCH_FRAMES = 2
DISTANCES_T = 15  # 1 - 8 to 8 - 1
DISTANCES_HW = 13 * 13
_BUFFERS = (r".*\.relative_position_index$", r".*\.attn_mask$")


def _from_image(tensors: Tensors, module: nn.Module) -> Tensors:
    del module
    tensors = inflate(tensors, "patch_embed.proj.weight", frames=PATCH_FRAMES, central=False)
    for key, table in tensors.items():
        if key.endswith("relative_position_bias_table"):
            if table.shape[0] != DISTANCES_HW:
                rows = f"{DISTANCES_HW} rows, of windows of 7 x 7"
                raise WeightsError(f"expected bias tables of {rows}; {key} has {table.shape[0]}")
            tensors[key] = table.repeat(DISTANCES_T, 1)
    return tensors


AUTHORS = KeyMap(
    "Video Swin of its authors",
    recognise=(r"patch_embed\.proj\.", r"layers\.0\.downsample\."),
    drop=(r"cls_head\.", r"head\.", *_BUFFERS),
)
TORCHVISION = KeyMap(
    "torchvision swin3d",
    recognise=(r"features\.0\.0\.attn\.relative_position_bias_table",),
    rename=(
        *((rf"^features\.{2 * stage}\.", f"layers.{stage}.blocks.") for stage in range(4)),
        *((rf"^features\.{2 * stage + 1}\.", f"layers.{stage}.downsample.") for stage in range(3)),
        (r"\.mlp\.0\.", ".mlp.fc1."),
        (r"\.mlp\.3\.", ".mlp.fc2."),
    ),
    drop=(r"head\.", *_BUFFERS),
)
IMAGE_TIMM = KeyMap(
    "image Swin of timm",
    recognise=(r"layers\.3\.downsample\.",),
    # timm merges at the start of a stage, the authors at the end of the one before.
    rename=tuple(
        (rf"^layers\.{stage + 1}\.downsample\.", f"layers.{stage}.downsample.") for stage in range(3)
    ),
    drop=(r"head\.", *_BUFFERS),
    convert=_from_image,
)
IMAGE_AUTHORS = KeyMap(
    "image Swin of its authors",
    recognise=AUTHORS.recognise,
    drop=(r"head\.", *_BUFFERS),
    convert=_from_image,
)

KEY_MAPS = (AUTHORS, TORCHVISION, IMAGE_TIMM, IMAGE_AUTHORS)
