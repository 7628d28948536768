"""Multinomial logistic regression with an L2 penalty, fitted to convergence in float64.

A convex problem with one solution: the result depends neither on a learning rate nor on the order of the
samples. Solved by full-batch L-BFGS (torch).

Axes: V video, N sample of the fit (in `scores` clip of a video), D embedding, R principal axis, K class.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["LogisticRegression"]

_TOLERANCE = 1e-6  # largest component of the gradient


@dataclass(frozen=True, slots=True)
class LogisticRegression:
    """A fitted multinomial logistic regression with its own standardisation.

    Args:
        mean: (D,) of the samples that it was fitted on.
        scale: (D,) multiplier after centring; 0 for features that never vary.
        weight: (D, K'), one column for each class that occurs in the fit.
        bias: (K',).
        present: (K',) those classes; all others score 0.
        num_classes: K.
        converged: Whether the gradient reached the tolerance.
    """

    mean: Tensor
    scale: Tensor
    weight: Tensor
    bias: Tensor
    present: Tensor
    num_classes: int
    converged: bool

    @classmethod
    def fit(
        cls,
        features_ND: Tensor,
        labels_N: Tensor,
        *,
        l2: Sequence[float],
        num_classes: int,
        max_iterations: int,
    ) -> list[LogisticRegression]:
        """One regression per strength, strongest first; each starts where the one before ended.

        Features are standardised and divided by sqrt(D), so that samples have a mean squared norm of 1 and
        one grid of strengths suits every width. The fit runs along the samples' principal axes, scaled by
        their curvature: other coordinates for the same solution, which take fewer iterations and, with fewer
        samples than features, smaller ones.
        """
        mean, scale = _standardisation(features_ND)
        scaled_ND = (features_ND - mean) * scale
        axes_DR, variance_R = _principal_axes(scaled_ND)
        samples_NR = scaled_ND @ axes_DR
        present, targets_N = torch.unique(labels_N, return_inverse=True)
        weight_RK = samples_NR.new_zeros(samples_NR.shape[1], len(present))
        bias_K = samples_NR.new_zeros(len(present))
        fitted = []
        for strength in l2:
            # In square roots of the curvature the loss is round while all classes are equally likely; the
            # penalty is round as it is, and rules once they are told apart. The mean of both suits all fits.
            unit_R1 = (variance_R / len(present) + strength)[:, None] ** 0.25
            weight_RK, bias_K, converged = _minimise(
                samples_NR,
                targets_N,
                unit_R1,
                l2=strength,
                start=(weight_RK, bias_K),
                max_iterations=max_iterations,
            )
            fitted.append(cls(mean, scale, axes_DR @ weight_RK, bias_K, present, num_classes, converged))
        return fitted

    def logits(self, features: Tensor) -> Tensor:
        """(…, D) → (…, K); -inf for classes that the fit did not see."""
        logits = features.new_full((*features.shape[:-1], self.num_classes), -torch.inf)
        logits[..., self.present] = ((features - self.mean) * self.scale) @ self.weight + self.bias
        return logits

    def scores(self, features_VND: Tensor) -> Tensor:
        """(V, N, D) → (V, K): the mean over a video's clips of their softmax scores."""
        return self.logits(features_VND).softmax(dim=2).mean(dim=1)


def _standardisation(features_ND: Tensor) -> tuple[Tensor, Tensor]:
    """Mean (D,), and what to multiply the centred features by (D,): 0 where they differ by rounding alone."""
    mean = features_ND.mean(dim=0)
    deviation = (features_ND - mean).square().mean(dim=0).sqrt()
    varies = deviation > 1e-6 * features_ND.abs().max(dim=0).values  # features were float32
    return mean, torch.where(varies, 1.0 / (deviation * features_ND.shape[1] ** 0.5), 0.0)


def _principal_axes(samples_ND: Tensor) -> tuple[Tensor, Tensor]:
    """Orthonormal axes (D, R) of the samples' span and the variance (R,) along each; R may be 0."""
    size, width = samples_ND.shape
    if size >= width:
        variance, axes = torch.linalg.eigh(samples_ND.T @ samples_ND / size)
        kept = variance > 1e-12 * variance[-1]
        return axes[:, kept], variance[kept]
    variance, mixes = torch.linalg.eigh(samples_ND @ samples_ND.T / size)
    kept = variance > 1e-12 * variance[-1]
    variance = variance[kept]
    return samples_ND.T @ mixes[:, kept] / (size * variance).sqrt(), variance


def _minimise(
    samples_NR: Tensor,
    targets_N: Tensor,
    unit_R1: Tensor,
    *,
    l2: float,
    start: tuple[Tensor, Tensor],
    max_iterations: int,
) -> tuple[Tensor, Tensor, bool]:
    """Minimise mean cross-entropy + l2/2 · ‖weight‖²; the bias is not penalised.

    Returns:
        weight (R, K), bias (K,), and whether the gradient vanished.
    """
    scaled = (start[0] * unit_R1).requires_grad_()  # the weight in the scaled coordinates
    bias = start[1].clone().requires_grad_()
    inputs_NR = samples_NR / unit_R1.T
    solver = torch.optim.LBFGS(
        [scaled, bias],
        max_iter=max_iterations,
        max_eval=2 * max_iterations,
        tolerance_grad=_TOLERANCE,
        tolerance_change=0.0,
        history_size=20,
        line_search_fn="strong_wolfe",
    )

    def loss() -> Tensor:
        solver.zero_grad()
        cross_entropy = torch.nn.functional.cross_entropy(inputs_NR @ scaled + bias, targets_N)
        value = cross_entropy + 0.5 * l2 * (scaled / unit_R1).square().sum()
        value.backward()
        return value

    with torch.enable_grad():
        solver.step(loss)
        loss()
    gradient = torch.cat([scaled.grad.flatten(), bias.grad])
    converged = bool(gradient.abs().max() <= 10 * _TOLERANCE)
    return (scaled / unit_R1).detach(), bias.detach(), converged
