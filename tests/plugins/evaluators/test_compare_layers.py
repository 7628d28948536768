"""`compare` against a direct computation in float64, what it refuses, and what it keeps in memory."""

from __future__ import annotations

import doctest
import gc
import weakref
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from vssl_core.errors import ContractError, DivergedError, UsageError
from vssl_plugins.evaluators import compare_layers
from vssl_plugins.evaluators.cka import compare


def hsic64(x_NP: np.ndarray, y_NQ: np.ndarray) -> float:
    """HSIC₁ with a sum over all quadruples' terms written out: Song et al. 2012, eq. 5."""
    n = len(x_NP)
    k, m = x_NP @ x_NP.T, y_NQ @ y_NQ.T
    np.fill_diagonal(k, 0)
    np.fill_diagonal(m, 0)
    rows = k.sum(axis=0) @ m.sum(axis=0)
    total = np.trace(k @ m) + k.sum() * m.sum() / ((n - 1) * (n - 2)) - 2 * rows / (n - 2)
    return float(total / (n * (n - 3)))


def direct(ones: list[np.ndarray], others: list[np.ndarray]) -> np.ndarray:
    found = [[hsic64(x, y) / np.sqrt(hsic64(x, x) * hsic64(y, y)) for y in others] for x in ones]
    return np.array(found)


def network(seed: int, width: int = 24, depth: int = 3) -> nn.Sequential:
    torch.manual_seed(seed)
    parts: list[nn.Module] = []
    for number in range(depth):
        parts += [nn.Linear(10 if number == 0 else width, width), nn.ReLU(inplace=True)]
    return nn.Sequential(*parts)


def outputs64(of: nn.Sequential, clips: Tensor) -> list[np.ndarray]:
    """Outputs in float64, computed layer by layer without hooks, each a copy."""
    x, found = clips.double(), []
    for layer in of:
        x = (
            x @ layer.weight.double().T + layer.bias.double()
            if isinstance(layer, nn.Linear)
            else x.clamp(min=0)
        )
        found.append(x.detach().numpy().copy())
    return found


@pytest.fixture
def clips() -> Tensor:
    return torch.randn(96, 10, generator=torch.Generator().manual_seed(0))


def test_one_batch_of_everything_is_the_direct_computation(clips: Tensor) -> None:
    one, two = network(0), network(1, depth=2)
    found = compare(one, two, batches=[clips])
    expected = direct(outputs64(one, clips), outputs64(two, clips))
    np.testing.assert_allclose(found.cka, expected, atol=2e-5)
    assert found.layers == ("0", "1", "2", "3", "4", "5")
    assert found.other.layers == ("0", "1", "2", "3")
    assert found.batch_sizes == (96,)


def test_terms_are_averaged_over_batches_before_the_ratio(clips: Tensor) -> None:
    one, two = network(0), network(1)
    found = compare(one, two, batches=clips.split(12)).cka
    terms, ratios = np.zeros((3, 6, 6)), []
    for batch in clips.split(12):
        x, y = outputs64(one, batch), outputs64(two, batch)
        terms[0] += [[hsic64(a, b) for b in y] for a in x]
        terms[1] += np.array([hsic64(a, a) for a in x])[:, None]
        terms[2] += np.array([hsic64(b, b) for b in y])[None]
        ratios.append(direct(x, y))
    np.testing.assert_allclose(found, terms[0] / np.sqrt(terms[1] * terms[2]), atol=2e-5)
    assert np.abs(found - np.mean(ratios, axis=0)).max() > 1e-3


def test_a_network_with_itself_has_ones_on_the_diagonal(clips: Tensor) -> None:
    one = network(0)
    found = compare(one, batches=clips.split(32))
    np.testing.assert_allclose(np.diag(found.cka), 1, atol=1e-12)
    assert found.one is found.other
    np.testing.assert_allclose(found.cka, compare(one, one, batches=clips.split(32)).cka, atol=1e-9)
    assert (found.one.first_component > 0).all()
    assert (found.one.first_component < 1).all()


class Turned(nn.Module):
    """A network whose one output is turned, scaled and shifted by fixed amounts."""

    def __init__(self, inner: nn.Linear, turn: Tensor) -> None:
        super().__init__()
        self.last = nn.Linear(inner.in_features, inner.out_features)
        with torch.no_grad():
            self.last.weight.copy_(5 * turn @ inner.weight)
            self.last.bias.fill_(-3)

    def forward(self, x_BP: Tensor) -> Tensor:
        return self.last(x_BP)


def test_rotation_and_scale_of_features_and_order_of_samples_change_nothing(clips: Tensor) -> None:
    torch.manual_seed(3)
    first, second = nn.Linear(10, 16), nn.Linear(10, 7)
    turn, _ = torch.linalg.qr(torch.randn(16, 16))
    before = compare(first, second, batches=[clips]).cka
    after = compare(Turned(first, turn), second, batches=[clips[torch.randperm(96)]]).cka
    assert 0.1 < before[0, 0] < 0.9
    np.testing.assert_allclose(after, before, atol=2e-5)
    stretched = compare(Turned(first, torch.diag(torch.arange(1.0, 17) ** 2)), second, batches=[clips]).cka
    assert abs(stretched[0, 0] - before[0, 0]) > 0.01  # only rotations are of no account


def test_other_samples_in_the_second_network_are_refused_and_would_give_nothing(clips: Tensor) -> None:
    one, ids = network(0), [f"video {row}" for row in range(96)]
    order = torch.randperm(96, generator=torch.Generator().manual_seed(1)).tolist()
    shuffled = (clips[order], [ids[row] for row in order])
    with pytest.raises(ContractError, match=rf"'video 0' and 'video {order[0]}' at place 0"):
        compare(one, one, batches=[(clips, ids)], other_batches=[shuffled])
    mismatched = compare(one, one, batches=[(clips, ids)], other_batches=[(clips[order], ids)]).cka
    assert np.abs(mismatched).max() < 0.1
    assert mismatched.min() < 0  # small negative values are legitimate
    same = compare(one, one, batches=[(clips, ids)], other_batches=[(clips, ids)])
    assert same.ids == tuple(ids)
    np.testing.assert_allclose(np.diag(same.cka), 1, atol=1e-6)


def test_batches_that_do_not_fit_are_refused(clips: Tensor) -> None:
    one = network(0)
    with pytest.raises(ContractError, match="at least one batch"):
        compare(one, batches=[])
    with pytest.raises(ContractError, match=r"at least 4 clips in a batch.*got 3"):
        compare(one, batches=clips[:7].split(4))
    with pytest.raises(ContractError, match="one id for each clip, got 2 ids of 96"):
        compare(one, batches=[(clips, ["a", "b"])])
    with pytest.raises(ContractError, match="expected ids"):
        compare(one, one, batches=[clips], other_batches=[clips])
    ids = [str(row) for row in range(48)]
    halves = [(half, ids) for half in clips.split(48)]
    with pytest.raises(ContractError, match="ended first"):
        compare(one, one, batches=halves, other_batches=halves[:1])
    with pytest.raises(UsageError, match="other_batches"):
        compare(one, batches=[clips], other_batches=[clips])


def test_an_error_of_the_loader_is_its_own(clips: Tensor) -> None:
    def broken() -> Iterator[Tensor]:
        yield clips
        raise ValueError("zip() of the loader")

    with pytest.raises(ValueError, match="of the loader"):
        compare(network(0), batches=broken())


def test_a_layer_that_is_not_finite_or_changes_is_named(clips: Tensor) -> None:
    one = network(0)
    with torch.no_grad():
        one[2].bias.fill_(float("nan"))
    with pytest.raises(DivergedError, match="layer '2'"):
        compare(one, batches=[clips])

    class Fickle(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b, self.runs = nn.Linear(10, 3), nn.Linear(10, 3), 0

        def forward(self, x_BP: Tensor) -> Tensor:
            self.runs += 1
            return self.b(x_BP) if self.runs > 3 else self.a(x_BP)

    with pytest.raises(ContractError, match="'a' ran in some batches"):
        compare(Fickle(), batches=clips.split(48))
    with pytest.raises(ContractError, match="no layer to compare"):
        compare(nn.Identity(), batches=[torch.ones(4, 0)])


def test_a_layer_that_tells_no_clips_apart_has_no_cka(clips: Tensor) -> None:
    one = network(0)
    with torch.no_grad():
        one[4].weight.zero_()
    found = compare(one, batches=clips.split(32))
    assert np.isnan(found.cka[4:]).all()
    assert np.isfinite(found.cka[:4, :4]).all()
    assert np.isnan(found.one.first_component).tolist() == [False] * 4 + [True] * 2


class Sideways(nn.Module):
    """Attention that wants tokens first."""

    def __init__(self) -> None:
        super().__init__()
        self.inner, self.last = nn.Linear(1, 4), nn.Linear(4, 2)

    def forward(self, x_BP: Tensor) -> Tensor:
        tokens = self.inner(x_BP[:, :4].T.reshape(-1, 1))  # (4 tokens · B, 4)
        return self.last(tokens.unflatten(0, (4, -1)).mean(dim=0))


def test_a_layer_whose_first_axis_is_another_one_is_left_out_with_the_reason(clips: Tensor) -> None:
    found = compare(Sideways(), batches=clips.split(32))
    assert found.layers == ("last",)
    assert "place of the clip" in found.one.passed_over["inner"]


def test_networks_are_left_as_they_were(clips: Tensor) -> None:
    one = nn.Sequential(nn.Linear(10, 4), nn.BatchNorm1d(4), nn.Dropout())
    before = {name: value.clone() for name, value in one.state_dict().items()}
    compare(one, batches=clips.split(32))
    assert one.training
    assert all(torch.equal(value, before[name]) for name, value in one.state_dict().items())
    assert all(parameter.grad is None for parameter in one.parameters())


def test_memory_does_not_grow_with_the_number_of_samples() -> None:
    one, generator = network(0, width=64), torch.Generator().manual_seed(0)

    def alive() -> int:
        gc.collect()
        return sum(found.numel() for found in gc.get_objects() if type(found) in (Tensor, nn.Parameter))

    def highest(count: int) -> int:
        seen: list[int] = []
        kept: list[weakref.ref[Tensor]] = []

        def batches() -> Iterator[Tensor]:
            for _ in range(count):
                batch = torch.randn(32, 10, generator=generator)
                kept.append(weakref.ref(batch))
                yield batch
                del batch
                seen.append(alive())
                assert sum(ref() is not None for ref in kept) <= 1

        compare(one, batches=batches())
        return max(seen)

    highest(2)
    few, many = highest(3), highest(30)
    assert many - few < 32 * 32  # less than one more Gram matrix; the running shares are 6 numbers a batch


def test_the_example_of_the_docstring_runs() -> None:
    assert doctest.testmod(compare_layers).failed == 0
    assert doctest.testmod(compare_layers).attempted > 3
