"""FLOPs of a step: backward twice the forward pass, whatever the groups of a convolution."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from vssl_core.cost import step_flop_counter


def flops(run: object) -> int:
    with step_flop_counter() as counter:
        run()
    return counter.get_total_flops()


@pytest.mark.parametrize("groups", [1, 4, 16])
@pytest.mark.parametrize("conv", [nn.Conv3d, nn.ConvTranspose3d])
def test_backward_of_a_convolution_costs_twice_its_forward_pass(groups: int, conv: type[nn.Module]) -> None:
    layer = conv(16, 32, 3, padding=1, stride=2, groups=groups)
    x = torch.rand(2, 16, 5, 6, 7, requires_grad=True)
    out = []
    forward = flops(lambda: out.append(layer(x)))
    multiplies = (out[0].numel() if conv is nn.Conv3d else x.numel() * 2) * 16 * 27 // groups
    assert forward == 2 * multiplies
    assert flops(lambda: out[0].sum().backward()) == 2 * forward


def test_a_gradient_that_nobody_needs_costs_nothing() -> None:
    layer = nn.Conv3d(4, 8, 3)
    y = layer(torch.rand(1, 4, 5, 5, 5))  # the input is data
    forward = flops(lambda: layer(torch.rand(1, 4, 5, 5, 5)))
    assert flops(lambda: y.sum().backward()) == forward


def test_a_linear_layer_is_counted_as_torch_counts_it() -> None:
    layer, x = nn.Linear(10, 20), torch.rand(3, 10, requires_grad=True)
    assert flops(lambda: layer(x).sum().backward()) == 3 * 2 * 3 * 10 * 20
