"""What a backbone costs: parameters, FLOPs by fvcore with what could not be counted; of a step; memory."""

from __future__ import annotations

import copy
import ctypes
import logging
import resource
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from math import prod
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode, conv_flop_count

from vssl_core.interfaces import Backbone
from vssl_core.types import ClipSpec

__all__ = ["count_flops", "count_parameters", "peak_memory_mib", "reset_peak_memory", "step_flop_counter"]

# Element-wise and shape operators, whose cost the field does not count.
_FREE = frozenset(
    {
        "aten::add", "aten::add_", "aten::mul", "aten::mul_", "aten::sub", "aten::div", "aten::neg",
        "aten::pow", "aten::relu", "aten::relu_", "aten::hardtanh", "aten::hardtanh_", "aten::sigmoid",
        "aten::mean", "aten::sum", "aten::clone", "aten::rsub", "aten::max_pool3d", "aten::avg_pool3d",
        "aten::dropout", "aten::dropout_", "aten::square", "aten::rsqrt", "aten::repeat", "aten::expand_as",
        "aten::movedim", "aten::pad", "aten::unflatten", "aten::gelu", "aten::silu", "aten::silu_",
        "aten::hardswish", "aten::hardswish_", "aten::hardsigmoid", "aten::sigmoid_", "aten::tanh",
        "aten::softmax", "aten::max_pool2d", "aten::avg_pool2d", "aten::roll", "aten::lerp", "aten::ne",
        "aten::index_select", "aten::where",
    }
)  # fmt: skip


def count_flops(backbone: Backbone, clip: ClipSpec) -> tuple[float, dict[str, int]]:
    """GFLOPs of one clip (multiplies and adds counted separately), and operators that fvcore cannot count."""
    logging.getLogger("fvcore").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # fvcore rests on torch.jit, which torch deprecates
        return _count(backbone, clip)


def _attention_macs(inputs: list[Any], outputs: list[Any]) -> int:
    """Multiply-accumulates of fused attention (queries by keys, then by values), which fvcore leaves out."""
    from fvcore.nn.jit_handles import get_shape

    *rows, value_dim = get_shape(outputs[0])
    *_, keys, dim = get_shape(inputs[1])
    return int(prod(rows) * keys * (dim + value_dim))


@contextmanager
def _plain_attention() -> Iterator[None]:
    """`nn.MultiheadAttention` by operators that can be counted, not by one kernel for all of it."""
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)


def _count(backbone: Backbone, clip: ClipSpec) -> tuple[float, dict[str, int]]:
    from fvcore.nn import FlopCountAnalysis

    model = copy.deepcopy(backbone).cpu().float().eval()
    shape = (1, 3, clip.num_frames, clip.crop_size, clip.crop_size)
    with torch.no_grad(), _plain_attention():
        analysis = FlopCountAnalysis(model, torch.zeros(shape))
        analysis.set_op_handle("aten::scaled_dot_product_attention", _attention_macs)
        analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False)
        total = 2.0 * float(analysis.total()) / 1e9
        missing = {name: int(n) for name, n in analysis.unsupported_ops().items() if name not in _FREE}
    return total, missing


def step_flop_counter() -> FlopCounterMode:
    """Counts the FLOPs of what runs inside it, forward and backward, multiplies and adds separately."""
    return FlopCounterMode(
        display=False, custom_mapping={torch.ops.aten.convolution_backward: _convolution_backward}
    )


def _convolution_backward(
    grad_out: Any,
    x: Any,
    weight: Any,
    _bias: Any,
    _stride: Any,
    _padding: Any,
    _dilation: Any,
    transposed: bool,
    _output_padding: Any,
    _groups: int,
    wanted: list[bool],
    **_rest: Any,
) -> int:
    """Each gradient costs as much as the forward pass. Torch's own formula counts that of a grouped
    convolution's weight once for each group: 17 times the forward pass instead of 2 for 16 groups."""
    return int(conv_flop_count(x, weight, grad_out, transposed)) * sum(wanted[:2])


def peak_memory_mib(device: torch.device) -> float:
    """Largest memory since the process started or `reset_peak_memory`.

    Of a GPU: what torch has allocated there. Else what of this process was in memory, with Python, torch and
    everything else that it holds.
    """
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    return _resident_peak_kib() / 2**10


def reset_peak_memory(device: torch.device) -> bool:
    """Count the peak anew from what is in use now; False where the system cannot (all but Linux)."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        return True
    with suppress(OSError, AttributeError):  # glibc alone keeps what was freed, and has this
        ctypes.CDLL(None).malloc_trim(0)
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # proc(5): resets VmHWM
    except OSError:
        return False
    return True


def _resident_peak_kib() -> float:
    """VmHWM; `ru_maxrss`, which on Linux also knows the process that started this one, only elsewhere."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines()
        return float(next(line for line in lines if line.startswith("VmHWM:")).split()[1])
    except (OSError, StopIteration):
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak / (2**10 if sys.platform == "darwin" else 1)


def count_parameters(module: nn.Module) -> int:
    """Parameters, trainable or not."""
    return sum(p.numel() for p in module.parameters())
