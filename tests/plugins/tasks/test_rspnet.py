"""RSPNet: windows and speeds, the two losses, the queue."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats
from small_tasks import NOW, make_batch, make_task

from vssl_core.augmentation import draw_view
from vssl_core.seeding import generator
from vssl_core.types import ClipSpec
from vssl_plugins.tasks.rspnet import RSPNet, RSPNetOptions, SpeedTriple, speed_hinge

PAPER = ClipSpec(num_frames=16, frame_stride=1, crop_size=112)


def drawn(n_frames: int, count: int, sampler: SpeedTriple | None = None) -> list[tuple[dict, int]]:
    sampler = sampler or RSPNet.sampler(RSPNetOptions(), PAPER)
    sampled = [sampler(n_frames, 25.0, generator("rspnet", draw)) for draw in range(count)]
    return [(dict(s.frames), s.info["fast"]) for s in sampled]


def test_keys_share_their_first_frame_and_differ_in_speed() -> None:
    for frames, fast in drawn(120, 200):
        spacing = {name: set(np.diff(row).tolist()) for name, row in frames.items()}
        assert frames["key"][0] == frames["other"][0]
        assert spacing["query"] == spacing["key"] == {2 if fast else 1}
        assert spacing["other"] == {1 if fast else 2}


def test_windows_lie_anywhere_independently_and_the_speed_is_a_coin_toss() -> None:
    samples = drawn(31 + 10, 3000)
    query, key = (np.array([frames[name][0] for frames, _ in samples]) for name in ("query", "key"))
    for start in (query, key):
        assert stats.chisquare(np.bincount(start, minlength=11)).pvalue > 1e-3
    assert abs(np.corrcoef(query, key)[0, 1]) < 0.06
    fast = sum(fast for _, fast in samples)
    assert stats.binomtest(fast, 3000).pvalue > 1e-3


def test_speed_two_takes_every_second_frame_of_the_protocols_stride() -> None:
    sampler = RSPNet.sampler(RSPNetOptions(speed=4), ClipSpec(num_frames=4, frame_stride=3, crop_size=32))
    for frames, fast in drawn(100, 20, sampler):
        assert set(np.diff(frames["query"]).tolist()) == {12 if fast else 3}


@pytest.mark.parametrize("n_frames", [1, 2, 8, 20, 29, 30])
def test_in_a_short_video_no_cut_tells_the_speed_and_the_windows_differ(n_frames: int) -> None:
    samples = drawn(n_frames, 400)
    starts = {name: np.array([frames[name][0] for frames, _ in samples]) for name in ("query", "key")}
    for frames, fast in samples:
        assert frames["key"][0] == frames["other"][0]
        for name, row in frames.items():
            speed = 2 if (name == "other") != bool(fast) else 1
            assert abs(np.diff(row)).max() <= speed
    for start in starts.values():
        assert set(start.tolist()) == set(range(n_frames))
    same = np.mean([(frames["query"] == frames["key"]).all() for frames, _ in samples])
    assert same < {1: 2, 2: 0.6}.get(n_frames, 2 / n_frames)


def test_a_video_as_long_as_a_window_has_one_place_for_both() -> None:
    for frames, fast in drawn(31, 20):
        assert (
            frames["query"].tolist() == frames["key"].tolist() == list(range(0, 32 if fast else 16, fast + 1))
        )


@pytest.mark.parametrize("name", ["benchmark", "paper", "paper_plus"])
def test_the_keys_share_crop_colour_and_flip_and_the_query_has_its_own(name: str) -> None:
    views = RSPNet.augmentation(RSPNetOptions(augmentation=name), PAPER)
    size = {"num_frames": 16, "height": 128, "width": 171, "crop_size": 112}
    seen = {n: draw_view(v, key=("video", v.draw or n), **size) for n, v in views.items()}
    assert seen["key"] == seen["other"]
    assert seen["query"] != seen["key"]


def cosines(task: RSPNet, views: dict[str, torch.Tensor]) -> tuple[torch.Tensor, ...]:
    query, key, other = (task.heads(task.backbone(views[name])) for name in ("query", "key", "other"))
    return (query * key).sum(-1), (query * other).sum(-1), query


def test_losses_equal_the_formulas() -> None:
    task = make_task(RSPNet, queue_size=8, appearance_weight=0.5, motion_weight=3.0).eval()
    views, info = make_batch(task, RSPNetOptions())
    same, other, query = cosines(task, views)
    queue = query[:, 0] @ task.queue.features.T
    expected = 0.0
    for positive in (same[:, :1], other[:, :1]):
        logits = torch.cat([positive, queue], dim=1) / 0.07
        assert logits.shape[1] == 1 + 8
        expected = expected + 0.5 * (logits.logsumexp(1) - logits[:, 0]).mean()
    hinge = (2.0 - (same[:, 1] - other[:, 1]) / 0.07).clamp(min=0)
    torch.testing.assert_close(task(views, info).loss, expected + 3.0 * hinge.mean())


def test_hinge_is_zero_beyond_the_margin_and_falls_towards_it() -> None:
    same, other = torch.tensor([3.0, 1.0, 0.0, 5.0]), torch.tensor([0.0, 0.0, 0.0, 3.0])
    assert speed_hinge(same, other, margin=2.0).tolist() == [0.0, 1.0, 2.0, 0.0]


def test_gradient_reaches_the_query_alone() -> None:
    task = make_task(RSPNet, queue_size=8)
    views, info = make_batch(task, RSPNetOptions())
    views = {name: view.requires_grad_() for name, view in views.items()}
    task(views, info).loss.backward()
    assert views["query"].grad.any()
    assert views["key"].grad is None
    assert views["other"].grad is None


def test_queue_takes_the_appearance_of_the_other_speed_after_the_loss() -> None:
    task = make_task(RSPNet, queue_size=8).train()
    views, info = make_batch(task, RSPNetOptions())
    task.before_step(NOW)
    before = task.queue.features.clone()
    task(views, info).loss.backward()
    assert torch.equal(task.queue.features, before), "the step's own keys are no negatives"
    expected = task.key_encoder(views["other"])[:, 0]
    task.after_step(NOW)
    torch.testing.assert_close(task.queue.features[:4], expected)
    assert torch.equal(task.queue.features[4:], before[4:])


def test_the_momentum_encoder_moves_before_the_step() -> None:
    task = make_task(RSPNet, queue_size=8, momentum=0.75)
    with torch.no_grad():
        for parameter in task.heads.parameters():
            parameter.add_(1.0)
    held = {name: p.clone() for name, p in task.key_encoder.named_parameters()}
    task.after_step(NOW)
    assert all(torch.equal(p, held[name]) for name, p in task.key_encoder.named_parameters())
    task.before_step(NOW)
    for name, own in task.key_encoder.encoder[1].named_parameters():
        goal = task.heads.get_parameter(name)
        torch.testing.assert_close(own, 0.75 * held[f"encoder.1.{name}"] + 0.25 * goal)
