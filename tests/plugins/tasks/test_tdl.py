"""TDL: places of the clips, the mixing of frames, which clip gets gradient, what the queue holds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import stats
from small_tasks import NOW, make_batch, make_task, render
from torch.nn import functional as F  # noqa: N812

from vssl_core.augmentation import TemporalMix
from vssl_core.seeding import generator
from vssl_core.types import ClipSpec, VideoRecord
from vssl_core.video import FrameReader
from vssl_core.views import Key, ViewPipeline
from vssl_plugins.tasks.tdl import TDL, OwnNegative, TDLOptions, is_still, temporal_logits

PAPER = ClipSpec(num_frames=16, frame_stride=4, crop_size=112)


def starts(sampler: OwnNegative, n_frames: int, draw: int) -> tuple[int, int]:
    sampled = sampler(n_frames, 25.0, generator("tdl", draw))
    return int(sampled.frames["anchor"][0]), int(sampled.frames["negative"][0])


@pytest.mark.parametrize("n_frames", [125, 126, 130, 200, 300])
def test_negative_starts_a_clip_away_wherever_that_is_possible(n_frames: int) -> None:
    sampler = TDL.sampler(TDLOptions(), PAPER)
    for draw in range(200):
        anchor, negative = starts(sampler, n_frames, draw)
        assert abs(anchor - negative) >= 64


@pytest.mark.parametrize("num_frames", [8, 16])
@pytest.mark.parametrize("stride", [2, 4])
def test_by_default_the_two_clips_do_not_overlap_wherever_two_fit(num_frames: int, stride: int) -> None:
    sampler = TDL.sampler(TDLOptions(), ClipSpec(num_frames, stride, 112))
    for n_frames in range(2 * num_frames, 3 * num_frames * stride):
        for draw in range(10):
            frames = sampler(n_frames, 25.0, generator("apart", n_frames, draw)).frames
            first, second = sorted(frames.values(), key=lambda row: int(row[0]))
            assert 0 <= first[0] <= first[-1] < second[0] <= second[-1] < n_frames


def test_all_pairs_of_places_are_equally_likely() -> None:
    sampler = OwnNegative(num_frames=4, frame_stride=1, min_gap=3)
    pairs = [starts(sampler, 10, draw) for draw in range(8000)]  # places 0 … 6
    possible = sorted({(a, b) for a in range(7) for b in range(7) if abs(a - b) >= 3})
    assert sorted(set(pairs)) == possible
    counts = [pairs.count(pair) for pair in possible]
    assert stats.chisquare(counts).pvalue > 1e-3


def test_short_videos_get_a_smaller_stride_then_a_smaller_gap_then_loops() -> None:
    sampler = OwnNegative(num_frames=8, frame_stride=4, min_gap=32)

    def layout(n_frames: int) -> tuple[int, int]:
        drawn = [sampler(n_frames, 25.0, generator("short", draw)) for draw in range(100)]
        anchors = [s.frames["anchor"] for s in drawn]
        gaps = [abs(int(s.frames["anchor"][0]) - int(s.frames["negative"][0])) for s in drawn]
        return int(anchors[0][1] - anchors[0][0]) % n_frames, min(gaps)

    assert layout(61) == (4, 32)
    assert layout(60) == (3, 32)
    assert layout(40) == (1, 32)
    assert layout(39) == (1, 16)  # 32 places, half of them
    assert layout(9) == (1, 1)
    anchor, negative = starts(sampler, 6, 0)
    assert (anchor - negative) % 6 == 3
    assert starts(sampler, 1, 0) == (0, 0)


def test_anchor_and_positive_show_the_same_frames_under_draws_of_their_own() -> None:
    views = TDL.augmentation(TDLOptions(), PAPER)
    assert views["positive"].frames == "anchor"
    assert all(view.draw is None for view in views.values())


def test_mixing_scales_the_differences_of_neighbouring_frames(tmp_path: Path) -> None:
    """Before rounding and clamping, the TCA clip's differences are 1 - λ times those of the clip."""
    frames_THWC = np.random.default_rng(0).integers(60, 190, (40, 48, 48, 3), dtype=np.uint8)
    record = VideoRecord("video", str(render(tmp_path, frames_THWC)))
    clip = ClipSpec(num_frames=6, frame_stride=1, crop_size=32)

    def positive(alpha: float) -> np.ndarray:
        options = TDLOptions(mix_alpha=alpha)
        pipeline = ViewPipeline(
            reader=FrameReader(),
            sampler=TDL.sampler(options, clip),
            augmentation=TDL.augmentation(options, clip),
            clip=clip,
            seed=3,
        )
        return pipeline(Key(0, record)).views["positive"].astype(float)

    plain, mixed = np.diff(positive(0.0), axis=0), np.diff(positive(1.0), axis=0)
    scale = (plain * mixed).sum() / (plain * plain).sum()
    assert 0 < scale < 1
    assert abs(mixed - scale * plain).max() <= 2  # grey levels, of rounding twice


def test_the_text_mixes_the_positive_and_the_code_the_anchor() -> None:
    def mixed(**options: object) -> list[str]:
        views = TDL.augmentation(TDLOptions(**options), PAPER)
        return [name for name, view in views.items() if isinstance(view.ops[-1], TemporalMix)]

    assert mixed() == ["positive"]
    assert mixed(mix="anchor") == ["anchor"]
    assert mixed(mix_alpha=0.0) == []


def test_loss_equals_the_formula() -> None:
    task = make_task(TDL, queue_size=6).eval()
    views, _ = make_batch(task, TDLOptions(queue_size=6))
    embed = lambda name: F.normalize(task.head(task.backbone(views[name])), dim=1)  # noqa: E731
    q, k, n = embed("anchor"), embed("positive"), embed("negative")
    expected = []
    for row in range(4):
        terms = [q[row] @ k[row], *(q[row] @ past for past in task.queue.features), q[row] @ n[row]]
        terms = torch.stack(terms) / 0.07
        expected.append(terms.logsumexp(0) - terms[0])
    assert len(terms) == 6 + 2
    torch.testing.assert_close(task(views, {}).loss, torch.stack(expected).mean())


def test_gradient_flows_through_anchor_and_negative_and_not_through_the_positive() -> None:
    task = make_task(TDL, queue_size=8)
    views = {name: view.requires_grad_() for name, view in make_batch(task, TDLOptions())[0].items()}
    task(views, {}).loss.backward()
    assert views["anchor"].grad.any()
    assert views["negative"].grad.any()
    assert views["positive"].grad is None


def test_queue_takes_the_keys_of_the_step_in_turn() -> None:
    task = make_task(TDL, queue_size=8, num_videos=8).train()
    first, second, third = (make_batch(task, TDLOptions(), seed=seed)[0] for seed in range(3))
    keys = []
    for views in (first, second, third):
        with torch.no_grad():
            keys.append(F.normalize(task.key_encoder(views["positive"]), dim=1))
        task(views, {}).loss.backward()
        task.after_step(NOW)
    torch.testing.assert_close(task.queue.features, torch.cat([keys[2], keys[1]]))


def test_held_out_clips_stay_out_of_the_queue() -> None:
    task = make_task(TDL, queue_size=8).eval()
    before = task.queue.features.clone()
    task(make_batch(task, TDLOptions())[0], {})
    task.after_step(NOW)
    assert torch.equal(task.queue.features, before)


def test_the_negative_of_a_still_video_is_left_out() -> None:
    still = torch.rand(1, 3, 1, 8, 8).expand(-1, -1, 4, -1, -1)
    moving = torch.rand(1, 3, 4, 8, 8)
    assert is_still(torch.cat([still, moving])).tolist() == [True, False]
    unit = F.normalize(torch.randn(2, 5), dim=1)
    logits = temporal_logits(
        unit, unit, unit, queue_BK=torch.zeros(2, 3), still_B=torch.tensor([True, False]), temperature=0.5
    )
    assert logits[0, -1] == float("-inf")
    assert logits[1, -1].item() == pytest.approx(2.0)


def test_a_still_video_gives_a_finite_gradient() -> None:
    task = make_task(TDL, queue_size=8)
    views = make_batch(task, TDLOptions())[0]
    views["negative"] = views["negative"][:, :, :1].expand(-1, -1, 4, -1, -1)
    task(views, {}).loss.backward()
    assert all(torch.isfinite(p.grad).all() for p in task.parameters() if p.grad is not None)
