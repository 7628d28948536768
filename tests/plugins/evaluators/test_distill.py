"""Distillation: student, control and teachers; what is paired, chosen and refused."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from vssl_core.classifier import Classifier, ClassifierEvaluator
from vssl_core.errors import DatasetError, OptionError, UsageError
from vssl_core.options import Options, build_options
from vssl_core.seeding import generator
from vssl_plugins.evaluators.distill import Distill, DistillOptions
from vssl_plugins.evaluators.finetune import Finetune, FinetuneOptions
from vssl_plugins.evaluators.linear import Linear, LinearOptions
from vssl_plugins.evaluators.retrieval import Retrieval, RetrievalOptions

TRAINING = {"epochs": 3, "batch_size": 8, "lr": 5e-3}


def distill(teachers=("one", "two"), **options: object) -> Distill:
    return Distill(DistillOptions(teachers=teachers, **{**TRAINING, **options}))


def with_teachers(context, backbone, classifier=None, *, asked: list[str] | None = None):
    """A context whose cells are networks of other weights, fitted by finetuning."""

    def cell(cell_id: str):
        if asked is not None:
            asked.append(cell_id)
        network = copy.deepcopy(backbone)
        draw = torch.Generator().manual_seed(len(cell_id))
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.add_(0.02 * torch.randn(parameter.shape, generator=draw))
        return network

    evaluator = classifier or Finetune(FinetuneOptions(**TRAINING))
    return replace(context, cell=cell, parts={"classifier": (evaluator,)})


def test_what_comes_back_fits_together(make_data, backbone, context) -> None:
    asked: list[str] = []
    data = make_data(num_classes=6, signal=1.0)
    result = distill().evaluate(backbone, data, with_teachers(context, backbone, asked=asked))
    assert asked == ["one", "two"]
    assert list(result.metrics) == [
        "top1", "top5", "mean_class_accuracy", "top1_ce", "gain", "top1_teacher_1", "top1_teacher_2",
        "teacher_mean", "teacher_best",
    ]  # fmt: skip
    labels, metrics = data.test().labels, result.metrics
    for metric, scores in (
        ("top1", result.arrays["scores"]),
        ("top1_ce", result.arrays["scores_ce"]),
        ("top1_teacher_1", result.arrays["scores_teachers"][:, 0]),
        ("top1_teacher_2", result.arrays["scores_teachers"][:, 1]),
    ):
        np.testing.assert_array_equal(metrics[metric].per_video, 100.0 * (scores.argmax(axis=1) == labels))
    gain = metrics["top1"].per_video - metrics["top1_ce"].per_video
    np.testing.assert_array_equal(metrics["gain"].per_video, gain)
    assert metrics["gain"].value == pytest.approx(metrics["top1"].value - metrics["top1_ce"].value)
    assert metrics["gain"].unit == "points"
    teachers = [metrics[f"top1_teacher_{number}"].value for number in (1, 2)]
    assert metrics["teacher_mean"].value == pytest.approx(np.mean(teachers))
    assert metrics["teacher_best"].value == teachers[int(result.arrays["best_teacher"][0])]
    weights = result.arrays["weights"]
    assert weights.shape == (3 * 6, 2)  # 48 videos in batches of 8
    np.testing.assert_allclose(weights.sum(axis=1), 1)
    assert weights.min() >= 0.4 - 1e-9
    assert weights.max() <= 0.6 + 1e-9
    np.testing.assert_allclose(result.curves["weight_1"], weights[:, 0].reshape(3, 6).mean(axis=1))
    assert len(result.curves["train_loss"]) == len(result.curves["train_loss_ce"]) == 3


def test_teachers_are_what_the_classifier_alone_would_fit(make_data, backbone, context) -> None:
    """And the control is finetuning with the same options, bit for bit."""
    given = with_teachers(context, backbone)
    options = {"optimizer": "sgd", "dropout": 0.3, "label_smoothing": 0.1}
    result = distill(**options).evaluate(copy.deepcopy(backbone), make_data(signal=1.0), given)
    alone = Finetune(FinetuneOptions(**TRAINING, **options))
    control = alone.evaluate(copy.deepcopy(backbone), make_data(signal=1.0), context)
    np.testing.assert_array_equal(result.arrays["scores_ce"], control.arrays["scores"])
    for name, curve in control.curves.items():
        assert result.curves[f"{name}_ce"] == curve
    assert not np.array_equal(result.arrays["scores"], control.arrays["scores"])
    usual = Finetune(FinetuneOptions(**TRAINING))
    for number, name in enumerate(("one", "two")):
        teacher = usual.evaluate(given.cell(name), make_data(signal=1.0), context)
        np.testing.assert_array_equal(result.arrays["scores_teachers"][:, number], teacher.arrays["scores"])


def test_without_the_teachers_part_the_student_is_its_control(make_data, backbone, context) -> None:
    """Same start, clips, order, steps and dropout: the loss is all that differs."""
    given = with_teachers(context, backbone)
    result = distill(alpha=0.0, dropout=0.3).evaluate(backbone, make_data(signal=1.0), given)
    np.testing.assert_array_equal(result.arrays["scores"], result.arrays["scores_ce"])
    assert result.metrics["gain"].value == 0


def test_equal_runs_give_equal_bits_whatever_was_drawn_before(make_data, backbone, context) -> None:
    scores = []
    for disturbance in (0, 3):
        torch.rand(disturbance)
        given = with_teachers(context, backbone)
        result = distill(dropout=0.3).evaluate(copy.deepcopy(backbone), make_data(), given)
        scores.append(result.arrays["scores"])
    np.testing.assert_array_equal(*scores)


class Oracle(Classifier):
    """Knows the picture of every class."""

    def __init__(self, shape: tuple[int, ...], labels: np.ndarray) -> None:
        self.labels = labels
        pictures = [generator("picture", label).standard_normal(shape) for label in range(3)]
        self._pictures = torch.from_numpy(np.stack(pictures)).float().flatten(1)

    def logits(self, video_NCTHW: Tensor) -> Tensor:
        return 0.5 * video_NCTHW.flatten(1) @ self._pictures.T


class Knows(ClassifierEvaluator):
    def fit(self, *given: object) -> Classifier:
        _, data, _ = given
        return Oracle(tuple(data.train.clips.shape[2:]), data.train.labels)


def test_a_perfect_teacher_helps_where_labels_are_wrong(make_data, backbone, context) -> None:
    """A third of the training labels is wrong; the teacher is not, and the student learns from it."""
    data = make_data(signal=0.35, train=[0, 1, 2] * 40, test=[0, 1, 2] * 40)
    batches = data.parts["train"].batches

    def mislabelled(**how: object):
        for video, labels, rows in batches(**how):
            yield video, torch.where(torch.from_numpy(rows % 5 < 2), (labels + 1) % 3, labels), rows

    data.parts["train"].batches = mislabelled
    given = with_teachers(context, backbone, Knows(Options()))
    result = distill(teachers=("one",), epochs=8, select="last", alpha=3.0, temperature=1.0).evaluate(
        backbone, data, given
    )
    assert result.metrics["top1_teacher_1"].value > 95
    assert result.metrics["gain"].value > 5


def test_the_best_teacher_is_chosen_without_the_test_part(make_data, backbone, context) -> None:
    class Two(ClassifierEvaluator):
        """The first says class 0 always; the second knows."""

        def fit(self, *given: object) -> Classifier:
            backbone, data, _ = given
            oracle = Oracle(tuple(data.train.clips.shape[2:]), data.train.labels)
            if backbone is networks[0]:
                oracle.logits = lambda video: torch.eye(3)[torch.zeros(len(video), dtype=torch.long)]
            return oracle

    networks = [copy.deepcopy(backbone), copy.deepcopy(backbone)]
    nn.init.zeros_(networks[1].stem[0].bias)
    given = replace(
        context, cell=lambda name: networks[name == "two"], parts={"classifier": (Two(Options()),)}
    )
    # In the test part the first one is right.
    data = make_data(test=[0] * 6)
    data.parts["test"].clips.zero_()
    result = distill(epochs=1).evaluate(backbone, data, given)
    assert result.metrics["top1_teacher_1"].value == 100
    assert result.arrays["best_teacher"].tolist() == [1]
    np.testing.assert_array_equal(
        result.metrics["teacher_best"].per_video, result.metrics["top1_teacher_2"].per_video
    )


def test_without_validation_no_teacher_is_best(make_data, backbone, context) -> None:
    classifier = Finetune(FinetuneOptions(**TRAINING, select="last"))
    given = with_teachers(context, backbone, classifier)
    with pytest.raises(DatasetError, match=r"eval/distill\.select=last"):
        distill(alpha=0.5, select="best", epochs=1).evaluate(
            copy.deepcopy(backbone),
            make_data(validation=[]),
            with_teachers(context, backbone, Knows(Options())),
        )
    result = distill(select="last").evaluate(backbone, make_data(validation=[]), given)
    assert "teacher_best" not in result.metrics
    assert result.arrays["best_teacher"].size == 0


def test_linear_probes_can_teach_and_classes_that_they_never_saw_are_harmless(
    make_data, backbone, context
) -> None:
    given = with_teachers(context, backbone, Linear(LinearOptions(l2=(1e-2,))))
    data = make_data(train=[0, 1] * 12, validation=[0, 1] * 3, test=[0, 1, 2])
    result = distill().evaluate(backbone, data, given)
    assert np.isfinite(result.curves["train_loss"]).all()
    assert result.metrics["top1"].per_video[2] == 0


def test_equal_weights_are_equal(make_data, backbone, context) -> None:
    result = distill(("one", "three", "fiver"), weights="equal", epochs=1).evaluate(
        backbone, make_data(), with_teachers(context, backbone)
    )
    np.testing.assert_array_equal(result.arrays["weights"], np.full((3, 3), 1 / 3))


def test_a_teacher_is_needed() -> None:
    with pytest.raises(UsageError, match=r"distill needs a teacher.*eval/distill\.teachers"):
        distill(())


def test_outside_a_run_folder_there_are_no_teachers(make_data, backbone, context) -> None:
    given = replace(context, parts={"classifier": (Finetune(FinetuneOptions()),)})
    with pytest.raises(UsageError, match="no run folder"):
        distill().evaluate(backbone, make_data(), given)


def test_what_fits_no_classifier_cannot_teach(make_data, backbone, context) -> None:
    given = with_teachers(context, backbone, Retrieval(RetrievalOptions()))
    with pytest.raises(UsageError, match="fits no classifier; name an evaluator that does"):
        distill(classifier="retrieval").evaluate(backbone, make_data(), given)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"teachers": ["a", "b", "a"]}, "a stands there twice"),
        ({"teachers": ["a", "b"], "bound": 0.4}, "2 teachers up to bound 0.4 cannot sum to 1.*at least 0.5"),
        ({"teachers": ["a", "b", "c"], "bound": 0.3}, "bound must be at least 0.333"),
        ({"teachers": ["a"], "temperature": 0}, "temperature"),
        ({"teachers": ["a"], "patience": 3}, "patience"),  # student and control take the same steps
    ],
)
def test_options_that_cannot_be_meant(options: dict[str, object], says: str) -> None:
    with pytest.raises(OptionError, match=says):
        build_options(DistillOptions, options, owner="eval/distill")


@pytest.mark.parametrize(
    "options",
    [
        {"teachers": ["a"], "bound": 0.3},
        {"teachers": ["a", "b", "c"], "bound": 0.3, "weights": "equal"},
        {"teachers": ["a", "b", "c"], "bound": 1 / 3},
    ],
)
def test_a_bound_that_does_not_bind_is_taken(options: dict[str, object]) -> None:
    build_options(DistillOptions, options, owner="eval/distill")
