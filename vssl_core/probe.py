"""Which precision and memory format this machine is fast in, by a short recorded probe of each backbone.

Neither is better everywhere. bfloat16 pays only where the hardware multiplies in it: on a CPU without such
units it costs several times the time of float32. `channels_last_3d` makes 3D convolutions faster on some
processors and slower on others. So training steps of this backbone are timed here, in turns, and what is
clearly faster than float32 in `channels_last_3d` memory is taken, for every cell of the run folder alike.
bfloat16 is tried only where the hardware says that it can, and taken only where features and gradients of
the probed step are nearly those of float32. Nearly is a cosine of 0.8 for gradients: with random weights and
BatchNorm the signs that ReLU turns make that of R(2+1)D 0.86 and that of SqueezeNet 0.54, which is refused;
gradients of two batches have one near 0. All steps draw the same: else masks of dropout and stochastic depth,
and not precisions, would be compared.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from vssl_core.errors import StoreError
from vssl_core.files import read_json, write_json
from vssl_core.interfaces import Backbone
from vssl_core.lease import hold
from vssl_core.precision import CHANNELS_LAST, FORMATS, autocast_factory, machine, to_device
from vssl_core.types import ClipSpec

__all__ = ["choose"]

_SCHEMA = 3
_USUAL = f"fp32 {CHANNELS_LAST}"
_GAIN = 0.97  # of the usual's seconds: less than that is worth another choice
_CLIPS = 4
_ROUNDS = 3  # after one to warm up
_ALIKE = {"features": 0.98, "gradients": 0.8}  # cosine to the usual's, at least


def choose(
    wanted: str,
    *,
    name: str,
    make: Callable[[], Backbone],
    clip: ClipSpec,
    device: torch.device,
    record: Path,
) -> dict[str, Any]:
    """Precision and memory format of this backbone on this machine, the same for every cell of a run folder.

    Several processes may ask at once: the first one probes, the others wait and read what it wrote.

    Args:
        wanted: The protocol's word: `auto`, `fp32` or `bf16`; the latter two come in `channels_last_3d`.
        name: Names the backbone with its options.
        make: Builds it.
        clip: Geometry of the clips.
        device: Where it will train.
        record: JSON file that keeps what was found.

    Returns:
        `{"precision", "memory_format", "why", …}` for the cell's record.
    """
    if wanted != "auto":
        return {"precision": wanted, "memory_format": CHANNELS_LAST, "why": "the protocol says so"}
    key = f"{name} | {clip} | {machine()}"
    record.parent.mkdir(parents=True, exist_ok=True)
    with hold(record.with_name(f"{record.name}.lease"), waiting=lambda _: None):
        known = _known(record)
        if key not in known:
            known[key] = _probed(make, clip, device)
            write_json(record, {"schema": _SCHEMA, "probes": known})
    found: dict[str, Any] = known[key]
    return found


def _known(record: Path) -> dict[str, Any]:
    if not record.exists():
        return {}
    try:
        probes: dict[str, Any] = read_json(record, schema=_SCHEMA)["probes"]
    except (StoreError, KeyError):
        return {}  # only a probe: it is made again
    return probes


# -------------------------------------------------------------------------------------------- the probe


@dataclass(frozen=True, slots=True)
class _Step:
    """One training step: its time, pooled features (B, D) and all gradients as one row."""

    seconds: float
    features_BD: Tensor
    gradients: Tensor


def _probed(make: Callable[[], Backbone], clip: ClipSpec, device: torch.device) -> dict[str, Any]:
    precisions = ("fp32", "bf16") if _has_bf16(device) else ("fp32",)
    modes = [f"{precision} {layout}" for precision in precisions for layout in FORMATS]
    networks = {mode: _network(make, mode, device) for mode in modes}
    shape = (_CLIPS, 3, clip.num_frames, clip.crop_size, clip.crop_size)
    video_BCTHW = torch.randn(shape, generator=torch.Generator().manual_seed(0)).to(device)
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        first = {mode: _step(networks[mode], video_BCTHW, mode) for mode in modes}
        seconds = {mode: float("inf") for mode in modes}
        for turn in range(_ROUNDS):
            for mode in modes if turn % 2 == 0 else reversed(modes):
                seconds[mode] = min(seconds[mode], _step(networks[mode], video_BCTHW, mode).seconds)
    alike = {mode: _likeness(first[mode], first[_USUAL]) for mode in modes}
    chosen, why = _best(seconds, alike)
    precision, layout = chosen.split()
    return {
        "precision": precision,
        "memory_format": layout,
        "why": why,
        "step_seconds": seconds,
        "cosine_to_fp32": alike,
    }


def _best(seconds: dict[str, float], alike: dict[str, dict[str, float]]) -> tuple[str, str]:
    """The mode to take, and why."""
    right = [m for m in seconds if all(alike[m][what] >= least for what, least in _ALIKE.items())]
    quickest = min([*right, _USUAL], key=seconds.__getitem__)
    if quickest == _USUAL or seconds[quickest] > _GAIN * seconds[_USUAL]:
        return _USUAL, "no probed training step was clearly faster"
    return quickest, "the fastest of the probed training steps"


def _has_bf16(device: torch.device) -> bool:
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    # Private in torch; where it is missing, assume that there are none.
    probe = getattr(torch.cpu, "_is_amx_tile_supported", None)
    return bool(probe()) if probe is not None else False


def _network(make: Callable[[], Backbone], mode: str, device: torch.device) -> nn.Module:
    return to_device(make(), device, memory_format=mode.split()[1]).train()


def _step(network: nn.Module, video_BCTHW: Tensor, mode: str) -> _Step:
    precision, layout = mode.split()
    network.zero_grad()
    torch.manual_seed(0)
    video_BCTHW = video_BCTHW.contiguous(memory_format=FORMATS[layout])
    _wait_for(video_BCTHW.device)
    start = time.perf_counter()
    with autocast_factory(precision, video_BCTHW.device)():
        features_BD = network(video_BCTHW).float()
        loss = features_BD.square().mean()
    loss.backward()
    _wait_for(video_BCTHW.device)
    seconds = time.perf_counter() - start
    gradients = [p.grad.float().flatten() for p in network.parameters() if p.grad is not None]
    return _Step(seconds, features_BD.detach(), torch.cat(gradients or [torch.zeros(1)]))


def _wait_for(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _likeness(step: _Step, usual: _Step) -> dict[str, float]:
    pairs = {
        "features": (step.features_BD.flatten(), usual.features_BD.flatten()),
        "gradients": (step.gradients, usual.gradients),
    }
    return {
        what: round(float(F.cosine_similarity(a.double(), b.double(), dim=0)), 6)
        for what, (a, b) in pairs.items()
    }
