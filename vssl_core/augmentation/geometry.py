"""Frames → the crop of a view: an optional rotation, then one resize straight to the crop's size."""

from __future__ import annotations

from math import cos, radians, sin

import cv2
import numpy as np
import torch
from torch.nn.functional import grid_sample, interpolate

from vssl_core.augmentation.drawn import Box, DrawnView
from vssl_core.errors import ContractError

__all__ = ["apply_geometry"]


def apply_geometry(frames_THWC: np.ndarray, drawn: DrawnView, *, crop_size: int) -> np.ndarray:
    """Rotate, crop and resize all frames of a clip alike.

    Both interpolations are bilinear: the rotation with black beyond the frame, the resize antialiased
    (torch's uint8 kernel, which is torchvision's own). Only the pixels of the crop are rotated.

    Args:
        frames_THWC: uint8 (T, H, W, 3) of any strides; not changed, not kept.
        drawn: Drawn for this H and W.
        crop_size: S, in pixels.

    Returns:
        uint8 (T, S, S, 3), contiguous and the caller's own.

    Raises:
        ContractError: The frames are not uint8 (T, H, W, 3), or the box does not lie within them.
    """
    _check(frames_THWC, drawn.crop)
    box = drawn.crop
    if drawn.degrees:
        crop = _rotated(frames_THWC, drawn.degrees, box)
    else:
        crop = frames_THWC[:, box.top : box.top + box.height, box.left : box.left + box.width].copy()
    if crop.shape[1:3] == (crop_size, crop_size):
        return crop
    video_TCHW = torch.from_numpy(crop).permute(0, 3, 1, 2)  # channels-last memory, as the kernel likes
    resized_TCSS = interpolate(video_TCHW, size=(crop_size, crop_size), mode="bilinear", antialias=True)
    resized: np.ndarray = resized_TCSS.permute(0, 2, 3, 1).contiguous().numpy()
    return resized


def _check(frames_THWC: np.ndarray, box: Box) -> None:
    if frames_THWC.dtype != np.uint8 or frames_THWC.ndim != 4 or frames_THWC.shape[3] != 3:
        raise ContractError(
            f"expected uint8 frames (T, H, W, 3); got {frames_THWC.dtype} {frames_THWC.shape}."
        )
    height, width = frames_THWC.shape[1:3]
    if box.top + box.height > height or box.left + box.width > width:
        raise ContractError(
            f"{box} was drawn for larger frames than these of {height}x{width}; "
            "draw with the height and width of the frames."
        )


def _rotated(frames_THWC: np.ndarray, degrees: float, box: Box) -> np.ndarray:
    """The box of the frames rotated counter-clockwise about their centre.

    Not by OpenCV: before version 5 its warpAffine and remap place pixels on a grid of 1/32 only.
    """
    height, width = frames_THWC.shape[1:3]
    c, s = cos(radians(degrees)), sin(radians(degrees))
    x_S = torch.arange(box.left, box.left + box.width) - (width - 1) / 2  # seen from the centre
    y_S1 = (torch.arange(box.top, box.top + box.height) - (height - 1) / 2)[:, None]
    source_x, source_y = c * x_S - s * y_S1, s * x_S + c * y_S1
    grid = torch.stack([source_x * (2 / width), source_y * (2 / height)], dim=-1)
    # All frames as channels of one image: one grid for all, and torch keeps to the calling thread.
    tall = np.ascontiguousarray(frames_THWC).reshape(-1, width, 3)
    planes = np.stack(cv2.split(tall)).astype(np.float32).reshape(1, -1, height, width)
    rotated = grid_sample(torch.from_numpy(planes), grid[None], mode="bilinear", align_corners=False).numpy()
    levels = np.rint(rotated, out=rotated).astype(np.uint8).reshape(3, -1, box.width)
    merged: np.ndarray = cv2.merge(list(levels))
    return merged.reshape(-1, box.height, box.width, 3)
