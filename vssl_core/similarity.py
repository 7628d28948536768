"""How alike two sets of layers see the same clips: minibatch linear CKA.

Nguyen, Raghu, Kornblith, Do Wide and Deep Networks Learn the Same Things?, ICLR 2021 (arXiv 2010.15327),
section 3: with X (n, P) and Y (n, Q) what two layers make of n clips, K = XXᵀ and L = YYᵀ without their
diagonals,

    HSIC₁(K, L) = [ tr(KL) + (1ᵀK1)(1ᵀL1) / ((n-1)(n-2)) - 2 · 1ᵀKL1 / (n-2) ] / (n(n-3))

is averaged over batches before the ratio CKA = HSIC₁(K, L) / √(HSIC₁(K, K) · HSIC₁(L, L)). It is 1 for
layers that differ by a rotation and a scale, and near 0 for unrelated ones. HSIC₁ is unbiased, so that CKA
may be a little below 0.

All pairs of layers come from one product of their Gram matrices, so that a batch costs L Gram matrices and
not L². Memory does not grow with the number of batches: of one batch, Gram matrices (L, n, n) are kept.

Axes: N clip of a batch, P feature, L layer, M layer of the other network.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from vssl_core.errors import ContractError

__all__ = ["SMALLEST_BATCH", "MinibatchCKA", "first_component", "gram"]

SMALLEST_BATCH = 4  # HSIC₁ divides by n - 3
_COLUMNS_AT_ONCE = 1 << 12  # entries of Gram matrices that are in float64 at a time, per layer: fits caches
_ENTRIES_AT_ONCE = 1 << 22  # of features that are copied at a time
_ENTRIES_IN_CACHE = 1 << 17  # the same on a CPU: half of what a core's second cache holds
_ROWS_AT_ONCE = 128  # of a Gram matrix on a CPU, where blocks right of the diagonal are not computed
_ROUNDING = 1e-12  # variance of what float32 rounds, relative to the square of the mean


@torch.no_grad()
def gram(features_NP: Tensor) -> Tensor:
    """Gram matrix (N, N) float32 of features (N, …), less their mean over the batch.

    HSIC₁ does not depend on the mean, and without it rounding is less. Features that differ by no more than
    rounding give zeros. What the features are made of is read once and not changed; no more than 16 MiB of
    them are copied at a time, in the order in which they lie in memory. On a CPU they are taken in parts that
    stay in a core's cache, and blocks right of the diagonal are copied, not computed.
    """
    flat_NP = _flat(features_NP)
    count, kind = len(flat_NP), flat_NP.device.type
    gram_NN = torch.zeros(count, count, device=flat_NP.device)
    level = torch.zeros((), device=flat_NP.device)
    rows = _ROWS_AT_ONCE if kind == "cpu" else count
    step = max(1, (_ENTRIES_IN_CACHE if kind == "cpu" else _ENTRIES_AT_ONCE) // count)
    with torch.autocast(kind, enabled=False):
        for begin in range(0, flat_NP.shape[1], step):
            part_NP = flat_NP[:, begin : begin + step].float()
            mean_P = part_NP.mean(dim=0)
            part_NP = part_NP - mean_P
            for row in range(0, count, rows):
                last = row + rows
                gram_NN[row:last, :last].addmm_(part_NP[row:last], part_NP[:last].T)
            level += mean_P.square().sum()
    for row in range(rows, count, rows):
        gram_NN[:row, row : row + rows] = gram_NN[row : row + rows, :row].T
    gram_NN *= gram_NN.diagonal().sum() > _ROUNDING * count * level
    return gram_NN


def _flat(features: Tensor) -> Tensor:
    """(N, …) → (N, P), without a copy wherever memory allows: the order of features is of no account."""
    strides = features.stride()
    axes = sorted(range(1, features.ndim), key=lambda axis: -strides[axis])
    return features.detach().permute(0, *axes).flatten(1)


def first_component(grams_LNN: Tensor) -> Tensor:
    """Share (L,) of the variance over a batch that lies along its first principal component, 0 … 1.

    NaN for a layer that gives the same for every clip.

    Args:
        grams_LNN: From `gram`, with their diagonals.
    """
    largest_L = torch.linalg.eigvalsh(grams_LNN)[:, -1].double()
    share_L: Tensor = largest_L / grams_LNN.diagonal(dim1=1, dim2=2).sum(dim=1, dtype=torch.float64)
    return share_L


class MinibatchCKA:
    """Adds up batches of Gram matrices of two networks, or of one with itself. Diagonals are of no account.

    Raises:
        ContractError: From `add`, where batches or numbers of layers do not fit.
    """

    def __init__(self) -> None:
        self._cross_LM: Tensor | None = None
        self._own_L = self._own_M = torch.zeros(0, dtype=torch.float64)

    def add(self, grams_LNN: Tensor, others_MNN: Tensor | None = None) -> None:
        """One batch: a Gram matrix of every layer, and those of the other network for the same clips."""
        one = _Batch(grams_LNN)
        two = one if others_MNN is None else _Batch(others_MNN)
        if one.count != two.count:
            raise ContractError(
                f"expected both networks to see the same clips, got {one.count} and {two.count} of them."
            )
        cross_LM, own_L, own_M = one.hsic(two)
        if self._cross_LM is None:
            self._cross_LM, self._own_L, self._own_M = cross_LM, own_L.clone(), own_M.clone()
            return
        if self._cross_LM.shape != cross_LM.shape:
            raise ContractError(
                f"expected {tuple(self._cross_LM.shape)} layers as before, got {tuple(cross_LM.shape)}."
            )
        self._cross_LM = self._cross_LM + cross_LM
        self._own_L, self._own_M = self._own_L + own_L, self._own_M + own_M

    def result(self) -> np.ndarray:
        """CKA (L, M) float64; NaN where a layer gives the same for every clip."""
        if self._cross_LM is None:
            raise ContractError("expected at least one batch before the result.")
        scale_LM = self._own_L.clamp(min=0).sqrt()[:, None] * self._own_M.clamp(min=0).sqrt()[None]
        found_LM = torch.where(scale_LM > 0, self._cross_LM / scale_LM, torch.nan)
        return np.asarray(found_LM.cpu().numpy())


class _Batch:
    """Gram matrices (L, N, N) of one batch with their sums, all without the diagonals."""

    def __init__(self, grams_LNN: Tensor) -> None:
        self.count = grams_LNN.shape[1]
        if self.count < SMALLEST_BATCH:
            raise ContractError(
                f"expected at least {SMALLEST_BATCH} clips in a batch, as HSIC divides by n - 3; "
                f"got {self.count}. Take larger batches, or leave the last one out."
            )
        self._flat_LP = grams_LNN.flatten(1)
        self._diagonal_LN = grams_LNN.diagonal(dim1=1, dim2=2).double()
        self._rows_LN = grams_LNN.sum(dim=2, dtype=torch.float64) - self._diagonal_LN
        self._sum_L = self._rows_LN.sum(dim=1)

    def hsic(self, other: _Batch) -> tuple[Tensor, Tensor, Tensor]:
        """HSIC₁ of every pair of layers (L, M), and of each network's layers with themselves, float64."""
        trace_LM = -self._diagonal_LN @ other._diagonal_LN.T
        trace_L = -self._diagonal_LN.square().sum(dim=1)
        trace_M = -other._diagonal_LN.square().sum(dim=1)
        for begin in range(0, self._flat_LP.shape[1], _COLUMNS_AT_ONCE):
            mine_LP = self._columns(begin)
            theirs_MP = mine_LP if other is self else other._columns(begin)
            trace_LM += mine_LP @ theirs_MP.T
            if other is not self:
                trace_L += mine_LP.square_().sum(dim=1)
                trace_M += theirs_MP.square_().sum(dim=1)
        sums_LM = self._sum_L[:, None] * other._sum_L[None]
        cross_LM = self._combined(trace_LM, sums_LM, self._rows_LN @ other._rows_LN.T)
        if other is self:
            return cross_LM, cross_LM.diagonal(), cross_LM.diagonal()
        return cross_LM, self._own(trace_L), other._own(trace_M)

    def _own(self, trace_L: Tensor) -> Tensor:
        return self._combined(trace_L, self._sum_L.square(), self._rows_LN.square().sum(dim=1))

    def _columns(self, begin: int) -> Tensor:
        return self._flat_LP[:, begin : begin + _COLUMNS_AT_ONCE].double()

    def _combined(self, trace: Tensor, sums: Tensor, rows: Tensor) -> Tensor:
        n = self.count
        return (trace + sums / ((n - 1) * (n - 2)) - 2 * rows / (n - 2)) / (n * (n - 3))
