"""The steps after the crop on a CPU: uint8 through OpenCV, in the loader's threads.

Bit for bit what `batched.apply_pixels_batched` gives, by the rules in `arithmetic`. Every function below
changes its clip in place or returns a new one; OpenCV and numpy release the GIL meanwhile. A clip seen
as one tall image, its frames below one another, takes one call.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import cv2
import numpy as np

from vssl_core.augmentation.arithmetic import (
    FACTOR_UNITS,
    HUE_BIAS,
    HUE_UNITS,
    ROW_UNITS,
    TAP_UNITS,
    gamma_table,
    gaussian_taps,
    mean_luma,
    to_units,
    towards_luma,
)
from vssl_core.augmentation.drawn import (
    Blurred,
    DrawnView,
    Flipped,
    GammaCurved,
    Greyed,
    Jittered,
    Mixed,
    Solarized,
    Turned,
    acts,
)
from vssl_core.errors import ContractError

__all__ = ["apply_pixels"]

# OpenCV's pool is one per process: called from the loader's threads it would have more workers than the
# machine has cores. Clips are what runs in parallel.
cv2.setNumThreads(1)

_TURNS = {1: cv2.ROTATE_90_COUNTERCLOCKWISE, 2: cv2.ROTATE_180, 3: cv2.ROTATE_90_CLOCKWISE}
_ONE = np.ones(1, np.float32)


def apply_pixels(frames_TSSC: np.ndarray, drawn: DrawnView) -> np.ndarray:
    """Apply everything after the crop, alike to all frames, in the declared order.

    Flip, quarter turn, grayscale, gamma and solarise are exact; brightness, contrast, saturation, hue
    and temporal mix are exact before one rounding to uint8; blur is within a quarter of a level of the
    ideal kernel before it. Each is within one level of torchvision's functional form.

    Args:
        frames_TSSC: uint8 (T, S, S, 3); not changed.
        drawn: Drawn for this T.

    Returns:
        uint8 (T, S, S, 3), contiguous and the caller's own.

    Raises:
        ContractError: The frames are not uint8 (T, S, S, 3), or T is not the one drawn for.
    """
    shape = frames_TSSC.shape
    if frames_TSSC.dtype != np.uint8 or len(shape) != 4 or shape[1] != shape[2] or shape[3] != 3:
        raise ContractError(f"expected uint8 frames (T, S, S, 3); got {frames_TSSC.dtype} {shape}.")
    clip = frames_TSSC.copy()
    for step in drawn.pixels:
        if acts(step):
            clip = _CHANGES[type(step)](clip, step)
    return clip


def _tall(clip_TSSC: np.ndarray) -> np.ndarray:
    return clip_TSSC.reshape(-1, *clip_TSSC.shape[2:])


def _like(clip_TSSC: np.ndarray, tall: np.ndarray) -> np.ndarray:
    return tall.reshape(clip_TSSC.shape)


def _flip(clip_TSSC: np.ndarray, step: Flipped) -> np.ndarray:
    del step
    return _like(clip_TSSC, cv2.flip(_tall(clip_TSSC), 1))


def _turn(clip_TSSC: np.ndarray, step: Turned) -> np.ndarray:
    out = np.empty_like(clip_TSSC)
    for frame, turned in zip(clip_TSSC, out, strict=True):
        cv2.rotate(frame, _TURNS[step.turns], dst=turned)
    return out


def _mix(clip_TSSC: np.ndarray, step: Mixed) -> np.ndarray:
    if step.frame >= len(clip_TSSC):
        raise ContractError(f"{step} was drawn for a longer clip than this of {len(clip_TSSC)} frames.")
    mixed_in = clip_TSSC[step.frame].copy()
    for frame in clip_TSSC:
        cv2.addWeighted(frame, 1 - step.weight, mixed_in, step.weight, 0, dst=frame)
    return clip_TSSC


def _gamma(clip_TSSC: np.ndarray, step: GammaCurved) -> np.ndarray:
    return _like(clip_TSSC, cv2.LUT(_tall(clip_TSSC), gamma_table(step.gamma)))


def _solarize(clip_TSSC: np.ndarray, step: Solarized) -> np.ndarray:
    levels = np.arange(256, dtype=np.uint8)
    table = np.where(levels >= step.threshold, 255 - levels, levels)
    return _like(clip_TSSC, cv2.LUT(_tall(clip_TSSC), table))


# --------------------------------------------------------------------------------------------- colour


def _luma(tall: np.ndarray) -> np.ndarray:
    """Luma, three times as a colour image."""
    return cv2.cvtColor(cv2.cvtColor(tall, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)


def _grey(clip_TSSC: np.ndarray, step: Greyed) -> np.ndarray:
    del step
    return _like(clip_TSSC, _luma(_tall(clip_TSSC)))


def _jitter(clip_TSSC: np.ndarray, step: Jittered) -> np.ndarray:
    tall = _tall(clip_TSSC)
    for component in step.order:
        match component:
            case "brightness":
                cv2.convertScaleAbs(tall, alpha=step.brightness, dst=tall)
            case "contrast":
                red, green, blue, _ = map(int, cv2.sumElems(tall))
                luma = mean_luma(red, green, blue, tall.size // 3)
                _blend(tall, step.contrast, tall, 0, luma)
            case "saturation":
                _blend(tall, step.saturation, _luma(tall), 1 - step.saturation, 0)
            case "hue":
                _shift_hue(clip_TSSC, step.hue)
    return clip_TSSC


def _blend(tall: np.ndarray, factor: float, other: np.ndarray, weight: float, luma: int) -> None:
    """tall ← factor · tall + weight · other + what `towards_luma` gives for (factor, luma)."""
    offset = towards_luma(to_units(factor, FACTOR_UNITS), luma) / FACTOR_UNITS
    cv2.addWeighted(tall, factor, other, weight, offset, dst=tall)


def _shift_hue(clip_TSSC: np.ndarray, turns: float) -> None:
    """Exact to the bit for every colour, since `HUE_BIAS` is above the error of the conversions."""
    degrees = np.float32(to_units(turns, HUE_UNITS) % HUE_UNITS * 360 / HUE_UNITS)  # never negative
    for frame in clip_TSSC:
        rgb = frame.astype(np.float32)
        hsv = cv2.cvtColor(rgb, cv2.COLOR_RGB2HSV)
        hsv[..., 0] += degrees
        cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB, dst=rgb)
        cv2.convertScaleAbs(rgb, beta=HUE_BIAS, dst=frame)


# ----------------------------------------------------------------------------------------------- blur


def _blur(clip_TSSC: np.ndarray, step: Blurred) -> np.ndarray:
    """Rows, rounded to quarters of a level, then columns: every sum is exact in float32."""
    outwards = gaussian_taps(step.sigma, step.size).astype(np.float32) / TAP_UNITS
    taps = np.concatenate([outwards[:0:-1], outwards])
    for frame in clip_TSSC:
        rows = cv2.sepFilter2D(frame, cv2.CV_32F, taps * ROW_UNITS, _ONE)  # BORDER_REFLECT_101
        np.rint(rows, out=rows)
        columns = cv2.sepFilter2D(rows, cv2.CV_32F, _ONE, taps / ROW_UNITS)
        cv2.convertScaleAbs(columns, dst=frame)
    return clip_TSSC


_CHANGES: Mapping[type, Callable[[np.ndarray, Any], np.ndarray]] = {
    Flipped: _flip,
    Turned: _turn,
    Jittered: _jitter,
    Greyed: _grey,
    GammaCurved: _gamma,
    Blurred: _blur,
    Solarized: _solarize,
    Mixed: _mix,
}
