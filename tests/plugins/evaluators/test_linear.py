"""The linear probe: the convex problem's solution, the order of events, and bad data."""

from __future__ import annotations

import time

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from scipy.optimize import minimize

from vssl_core.errors import ContractError, DatasetError, DivergedError
from vssl_core.metrics import top_k_correct
from vssl_plugins.evaluators.linear import Linear, LinearOptions
from vssl_plugins.evaluators.logistic_regression import LogisticRegression


def probe(**options: object) -> Linear:
    return Linear(LinearOptions(**options))


def reference_solution(features: np.ndarray, labels: np.ndarray, l2: float) -> np.ndarray:
    """Weights by scipy's solver, straight from the definition."""
    scaled = (features - features.mean(axis=0)) / features.std(axis=0) / features.shape[1] ** 0.5
    width, num_classes, rows = scaled.shape[1], labels.max() + 1, np.arange(len(labels))

    def loss(parameters: np.ndarray) -> tuple[float, np.ndarray]:
        weight = parameters[: width * num_classes].reshape(width, num_classes)
        logits = scaled @ weight + parameters[width * num_classes :]
        logits -= logits.max(axis=1, keepdims=True)
        log_p = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
        residual = np.exp(log_p)
        residual[rows, labels] -= 1
        residual /= len(labels)
        gradient = np.concatenate([(scaled.T @ residual + l2 * weight).ravel(), residual.sum(axis=0)])
        return -log_p[rows, labels].mean() + 0.5 * l2 * (weight**2).sum(), gradient

    options = {"maxiter": 5000, "maxfun": 20000, "ftol": 1e-16, "gtol": 1e-10}
    start = np.zeros((width + 1) * num_classes)
    found = minimize(loss, start, jac=True, method="L-BFGS-B", options=options)
    return found.x[: width * num_classes].reshape(width, num_classes)


@pytest.mark.parametrize(("size", "width"), [(60, 20), (20, 60)])
def test_the_fit_is_the_solution_of_the_convex_problem(size: int, width: int) -> None:
    draw = np.random.default_rng(0)
    features = draw.standard_normal((size, width)) * np.linspace(0.1, 3, width) + 1
    labels = draw.permutation(np.arange(size) % 3)
    fits = LogisticRegression.fit(
        torch.from_numpy(features),
        torch.from_numpy(labels),
        l2=(1.0, 1e-3),
        num_classes=3,
        max_iterations=500,
    )
    for fit, l2 in zip(fits, (1.0, 1e-3), strict=True):
        assert fit.converged
        expected = reference_solution(features, labels, l2)
        np.testing.assert_allclose(fit.weight, expected, atol=2e-4 * np.abs(expected).max())


def test_features_that_never_vary_and_classes_that_never_occur_are_harmless() -> None:
    draw = np.random.default_rng(0)
    features = torch.from_numpy(draw.standard_normal((40, 6)))
    features[:, 2] = 7.1
    labels = torch.arange(40) % 2 * 2  # classes 0 and 2 of 4
    features[:, 0] += labels
    fit = LogisticRegression.fit(features, labels, l2=(1e-2,), num_classes=4, max_iterations=200)[0]
    features[:, 2] = 1e6
    scores = fit.scores(features[:, None])
    assert scores[:, [1, 3]].abs().max() == 0
    torch.testing.assert_close(scores.sum(dim=1), torch.ones(40, dtype=torch.float64))
    assert top_k_correct(scores.numpy(), labels.numpy(), k=1).mean() > 0.7


def test_a_collapsed_backbone_scores_what_the_classes_share_tells(make_data, backbone, context) -> None:
    with torch.no_grad():
        backbone.last[0].weight.zero_()
        backbone.last[1].bias.fill_(1.0)
    data = make_data(train=[0, 1, 1, 2] * 5, validation=[0, 1, 1, 2])
    result = probe().evaluate(backbone, data, context)
    np.testing.assert_allclose(result.arrays["scores"], [[0.25, 0.5, 0.25]] * 15, atol=1e-5)
    assert result.metrics["top1"].value == pytest.approx(100 / 3)


def test_scores_are_the_mean_of_softmax_over_clips() -> None:
    draw = torch.Generator().manual_seed(0)
    features = torch.randn(20, 5, generator=draw, dtype=torch.float64)
    fit = LogisticRegression.fit(
        features, torch.arange(20) % 2, l2=(1e-2,), num_classes=2, max_iterations=200
    )[0]
    clips = torch.randn(4, 3, 5, generator=draw, dtype=torch.float64)
    one_by_one = torch.stack([fit.scores(clips[:, i : i + 1]) for i in range(3)])
    torch.testing.assert_close(fit.scores(clips), one_by_one.mean(dim=0))


def test_a_probe_of_usual_size_is_quick() -> None:
    draw = torch.Generator().manual_seed(0)
    labels = torch.arange(400) % 8
    features = torch.randn(400, 1920, generator=draw, dtype=torch.float64)
    features += 0.2 * torch.randn(8, 1920, generator=draw, dtype=torch.float64)[labels]
    start = time.process_time()
    fits = LogisticRegression.fit(features, labels, l2=LinearOptions().l2, num_classes=8, max_iterations=1000)
    assert all(fit.converged for fit in fits)
    assert time.process_time() - start < 3


def test_it_tells_known_classes_apart_and_nothing_from_noise(make_data, backbone, context) -> None:
    result = probe().evaluate(backbone, make_data(), context)
    assert list(result.metrics) == ["top1", "mean_class_accuracy"]
    assert result.metrics["top1"].value > 90
    assert result.metrics["top1"].chance == pytest.approx(100 / 3)
    labels = [0, 1, 2] * 40
    noise = probe().evaluate(backbone, make_data(signal=0.0, train=labels, test=labels), context)
    assert 15 < noise.metrics["top1"].value < 52


def test_what_comes_back_fits_together(make_data, backbone, context) -> None:
    data = make_data(num_classes=6)
    result = probe(l2=(1e-3, 1e-1)).evaluate(backbone, data, context)
    test = data.test()
    assert list(result.video_ids) == [record.video_id for record in test.records]
    scores = result.arrays["scores"]
    assert scores.shape == (30, 6)
    assert scores.dtype == np.float32
    np.testing.assert_array_equal(result.arrays["labels"], test.labels)
    correct = scores.argmax(axis=1) == test.labels
    np.testing.assert_array_equal(result.metrics["top1"].per_video, 100.0 * correct)
    assert result.metrics["top1"].value == pytest.approx(100 * correct.mean())
    assert "top5" in result.metrics
    assert result.arrays["l2"].tolist() == [1e-1, 1e-3]
    assert result.arrays["chosen_l2"][0] == result.arrays["l2"][result.arrays["validation_top1"].argmax()]


def test_it_asks_for_the_clips_of_the_protocol_and_leaves_the_backbone_alone(
    make_data, backbone, context
) -> None:
    data = make_data()
    before = {name: value.clone() for name, value in backbone.state_dict().items()}
    probe(num_train_clips=2).evaluate(backbone, data, context)
    assert data.parts["train"].asked == [("features", 2)]
    assert data.parts["validation"].asked == [("features", 2)]
    assert data.parts["test"].asked == [("features", context.num_test_clips)]
    assert not backbone.training
    for name, value in backbone.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_equal_runs_give_equal_bits(make_data, backbone, context) -> None:
    first, second = (probe().evaluate(backbone, make_data(), context) for _ in range(2))
    np.testing.assert_array_equal(first.arrays["scores"], second.arrays["scores"])


def test_the_batches_of_the_features_change_nothing_beyond_rounding(make_data, backbone, context) -> None:
    data = make_data()
    for part in data.parts.values():

        def one_by_one(backbone, *, num_clips, part=part):
            with torch.no_grad():
                videos = [backbone.eval()(clips[:num_clips]) for clips in part.clips]
            return torch.stack(videos).numpy()

        part.features = one_by_one
    alone = probe().evaluate(backbone, data, context)
    together = probe().evaluate(backbone, make_data(), context)
    np.testing.assert_allclose(alone.arrays["scores"], together.arrays["scores"], atol=2e-4)


def test_the_strength_is_chosen_on_validation_and_the_last_fit_uses_it_too(
    make_data, backbone, context
) -> None:
    # A class that only validation videos show is learnt from them.
    data = make_data(train=[0, 1] * 8, validation=[0, 1, 2, 2, 2, 2])
    result = probe().evaluate(backbone, data, context)
    assert result.arrays["scores"][:, 2].max() > 0


def test_test_data_change_nothing_but_the_test_scores(make_data, backbone, context) -> None:
    usual = probe().evaluate(backbone, make_data(), context)
    shifted = probe().evaluate(backbone, make_data(test=[2, 1, 0] * 5), context)
    np.testing.assert_array_equal(usual.arrays["validation_top1"], shifted.arrays["validation_top1"])
    np.testing.assert_array_equal(usual.arrays["chosen_l2"], shifted.arrays["chosen_l2"])


def test_a_test_class_that_nothing_shows_is_said_and_missed(make_data, backbone, context, said) -> None:
    data = make_data(train=[0, 1] * 8, validation=[0, 1], test=[0, 1, 2])
    result = probe().evaluate(backbone, data, context)
    assert result.metrics["top1"].per_video[2] == 0
    assert said.lines == ["linear: no video to fit on has the test classes class 2."]


def test_without_validation_one_strength_is_enough(make_data, backbone, context) -> None:
    with pytest.raises(DatasetError, match=r"5 L2 strengths .* empty.*eval/linear.l2"):
        probe().evaluate(backbone, make_data(validation=[]), context)
    result = probe(l2=(1e-2,)).evaluate(backbone, make_data(validation=[]), context)
    assert "validation_top1" not in result.arrays
    assert result.metrics["top1"].value > 90


@pytest.mark.parametrize(
    ("parts", "says"),
    [
        ({"train": [0, None]}, "every train video; 1 of 2 have none"),
        ({"validation": [0, None]}, "every validation video"),
        ({"train": []}, "the train part .* holds no video"),
        ({"test": []}, "the test part .* holds no video"),
        ({"train": [1, 1, 1]}, "at least two classes; all 3 are 'class 1'"),
        ({"num_classes": 1}, "at least two classes; got 1"),
    ],
)
def test_data_that_cannot_be_probed(make_data, backbone, context, parts, says) -> None:
    with pytest.raises(DatasetError, match=says):
        probe().evaluate(backbone, make_data(**parts), context)


def test_diverged_weights_are_named(make_data, backbone, context) -> None:
    with torch.no_grad():
        backbone.last[0].bias.fill_(float("nan"))
    with pytest.raises(DivergedError, match="24 of 24 train videos"):
        probe().evaluate(backbone, make_data(), context)


def test_a_fit_that_was_cut_short_says_so(make_data, backbone, context, said) -> None:
    probe(max_iterations=1).evaluate(backbone, make_data(), context)
    assert any("stopped after 1 iterations" in line for line in said.lines)


def test_after_the_test_part_the_others_are_closed(make_data, backbone, context) -> None:
    data = make_data()
    probe().evaluate(backbone, data, context)
    for part in ("train", "validation"):
        with pytest.raises(ContractError, match="closed"):
            getattr(data, part)


@pytest.mark.parametrize("l2", [(), (0.0,), (-1.0, 1.0), (float("inf"),)])
def test_strengths_must_be_positive(l2: tuple[float, ...]) -> None:
    with pytest.raises(ValidationError):
        LinearOptions(l2=l2)
