"""Which precision the machine is fast in, found by a short recorded probe.

Memory is `channels_last_3d` everywhere. bfloat16 pays only where the hardware multiplies in it: on a
CPU without such units it costs several times the time of float32. So it is tried only where the
hardware says that it can, and taken only where two training steps of this backbone are faster.

Two faults of bfloat16 3D convolutions in oneDNN, which PyTorch computes with on a CPU, are the user's to
know when the protocol says `bf16` instead of `auto`. Processors with AVX512_BF16 but without AMX give
wrong weight gradients wherever a kernel of three frames meets a map of exactly two (torch 2.15, measured);
`auto` takes float32 there. Processors with AMX give wrong features where a strided convolution ends in a
map one pixel wide (pytorch issue 169688), which takes crops of 16 or 32 pixels.
"""

from __future__ import annotations

import platform
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import nn

from vssl_core.errors import StoreError
from vssl_core.files import read_json, write_json
from vssl_core.interfaces import Backbone
from vssl_core.types import ClipSpec

__all__ = ["autocast_factory", "choose", "machine", "to_device"]

Autocast = Callable[[], AbstractContextManager[Any]]
_SCHEMA = 1
Module = TypeVar("Module", bound=nn.Module)


def to_device(module: Module, device: torch.device) -> Module:
    """Move a module, with its convolution weights in channels-last memory of their rank."""
    module = module.to(device)
    layouts = {4: torch.channels_last, 5: torch.channels_last_3d}
    for tensor in (*module.parameters(), *module.buffers()):
        if tensor.ndim in layouts:
            tensor.data = tensor.data.contiguous(memory_format=layouts[tensor.ndim])
    return module


def autocast_factory(precision: str, device: torch.device) -> Autocast:
    """Context manager factory for `fp32` or `bf16` on this device."""
    if precision == "bf16":
        return partial(torch.autocast, device.type, torch.bfloat16)
    return nullcontext


def machine() -> str:
    """What decides about speed here: processor or GPU, threads and torch."""
    if torch.cuda.is_available():
        return f"{torch.cuda.get_device_name()} torch {torch.__version__}"
    return f"{_cpu_name()} threads {torch.get_num_threads()} torch {torch.__version__}"


def _cpu_name() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def choose(
    wanted: str,
    *,
    name: str,
    make: Callable[[], Backbone],
    clip: ClipSpec,
    device: torch.device,
    record: Path,
) -> dict[str, Any]:
    """The precision for this backbone on this machine, the same for every cell of a run folder.

    Args:
        wanted: The protocol's word: `auto`, `fp32` or `bf16`.
        name: Names the backbone with its options.
        make: Builds it.
        clip: Geometry of the clips.
        device: Where it will train.
        record: JSON file that keeps what was found.

    Returns:
        `{"precision", "memory_format", "why", …}` for the cell's record.
    """
    layout = {"memory_format": "channels_last_3d"}
    if wanted != "auto":
        return {"precision": wanted, "why": "the protocol says so", **layout}
    if not _has_bf16(device):
        return {"precision": "fp32", "why": "no bfloat16 matrix units", **layout}
    key = f"{name} | {clip} | {machine()}"
    known = _known(record)
    if key not in known:
        seconds = {p: _step_seconds(make, clip, device, p) for p in ("fp32", "bf16")}
        faster = seconds["bf16"] < 0.95 * seconds["fp32"]
        known[key] = {
            "precision": "bf16" if faster else "fp32",
            "why": "faster of two probed training steps",
            "step_seconds": seconds,
            **layout,
        }
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


def _has_bf16(device: torch.device) -> bool:
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    # Private in torch; where it is missing, assume that there are none.
    probe = getattr(torch.cpu, "_is_amx_tile_supported", None)
    return bool(probe()) if probe is not None else False


def _step_seconds(
    make: Callable[[], Backbone], clip: ClipSpec, device: torch.device, precision: str
) -> float:
    """The faster of two training steps after one to warm up."""
    backbone = to_device(make(), device)
    shape = (8, 3, clip.num_frames, clip.crop_size, clip.crop_size)
    video = torch.zeros(shape, device=device).to(memory_format=torch.channels_last_3d)
    autocast = autocast_factory(precision, device)
    times = []
    for _ in range(3):
        start = time.perf_counter()
        with autocast():
            loss = backbone(video).float().square().mean()
        loss.backward()
        if device.type == "cuda":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    return min(times[1:])
