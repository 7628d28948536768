"""Block structure of maps whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest

from vssl_plugins.evaluators.block_structure import THRESHOLDS, block_structure, blocks, shares_by_threshold


def squares(size: int, *runs: tuple[int, int], inside: float = 0.95, outside: float = 0.1) -> np.ndarray:
    cka = np.full((size, size), outside)
    for begin, end in runs:
        cka[begin:end, begin:end] = inside
    np.fill_diagonal(cka, 1.0)
    return cka


def test_one_block() -> None:
    cka = squares(20, (6, 18))
    found = block_structure(cka)
    assert (found.largest_block, found.largest_share, found.num_blocks, found.grid_share) == (12, 0.6, 1, 0.0)
    assert found.off_diagonal_mean == pytest.approx((12 * 11 * 0.95 + (380 - 132) * 0.1) / 380)
    assert blocks(cka) == [(6, 18)]


def test_two_blocks() -> None:
    cka = squares(20, (0, 5), (10, 20))
    found = block_structure(cka)
    assert (found.largest_block, found.num_blocks, found.grid_share) == (10, 2, 0.0)
    assert blocks(cka) == [(10, 20), (0, 5)]


def test_two_blocks_that_are_alike_to_one_another_are_a_grid() -> None:
    cka = squares(10, (0, 5), (5, 10), outside=0.1)
    cka[0, 7] = cka[7, 0] = 0.9
    assert block_structure(cka).grid_share == pytest.approx(2 / 90)
    assert block_structure(cka).num_blocks == 2


def test_a_grid_has_no_block() -> None:
    rows = np.arange(12)
    cka = np.where((rows[:, None] + rows[None]) % 2 == 0, 0.95, 0.1)
    np.fill_diagonal(cka, 1.0)
    found = block_structure(cka)
    assert (found.largest_block, found.num_blocks) == (1, 0)
    assert found.grid_share == pytest.approx(12 * 5 / 132)


def test_the_identity_and_one_whole_block() -> None:
    found = block_structure(np.eye(8))
    assert (found.largest_block, found.largest_share, found.num_blocks, found.grid_share) == (1, 0.125, 0, 0)
    assert found.off_diagonal_mean == 0
    found = block_structure(np.ones((8, 8)))
    assert (found.largest_block, found.largest_share, found.num_blocks, found.grid_share) == (8, 1, 1, 0)


def test_a_run_needs_every_pair() -> None:
    cka = squares(6, (1, 5), inside=0.9)
    cka[1, 4] = cka[4, 1] = 0.1
    assert block_structure(cka).largest_block == 3
    assert block_structure(cka).grid_share == 0  # every alike pair lies in one run or the other
    assert blocks(cka) == [(1, 4)]  # layer 4 cannot be of two blocks, and is none alone


def test_small_runs_are_no_blocks() -> None:
    assert block_structure(squares(60, (0, 2), (10, 15))).num_blocks == 0  # fewer than a tenth of the layers
    assert block_structure(squares(60, (10, 16))).num_blocks == 1
    assert block_structure(squares(8, (0, 2))).num_blocks == 0  # two neighbours


def test_a_layer_without_cka_breaks_a_block_and_counts_as_a_layer() -> None:
    cka = squares(7, (0, 7))
    cka[3] = cka[:, 3] = np.nan
    found = block_structure(cka)
    assert (found.largest_block, found.num_blocks) == (3, 2)
    assert found.off_diagonal_mean == pytest.approx(0.95)
    assert found.grid_share == pytest.approx(18 / 42)


def test_a_single_layer_has_no_pairs() -> None:
    found = block_structure(np.ones((1, 1)))
    assert (found.largest_block, found.largest_share, found.grid_share) == (1, 1.0, 0.0)
    assert np.isnan(found.off_diagonal_mean)


def test_shares_by_threshold_fall_as_the_threshold_rises() -> None:
    layers = np.arange(30)
    found = shares_by_threshold(np.exp(-np.abs(layers[:, None] - layers[None]) / 20))
    assert found[:, 0].tolist() == list(THRESHOLDS)
    assert (np.diff(found[:, 1]) <= 0).all()
    assert found[0, 1] == pytest.approx(14 / 30)  # exp(-13 / 20) = 0.522, exp(-14 / 20) = 0.497
