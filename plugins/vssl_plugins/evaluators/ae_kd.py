"""AE-KD: how much each of several teachers counts in a step (Du et al., NeurIPS 2020, section 3).

Every teacher m pulls the student's logits with a gradient g_m. The weights are those of the shortest vector
among their mixtures, so that the step lowers every teacher's loss where there is such a step:

    min ½ ‖Σ w_m g_m‖²   subject to   Σ w_m = 1,  0 ≤ w_m ≤ C

A bound C below 1 keeps one teacher from ruling alone, and C ≥ 1 / M so that there is a solution; at C = 1 / M
all weights are equal. The authors solve it as a one-class SVM on the Gram matrix (ν = 1 / (C · M)); here it
is solved exactly: in closed form for two teachers, by the primal active-set method for more (Nocedal and
Wright, Numerical Optimization, algorithm 16.3).

Axes: B clip of a batch, M teacher, K class.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

__all__ = ["bounded_weights", "logit_gradients"]

_RIDGE = 1e-9  # of the mean squared length: of equally short mixtures the most even one is taken
_TOLERANCE = 1e-12  # in a Gram matrix of mean diagonal 1
_MOST_ROUNDS = 100  # per teacher; a few are usual


def logit_gradients(student_BK: Tensor, teachers_MBK: Tensor, *, temperature: float) -> Tensor:
    """The gradients (M, K) of T² · KL(softmax(z_m / T) ‖ softmax(z_s / T)) by z_s, means over the batch."""
    student = (student_BK.detach() / temperature).softmax(dim=1)
    teachers = (teachers_MBK / temperature).softmax(dim=2)
    return temperature * (student - teachers).mean(dim=1)


def bounded_weights(gradients_MK: Tensor, *, bound: float) -> Tensor:
    """The weights (M,) float64 of the teachers, on the CPU; equal ones where no gradient is left."""
    gradients = gradients_MK.detach().double().cpu().numpy()
    gram_MM = gradients @ gradients.T
    count = len(gram_MM)
    scale = float(np.trace(gram_MM)) / count
    even_M = np.full(count, 1.0 / count)
    # A student that diverged has no finite gradient; the training loop names it by its loss.
    if count == 1 or not np.isfinite(scale) or scale == 0.0 or bound * count <= 1.0 + _TOLERANCE:
        return torch.from_numpy(even_M)
    if count == 2:
        return torch.from_numpy(_of_two(gram_MM, scale, bound))
    return torch.from_numpy(_active_set(gram_MM / scale + _RIDGE * np.eye(count), even_M, bound))


def _of_two(gram_MM: np.ndarray, scale: float, bound: float) -> np.ndarray:
    """w_1 = g_2 · (g_2 − g_1) / ‖g_1 − g_2‖², kept in [1 − C, C]."""
    apart = gram_MM[0, 0] + gram_MM[1, 1] - 2.0 * gram_MM[0, 1]
    if apart <= _TOLERANCE * scale:
        return np.array([0.5, 0.5])
    first = float(np.clip((gram_MM[1, 1] - gram_MM[0, 1]) / apart, 1.0 - bound, bound))
    return np.array([first, 1.0 - first])


def _active_set(gram_MM: np.ndarray, start_M: np.ndarray, bound: float) -> np.ndarray:
    """The minimiser of ½ wᵀ G w, G positive definite, from a start that is strictly within the bounds.

    Each round goes to the minimum over the free weights. If a bound stands before it, that weight is held
    there; else the held weight that would gain most by leaving its bound is freed, until none would.
    """
    weights = start_M.copy()
    held_M = np.zeros(len(weights), dtype=int)  # -1 at 0, 1 at the bound
    for _ in range(_MOST_ROUNDS * len(weights)):
        free = np.flatnonzero(held_M == 0)
        goal = _minimum_over(free, gram_MM, weights)
        step = goal - weights[free]
        room = np.where(step > 0, bound - weights[free], weights[free])
        share = np.divide(room, np.abs(step), out=np.full(len(free), np.inf), where=np.abs(step) > 0)
        if len(free) and share.min() < 1.0:
            blocking = int(share.argmin())
            weights[free] += max(float(share[blocking]), 0.0) * step
            held_M[free[blocking]] = 1 if step[blocking] > 0 else -1
            weights[free[blocking]] = bound if step[blocking] > 0 else 0.0
            continue
        weights[free] = goal
        freed = _worth_freeing(gram_MM @ weights, held_M)
        if not freed:
            return weights
        held_M[freed] = 0
    raise ArithmeticError(
        f"the weights of {len(weights)} teachers were not found in {_MOST_ROUNDS} rounds each."
    )


def _minimum_over(free: np.ndarray, gram_MM: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The free weights at the minimum, the others as they are and the sum of all 1."""
    count = len(free)
    held = np.setdiff1d(np.arange(len(weights)), free)
    system = np.ones((count + 1, count + 1))
    system[:count, :count] = gram_MM[np.ix_(free, free)]
    system[count, count] = 0.0
    right = np.append(-gram_MM[np.ix_(free, held)] @ weights[held], 1.0 - weights[held].sum())
    return np.linalg.solve(system, right)[:count] if count else np.empty(0)


def _worth_freeing(slope_M: np.ndarray, held_M: np.ndarray) -> list[int]:
    """The held weight to free, or the pair where none is free; empty at the minimum.

    Weight that moves from i to j gains slope_i − slope_j; i must be above 0, j below the bound.
    """
    free = np.flatnonzero(held_M == 0)
    low, high = np.flatnonzero(held_M == -1), np.flatnonzero(held_M == 1)
    givers = free if len(free) else high
    takers = free if len(free) else low
    best: tuple[float, list[int]] = (_TOLERANCE, [])
    for row in low:  # may only take
        giver = givers[slope_M[givers].argmax()]
        best = max(best, (float(slope_M[giver] - slope_M[row]), sorted({int(row), int(giver)})))
    for row in high:  # may only give
        taker = takers[slope_M[takers].argmin()]
        best = max(best, (float(slope_M[row] - slope_M[taker]), sorted({int(row), int(taker)})))
    return best[1]
