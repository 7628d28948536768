"""The steps after the crop on a whole batch, in torch on any device, and the way to floats.

Bit for bit what `pixels.apply_pixels` gives, by the rules in `arithmetic`: elementwise float32 with
exact intermediates, so neither fused multiply-add nor TF32 nor autocast changes a level. All parameters
are known on the host, so nothing waits for the device: small tables are uploaded from pinned memory
without blocking, and a step runs on the samples that drew it only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vssl_core.augmentation.arithmetic import (
    FACTOR_UNITS,
    HUE_BIAS,
    HUE_UNITS,
    LUMA,
    LUMA_UNITS,
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

__all__ = ["apply_pixels_batched", "normalize"]


def apply_pixels_batched(video_BTSSC: Tensor, drawn: Sequence[DrawnView]) -> Tensor:
    """Apply everything after the crop to a batch, each sample with its own parameters.

    The result equals `apply_pixels` of each sample, bit for bit, on every device. No operation waits
    for the device, and none depends on pixel values in its shape.

    Args:
        video_BTSSC: uint8 (B, T, S, S, 3), contiguous; not changed.
        drawn: One per sample, all of the same declared view.

    Returns:
        uint8 (B, T, S, S, 3) on the same device, contiguous.

    Raises:
        ContractError: The video is not uint8 (B, T, S, S, 3), or `drawn` does not fit it.
    """
    _check(video_BTSSC, drawn)
    video = video_BTSSC.clone(memory_format=torch.contiguous_format)
    for steps in zip(*(view.pixels for view in drawn), strict=True):
        change = _CHANGES[type(steps[0])]
        video = _on_samples(video, steps, [acts(step) for step in steps], change)
    return video


def normalize(video_BTSSC: Tensor, *, mean: Sequence[float], std: Sequence[float], enabled: bool) -> Tensor:
    """Levels → floats: (x / 255 - mean) / std, or x / 255 alone where not enabled.

    Args:
        video_BTSSC: uint8 (B, T, H, W, 3).
        mean: Of R, G and B on [0, 1].
        std: Of the same.
        enabled: False keeps [0, 1], for targets.

    Returns:
        float32 (B, 3, T, H, W) in `torch.channels_last_3d` memory: the input's own order of axes, so
        the layout costs no copy.
    """
    video = video_BTSSC.to(torch.float32, memory_format=torch.contiguous_format)
    if not enabled:
        return video.div_(255).permute(0, 4, 1, 2, 3)
    width = video.shape[3]
    scale = [1 / (255 * s) for s in std]
    shift = [-m / s for m, s in zip(mean, std, strict=True)]
    # Whole rows (R, G, B, R, …) as the inner axis: an inner axis of three runs at a tenth of the speed.
    row = _upload([scale, shift], torch.float32, video.device).repeat(1, width)
    video.view(-1, width * 3).mul_(row[0]).add_(row[1])
    return video.permute(0, 4, 1, 2, 3)


def _check(video_BTSSC: Tensor, drawn: Sequence[DrawnView]) -> None:
    shape = tuple(video_BTSSC.shape)
    if video_BTSSC.dtype != torch.uint8 or len(shape) != 5 or shape[2] != shape[3] or shape[4] != 3:
        raise ContractError(f"expected uint8 video (B, T, S, S, 3); got {video_BTSSC.dtype} {shape}.")
    kinds = {tuple(type(step).__name__ for step in view.pixels) for view in drawn}
    if len(drawn) != shape[0] or len(kinds) > 1:
        raise ContractError(
            f"expected {shape[0]} draws of one view, one per sample; got {len(drawn)} of {len(kinds)} kinds."
        )
    for view in drawn:
        for step in view.pixels:
            if isinstance(step, Mixed) and step.frame >= shape[1]:
                raise ContractError(f"{step} was drawn for a longer clip than these of {shape[1]} frames.")


# ------------------------------------------------------------------------------ samples and parameters


def _upload(values: Any, dtype: torch.dtype, device: torch.device) -> Tensor:
    """A small table on the device, without waiting for it."""
    table = torch.as_tensor(np.asarray(values)).to(dtype)
    return table.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else table.to(device)


def _per_sample(values: Sequence[float], like_BTSSC: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    return _upload(values, dtype, like_BTSSC.device).view(-1, 1, 1, 1, 1)


Change = Callable[[Tensor, Sequence[Any]], Tensor]
"""(n, T, S, S, 3) uint8 and n steps of one kind → the same shape, uint8."""


def _on_samples(video: Tensor, steps: Sequence[Any], chosen: Sequence[bool], change: Change) -> Tensor:
    """Replace the chosen samples by `change` of them, in place where they are not all."""
    rows = [row for row, wanted in enumerate(chosen) if wanted]
    if not rows:
        return video
    if len(rows) == len(video):
        return change(video, steps)
    index = _upload(rows, torch.int64, video.device)
    return video.index_copy_(0, index, change(video.index_select(0, index), [steps[row] for row in rows]))


# ----------------------------------------------------------------------------------- places and levels


def _flip(video_BTSSC: Tensor, steps: Sequence[Flipped]) -> Tensor:
    del steps
    return video_BTSSC.flip(3)


def _turn(video_BTSSC: Tensor, steps: Sequence[Turned]) -> Tensor:
    for turns in (1, 2, 3):
        chosen = [step.turns == turns for step in steps]

        def turn(video: Tensor, _: Sequence[Turned], turns: int = turns) -> Tensor:
            return torch.rot90(video, turns, dims=(2, 3)).contiguous()

        video_BTSSC = _on_samples(video_BTSSC, steps, chosen, turn)
    return video_BTSSC


def _mix(video_BTSSC: Tensor, steps: Sequence[Mixed]) -> Tensor:
    frames = [row * video_BTSSC.shape[1] + step.frame for row, step in enumerate(steps)]
    index = _upload(frames, torch.int64, video_BTSSC.device)
    mixed_in = video_BTSSC.flatten(0, 1).index_select(0, index).unsqueeze(1)
    weight = _per_sample([step.weight for step in steps], video_BTSSC)
    return (video_BTSSC * (1 - weight) + mixed_in * weight).round_().to(torch.uint8)


def _gamma(video_BTSSC: Tensor, steps: Sequence[GammaCurved]) -> Tensor:
    tables = np.stack([gamma_table(step.gamma) for step in steps])
    levels = video_BTSSC.flatten(1).long()
    return _upload(tables, torch.uint8, video_BTSSC.device).gather(1, levels).view_as(video_BTSSC)


def _solarize(video_BTSSC: Tensor, steps: Sequence[Solarized]) -> Tensor:
    threshold = _per_sample([step.threshold for step in steps], video_BTSSC, torch.uint8)
    return torch.where(video_BTSSC >= threshold, 255 - video_BTSSC, video_BTSSC)


# --------------------------------------------------------------------------------------------- colour


def _luma(video_BTSSC: Tensor) -> Tensor:
    """Whole levels of luma, float32 (B, T, S, S, 1)."""
    red, green, blue = video_BTSSC.to(torch.float32).unbind(-1)
    weighted: Tensor = LUMA[0] * red + LUMA[1] * green + LUMA[2] * blue
    return weighted.add_(LUMA_UNITS // 2).div_(LUMA_UNITS).floor_().unsqueeze(-1)


def _grey(video_BTSSC: Tensor, steps: Sequence[Greyed]) -> Tensor:
    del steps
    return _luma(video_BTSSC).to(torch.uint8).expand_as(video_BTSSC).contiguous()


def _jitter(video_BTSSC: Tensor, steps: Sequence[Jittered]) -> Tensor:
    """One component of each sample at a time, since every sample has an order of its own."""
    for place in range(max(len(step.order) for step in steps)):
        now = [(step.order[place] if place < len(step.order) else None, step) for step in steps]
        hue = [component == "hue" for component, _ in now]
        blend = [component not in ("hue", None) for component, _ in now]
        video_BTSSC = _on_samples(video_BTSSC, now, hue, _shift_hue)
        video_BTSSC = _on_samples(video_BTSSC, now, blend, _blend)
    return video_BTSSC


def _blend(video_BTSSC: Tensor, now: Sequence[tuple[str, Jittered]]) -> Tensor:
    """factor · x + weight · luma + offset, the common form of brightness, contrast and saturation."""
    saturation = [component == "saturation" for component, _ in now]
    contrast = [component == "contrast" for component, _ in now]
    factors = [to_units(getattr(step, component), FACTOR_UNITS) for component, step in now]
    offsets = [towards_luma(f, 0) if s else 0 for f, s in zip(factors, saturation, strict=True)]
    table = _upload([factors, offsets, saturation, contrast], torch.int64, video_BTSSC.device)
    factor, offset, towards_pixel, towards_mean = table
    if any(contrast):
        red, green, blue = video_BTSSC.sum(dim=(1, 2, 3), dtype=torch.int64).unbind(1)
        luma = mean_luma(red, green, blue, video_BTSSC[0].numel() // 3)
        offset = offset + towards_mean * towards_luma(factor, luma)
    levels = [units.to(torch.float32).view(-1, 1, 1, 1, 1) / FACTOR_UNITS for units in (factor, offset)]
    video: Tensor = video_BTSSC * levels[0]
    if any(saturation):
        rest = (FACTOR_UNITS - factor) * towards_pixel
        video += _luma(video_BTSSC) * (rest.to(torch.float32).view(-1, 1, 1, 1, 1) / FACTOR_UNITS)
    return video.add_(levels[1]).round_().clamp_(0, 255).to(torch.uint8)


def _shift_hue(video_BTSSC: Tensor, now: Sequence[tuple[str, Jittered]]) -> Tensor:
    """Exact HSV rotation without a division: the hue times the spread of R, G and B, in sextants."""
    units = [to_units(step.hue, HUE_UNITS) for _, step in now]
    sextants = _per_sample([6 * unit / HUE_UNITS for unit in units], video_BTSSC).squeeze(-1)
    red, green, blue = video_BTSSC.to(torch.float32).unbind(-1)
    top, low = torch.maximum(torch.maximum(red, green), blue), torch.minimum(torch.minimum(red, green), blue)
    spread = top - low
    hue = torch.where(top == green, 2 * spread + blue - red, 4 * spread + red - green)
    hue = torch.where(top == red, green - blue, hue) + sextants * spread
    hue = torch.where(hue < 0, hue + 6 * spread, hue)
    hue = torch.where(hue >= 6 * spread, hue - 6 * spread, hue)
    ramps = (
        (hue - 3 * spread).abs() - spread,
        2 * spread - (hue - 2 * spread).abs(),
        2 * spread - (hue - 4 * spread).abs(),
    )
    shifted = [low + torch.minimum(ramp.clamp_min(0), spread) for ramp in ramps]
    return torch.stack(shifted, dim=-1).add_(HUE_BIAS).round_().to(torch.uint8)


# ----------------------------------------------------------------------------------------------- blur


def _blur(video_BTSSC: Tensor, steps: Sequence[Blurred]) -> Tensor:
    """Rows, rounded to quarters of a level, then columns, as sums of shifted clips."""
    kernels = [gaussian_taps(step.sigma, step.size) for step in steps]
    table = np.zeros((len(steps), max(map(len, kernels))), np.float32)
    for row, kernel in zip(table, kernels, strict=True):
        row[: len(kernel)] = kernel / TAP_UNITS
    taps = _upload(table, torch.float32, video_BTSSC.device)
    rows = _convolve(video_BTSSC.to(torch.float32), taps * ROW_UNITS, dim=3).round_()
    return _convolve(rows, taps / ROW_UNITS, dim=2).round_().to(torch.uint8)


def _convolve(video_BTSSC: Tensor, taps: Tensor, *, dim: int) -> Tensor:
    """Symmetric kernels (B, r + 1), given from the centre outwards; borders mirrored about the edge pixel."""
    size, reach = video_BTSSC.shape[dim], taps.shape[1] - 1
    place = torch.arange(-reach, size + reach, device=video_BTSSC.device).abs()
    padded = video_BTSSC.index_select(dim, size - 1 - (size - 1 - place).abs())
    weights = taps.view(*taps.shape, 1, 1, 1, 1)
    out = video_BTSSC * weights[:, 0]
    for shift in range(1, reach + 1):
        pair = padded.narrow(dim, reach - shift, size) + padded.narrow(dim, reach + shift, size)
        out.addcmul_(pair, weights[:, shift])
    return out


_CHANGES: Mapping[type, Change] = {
    Flipped: _flip,
    Turned: _turn,
    Jittered: _jitter,
    Greyed: _grey,
    GammaCurved: _gamma,
    Blurred: _blur,
    Solarized: _solarize,
    Mixed: _mix,
}
