"""A module on a device that this machine need not have: tensors with a place and a shape, and no values."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

__all__ = ["DEVICE", "fake_device", "first_line", "stays_behind"]

DEVICE = torch.device("cuda")


@contextmanager
def fake_device(module: nn.Module) -> Iterator[None]:
    """In here parameters and buffers are on `DEVICE`, where they stay: the module is of no use afterwards."""
    with warnings.catch_warnings(), FakeTensorMode(allow_non_fake_inputs=True):
        warnings.simplefilter("ignore")  # of layers that prepare their weights for a GPU
        _replace_tensors(module)
        yield


def stays_behind(error: Exception) -> bool:
    """Whether this error says that a tensor on the CPU met one on the device."""
    return "same device" in str(error) or "different devices" in str(error)


def first_line(error: Exception) -> str:
    """The first line of what an error says, or its type."""
    return (str(error).splitlines() or [type(error).__name__])[0]


def _replace_tensors(module: nn.Module) -> None:
    """Put parameters and buffers of the same shapes on the device in place of the module's own."""
    for part in module.modules():
        for name, parameter in part.named_parameters(recurse=False):
            fake = torch.empty(parameter.shape, dtype=parameter.dtype, device=DEVICE)
            part._parameters[name] = nn.Parameter(fake, requires_grad=parameter.requires_grad)
        for name, buffer in part.named_buffers(recurse=False):
            part._buffers[name] = torch.empty(buffer.shape, dtype=buffer.dtype, device=DEVICE)
