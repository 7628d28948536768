"""Joined maps are `torch.cat`; the gradient of each is dense in the memory format of the whole."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from vssl_plugins.backbones.convolutions import join


@pytest.mark.parametrize("layout", [torch.channels_last_3d, torch.contiguous_format])
def test_gradients_are_dense_and_those_of_cat(layout: torch.memory_format) -> None:
    given = [torch.randn(2, planes, 3, 4, 4).contiguous(memory_format=layout) for planes in (2, 5)]
    weight = torch.randn(2, 7, 3, 4, 4).contiguous(memory_format=layout)
    seen: list[Tensor] = []
    leaves = [part.clone().requires_grad_() for part in given]
    parts = [leaf * 1.0 for leaf in leaves]
    joined = join(*parts)
    for part in parts:
        part.register_hook(seen.append)
    (joined * weight).sum().backward()
    assert torch.equal(joined, torch.cat(given, dim=1))
    assert all(grad.is_contiguous(memory_format=layout) for grad in seen)
    assert torch.equal(torch.cat([leaf.grad for leaf in leaves], dim=1), weight)


def test_maps_without_gradients_are_joined_too() -> None:
    trained, fixed = torch.randn(1, 2, 2, 2, 2, requires_grad=True), torch.randn(1, 3, 2, 2, 2)
    assert join(trained * 1.0, fixed).shape == (1, 5, 2, 2, 2)
    assert join(fixed, fixed).shape == (1, 6, 2, 2, 2)
