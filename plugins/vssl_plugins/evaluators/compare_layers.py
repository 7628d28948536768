"""`compare`: minibatch linear CKA of the layers of any two networks, over any batches.

    from vssl_plugins.evaluators.cka import compare

    found = compare(one, other, batches=loader, hooks="leaf")
    found.cka           # (L, M) float64
    found.layers        # names of the first network's layers, in the order in which they ran

Axes: L layer of the first network, M layer of the other.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest

import numpy as np
import torch
from torch import Tensor, nn

from vssl_core.errors import ContractError, DivergedError, UsageError
from vssl_core.similarity import SMALLEST_BATCH, MinibatchCKA, first_component, gram
from vssl_plugins.evaluators.layers import Hooks, Seen, evaluating, layers_of, look, out_of_order

__all__ = ["Batch", "LayerComparison", "Side", "compare"]

Batch = Tensor | tuple[Tensor, Sequence[str]]
"""Clips (B, …), with the ids of their samples (B,) where these are known."""


@dataclass
class Side:
    """One network's layers.

    Args:
        layers: Names, in the order in which they ran; the second run of a module is `name#2`.
        first_component: Share (L,) of a batch's variance along its first principal component, mean over
            batches, 0 … 1; NaN for a layer that gives the same for every clip. Empty where it was not asked
            for.
        twins: Layer → the one whose tensor it hands on.
        passed_over: Module → why it is no layer here.
    """

    layers: tuple[str, ...] = ()
    first_component: np.ndarray = field(default_factory=lambda: np.zeros(0))
    twins: dict[str, str] = field(default_factory=dict)
    passed_over: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class LayerComparison:
    """What `compare` gives.

    Args:
        cka: (L, M) float64, about 0 … 1; unrelated layers may be a little below 0. NaN where a layer gives
            the same for every clip.
        one: The first network's layers.
        other: The other's; the same object where a network is compared with itself.
        ids: Of the samples, in the order in which they were seen; empty where batches had none.
        batch_sizes: Clips of each batch.
    """

    cka: np.ndarray
    one: Side
    other: Side
    ids: tuple[str, ...]
    batch_sizes: tuple[int, ...]

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of the first network's layers."""
        return self.one.layers


def compare(
    network: nn.Module,
    other: nn.Module | None = None,
    *,
    batches: Iterable[Batch],
    other_batches: Iterable[Batch] | None = None,
    hooks: Hooks = "leaf",
    components: bool = True,
) -> LayerComparison:
    """Compare every layer of one network with every layer of another, or of itself.

    Both see the same samples in the same order: every batch goes through both, or `other_batches` brings what
    the other network takes, with ids that must be equal. Networks are run in eval mode and without autocast,
    and are left in the mode that they were in. Of a batch of n clips Gram matrices (n, n) of all layers are
    kept, and nothing of the batches before; the forward pass of n clips is what takes memory.

    Args:
        network: Any network that takes the clips as its only argument.
        other: Another one; None: the network itself.
        batches: Batches of at least 4 clips, on the network's device. HSIC is unbiased at every size; smaller
            batches need more clips for the same noise. They should be drawn at random: clips sorted by class
            are alike within a batch.
        other_batches: The same samples as the other network takes them, with ids; None: `batches`.
        hooks: See `vssl_plugins.evaluators.layers.layers_of`.
        components: Also find the first principal components: one eigenvalue problem per layer and batch.

    Raises:
        ContractError: No batch, a batch of fewer than 4 clips, ids that differ, layers that change between
            batches, or none that can be compared.
        DivergedError: A layer's output is not finite.
        UsageError: The networks do not have what `hooks` asks for, or `other_batches` without `other`.

    Example:
        >>> import torch
        >>> from torch import nn
        >>> from vssl_plugins.evaluators.cka import compare
        >>> network = nn.Sequential(nn.Linear(8, 16), nn.ReLU(inplace=True), nn.Linear(16, 4))
        >>> found = compare(network, batches=torch.randn(64, 8).split(16))
        >>> found.layers, found.cka.shape
        (('0', '1', '2'), (3, 3))
    """
    if other_batches is not None and other is None:
        raise UsageError("other_batches were given without another network; give `other`, too.")
    alone = other is None
    one = _Watched(network, hooks, components)
    two = one if other is None else _Watched(other, hooks, components)
    cka, ids, sizes = MinibatchCKA(), list[str](), list[int]()
    with evaluating(network, *(() if other is None else (other,))):
        for (clips, names), (others, _) in _pairs(batches, other_batches):
            cka.add(one.grams(clips), None if alone else two.grams(others))
            ids += names
            sizes.append(len(clips))
    if not sizes:
        raise ContractError("expected at least one batch to compare layers on, got none.")
    mine = one.side()
    return LayerComparison(cka.result(), mine, mine if alone else two.side(), tuple(ids), tuple(sizes))


def _pairs(
    batches: Iterable[Batch], others: Iterable[Batch] | None
) -> Iterator[tuple[tuple[Tensor, list[str]], tuple[Tensor, list[str]]]]:
    """(clips, ids) for both networks, which are of the same samples."""
    if others is None:
        for batch in batches:
            same = _with_ids(batch)
            yield same, same
        return
    for mine, theirs in zip_longest(batches, others):
        if mine is None or theirs is None:
            raise ContractError("expected as many other_batches as batches, but one of them ended first.")
        one, two = _with_ids(mine), _with_ids(theirs)
        _check_same(one, two)
        yield one, two


def _with_ids(batch: Batch) -> tuple[Tensor, list[str]]:
    clips, ids = (batch, ()) if isinstance(batch, Tensor) else batch
    names = [str(name) for name in ids]
    if names and len(names) != len(clips):
        raise ContractError(f"expected one id for each clip, got {len(names)} ids of {len(clips)} clips.")
    return clips, names


def _check_same(one: tuple[Tensor, list[str]], two: tuple[Tensor, list[str]]) -> None:
    if not one[1] or not two[1]:
        raise ContractError(
            "expected ids with batches and with other_batches: (clips, ids), so that both networks can be "
            "seen to look at the same samples."
        )
    if one[1] != two[1]:
        place = next((i for i, (a, b) in enumerate(zip(one[1], two[1], strict=False)) if a != b), None)
        where = f"{len(one[1])} and {len(two[1])} of them"
        if place is not None:
            where = f"{one[1][place]!r} and {two[1][place]!r} at place {place}"
        raise ContractError(
            f"expected both networks to see the same samples in the same order, got {where}; do not shuffle "
            "the two loaders apart."
        )


class _Watched:
    """A network whose layers are looked at, batch after batch."""

    def __init__(self, network: nn.Module, hooks: Hooks, components: bool) -> None:
        self._network, self._twins, self._wanted = network, hooks == "all", components
        self._layers = layers_of(network, hooks)
        self._disordered: dict[str, str] | None = None
        self._seen: Seen | None = None
        self._components: list[Tensor] = []

    def grams(self, clips: Tensor) -> Tensor:
        """Gram matrices (L, B, B) of a batch."""
        if len(clips) < SMALLEST_BATCH:
            raise ContractError(
                f"expected at least {SMALLEST_BATCH} clips in a batch, as HSIC divides by n - 3; got "
                f"{len(clips)}. Take larger batches, or leave the last one out."
            )
        if self._disordered is None:
            self._disordered = out_of_order(self._network, clips[:4], self._layers)
        with torch.autocast(clips.device.type, enabled=False):
            seen = look(self._network, clips, self._layers, take=gram, twins=self._twins)
        for name, reason in self._disordered.items():
            if seen.found.pop(name, None) is not None:
                seen.passed_over[name] = reason
        self._check(seen)
        grams_LNN = torch.stack(list(seen.found.values()))
        finite = grams_LNN.diagonal(dim1=1, dim2=2).isfinite().all(dim=1).tolist()
        if not all(finite):
            raise DivergedError(
                f"layer {list(seen.found)[finite.index(False)]!r} gives values that are not finite."
            )
        if self._wanted:
            self._components.append(first_component(grams_LNN).cpu())
        seen.found = dict.fromkeys(seen.found)
        self._seen = seen
        return grams_LNN

    def _check(self, seen: Seen) -> None:
        if not seen.found:
            reasons = sorted(set(seen.passed_over.values())) or ["it has no modules"]
            raise ContractError(
                f"{type(self._network).__name__} has no layer to compare: {'; '.join(reasons)}."
            )
        if self._seen is not None and list(self._seen.found) != list(seen.found):
            changed = sorted(self._seen.found.keys() ^ seen.found.keys()) or list(seen.found)
            raise ContractError(
                f"expected the same layers in every batch, but {changed[0]!r} ran in some batches alone or "
                "in another order."
            )

    def side(self) -> Side:
        """What is known of the layers."""
        seen = self._seen or Seen()
        return Side(tuple(seen.found), self._mean_component(), seen.twins, seen.passed_over)

    def _mean_component(self) -> np.ndarray:
        if not self._components:
            return np.zeros(0)
        shares_BL = torch.stack(self._components).numpy()
        known_L = np.isfinite(shares_BL).any(axis=0)
        mean_L = np.full(shares_BL.shape[1], np.nan)
        mean_L[known_L] = np.nanmean(shares_BL[:, known_L], axis=0)
        return mean_L
