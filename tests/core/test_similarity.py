"""Minibatch linear CKA against its definition in float64, its invariances, and hooks that tell the truth."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from vssl_core.errors import ContractError
from vssl_core.interfaces import Backbone
from vssl_core.similarity import MinibatchCKA, block_structure, gram, layer_grams, layers_of


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


class InPlace(Backbone):
    """Each convolution is followed by a ReLU that overwrites its output; one ReLU runs twice."""

    def __init__(self, options: object, clip: object) -> None:
        super().__init__(options, clip)
        self.embed_dim = 6
        self.first, self.second = nn.Conv3d(3, 6, 1), nn.Conv3d(6, 6, 1)
        self.relu = nn.ReLU(inplace=True)

    def forward_features(self, video_BCTHW: Tensor) -> Tensor:
        return self.relu(self.second(self.relu(self.first(video_BCTHW))))

    def stages(self) -> Mapping[str, nn.Module]:
        return {"first": self.first, "second": self.second}


def test_hooks_see_outputs_before_later_layers_change_them() -> None:
    torch.manual_seed(0)
    backbone = InPlace(None, None).eval()
    video = torch.randn(6, 3, 2, 4, 4)
    found = layer_grams(backbone, video, layers_of(backbone, "leaf"))
    assert list(found) == ["first", "relu", "second", "relu#2"]
    torch.testing.assert_close(found["first"], gram(backbone.first(video)))
    assert not torch.allclose(found["first"], found["relu"])
    assert not any(module._forward_hooks for module in backbone.modules())
    assert list(layer_grams(backbone, video, layers_of(backbone, "block"))) == ["first", "second"]
    assert {"whole", "first"} <= layers_of(backbone, "all").keys()


def test_block_structure_counts_the_longest_run_of_mutually_alike_layers() -> None:
    cka = np.eye(6)
    cka[1:5, 1:5] = 0.9
    cka[1, 4] = cka[4, 1] = 0.1
    np.fill_diagonal(cka, 1)
    found = block_structure(cka)
    assert found["largest_block"] == 3
    assert found["largest_block_share"] == 0.5
    others = cka[~np.eye(6, dtype=bool)]
    assert found["off_diagonal_mean"] == pytest.approx(others.mean())
    assert block_structure(np.ones((4, 4)))["largest_block"] == 4
