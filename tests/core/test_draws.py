"""Numbers drawn for initial weights are those of double precision, rounded; nothing else changes."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from timm.layers import trunc_normal_
from torch import Tensor, nn

from vssl_core.draws import equal_draws


def drawn(draw: Callable[[], Tensor]) -> Tensor:
    torch.manual_seed(5)
    with equal_draws():
        return draw()


def doubles(draw: Callable[[Tensor], Tensor], *shape: int) -> Tensor:
    """What torch itself draws in double precision."""
    torch.manual_seed(5)
    return draw(torch.empty(shape, dtype=torch.float64))


@pytest.mark.parametrize("size", [7, 1000])  # torch has other code for fewer than 16 numbers
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_normal_numbers_are_the_doubles_rounded(size: int, dtype: torch.dtype) -> None:
    found = drawn(lambda: nn.init.normal_(torch.empty(size, dtype=dtype), mean=0.5, std=0.02))
    assert found.dtype == dtype
    assert torch.equal(found, (doubles(Tensor.normal_, size) * 0.02 + 0.5).to(dtype))


def test_uniform_numbers_are_scaled_in_two_rounded_steps() -> None:
    """Torch scales by one fused step where the processor has it, which ends in another bit."""
    found = drawn(lambda: torch.empty(1000, dtype=torch.float64).uniform_(-0.3, 0.4))
    assert torch.equal(found, doubles(Tensor.uniform_, 1000) * (0.4 - -0.3) + -0.3)
    low, high = found.aminmax()
    assert -0.3 <= low < -0.25
    assert 0.35 < high < 0.4


def test_new_tensors_keep_the_precision_that_was_asked_for() -> None:
    like = torch.zeros(40)
    for draw in (
        lambda: torch.randn(40),
        lambda: torch.randn_like(like),
        lambda: torch.normal(0.0, 1.0, (40,)),
    ):
        found = drawn(draw)
        assert found.dtype == torch.float32
        assert torch.equal(found, doubles(Tensor.normal_, 40).float())
    assert torch.equal(drawn(lambda: torch.rand(40)), doubles(Tensor.uniform_, 40).float())
    assert drawn(lambda: torch.randn(4, dtype=torch.complex64)).dtype == torch.complex64
    assert drawn(lambda: torch.randn(4, device="meta")).is_meta


@pytest.mark.parametrize("init", [nn.init.kaiming_uniform_, nn.init.orthogonal_, nn.init.trunc_normal_])
def test_initialisers_of_torch_give_what_they_give_in_double(init: Callable[[Tensor], Tensor]) -> None:
    expected = doubles(init, 24, 16).float()
    found = drawn(lambda: init(torch.empty(24, 16)))
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-6)
    assert float(found.std()) > 0.01


def test_timms_truncated_normal_stays_in_its_bounds() -> None:
    found = drawn(lambda: trunc_normal_(torch.empty(5000), std=0.02, a=-0.03, b=0.03))
    assert found.abs().max() <= 0.03
    assert 0.01 < float(found.std()) < 0.02


def test_a_network_that_calls_itself_while_it_is_built_stays_in_single_precision() -> None:
    """Authors find out the size of a map by a pass of zeros."""

    def build() -> Tensor:
        net = nn.Sequential(nn.Conv3d(3, 4, 3), nn.BatchNorm3d(4), nn.Dropout(0.5))
        weights = torch.from_numpy(torch.zeros(4, dtype=torch.float32).numpy())
        return net(torch.zeros(2, 3, 4, 8, 8)).mean(dim=(2, 3, 4)) + weights

    assert drawn(build).dtype == torch.float32


def test_entered_twice_it_draws_the_same() -> None:
    def inside() -> Tensor:
        with equal_draws():
            return torch.empty(50).uniform_(-0.3, 0.4)

    assert torch.equal(drawn(inside), drawn(lambda: torch.empty(50).uniform_(-0.3, 0.4)))


def test_a_generator_of_ones_own_is_drawn_from() -> None:
    with equal_draws():
        pair = [torch.empty(9).normal_(generator=torch.Generator().manual_seed(s)) for s in (1, 1, 2)]
    assert torch.equal(pair[0], pair[1])
    assert not torch.equal(pair[0], pair[2])
