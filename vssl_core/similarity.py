"""How alike two networks see the same clips, layer by layer: minibatch linear CKA.

Nguyen, Raghu, Kornblith, Do Wide and Deep Networks Learn the Same Things?, ICLR 2021, section 3: with
X (n, P) and Y (n, Q) what two layers make of n clips, K = XXᵀ and L = YYᵀ without their diagonals,

    HSIC₁(K, L) = [ tr(KL) + (1ᵀK1)(1ᵀL1) / ((n-1)(n-2)) - 2 · 1ᵀKL1 / (n-2) ] / (n(n-3))

is averaged over batches before the ratio CKA = HSIC₁(K, L) / √(HSIC₁(K, K) · HSIC₁(L, L)). It is 1 for
layers that differ by a rotation and a scale, and near 0 for unrelated ones. HSIC₁ is unbiased, so that CKA
may be a little below 0.

All pairs of layers come from one product of their Gram matrices, so that a batch costs L Gram matrices and
not L². Memory does not grow with the number of batches: of one batch, Gram matrices (L, n, n) are kept.

Axes: N clip of a batch, L layer, M layer of the other network.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from vssl_core.errors import ContractError
from vssl_core.interfaces import Backbone

__all__ = ["MinibatchCKA", "block_structure", "gram", "layer_grams", "layers_of"]

Level = Literal["block", "leaf", "all"]

_SMALLEST_BATCH = 4  # HSIC₁ divides by n - 3
_COLUMNS_AT_ONCE = 1 << 16  # entries of Gram matrices that are in float64 at a time, per layer


def gram(features_NP: Tensor) -> Tensor:
    """Gram matrix (N, N) float32 of features (N, …), diagonal zero.

    The mean over the batch is taken off first: HSIC₁ does not depend on it, and rounding is less.
    """
    flat_NP = features_NP.detach().flatten(1).float()
    flat_NP = flat_NP - flat_NP.mean(dim=0)
    with torch.autocast(flat_NP.device.type, enabled=False):
        return (flat_NP @ flat_NP.T).fill_diagonal_(0)


class MinibatchCKA:
    """Adds up batches of Gram matrices of two networks, or of one with itself.

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
        cross_LM = one.hsic(two)
        own_L = cross_LM.diagonal() if two is one else one.own()
        own_M = own_L if two is one else two.own()
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
    """Gram matrices (L, N, N) of one batch with their sums."""

    def __init__(self, grams_LNN: Tensor) -> None:
        self.count = grams_LNN.shape[1]
        if self.count < _SMALLEST_BATCH:
            raise ContractError(f"expected at least {_SMALLEST_BATCH} clips in a batch, got {self.count}.")
        self._flat_LP = grams_LNN.flatten(1)
        self._rows_LN = grams_LNN.sum(dim=2, dtype=torch.float64)
        self._sum_L = self._rows_LN.sum(dim=1)

    def hsic(self, other: _Batch) -> Tensor:
        """HSIC₁ (L, M) of every pair of layers, float64."""
        pairs = zip(self._columns(), other._columns(), strict=True)
        trace_LM = sum((a.double() @ b.double().T for a, b in pairs), torch.zeros((), dtype=torch.float64))
        sums_LM = self._sum_L[:, None] * other._sum_L[None]
        return self._combined(trace_LM, sums_LM, self._rows_LN @ other._rows_LN.T)

    def own(self) -> Tensor:
        """HSIC₁ (L,) of every layer with itself, float64."""
        trace_L = sum(
            (part.double().square().sum(dim=1) for part in self._columns()),
            torch.zeros((), dtype=torch.float64),
        )
        return self._combined(trace_L, self._sum_L.square(), self._rows_LN.square().sum(dim=1))

    def _columns(self) -> list[Tensor]:
        flat_LP, step = self._flat_LP, _COLUMNS_AT_ONCE
        return [flat_LP[:, begin : begin + step] for begin in range(0, flat_LP.shape[1], step)]

    def _combined(self, trace: Tensor, sums: Tensor, rows: Tensor) -> Tensor:
        n = self.count
        return (trace + sums / ((n - 1) * (n - 2)) - 2 * rows / (n - 2)) / (n * (n - 3))


# ------------------------------------------------------------------------------------ layers of a network


def layers_of(backbone: Backbone, level: Level) -> dict[str, nn.Module]:
    """The modules to look at: the stages, those without children (`leaf`), or all of them.

    With `all` a container is listed beside its last child, whose output is its own.
    """
    if level == "block":
        return dict(backbone.stages())
    named = {name or "whole": module for name, module in backbone.named_modules()}
    return named if level == "all" else {n: m for n, m in named.items() if not any(m.children())}


@torch.no_grad()
def layer_grams(
    backbone: Backbone, video_BCTHW: Tensor, layers: Mapping[str, nn.Module]
) -> dict[str, Tensor]:
    """Gram matrix (B, B) of what each layer makes of the clips, in the order in which the layers run.

    A Gram matrix is made as soon as its layer has run, so that no later layer can change what it was made of,
    and no more than one layer's output is kept. A layer that runs several times is listed as `name#2` and on.
    One that gives no tensor whose first axis holds B clips (clip after clip) is left out.
    """
    found: dict[str, Tensor] = {}
    with _watched(layers, found, count=video_BCTHW.shape[0]):
        backbone.forward_features(video_BCTHW)
    return found


@contextmanager
def _watched(layers: Mapping[str, nn.Module], found: dict[str, Tensor], *, count: int) -> Iterator[None]:
    def watch(name: str) -> Any:
        def hook(module: nn.Module, inputs: Any, output: Any) -> None:
            del module, inputs
            if not isinstance(output, Tensor) or output.ndim < 2 or output.shape[0] % count:
                return
            times = sum(known.split("#")[0] == name for known in found)
            found[f"{name}#{times + 1}" if times else name] = gram(output.reshape(count, -1))

        return hook

    handles = [module.register_forward_hook(watch(name)) for name, module in layers.items()]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


# --------------------------------------------------------------------------------------- what a map shows


def block_structure(cka_LL: np.ndarray, *, threshold: float = 0.8) -> dict[str, float]:
    """Numbers for what is read off a map of a network against itself.

    Returns:
        `largest_block`: layers of the longest run in which every two have CKA of at least `threshold`;
        `largest_block_share`: the same as a share of all layers, 0 … 1; `off_diagonal_mean`: mean CKA of
        two different layers.
    """
    size = len(cka_LL)
    alike = np.nan_to_num(cka_LL, nan=0.0) >= threshold
    largest, begin = 0, 0
    for end in range(size):
        while begin <= end and not alike[begin : end + 1, end].all():
            begin += 1
        largest = max(largest, end + 1 - begin)
    others = cka_LL[~np.eye(size, dtype=bool)]
    return {
        "largest_block": float(largest),
        "largest_block_share": largest / size,
        "off_diagonal_mean": float(np.nanmean(others)) if others.size else 1.0,
    }
