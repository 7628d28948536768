"""AE-KD's weights: against grids, scipy and autograd; the bounds; what has no single answer."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.optimize import linprog, minimize

from vssl_plugins.evaluators.ae_kd import bounded_weights, logit_gradients
from vssl_plugins.evaluators.distillation_loss import teacher_divergences


def gradients(seed: int, *, teachers: int, classes: int) -> np.ndarray:
    """Random ones; a part that all share is there or not, and they are large or small."""
    draw = np.random.default_rng(seed)
    shared = draw.choice([0.0, 0.5, 3.0]) * draw.standard_normal(classes)
    return (draw.standard_normal((teachers, classes)) + shared) * 10.0 ** draw.uniform(-4, 3)


def weights_of(found: np.ndarray, *, bound: float) -> np.ndarray:
    return bounded_weights(torch.from_numpy(found), bound=bound).numpy()


def length(weights: np.ndarray, found: np.ndarray) -> float:
    """½ ‖Σ w_m g_m‖², in units of the gradients' mean square."""
    return 0.5 * float(((weights @ found) ** 2).sum() / (found**2).sum(axis=1).mean())


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("bound", [0.6, 0.8, 1.0])
def test_two_teachers_have_the_closed_form(seed: int, bound: float) -> None:
    one, two = found = gradients(seed, teachers=2, classes=7)
    first = np.clip(two @ (two - one) / ((one - two) ** 2).sum(), 1 - bound, bound)
    np.testing.assert_allclose(weights_of(found, bound=bound), [first, 1 - first], atol=1e-9)


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize(("teachers", "bound"), [(2, 0.6), (3, 0.6), (3, 1.0), (3, 0.4)])
def test_no_point_of_a_fine_grid_is_shorter(seed: int, teachers: int, bound: float) -> None:
    found = gradients(seed, teachers=teachers, classes=5)
    axis = np.linspace(0, 1, 101)
    grid = np.stack(np.meshgrid(*[axis] * (teachers - 1), indexing="ij"), axis=-1).reshape(-1, teachers - 1)
    grid = np.concatenate([grid, 1 - grid.sum(axis=1, keepdims=True)], axis=1)
    grid = grid[(grid >= 0).all(axis=1) & (grid <= bound + 1e-12).all(axis=1)]
    shortest = min(length(point, found) for point in grid)
    mine = length(weights_of(found, bound=bound), found)
    assert mine <= shortest + 1e-8
    assert mine >= shortest - 0.05  # the grid has a point near it


@pytest.mark.parametrize("seed", range(10))
def test_scipy_finds_nothing_shorter(seed: int) -> None:
    found, bound = gradients(seed, teachers=5, classes=12), 0.45
    scaled = found / np.sqrt((found**2).sum(axis=1).mean())
    gram = scaled @ scaled.T
    reference = minimize(
        lambda w: 0.5 * w @ gram @ w,
        np.full(5, 0.2),
        jac=lambda w: gram @ w,
        bounds=[(0, bound)] * 5,
        constraints={"type": "eq", "fun": lambda w: w.sum() - 1, "jac": lambda _: np.ones(5)},
        method="SLSQP",
        options={"ftol": 1e-14, "maxiter": 500},
    )
    mine = weights_of(found, bound=bound)
    np.testing.assert_allclose(mine, reference.x, atol=1e-5)
    assert length(mine, found) <= reference.fun + 1e-9


@pytest.mark.parametrize("seed", range(150))
def test_weights_are_feasible_and_no_direction_leads_down(seed: int) -> None:
    """The problem is convex: a point is its minimum where no feasible one lies below along the slope."""
    draw = np.random.default_rng(1000 + seed)
    teachers = int(draw.integers(2, 8))
    found = gradients(seed, teachers=teachers, classes=int(draw.integers(1, 10)))
    if seed % 5 == 0:
        found[1] = found[0]  # two teachers that say the same
    bound = float(draw.choice([1.0, 0.6, 1 / teachers + 1e-6, 0.5, draw.uniform(1 / teachers, 1)]))
    bound = max(bound, 1 / teachers)
    weights = weights_of(found, bound=bound)
    assert weights.sum() == pytest.approx(1, abs=1e-9)
    assert weights.min() >= -1e-12
    assert weights.max() <= bound + 1e-12
    slope = found @ (weights @ found) / (found**2).sum(axis=1).mean()
    lowest = linprog(slope, A_eq=np.ones((1, teachers)), b_eq=[1], bounds=[(0, bound)] * teachers)
    assert slope @ weights <= lowest.fun + 1e-8


def test_the_tightest_bound_makes_all_equal_and_one_teacher_has_all() -> None:
    found = gradients(0, teachers=4, classes=6)
    np.testing.assert_allclose(weights_of(found, bound=0.25), 0.25)
    assert weights_of(found[:1], bound=0.6).tolist() == [1]


def test_of_equally_short_mixtures_the_most_even_one_is_taken() -> None:
    same = np.tile(gradients(0, teachers=1, classes=4), (3, 1))
    np.testing.assert_allclose(weights_of(same, bound=0.6), 1 / 3, atol=1e-6)
    np.testing.assert_allclose(weights_of(same[:2], bound=0.6), 0.5)
    np.testing.assert_allclose(weights_of(np.zeros((3, 4)), bound=0.6), 1 / 3)
    line = np.array([[1.0, -1.0], [-1.0, 1.0], [-1.0, 1.0]])  # two classes: one direction for all
    np.testing.assert_allclose(weights_of(line, bound=0.6), [0.5, 0.25, 0.25], atol=1e-6)


def test_gradients_that_are_no_numbers_do_not_hang() -> None:
    found = np.full((3, 4), np.nan)
    np.testing.assert_allclose(weights_of(found, bound=0.6), 1 / 3)


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_the_gradient_is_that_of_autograd(temperature: float) -> None:
    draw = torch.Generator().manual_seed(0)
    student = torch.randn(5, 7, generator=draw, dtype=torch.float64, requires_grad=True)
    teachers = 3 * torch.randn(4, 5, 7, generator=draw, dtype=torch.float64)
    mine = logit_gradients(student, teachers, temperature=temperature)
    for number, divergence in enumerate(teacher_divergences(student, teachers, temperature=temperature)):
        (gradient,) = torch.autograd.grad(divergence, student, retain_graph=True)
        # KL is the mean over the batch: the gradients of its clips sum to the mean of the clips' own.
        torch.testing.assert_close(mine[number], gradient.sum(dim=0))
