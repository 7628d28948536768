"""CVRL: the distribution of its pairs, the exact loss, and what must not change it."""

from __future__ import annotations

import pickle
import random
from math import log

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from scipy import stats
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from vssl_core.augmentation import apply_geometry, apply_pixels, draw_view
from vssl_core.augmentation.ops import (
    ColorJitter,
    Gamma,
    GaussianBlur,
    Grayscale,
    HorizontalFlip,
    RandomCrop,
    ResizedCrop,
    RotationJitter,
    Solarize,
)
from vssl_core.errors import OptionError
from vssl_core.interfaces import Backbone, TaskContext
from vssl_core.seeding import generator
from vssl_core.types import ClipSpec
from vssl_plugins.backbones.shufflenet import ShuffleNet, ShuffleNetOptions
from vssl_plugins.tasks.cvrl import CVRL, CVRLOptions, IntervalPair, contrast, interval_cdf, projection_head

PAPER = ClipSpec(num_frames=16, frame_stride=2, crop_size=224)
SMALL = ClipSpec(num_frames=4, frame_stride=1, crop_size=32)


def make_task(*, batch_size: int = 4, **options: object) -> CVRL:
    def make_backbone() -> Backbone:
        torch.manual_seed(0)
        return ShuffleNet(ShuffleNetOptions(width=0.5, zero_init_residual=False), SMALL)

    context = TaskContext(clip=SMALL, num_videos=8, batch_size=batch_size)
    return CVRL(make_backbone, CVRLOptions(**{"hidden_dim": 32, **options}), context)


def settled_task() -> CVRL:
    """A task in eval mode whose BatchNorm statistics fit `make_views`, so that embeddings differ."""
    task = make_task().train()
    with torch.no_grad():
        for _ in range(40):
            task(make_views(), {})
    return task.eval()


def make_views(batch: int = 4) -> dict[str, Tensor]:
    torch.manual_seed(1)
    return {f"view_{view}": torch.randn(batch, 3, 4, 32, 32) for view in range(2)}


def sample(sampler: IntervalPair, n_frames: int, draw: int = 0) -> np.ndarray:
    """Frames (2, T) of the two views."""
    sampled = sampler(n_frames, 25.0, generator("test", draw))
    assert list(sampled.frames) == ["view_0", "view_1"]
    return np.stack(list(sampled.frames.values()))


# -------------------------------------------------------------------------------------------- frames


@pytest.mark.parametrize("power", [0.5, 1.0, 3.0])
@pytest.mark.parametrize("n_frames", [37, 250])
def test_distance_follows_the_cdf(n_frames: int, power: float) -> None:
    sampler = CVRL.sampler(CVRLOptions(interval_power=power), PAPER)
    valid = n_frames - 30
    fill = np.random.default_rng(0)
    distances, earlier, toss = [], [], 0
    for draw in range(3000):
        rows = sample(sampler, n_frames, draw)
        distance, start = abs(int(rows[1, 0] - rows[0, 0])), int(rows[:, 0].min())
        below, up_to = (interval_cdf(k, valid, power) for k in (distance, distance + 1))
        distances.append(below + fill.random() * (up_to - below))
        earlier.append((start + fill.random()) / (valid - distance))
        toss += int(rows[0, 0] > rows[1, 0]) if distance else int(fill.random() < 0.5)
    assert stats.kstest(distances, "uniform").pvalue > 1e-3
    assert stats.kstest(earlier, "uniform").pvalue > 1e-3
    assert stats.binomtest(toss, 3000).pvalue > 1e-3


def test_cdf_is_the_papers() -> None:
    assert interval_cdf(0, 50, 1.0) == 0
    assert interval_cdf(50, 50, 2.0) == pytest.approx(1)
    density = [interval_cdf(k + 1, 1000, 1.0) - interval_cdf(k, 1000, 1.0) for k in range(1000)]
    assert density == pytest.approx([2 / 1000 * (1 - (k + 0.5) / 1000) for k in range(1000)])
    assert sum(k * p for k, p in enumerate(density)) == pytest.approx(1000 / 3, rel=0.01)


@pytest.mark.parametrize(("frames", "stride"), [(16, 2), (16, 1), (8, 4), (1, 1)])
def test_every_length_gives_valid_clips(frames: int, stride: int) -> None:
    sampler = CVRL.sampler(CVRLOptions(), ClipSpec(frames, stride, 32))
    for n_frames in range(1, 201):
        rows = sample(sampler, n_frames, n_frames)
        assert rows.shape == (2, frames)
        assert rows.dtype == np.int64
        assert rows.min() >= 0
        assert rows.max() < n_frames
        steps = np.diff(rows, axis=1)
        if n_frames > (frames - 1) * stride:
            assert (steps == stride).all()
        else:
            assert (steps % n_frames == stride % n_frames).all()


def test_short_video_starts_anywhere_and_loops() -> None:
    sampler = CVRL.sampler(CVRLOptions(), PAPER)
    starts = np.array([sample(sampler, 10, draw)[:, 0] for draw in range(2000)])
    assert stats.chisquare(np.bincount(starts[:, 0], minlength=10)).pvalue > 1e-3
    assert abs(stats.pearsonr(*starts.T).statistic) < 0.08


def test_sampler_is_a_pure_picklable_function() -> None:
    sampler = CVRL.sampler(CVRLOptions(), PAPER)
    copy = pickle.loads(pickle.dumps(sampler))
    before = (random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist())
    assert np.array_equal(sample(sampler, 150), sample(copy, 150))
    assert before == (random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist())


# -------------------------------------------------------------------------------------- augmentation


def test_benchmark_augmentation_is_the_supplements_with_grayscale_and_gamma() -> None:
    views = CVRL.augmentation(CVRLOptions(), PAPER)
    expected = {RotationJitter, RandomCrop, ColorJitter, HorizontalFlip, Grayscale, Gamma}
    for view in views.values():
        assert {type(op) for op in view.ops} == expected
        assert view.draw is None


def test_paper_augmentation_is_asymmetric() -> None:
    views = CVRL.augmentation(CVRLOptions(augmentation="paper"), PAPER)
    first, second = ({type(op): op for op in views[name].ops} for name in ("view_0", "view_1"))
    assert first[GaussianBlur].p == 1.0
    assert second[GaussianBlur].p == 0.1
    assert second[Solarize].p == 0.2
    assert Solarize not in first
    for ops in (first, second):
        assert ops[ResizedCrop] == ResizedCrop(area=(0.3, 1.0), aspect=(0.5, 2.0))
        assert ops[ColorJitter] == ColorJitter(brightness=0.8, contrast=0.8, saturation=0.8, hue=0.2, p=0.8)
        assert ops[Grayscale].p == 0.2


@pytest.mark.parametrize("name", ["benchmark", "paper"])
def test_static_clip_stays_static_and_the_two_views_differ(name: str) -> None:
    frame = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)
    frames_THWC = np.broadcast_to(frame, (5, *frame.shape))
    for draw in range(6):
        made = []
        for view, ops in CVRL.augmentation(CVRLOptions(augmentation=name), SMALL).items():
            drawn = draw_view(ops, key=(draw, view), num_frames=5, height=48, width=64, crop_size=32)
            made.append(apply_pixels(apply_geometry(frames_THWC, drawn, crop_size=32), drawn))
            assert (made[-1] == made[-1][:1]).all()
        assert (made[0] != made[1]).any()


# --------------------------------------------------------------------------------------------- loss


def explicit_loss(a_BD: Tensor, b_BD: Tensor, temperature: float) -> Tensor:
    """The docstring's formula, term by term."""
    losses = []
    for z, other in ((a_BD, b_BD), (b_BD, a_BD)):
        for i in range(len(z)):
            terms = [(z[i] @ other[k] / temperature).exp() for k in range(len(z))]
            terms += [(z[i] @ z[k] / temperature).exp() for k in range(len(z)) if k != i]
            losses.append(-(terms[i] / sum(terms)).log() / len(z))
    return sum(losses)


def test_loss_and_gradient_are_the_formulas() -> None:
    task, views = settled_task(), make_views()
    output = task(views, {})
    a, b = (F.normalize(task.head(task.backbone(view)), dim=1) for view in views.values())
    expected = explicit_loss(a, b, 0.1)
    torch.testing.assert_close(output.loss, expected, rtol=1e-4, atol=1e-5)
    weights = [task.head[0].weight, task.backbone.stem[0].weight]
    for ours, theirs in zip(
        torch.autograd.grad(output.loss, weights), torch.autograd.grad(expected, weights), strict=True
    ):
        assert (ours - theirs).norm() < 1e-3 * theirs.norm()


def test_metrics_are_means_over_pairs() -> None:
    task, views = settled_task(), make_views()
    with torch.no_grad():
        output = task(views, {})
        embeddings = [task.head(task.backbone(view)) for view in views.values()]
    a, b = (F.normalize(embedding, dim=1).double().numpy() for embedding in embeddings)
    cosine, off = a @ b.T, ~np.eye(4, dtype=bool)
    negatives = np.mean([cosine[off], cosine[off], (a @ a.T)[off], (b @ b.T)[off]])
    assert output.metrics["positive_cosine"].item() == pytest.approx(np.diag(cosine).mean(), abs=1e-5)
    assert output.metrics["negative_cosine"].item() == pytest.approx(negatives, abs=1e-5)
    assert output.loss.item() == pytest.approx(sum(value.item() for value in output.losses.values()))
    assert output.chance == {"contrast_accuracy": 1 / 7}
    assert not any(value.requires_grad for value in (*output.metrics.values(), *output.losses.values()))


def test_swapping_views_and_permuting_videos_change_nothing() -> None:
    task, views = settled_task(), make_views()
    permutation = torch.tensor([2, 0, 3, 1])
    with torch.no_grad():
        loss = task(views, {}).loss
        swapped = task({"view_0": views["view_1"], "view_1": views["view_0"]}, {}).loss
        permuted = task({name: view[permutation] for name, view in views.items()}, {}).loss
        broken = task({**views, "view_1": views["view_1"][permutation]}, {}).loss
    torch.testing.assert_close(swapped, loss)
    torch.testing.assert_close(permuted, loss)
    assert abs(broken - loss) > 1e-3


@pytest.mark.parametrize("batch", [2, 4, 7])
def test_collapse_costs_exactly_two_log_2b_minus_1(batch: int) -> None:
    task = make_task(batch_size=batch).train()
    nn.init.zeros_(task.head[-1].weight)
    nn.init.ones_(task.head[-1].bias)
    output = task(make_views(batch), {})
    assert output.loss.item() == pytest.approx(2 * log(2 * batch - 1), rel=1e-6)
    assert output.metrics["entropy"].item() == pytest.approx(log(2 * batch - 1), rel=1e-6)
    chance = output.chance["contrast_accuracy"]
    assert output.metrics["contrast_accuracy"].item() == pytest.approx(chance, rel=1e-6)
    assert output.metrics["negative_cosine"].item() == pytest.approx(1.0, rel=1e-6)


def test_an_anchor_never_meets_itself() -> None:
    torch.manual_seed(0)
    own, other = F.normalize(torch.randn(2, 6, 5), dim=2).unbind()
    own.requires_grad_()
    for first in (0, 2, 4):
        anchor = own.detach()[first : first + 2].requires_grad_()
        logits, target = contrast(anchor, own, other, first=first, temperature=0.1)
        assert target.tolist() == [first, first + 1]
        assert logits.isneginf().nonzero().tolist() == [[0, 6 + first], [1, 7 + first]]
        F.cross_entropy(logits[:1], target[:1]).backward()
        assert not own.grad[first].any()
        assert own.grad.any(dim=1).sum() == 5
        own.grad = None


def test_perfect_embeddings_are_recognised() -> None:
    a = torch.eye(4)
    task = make_task()
    logits, target = contrast(a, a, a, first=0, temperature=0.1)
    metrics = task._metrics(logits, target)
    assert metrics["contrast_accuracy"] == 1.0
    assert metrics["positive_cosine"].item() == pytest.approx(1.0)
    assert metrics["negative_cosine"].item() == pytest.approx(0.0, abs=1e-6)
    wrong = contrast(a, a, a.roll(1, 0), first=0, temperature=0.1)
    assert task._metrics(*wrong)["contrast_accuracy"] == 0.0


def test_gradient_reaches_both_views_and_every_parameter() -> None:
    task = settled_task()
    views = {name: view.requires_grad_() for name, view in make_views().items()}
    task(views, {}).loss.backward()
    assert all(view.grad.flatten(1).any(dim=1).all() for view in views.values())
    assert [name for name, p in task.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_loss_is_float32_under_autocast() -> None:
    task, views = make_task().eval(), make_views()
    expected = task(views, {}).loss
    with torch.autocast("cpu", torch.bfloat16):
        output = task(views, {})
    assert output.loss.dtype == torch.float32
    assert all(metric.dtype == torch.float32 for metric in output.metrics.values())
    torch.testing.assert_close(output.loss, expected, rtol=0.05, atol=0.05)


def test_one_video_is_refused_for_training_but_can_be_scored() -> None:
    with pytest.raises(OptionError, match=r"two or more videos.*batch_size=1"):
        make_task(batch_size=1)
    output = make_task().eval()(make_views(1), {})
    assert output.loss.item() == 0.0
    assert all(metric.isfinite() for metric in output.metrics.values())


def test_two_steps_of_training_lower_the_loss_on_the_same_videos() -> None:
    task, views = make_task().train(), make_views()
    optimizer = torch.optim.SGD(task.parameters(), lr=0.05)
    losses = []
    for _ in range(8):
        output = task(views, {})
        optimizer.zero_grad()
        output.loss.backward()
        optimizer.step()
        losses.append(output.loss.item())
    assert losses[-1] < losses[0] - 0.5


# ------------------------------------------------------------------------------------ head, options


def test_head_is_three_hidden_layers_with_batchnorm() -> None:
    head = projection_head(512, hidden_dim=2048, hidden_layers=3, output_dim=128)
    kinds = [nn.Linear, nn.BatchNorm1d, nn.ReLU]
    assert [type(layer) for layer in head] == kinds * 3 + [nn.Linear]
    assert [layer.weight.shape for layer in head if isinstance(layer, nn.Linear)] == [
        (2048, 512),
        (2048, 2048),
        (2048, 2048),
        (128, 2048),
    ]


def test_head_options() -> None:
    assert CVRLOptions().hidden_dim == 2048
    task = make_task(hidden_dim="auto", hidden_layers=1, output_dim=16)
    assert task.head[0].weight.shape == (task.backbone.embed_dim, task.backbone.embed_dim)
    assert task.head[-1].weight.shape == (16, task.backbone.embed_dim)


def test_norms_and_biases_have_no_weight_decay() -> None:
    task = make_task()
    groups = task.param_groups()
    decayed = {id(p) for group in groups if group["weight_decay_scale"] for p in group["params"]}
    for name, p in task.named_parameters():
        assert (id(p) in decayed) == (p.ndim > 1), name


def test_options_are_described_and_checked() -> None:
    assert all(field.description for field in CVRLOptions.model_fields.values())
    for wrong in (
        {"interval_power": 0},
        {"temperature": 0},
        {"hidden_dim": "big"},
        {"hidden_dim": 0},
        {"augmentation": ""},
        {"tau": 0.1},
    ):
        with pytest.raises(ValidationError):
            CVRLOptions(**wrong)
