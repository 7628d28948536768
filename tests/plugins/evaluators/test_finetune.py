"""Finetuning: it learns, is reproducible, selects by validation, and refuses what cannot be trained."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import nn

from vssl_core.errors import ContractError, DatasetError, DivergedError
from vssl_plugins.evaluators.finetune import Finetune, FinetuneOptions
from vssl_plugins.evaluators.training import rate_factor, without_single_clips


def finetune(**options: object) -> Finetune:
    return Finetune(FinetuneOptions(**{"epochs": 3, "batch_size": 8, "lr": 5e-3, **options}))


def fresh(backbone: nn.Module) -> nn.Module:
    return type(backbone)()


def test_it_learns_the_classes_by_changing_the_backbone(make_data, backbone, context) -> None:
    before = backbone.stem[0].weight.clone()
    result = finetune().evaluate(backbone, make_data(), context)
    assert list(result.metrics) == ["top1", "mean_class_accuracy"]
    assert result.metrics["top1"].value > 90
    assert result.metrics["top1"].chance == pytest.approx(100 / 3)
    assert not torch.equal(backbone.stem[0].weight, before)
    loss = result.curves["train_loss"]
    assert len(loss) == 3
    assert loss[-1] < loss[0]
    assert result.curves["validation_epoch"] == [1, 2, 3]
    assert len(result.curves["validation_top1"]) == 3


def test_it_finds_nothing_in_noise(make_data, backbone, context) -> None:
    labels = [0, 1, 2] * 40
    result = finetune().evaluate(backbone, make_data(signal=0.0, test=labels), context)
    assert 15 < result.metrics["top1"].value < 52


def test_what_comes_back_fits_together(make_data, backbone, context) -> None:
    data = make_data(num_classes=6)
    result = finetune(epochs=1).evaluate(backbone, data, context)
    test = data.test()
    scores = result.arrays["scores"]
    assert scores.shape == (30, 6)
    assert scores.dtype == np.float32
    np.testing.assert_allclose(scores.sum(axis=1), 1, rtol=1e-5)
    correct = scores.argmax(axis=1) == test.labels
    np.testing.assert_array_equal(result.metrics["top1"].per_video, 100.0 * correct)
    np.testing.assert_array_equal(result.arrays["labels"], test.labels)
    assert list(result.video_ids) == [record.video_id for record in test.records]
    assert data.parts["train"].asked == [("train", 1)]
    assert data.parts["validation"].asked == [("batches", 1)]
    assert data.parts["test"].asked == [("batches", context.num_test_clips)]


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_one_seed_gives_equal_bits_whatever_was_drawn_before(make_data, backbone, context, optimizer) -> None:
    scores = []
    for disturbance in (0, 3):
        torch.rand(disturbance)
        evaluator = finetune(optimizer=optimizer, dropout=0.3, label_smoothing=0.1)
        scores.append(evaluator.evaluate(fresh(backbone), make_data(), context).arrays["scores"])
    np.testing.assert_array_equal(*scores)


def test_another_seed_gives_another_head(make_data, backbone, context) -> None:
    scores = [
        finetune(epochs=1)
        .evaluate(fresh(backbone), make_data(), replace(context, seed=seed))
        .arrays["scores"]
        for seed in (0, 1)
    ]
    assert not np.array_equal(*scores)


def test_the_global_generator_is_left_as_it_was(make_data, backbone, context) -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    finetune(epochs=1, dropout=0.3).evaluate(backbone, make_data(), context)
    assert torch.equal(torch.rand(3), expected)


def test_a_single_clip_at_the_end_joins_the_batch_before() -> None:
    def batches(sizes: list[int]):
        for number, size in enumerate(sizes):
            yield torch.full((size, 1), number), torch.full((size,), number), np.zeros(size)

    def merged(sizes: list[int]) -> list[list[int]]:
        result = []
        for video, labels in without_single_clips(batches(sizes)):
            assert video[:, 0].tolist() == labels.tolist()
            result.append(labels.tolist())
        return result

    assert merged([2, 2, 1]) == [[0, 0], [1, 1, 2]]
    assert merged([3, 2]) == [[0, 0, 0], [1, 1]]
    assert merged([2]) == [[0, 0]]
    assert merged([1]) == [[0]]
    assert merged([]) == []


def test_one_left_over_clip_trains_under_batchnorm_of_single_values(make_data, backbone, context) -> None:
    class Bottleneck(type(backbone)):
        """Its BatchNorm sees one value per clip and channel."""

        def __init__(self) -> None:
            super().__init__()
            self.norm = nn.BatchNorm1d(12)

        def forward(self, video_BCTHW: torch.Tensor) -> torch.Tensor:
            return self.norm(super().forward(video_BCTHW))

    data = make_data(train=[0, 1, 2] * 3)  # nine videos in batches of eight
    result = finetune(epochs=2).evaluate(Bottleneck(), data, context)
    assert np.isfinite(result.curves["train_loss"]).all()


def test_best_scores_the_epoch_that_validation_prefers(make_data, backbone, context) -> None:
    def misleading() -> object:
        """From the third epoch on the training labels are those of the next class."""
        data = make_data()
        batches = data.parts["train"].batches

        def labelled(*, epoch: int, **rest: object):
            for video, labels, rows in batches(epoch=epoch, **rest):
                yield video, (labels + (epoch >= 2)) % 3, rows

        data.parts["train"].batches = labelled
        return data

    best, last = (
        finetune(epochs=8, select=select).evaluate(fresh(backbone), misleading(), context)
        for select in ("best", "last")
    )
    curve = best.curves["validation_top1"]
    assert curve == last.curves["validation_top1"]
    assert curve.index(max(curve)) < 3
    assert curve[-1] < 50
    assert best.metrics["top1"].value > 90
    assert last.metrics["top1"].value < 50


def test_validation_is_as_rare_as_asked_but_never_misses_the_end(make_data, backbone, context) -> None:
    result = finetune(epochs=5, eval_every=2).evaluate(backbone, make_data(), context)
    assert result.curves["validation_epoch"] == [2, 4, 5]
    assert len(result.curves["train_loss"]) == 5


def test_patience_stops_early(make_data, backbone, context) -> None:
    # With a rate this small no weight moves, so no epoch after the first one is better.
    evaluator = finetune(epochs=9, lr=1e-30, optimizer="sgd", weight_decay=0, patience=2)
    with torch.no_grad():  # frozen statistics: the scores stay equal to the bit
        for module in backbone.modules():
            if isinstance(module, nn.BatchNorm3d):
                module.momentum = 0.0
    result = evaluator.evaluate(backbone, make_data(), context)
    assert result.curves["validation_epoch"] == [1, 2, 3]


def test_without_validation_the_last_epoch_can_be_scored(make_data, backbone, context) -> None:
    with pytest.raises(DatasetError, match=r"empty.*eval/finetune.select=last"):
        finetune().evaluate(fresh(backbone), make_data(validation=[]), context)
    result = finetune(select="last").evaluate(fresh(backbone), make_data(validation=[]), context)
    assert result.metrics["top1"].value > 90
    assert list(result.curves) == ["train_loss"]


def test_rates_and_decay_per_group(make_data, backbone, context, monkeypatch) -> None:
    seen: list[list[tuple[float, float]]] = []
    step = torch.optim.AdamW.step

    def noting(self: torch.optim.Optimizer) -> None:
        seen.append([(group["lr"], group["weight_decay"]) for group in self.param_groups])
        step(self)

    monkeypatch.setattr(torch.optim.AdamW, "step", noting)
    options = {"epochs": 10, "lr": 0.01, "head_lr_scale": 10, "weight_decay": 0.3, "warmup": 0.2}
    finetune(**options, select="last").evaluate(backbone, make_data(), context)
    rates = np.array(seen)[:, :, 0]
    np.testing.assert_allclose(rates[:, 2:], 10 * rates[:, :2])
    assert (np.array(seen)[:, :, 1] == [0.3, 0.0, 0.3, 0.0]).all()
    peak = rates[:, 0].argmax()
    assert peak in (5, 6)  # 30 steps, a fifth of them warm-up
    assert rates[peak, 0] == pytest.approx(0.01, rel=0.02)
    assert (np.diff(rates[: peak + 1, 0]) > 0).all()
    assert (np.diff(rates[peak:, 0]) < 0).all()
    assert 0 < rates[-1, 0] < 1e-4


def test_autocast_surrounds_the_forward_passes(make_data, backbone, context) -> None:
    inside: list[bool] = []
    active = [False]

    @contextmanager
    def autocast():
        active[0] = True
        yield
        active[0] = False

    backbone.register_forward_hook(lambda *_: inside.append(active[0]))
    finetune(epochs=1).evaluate(backbone, make_data(), replace(context, autocast=autocast))
    assert inside
    assert all(inside)


def test_divergence_is_named(make_data, backbone, context) -> None:
    with torch.no_grad():
        backbone.last[0].bias.fill_(float("nan"))
    with pytest.raises(DivergedError, match=r"loss nan.*eval/finetune.lr"):
        finetune().evaluate(backbone, make_data(), context)


def test_a_test_class_that_nothing_shows_is_said_and_missed(make_data, backbone, context, said) -> None:
    data = make_data(train=[0, 1] * 8, validation=[0, 1], test=[0, 1, 2])
    result = finetune().evaluate(backbone, data, context)
    assert result.metrics["top1"].per_video[2] == 0
    assert said.lines == ["finetune: no video to fit on has the test classes class 2."]


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
def test_data_that_cannot_be_trained_on(make_data, backbone, context, parts, says) -> None:
    with pytest.raises(DatasetError, match=says):
        finetune(epochs=1).evaluate(backbone, make_data(**parts), context)


def test_after_the_test_part_the_others_are_closed(make_data, backbone, context) -> None:
    data = make_data()
    part = data.train
    finetune(epochs=1).evaluate(backbone, data, context)
    with pytest.raises(ContractError, match="closed"):
        next(part.batches(batch_size=2))
    with pytest.raises(ContractError, match="closed"):
        _ = data.validation


def test_it_can_train_on_the_validation_part_too_and_then_selects_nothing(
    make_data, backbone, context
) -> None:
    # A class that only validation videos show is learnt from them.
    data = make_data(train=[0, 1] * 8, validation=[2] * 8)
    result = finetune(fit_on="train_and_validation", select="last", epochs=6).evaluate(
        backbone, data, context
    )
    of_two = data.test().labels == 2
    assert result.metrics["top1"].per_video[of_two].mean() > 50
    assert list(result.curves) == ["train_loss"]
    with pytest.raises(ContractError, match="closed"):
        _ = data.train_and_validation
    with pytest.raises(ValidationError, match="set select to last"):
        FinetuneOptions(fit_on="train_and_validation")


def test_schedules_of_published_code_can_be_written() -> None:
    flat = FinetuneOptions(schedule="steps", warmup=0)
    assert [rate_factor(flat, share) for share in (0.0, 0.5, 0.999)] == [1, 1, 1]
    steps = FinetuneOptions(schedule="steps", warmup=0.1, milestones=(0.75, 0.5))
    rates = [rate_factor(steps, share) for share in (0.05, 0.1, 0.49, 0.5, 0.75, 0.99)]
    assert rates == pytest.approx([0.5, 1, 1, 0.1, 0.01, 0.01])
    with pytest.raises(ValidationError, match="between 0 and 1"):
        FinetuneOptions(milestones=(30,))


def test_all_parameters_decay_where_that_is_wanted(make_data, backbone, context, monkeypatch) -> None:
    seen: list[list[float]] = []
    step = torch.optim.SGD.step

    def noting(self: torch.optim.Optimizer) -> None:
        seen.append([group["weight_decay"] for group in self.param_groups])
        step(self)

    monkeypatch.setattr(torch.optim.SGD, "step", noting)
    options = {"epochs": 1, "optimizer": "sgd", "weight_decay": 5e-4}
    finetune(**options, decay_all=True).evaluate(fresh(backbone), make_data(), context)
    finetune(**options).evaluate(fresh(backbone), make_data(), context)
    assert [5e-4] * 4 in seen
    assert [5e-4, 0.0, 5e-4, 0.0] in seen


def test_batches_of_one_are_refused() -> None:
    with pytest.raises(ValidationError):
        FinetuneOptions(batch_size=1)
