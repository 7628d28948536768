"""Initial weights that are equal on every machine: random numbers drawn in double precision, then rounded.

PyTorch's single-precision draws depend on the processor: its normal numbers come from other code where there
are vector units, and its uniform ones are scaled by a fused multiply-add where there is one. In double
precision the standard draws are equal, scaled here in two rounded steps they stay so, and rounding to single
precision hides what the last bit of a logarithm may still differ by.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

__all__ = ["equal_draws"]

_ATEN = torch.ops.aten
_FILLED = {_ATEN.uniform_: (0.0, 1.0), _ATEN.normal_: (0.0, 1.0)}  # with the arguments of the standard draw
_MADE = {_ATEN.rand, _ATEN.randn, _ATEN.rand_like, _ATEN.randn_like}


@contextmanager
def equal_draws() -> Iterator[None]:
    """Inside, uniform and normal numbers of tensors on the CPU are equal on every machine.

    Everything keeps the precision that its author gave it: only the draw is made in double, and the
    functions by which `torch.nn.init.trunc_normal_` and `torch.nn.init.orthogonal_` work. May be entered
    again inside itself.
    """
    mode: Any = _InDouble
    with mode():  # untyped in torch
        yield


class _InDouble(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Sees every operation, and makes those differently that draw."""

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        given, packet = dict(kwargs or {}), func.overloadpacket
        if packet in _FILLED and _is_ours(args[0]):
            return _fill(packet, *args, **given)
        made = packet in _MADE or func is _ATEN.normal.float_float
        if made and (dtype := _dtype_of(args, given)) is not None:
            return func(*args, **{**given, "dtype": torch.float64}).to(dtype)
        if packet is _ATEN.erfinv_ and _is_ours(args[0]):
            return args[0].copy_(args[0].double().erfinv_())
        if packet is _ATEN.linalg_qr and _is_ours(args[0]):
            return tuple(part.to(args[0].dtype) for part in func(args[0].double(), *args[1:], **given))
        return func(*args, **given)


def _is_ours(tensor: Tensor) -> bool:
    """A tensor of real numbers in the host's memory, and no stand-in for one."""
    plain = type(tensor) in (Tensor, torch.nn.Parameter)
    return plain and tensor.device.type == "cpu" and tensor.is_floating_point()


def _dtype_of(args: tuple[Any, ...], given: Mapping[str, Any]) -> torch.dtype | None:
    """Of the numbers that are asked for; None where they are none of ours."""
    like = args[0] if isinstance(args[0], Tensor) else None
    device = given.get("device") or (like.device if like is not None else torch.device("cpu"))
    dtype: torch.dtype = given.get("dtype") or (like.dtype if like is not None else torch.get_default_dtype())
    if torch.device(device).type != "cpu" or not dtype.is_floating_point:
        return None
    return dtype if like is None or _is_ours(like) else None


def _fill(
    draw: Any,
    tensor: Tensor,
    first: float = 0.0,
    second: float = 1.0,
    *,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Fill from N(first, second), or evenly from [first, second)."""
    drawn = draw(torch.empty(tensor.shape, dtype=torch.float64), *_FILLED[draw], generator=generator)
    scale = second - first if draw is _ATEN.uniform_ else second
    filled: Tensor = tensor.copy_(drawn.mul_(scale).add_(first))
    return filled
