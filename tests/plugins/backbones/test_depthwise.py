"""The depthwise convolution is torch's, its gradients too."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from vssl_plugins.backbones.depthwise import DepthwiseConv3d

PLANES = 6


def pair(stride: int | tuple[int, int, int] = 1) -> tuple[DepthwiseConv3d, nn.Conv3d]:
    ours = DepthwiseConv3d(PLANES, stride=stride).double()
    stock = nn.Conv3d(PLANES, PLANES, 3, stride=stride, padding=1, groups=PLANES, bias=False).double()
    stock.load_state_dict(ours.state_dict())
    return ours, stock


def clips(*shape: int, layout: torch.memory_format = torch.channels_last_3d) -> Tensor:
    video = torch.randn(2, PLANES, *shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    return video.contiguous(memory_format=layout)


@pytest.mark.parametrize("layout", [torch.channels_last_3d, torch.contiguous_format])
@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 4, 4), (2, 3, 5), (3, 7, 7), (8, 5, 2)])
@pytest.mark.parametrize("stride", [1, 2, (1, 2, 2)])
def test_features_and_gradients_are_torchs(stride, shape, layout: torch.memory_format) -> None:
    ours, stock = pair(stride)
    given = clips(*shape, layout=layout)
    results = []
    for layer in (ours, stock):
        x = given.clone().requires_grad_()
        y = layer(x)
        (y * torch.arange(y.numel(), dtype=y.dtype).view_as(y).sin()).sum().backward()
        results.append((y, x.grad, layer.weight.grad))
    torch.testing.assert_close(results[0], results[1], rtol=1e-9, atol=1e-12)


def test_only_what_is_wanted_is_computed() -> None:
    ours, stock = pair()
    ours(clips(3, 4, 4)).square().sum().backward()
    stock(clips(3, 4, 4)).square().sum().backward()
    torch.testing.assert_close(ours.weight.grad, stock.weight.grad)
    ours.requires_grad_(False).zero_grad()
    x = clips(3, 4, 4).requires_grad_()
    ours(x).sum().backward()
    assert ours.weight.grad is None
    assert x.grad.any()


def test_gradients_of_gradients() -> None:
    x = clips(2, 3, 3)[:1, :2].clone().requires_grad_()
    directions = []
    for layer in (DepthwiseConv3d(2), nn.Conv3d(2, 2, 3, padding=1, groups=2, bias=False)):
        layer.double().load_state_dict({"weight": torch.linspace(-1, 1, 54).double().view(2, 1, 3, 3, 3)})
        (grad,) = torch.autograd.grad(layer(x).pow(3).sum(), x, create_graph=True)
        directions.append(torch.autograd.grad(grad.square().sum(), [x, layer.weight]))
    torch.testing.assert_close(directions[0], directions[1])


def test_the_quicker_way_is_taken_where_it_is_meant_to_be() -> None:
    ours, _ = pair()
    ours.float()
    video = clips(2, 4, 4).float()

    def quick() -> bool:
        y = ours(video)
        return y.grad_fn is not None and "_Depthwise" in type(y.grad_fn).__name__

    assert quick()
    with torch.no_grad():
        assert not quick()
    with torch.autocast("cpu", torch.bfloat16):
        assert quick()
    ours.requires_grad_(False)
    assert not quick()
    assert ours.to("meta")(video.to("meta")).shape == video.shape
    strided, _ = pair(2)
    assert "_Depthwise" not in type(strided.float()(video).grad_fn).__name__


def test_counted_flops_are_the_convolutions_own() -> None:
    counts = []
    for layer in pair():
        x = clips(3, 4, 4).requires_grad_()
        with FlopCounterMode(display=False) as counter:
            layer(x).sum().backward()
        counts.append(counter.get_total_flops())
    assert counts[0] == counts[1] > 0


@pytest.mark.parametrize("stride", [1, 2, (1, 4, 4)])
def test_in_bfloat16_it_is_torchs_up_to_rounding(stride) -> None:
    ours, stock = (layer.float() for layer in pair(stride))
    video = clips(3, 7, 7).float()
    with torch.no_grad():
        exact = stock(video)
    found = []
    for layer, precision in ((ours, torch.bfloat16), (stock, torch.float32)):
        x = video.clone().requires_grad_()
        with torch.autocast("cpu", precision, enabled=precision == torch.bfloat16):
            y = layer(x)
        assert y.dtype == precision
        y.float().square().sum().backward()
        assert x.grad.dtype == layer.weight.grad.dtype == torch.float32
        found.append((y.detach().float(), x.grad, layer.weight.grad))
    for rounded, precise in zip(*found, strict=True):
        torch.testing.assert_close(rounded, precise, rtol=0.03, atol=0.03 * float(precise.abs().max()))
    with torch.autocast("cpu", torch.bfloat16), torch.no_grad():
        torch.testing.assert_close(ours(video).float(), exact, rtol=0.02, atol=0.02)


def test_a_type_that_is_not_the_weights_is_refused_as_by_torch() -> None:
    ours, _ = pair(2)
    with pytest.raises(RuntimeError, match="type"):
        ours(clips(2, 4, 4).float())
