"""Numbers and memory that a network computes in: float32 or bfloat16, contiguous or channels last.

Three faults of bfloat16 3D convolutions in oneDNN, which PyTorch computes with on a CPU, are the user's to
know when the protocol says `bf16` instead of `auto`. Processors with AVX512_BF16 but without AMX give
wrong weight gradients wherever a kernel of three frames meets a map of exactly two (torch 2.15, measured);
`auto` takes float32 there. Processors with AMX give wrong features where a strided convolution ends in a
map one pixel wide (pytorch issue 169688), which takes crops of 16 or 32 pixels, and where a kernel of three
frames meets pictures of one frame (torch 2.15, measured: not a number); `auto` compares before it takes
bfloat16 (`vssl_core.probe`).
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import nn

__all__ = ["CHANNELS_LAST", "FORMATS", "autocast_factory", "deterministic", "machine", "to_device"]

CHANNELS_LAST = "channels_last_3d"
FORMATS = {CHANNELS_LAST: torch.channels_last_3d, "contiguous": torch.contiguous_format}
"""Memory formats of clips (B, C, T, H, W) by name."""

Autocast = Callable[[], AbstractContextManager[Any]]
Module = TypeVar("Module", bound=nn.Module)


def to_device(module: Module, device: torch.device, *, memory_format: str = CHANNELS_LAST) -> Module:
    """Move a module, with its convolution weights in a memory format (a key of `FORMATS`) of their rank."""
    module = module.to(device)
    last = memory_format == CHANNELS_LAST
    layouts = {4: torch.channels_last if last else torch.contiguous_format, 5: FORMATS[memory_format]}
    for tensor in (*module.parameters(), *module.buffers()):
        if tensor.ndim in layouts:
            tensor.data = tensor.data.contiguous(memory_format=layouts[tensor.ndim])
    return module


def autocast_factory(precision: str, device: torch.device) -> Autocast:
    """Context manager factory for `fp32` or `bf16` on this device."""
    if precision == "bf16":
        return partial(torch.autocast, device.type, torch.bfloat16)
    return nullcontext


@contextmanager
def deterministic(device: torch.device) -> Iterator[None]:
    """How the core computes: with torch's deterministic algorithms on a CPU, and as it is elsewhere.

    They would write every new tensor full of NaN first, about a tenth of a small network's step; not here.
    """
    if device.type != "cpu":
        yield
        return
    memory: Any = torch.utils.deterministic
    before, fill = torch.get_deterministic_debug_mode(), memory.fill_uninitialized_memory
    torch.use_deterministic_algorithms(True)
    memory.fill_uninitialized_memory = False
    try:
        yield
    finally:
        torch.set_deterministic_debug_mode(before)
        memory.fill_uninitialized_memory = fill


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
