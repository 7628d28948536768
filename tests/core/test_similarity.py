"""Minibatch linear CKA against its definition in float64, and its invariances."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from vssl_core.errors import ContractError
from vssl_core.similarity import MinibatchCKA, first_component, gram


def direct_hsic(x_NP: np.ndarray, y_NQ: np.ndarray) -> float:
    """HSIC₁ from its U-statistic's terms, with loops where the module has products."""
    n = len(x_NP)
    k, m = x_NP @ x_NP.T, y_NQ @ y_NQ.T
    np.fill_diagonal(k, 0)
    np.fill_diagonal(m, 0)
    ones = np.ones(n)
    middle = (ones @ k @ ones) * (ones @ m @ ones) / ((n - 1) * (n - 2))
    return float((np.trace(k @ m) + middle - 2 * (ones @ k @ m @ ones) / (n - 2)) / (n * (n - 3)))


def direct_cka(batches: list[tuple[list[np.ndarray], list[np.ndarray]]]) -> np.ndarray:
    rows, columns = len(batches[0][0]), len(batches[0][1])
    out = np.empty((rows, columns))
    for i in range(rows):
        for j in range(columns):
            cross, left, right = (
                np.mean([direct_hsic(pair(b)[0], pair(b)[1]) for b in batches])
                for pair in (
                    lambda b, i=i, j=j: (b[0][i], b[1][j]),
                    lambda b, i=i: (b[0][i], b[0][i]),
                    lambda b, j=j: (b[1][j], b[1][j]),
                )
            )
            out[i, j] = cross / np.sqrt(left * right)
    return out


def features(seed: int, *, layers: int, count: int, size: int = 20, shared: float = 1.0) -> list[np.ndarray]:
    """Layers that share a part, on a mean that is far from zero."""
    generator = np.random.default_rng(seed)
    common = generator.normal(size=(count, size))
    return [
        (shared * common @ generator.normal(size=(size, size)) + generator.normal(size=(count, size)) + 3.0)
        for _ in range(layers)
    ]


def grams(layers: list[np.ndarray]) -> Tensor:
    return torch.stack([gram(torch.from_numpy(layer)) for layer in layers])


def test_cka_is_its_definition_in_float64_over_several_batches() -> None:
    batches = [(features(b, layers=3, count=24), features(10 + b, layers=4, count=24)) for b in range(3)]
    batches += [(features(5, layers=3, count=24), features(5, layers=4, count=24))]
    cka = MinibatchCKA()
    for one, two in batches:
        cka.add(grams(one), grams(two))
    np.testing.assert_allclose(cka.result(), direct_cka(batches), atol=2e-5)


def test_the_mean_is_taken_before_the_ratio() -> None:
    batches = [(features(b, layers=2, count=8), features(b, layers=2, count=8)) for b in range(4)]
    cka = MinibatchCKA()
    ratios = []
    for one, two in batches:
        cka.add(grams(one), grams(two))
        single = MinibatchCKA()
        single.add(grams(one), grams(two))
        ratios.append(single.result())
    assert np.abs(cka.result() - np.mean(ratios, axis=0)).max() > 1e-3
    np.testing.assert_allclose(cka.result(), direct_cka(batches), atol=2e-5)


def test_a_network_against_itself_is_symmetric_with_ones() -> None:
    cka = MinibatchCKA()
    cka.add(grams(features(0, layers=5, count=32)))
    found = cka.result()
    np.testing.assert_allclose(np.diag(found), 1.0, atol=1e-12)
    np.testing.assert_allclose(found, found.T, atol=1e-12)
    both = MinibatchCKA()
    both.add(grams(features(0, layers=5, count=32)), grams(features(0, layers=5, count=32)))
    np.testing.assert_allclose(both.result(), found, atol=1e-12)


def test_rotation_scale_shift_and_order_of_clips_change_nothing() -> None:
    one, two = features(0, layers=2, count=40), features(1, layers=2, count=40)
    before = MinibatchCKA()
    before.add(grams(one), grams(two))
    turn, _ = np.linalg.qr(np.random.default_rng(3).normal(size=(20, 20)))
    order = np.random.default_rng(4).permutation(40)
    after = MinibatchCKA()
    after.add(grams([3.0 * (x @ turn)[order] - 5.0 for x in one]), grams([x[order] for x in two]))
    np.testing.assert_allclose(after.result(), before.result(), atol=1e-5)


def test_unrelated_layers_are_zero_on_average() -> None:
    cka = MinibatchCKA()
    for seed in range(40):
        cka.add(grams(features(seed, layers=2, count=16)), grams(features(seed + 900, layers=2, count=16)))
    assert np.abs(cka.result()).max() < 0.05


def test_a_layer_that_tells_no_clips_apart_has_no_cka() -> None:
    cka = MinibatchCKA()
    cka.add(torch.stack([gram(torch.randn(8, 3)), gram(torch.full((8, 3), 2.0))]))
    found = cka.result()
    assert np.isnan(found[1]).all()
    assert found[0, 0] == pytest.approx(1.0)


def test_wrong_batches_are_refused() -> None:
    cka = MinibatchCKA()
    with pytest.raises(ContractError, match="at least one batch"):
        cka.result()
    with pytest.raises(ContractError, match="at least 4 clips"):
        cka.add(torch.zeros(2, 3, 3))
    with pytest.raises(ContractError, match="same clips"):
        cka.add(torch.zeros(2, 8, 8), torch.zeros(2, 6, 6))
    cka.add(torch.zeros(2, 8, 8))
    with pytest.raises(ContractError, match="layers as before"):
        cka.add(torch.zeros(3, 8, 8))


def test_one_batch_of_everything_is_the_full_computation() -> None:
    one, two = features(0, layers=3, count=200), features(1, layers=2, count=200)
    cka = MinibatchCKA()
    cka.add(grams(one), grams(two))
    np.testing.assert_allclose(cka.result(), direct_cka([(one, two)]), atol=2e-5)


def test_diagonals_are_of_no_account() -> None:
    layers = grams(features(0, layers=3, count=16))
    with_diagonals, without = MinibatchCKA(), MinibatchCKA()
    with_diagonals.add(layers)
    without.add(layers * (1 - torch.eye(16)))
    np.testing.assert_allclose(with_diagonals.result(), without.result(), atol=1e-12)


def test_other_clips_are_unrelated_and_may_be_a_little_below_zero() -> None:
    generator = torch.Generator().manual_seed(0)
    cka = MinibatchCKA()
    for seed in range(20):
        layer = features(seed, layers=1, count=32)[0]
        shuffled = layer[torch.randperm(32, generator=generator).numpy()]
        cka.add(grams([layer]), grams([shuffled]))
    assert abs(cka.result()[0, 0]) < 0.05
    batches = [(features(s, layers=1, count=8), features(s + 50, layers=1, count=8)) for s in range(30)]
    values = []
    for one, two in batches:
        single = MinibatchCKA()
        single.add(grams(one), grams(two))
        values.append(single.result()[0, 0])
    assert min(values) < 0 < max(values)


def test_batches_of_any_size_estimate_the_same() -> None:
    generator = np.random.default_rng(0)
    common = generator.normal(size=(2048, 12))
    one = common + 0.7 * generator.normal(size=(2048, 12))
    two = common + 0.7 * generator.normal(size=(2048, 12))
    found = []
    for size in (16, 64, 2048):
        cka = MinibatchCKA()
        for begin in range(0, 2048, size):
            cka.add(grams([one[begin : begin + size]]), grams([two[begin : begin + size]]))
        found.append(cka.result()[0, 0])
    assert max(found) - min(found) < 0.02
    assert 0.2 < found[0] < 0.8


def test_gram_is_of_features_less_their_mean_in_any_layout_and_any_chunks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    maps = 50 + torch.randn(6, 5, 2, 3, 4, generator=torch.Generator().manual_seed(0))
    flat = maps.double().flatten(1) - maps.double().flatten(1).mean(dim=0)
    expected = (flat @ flat.T).float()
    torch.testing.assert_close(gram(maps), expected, rtol=1e-4, atol=1e-3)
    turned = maps.to(memory_format=torch.channels_last_3d)
    torch.testing.assert_close(gram(turned), expected, rtol=1e-4, atol=1e-3)
    monkeypatch.setattr("vssl_core.similarity._ENTRIES_IN_CACHE", 6 * 7)
    monkeypatch.setattr("vssl_core.similarity._ROWS_AT_ONCE", 4)
    torch.testing.assert_close(gram(turned[:, :, :, 1:]), gram(maps[:, :, :, 1:]), rtol=1e-4, atol=1e-3)
    assert gram(maps.bfloat16()).dtype == torch.float32


def test_gram_of_what_differs_by_rounding_alone_is_zero() -> None:
    same = torch.full((64, 1000), 0.1)
    same[::2] = torch.nextafter(same[::2], torch.tensor(1.0))
    assert not gram(same).any()
    assert gram(torch.randn(64, 1000) * 1e-4 + 1).any()
    assert gram(torch.full((4, 2), float("nan"))).isnan().any()


def test_first_component_is_that_of_the_covariance() -> None:
    layers = features(0, layers=3, count=40)
    found = first_component(grams(layers)).numpy()
    for share, layer in zip(found, layers, strict=True):
        variances = np.linalg.eigvalsh(np.cov(layer.T))
        assert share == pytest.approx(variances[-1] / variances.sum(), rel=1e-4)
    line = torch.outer(torch.arange(8.0), torch.ones(5))
    assert first_component(gram(line)[None]).item() == pytest.approx(1.0)
    assert first_component(torch.zeros(1, 8, 8)).isnan().all()
