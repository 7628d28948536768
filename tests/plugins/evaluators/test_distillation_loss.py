"""The loss of a student: against its definition, how teachers answer, what reaches the student."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from vssl_core.classifier import Classifier
from vssl_plugins.evaluators.ae_kd import bounded_weights, logit_gradients
from vssl_plugins.evaluators.distillation_loss import DistillationLoss, teacher_divergences
from vssl_plugins.evaluators.training import cross_entropy

CLASSES = 5


class Fixed(Classifier):
    """Says what it was told to, and keeps what it was shown."""

    def __init__(self, logits: Tensor) -> None:
        self._logits, self.labels = logits, np.arange(CLASSES)
        self.shown: list[Tensor] = []

    def logits(self, video_NCTHW: Tensor) -> Tensor:
        self.shown.append(video_NCTHW)
        return self._logits


def batch(seed: int, *, teachers: int) -> tuple[Tensor, Tensor, Tensor, list[Fixed]]:
    draw = torch.Generator().manual_seed(seed)
    logits = torch.randn(6, CLASSES, generator=draw, requires_grad=True)
    labels = torch.randint(CLASSES, (6,), generator=draw)
    video = torch.randn(6, 3, 2, 4, 4, generator=draw)
    return (
        video,
        logits,
        labels,
        [Fixed(3 * torch.randn(6, CLASSES, generator=draw)) for _ in range(teachers)],
    )


def loss(teachers, context, **changes) -> DistillationLoss:
    usual = {"weights": "ae_kd", "alpha": 0.9, "temperature": 4.0, "bound": 0.6}
    return DistillationLoss(teachers, context, labels_loss=cross_entropy(0.0), **{**usual, **changes})


def by_definition(logits, labels, teachers, weights, *, alpha, temperature) -> float:
    """In float64, clip by clip and class by class."""
    rows, total = logits.detach().double(), 0.0
    for row, label in zip(rows, labels, strict=True):
        total -= float(torch.log(row.exp()[label] / row.exp().sum()))
    for teacher, weight in zip(teachers, weights, strict=True):
        for z_s, z_m in zip(rows, teacher._logits.double(), strict=True):
            p = (z_m / temperature).exp() / (z_m / temperature).exp().sum()
            q = (z_s / temperature).exp() / (z_s / temperature).exp().sum()
            total += alpha * weight * temperature**2 * float((p * (p / q).log()).sum())
    return total / len(rows)


@pytest.mark.parametrize("teachers", [1, 2, 3])
@pytest.mark.parametrize("rule", ["ae_kd", "equal"])
@pytest.mark.parametrize(("alpha", "temperature"), [(0.9, 4.0), (0.3, 1.5)])
def test_the_value_is_that_of_the_definition(context, teachers, rule, alpha, temperature) -> None:
    video, logits, labels, fixed = batch(0, teachers=teachers)
    mine = loss(fixed, context, weights=rule, alpha=alpha, temperature=temperature)
    value = mine(video, logits, labels)
    expected = np.full(teachers, 1 / teachers)
    if rule == "ae_kd":
        stacked = torch.stack([one._logits for one in fixed])
        expected = bounded_weights(
            logit_gradients(logits, stacked, temperature=temperature), bound=0.6
        ).numpy()
    np.testing.assert_allclose(mine.weights, [expected], rtol=1e-6)
    direct = by_definition(logits, labels, fixed, expected, alpha=alpha, temperature=temperature)
    assert value.item() == pytest.approx(direct, rel=1e-5)


def test_one_teacher_is_plain_distillation_whatever_the_bound(context) -> None:
    video, logits, labels, fixed = batch(1, teachers=1)
    values = [loss(fixed, context, weights=rule)(video, logits, labels) for rule in ("ae_kd", "equal")]
    plain = torch.nn.functional.kl_div(
        (logits / 4).log_softmax(dim=1), (fixed[0]._logits / 4).softmax(dim=1), reduction="batchmean"
    )
    expected = torch.nn.functional.cross_entropy(logits, labels) + 0.9 * 16 * plain
    torch.testing.assert_close(values[0], expected)
    torch.testing.assert_close(values[1], expected)


def test_without_the_teachers_part_it_is_cross_entropy(context) -> None:
    video, logits, labels, fixed = batch(2, teachers=2)
    value = loss(fixed, context, alpha=0.0)(video, logits, labels)
    assert torch.equal(value, torch.nn.functional.cross_entropy(logits, labels))


def test_weights_are_constants_of_the_gradient(context) -> None:
    video, logits, labels, fixed = batch(3, teachers=3)
    mine = loss(fixed, context)
    (gradient,) = torch.autograd.grad(mine(video, logits, labels), logits)
    weights = torch.from_numpy(mine.weights[0]).float()
    stacked = torch.stack([one._logits for one in fixed])
    expected = (
        torch.nn.functional.cross_entropy(logits, labels)
        + 0.9 * (weights * teacher_divergences(logits, stacked, temperature=4.0)).sum()
    )
    torch.testing.assert_close(gradient, torch.autograd.grad(expected, logits)[0])


def test_teachers_see_the_clips_of_the_student_under_its_precision_without_gradient(context) -> None:
    seen: list[tuple[bool, bool]] = []
    active = [False]

    @contextmanager
    def autocast():
        active[0] = True
        yield
        active[0] = False

    class Watching(Fixed):
        def logits(self, video_NCTHW: Tensor) -> Tensor:
            seen.append((active[0], torch.is_grad_enabled()))
            return super().logits(video_NCTHW)

    video, logits, labels, fixed = batch(4, teachers=2)
    watching = [Watching(one._logits) for one in fixed]
    loss(watching, replace(context, autocast=autocast))(video, logits, labels)
    assert seen == [(True, False)] * 2
    assert all(one.shown[0] is video for one in watching)


def test_a_class_that_a_teacher_rules_out_adds_nothing(context) -> None:
    video, logits, labels, fixed = batch(5, teachers=2)
    fixed[0]._logits[:, 2] = -torch.inf
    value = loss(fixed, context)(video, logits, labels)
    (gradient,) = torch.autograd.grad(value, logits)
    assert torch.isfinite(value)
    assert torch.isfinite(gradient).all()
