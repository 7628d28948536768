"""What every convolutional backbone asks of the clips it is given, with one error text for all."""

from __future__ import annotations

from math import ceil

from torch import Tensor

from vssl_core.errors import UsageError

__all__ = ["Size3d", "check_clips", "map_shape"]

Size3d = tuple[int, int, int]


def map_shape(video_BCTHW: Tensor, stride_THW: Size3d) -> tuple[int, int, int]:
    """Size (T', H', W') of the last map where every halving rounds up, so that no axis vanishes."""
    frames, height, width = video_BCTHW.shape[2:]
    return (
        ceil(frames / stride_THW[0]),
        ceil(height / stride_THW[1]),
        ceil(width / stride_THW[2]),
    )


def check_clips(video_BCTHW: Tensor, *, name: str, stride_THW: Size3d, training: bool) -> None:
    """Refuse clips that the network cannot use, before a layer deep inside does so cryptically.

    Every halving rounds up, so that any clip of at least one frame and one pixel leaves a map of at
    least 1 x 1 x 1. In train mode BatchNorm needs two values per channel in the last map as well: one
    clip whose map is 1 x 1 x 1 has no variance, and its features would not depend on its pixels.

    Raises:
        UsageError: Not (B, 3, T, H, W), an empty axis, or a single value per channel in train mode.
    """
    if video_BCTHW.ndim != 5 or video_BCTHW.shape[1] != 3 or 0 in video_BCTHW.shape:
        raise UsageError(
            f"{name} takes float clips (B, 3, T, H, W) with B, T, H and W of 1 or more; got "
            f"{tuple(video_BCTHW.shape)}. Its last map is ceil(T/{stride_THW[0]}) x "
            f"ceil(H/{stride_THW[1]}) x ceil(W/{stride_THW[2]})."
        )
    frames, height, width = map_shape(video_BCTHW, stride_THW)
    if training and video_BCTHW.shape[0] * frames * height * width == 1:
        raise UsageError(
            f"{name} in train mode takes two or more clips, or clips of more than {stride_THW[0]} frames "
            f"or {stride_THW[1]} pixels: BatchNorm cannot normalise one value per channel; got "
            f"{tuple(video_BCTHW.shape)}. Raise the batch size, num_frames or crop_size, or call eval()."
        )
