"""Mean ranks over datasets, with the critical difference of Demšar (JMLR 2006, section 3.2)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from scipy.special import fdtrc

from vssl_core.statistics import tie_groups

__all__ = ["MIN_DATASETS", "CriticalDifference", "critical_difference"]

MIN_DATASETS = 5
"""Fewer datasets give no critical difference: they are the sample that the test speaks of."""


@dataclass(frozen=True, slots=True)
class CriticalDifference:
    """What a critical-difference diagram shows.

    Args:
        mean_ranks: Method → mean rank over datasets, best first; 1 is best, ties share the mean of theirs.
        difference: Mean ranks that differ by this much differ at 95 %; None under five datasets.
        friedman_p: p of "all methods have equal ranks" (Iman and Davenport's F), or None.
        ties: Letters; two methods share one where they could not be told apart.
        num_datasets: Datasets.
        confidence: Of the family of all pairs.
        sample: What a dataset is called: a block, where one is more than a dataset.
    """

    mean_ranks: Mapping[str, float]
    difference: float | None
    friedman_p: float | None
    ties: Mapping[str, str]
    num_datasets: int
    confidence: float = 0.95
    sample: str = "dataset"

    @property
    def sentence(self) -> str:
        """For a report."""
        ranks = ", ".join(f"{name} {rank:.2f}" for name, rank in self.mean_ranks.items())
        count = f"{self.num_datasets} {self.sample}{'s' if self.num_datasets != 1 else ''}"
        if self.difference is None or self.friedman_p is None:
            return (
                f"Mean ranks over {count}: {ranks}. No critical difference: the test takes {self.sample}s as "
                f"its sample and needs at least {MIN_DATASETS} (Demšar, 2006)."
            )
        told = "differ" if self.friedman_p < 1 - self.confidence else "could not be told apart"
        return (
            f"Mean ranks over {count}: {ranks}. At {100 * self.confidence:g} % the methods {told} (Friedman "
            f"p {self.friedman_p:.2g}; critical difference {self.difference:.2f})."
        )


def critical_difference(
    scores: Mapping[str, Mapping[str, float]],
    *,
    higher_is_better: bool = True,
    confidence: float = 0.95,
    sample: str = "dataset",
) -> CriticalDifference:
    """Friedman's test in the form of Iman and Davenport, then Nemenyi's over all pairs.

    It speaks of other datasets, drawn as these were; seeds are averaged before.

    Args:
        scores: Dataset → method → score; every dataset has every method.
        higher_is_better: False for errors, drops and times.
        confidence: Of the family of all pairs.
        sample: What a dataset is called.

    Raises:
        ValueError: No dataset, fewer than two methods, or datasets of different methods.
    """
    methods = tuple(next(iter(scores.values()), ()))
    if len(methods) < 2 or any(set(of_dataset) != set(methods) for of_dataset in scores.values()):
        raise ValueError("expected a score of the same two methods or more on each of one dataset or more")
    sign = -1.0 if higher_is_better else 1.0
    score_NK = sign * np.array([[by_method[m] for m in methods] for by_method in scores.values()])
    if not np.isfinite(score_NK).all():
        raise ValueError("expected finite scores. Leave out the method or the dataset that has none.")
    ranks_K = _ranks(score_NK).mean(axis=0)
    order = sorted(range(len(methods)), key=lambda k: (ranks_K[k], methods[k]))
    mean_ranks = {methods[k]: float(ranks_K[k]) for k in order}
    if len(scores) < MIN_DATASETS:
        return CriticalDifference(mean_ranks, None, None, {}, len(scores), confidence, sample)
    p_value, difference = _friedman(ranks_K, len(scores)), _nemenyi(len(methods), len(scores), confidence)
    apart = [
        (a, b)
        for a, b in combinations(mean_ranks, 2)
        if p_value < 1 - confidence and mean_ranks[b] - mean_ranks[a] >= difference
    ]
    ties = tie_groups(tuple(mean_ranks), apart)
    return CriticalDifference(mean_ranks, difference, p_value, ties, len(scores), confidence, sample)


def _ranks(score_NK: np.ndarray) -> np.ndarray:
    """Of each row, smallest first; equal scores share the mean of their ranks."""
    below = (score_NK[:, None, :] < score_NK[:, :, None]).sum(axis=2)
    equal = (score_NK[:, None, :] == score_NK[:, :, None]).sum(axis=2)
    ranks: np.ndarray = below + (equal + 1) / 2
    return ranks


def _friedman(ranks_K: np.ndarray, num_datasets: int) -> float:
    k, n = len(ranks_K), num_datasets
    chi2 = 12 * n / (k * (k + 1)) * (float((ranks_K**2).sum()) - k * (k + 1) ** 2 / 4)
    rest = n * (k - 1) - chi2
    if rest <= 1e-9 * n * k:
        return 0.0  # every dataset has the same order
    return float(fdtrc(k - 1, (k - 1) * (n - 1), (n - 1) * chi2 / rest))


def _nemenyi(num_methods: int, num_datasets: int, confidence: float) -> float:
    from scipy.stats import studentized_range  # heavy

    quantile = float(studentized_range.ppf(confidence, num_methods, np.inf)) / 2**0.5
    return float(quantile * (num_methods * (num_methods + 1) / (6 * num_datasets)) ** 0.5)
