"""Block structure in numbers: what is otherwise read off a map of a network's layers by eye.

A block is a run of successive layers in which every two are alike, CKA of at least a threshold (Nguyen,
Raghu, Kornblith, arXiv 2010.15327, section 4, show them as bright squares on the diagonal and give no
number). The benchmark paper (arXiv 2306.06010) tells apart by eye:

    block         one block that holds much of the network
    semi-block    one that holds a part
    multi-block   several
    grid          layers that are alike and do not stand together

Here: the longest block's share of the layers, the number of blocks, and the share of the pairs of layers that
are alike and lie in no common block. There is no published threshold; `shares_by_threshold` says how much
hangs on it.

Axes: L layer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

__all__ = ["THRESHOLDS", "BlockStructure", "block_structure", "blocks", "shares_by_threshold"]

THRESHOLDS = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)
_SMALLEST_BLOCK = 3  # layers; two neighbours are no structure
_SMALLEST_SHARE = 0.1  # of all layers


@dataclass(frozen=True, slots=True)
class BlockStructure:
    """Numbers for a map of a network against itself.

    Args:
        largest_block: Layers of the longest run in which every two are alike; a layer is alike to itself.
        largest_share: The same as a share of all layers, 0 … 1.
        num_blocks: Runs without a common layer, longest first, that hold at least three layers and a tenth of
            all.
        grid_share: Share of the pairs of two layers that are alike and lie in no run of alike layers, 0 … 1.
        off_diagonal_mean: Mean CKA of two different layers; NaN where there are no two.
    """

    largest_block: int
    largest_share: float
    num_blocks: int
    grid_share: float
    off_diagonal_mean: float


def block_structure(cka_LL: np.ndarray, *, threshold: float = 0.8) -> BlockStructure:
    """Read a map. A layer without CKA (NaN) is alike to none, and is left out of the mean."""
    size = len(cka_LL)
    alike_LL = _alike(cka_LL, threshold)
    runs = _runs(alike_LL)
    largest = max((end - begin for begin, end in runs), default=0)
    together_LL = np.eye(size, dtype=bool)
    for begin, end in runs:
        together_LL[begin:end, begin:end] = True
    pairs = size * (size - 1)
    others = cka_LL[~np.eye(size, dtype=bool)]
    known = others[np.isfinite(others)]
    return BlockStructure(
        largest_block=largest,
        largest_share=largest / size,
        num_blocks=len(blocks(cka_LL, threshold=threshold)),
        grid_share=float((alike_LL & ~together_LL).sum() / pairs) if pairs else 0.0,
        off_diagonal_mean=float(known.mean()) if len(known) else float("nan"),
    )


def blocks(cka_LL: np.ndarray, *, threshold: float = 0.8) -> list[tuple[int, int]]:
    """(first layer, layer after the last) of each block, longest first, no two with a common layer."""
    size, alike_LL = len(cka_LL), _alike(cka_LL, threshold)
    smallest = max(_SMALLEST_BLOCK, _SMALLEST_SHARE * size)
    free = np.ones(size, dtype=bool)
    found: list[tuple[int, int]] = []
    while True:
        runs = _runs(alike_LL & free[:, None] & free[None])
        begin, end = max(runs, key=lambda run: (run[1] - run[0], -run[0]), default=(0, 0))
        if end - begin < smallest:
            return found
        found.append((begin, end))
        free[begin:end] = False


def shares_by_threshold(cka_LL: np.ndarray, thresholds: Sequence[float] = THRESHOLDS) -> np.ndarray:
    """(len(thresholds), 2) float64: each threshold and the longest block's share of the layers under it."""
    shares = [block_structure(cka_LL, threshold=t).largest_share for t in thresholds]
    return np.stack([np.asarray(thresholds, dtype=np.float64), np.asarray(shares)], axis=1)


def _alike(cka_LL: np.ndarray, threshold: float) -> np.ndarray:
    alike: np.ndarray = np.nan_to_num(cka_LL, nan=-1.0) >= threshold
    return alike


def _runs(alike_LL: np.ndarray) -> list[tuple[int, int]]:
    """(begin, end) of every run of mutually alike layers that is part of no longer one."""
    found: list[tuple[int, int]] = []
    begin = 0
    for end in range(len(alike_LL)):
        before = begin
        while begin <= end and not alike_LL[begin : end + 1, end].all():
            begin += 1
        if begin > before and before < end:
            found.append((before, end))
    if begin < len(alike_LL):
        found.append((begin, len(alike_LL)))
    return found
