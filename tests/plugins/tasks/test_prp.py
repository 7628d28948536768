"""PRP: rates that no length tells, real and repeated frames, weights where it moves, both branches."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats
from small_tasks import SMALL, make_batch, make_task, render
from torch import nn

from vssl_core.interfaces import Backbone
from vssl_core.seeding import generator
from vssl_core.types import ClipSpec, VideoRecord
from vssl_core.video import FrameReader
from vssl_core.views import Key, ViewPipeline
from vssl_plugins.tasks.prp import PRP, RATES, Decoder, PlaybackRate, PRPOptions, motion_weights

PAPER = ClipSpec(num_frames=16, frame_stride=1, crop_size=112)


def drawn(
    n_frames: int, count: int, options: PRPOptions | None = None
) -> list[tuple[np.ndarray, np.ndarray, int]]:
    sampler = PRP.sampler(options or PRPOptions(), PAPER)
    sampled = [sampler(n_frames, 25.0, generator("prp", n_frames, draw)) for draw in range(count)]
    return [(s.frames["clip"], s.frames["target"], s.info["rate"]) for s in sampled]


@pytest.mark.parametrize("n_frames", [1, 2, 20, 90, 127, 128, 300])
def test_every_second_frame_of_the_target_is_the_clips(n_frames: int) -> None:
    for clip, target, _ in drawn(n_frames, 40):
        assert len(clip) == 16
        assert len(target) == 32
        assert np.array_equal(target[::2], clip)


def test_long_videos_give_the_rate_as_the_distance_of_frames() -> None:
    for clip, target, rate in drawn(300, 100):
        assert set(np.diff(clip).tolist()) == {RATES[rate]}
        if rate:
            assert set(np.diff(target).tolist()) == {RATES[rate] // 2}
        else:
            assert np.array_equal(target[1::2], clip)


def test_the_start_is_uniform_at_every_rate() -> None:
    by_rate = {rate: [clip[0] for clip, _, r in drawn(300, 4000) if r == rate] for rate in range(4)}
    for rate, starts in by_rate.items():
        places = 300 - (31 * RATES[rate] // 2)
        assert max(starts) < places
        assert stats.kstest(starts, stats.uniform(0, places).cdf).pvalue > 1e-3


def test_the_rate_does_not_depend_on_the_length() -> None:
    table = [
        np.bincount([rate for *_, rate in drawn(n, 800)], minlength=4) for n in (1, 10, 60, 124, 125, 300)
    ]
    assert stats.chi2_contingency(table).pvalue > 1e-3
    assert stats.chisquare(np.sum(table, axis=0)).pvalue > 1e-3


@pytest.mark.parametrize("n_frames", [10, 60, 124])
def test_a_short_video_is_read_forwards_and_backwards_at_every_rate(n_frames: int) -> None:
    for _, target, rate in drawn(n_frames, 60):
        path = np.arange(2 * (n_frames - 1))
        path = np.minimum(path, 2 * (n_frames - 1) - path)
        steps = np.arange(32) * RATES[rate] // 2
        ways = [path[(start + steps) % len(path)] for start in range(len(path))]
        assert any(np.array_equal(target, way) for way in ways)


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> dict[str, np.ndarray]:
    noise = np.random.default_rng(0).integers(0, 256, (90, 64, 96, 3), dtype=np.uint8)
    record = VideoRecord("video", str(render(tmp_path_factory.mktemp("prp"), noise)))
    clip, options = ClipSpec(num_frames=8, frame_stride=2, crop_size=48), PRPOptions()
    pipeline = ViewPipeline(
        reader=FrameReader(),
        sampler=PRP.sampler(options, clip),
        augmentation=PRP.augmentation(options, clip),
        clip=clip,
        seed=0,
    )
    return dict(pipeline(Key(0, record)).views)


def test_clip_and_target_look_alike_but_for_the_mean_of_the_contrast(sample: dict[str, np.ndarray]) -> None:
    clip, target = sample["clip"].astype(int), sample["target"].astype(int)
    assert target.shape == (16, 48, 48, 3)
    assert abs(target[::2] - clip).max() <= 2


def test_the_target_is_not_normalised() -> None:
    views = PRP.augmentation(PRPOptions(), PAPER)
    assert (views["clip"].normalize, views["target"].normalize) == (True, False)


# ------------------------------------------------------------------------------------------ weights


def test_weights_lie_between_their_ends_and_are_one_where_nothing_moves() -> None:
    torch.manual_seed(0)
    target = torch.rand(4, 3, 16, 32, 32)
    target[1] = 0.25
    weights = motion_weights(target, torch.tensor([1, 1, 4, 8]))
    assert weights.shape == target.shape
    assert (weights[1] == 1).all()
    moving = weights[[0, 2, 3]]
    assert moving.min() >= 0.8 - 1e-6
    assert moving.max() <= 2.0 + 1e-6
    assert moving.std() > 0.05
    assert torch.isfinite(weights).all()


def test_weights_are_larger_where_something_moves() -> None:
    target = torch.full((1, 3, 32, 64, 64), 0.5)
    for frame in range(32):
        target[:, :, frame, 8:20, 8:20] = 0.5 + 0.4 * np.sin(frame)
    for rate in RATES:
        weights = motion_weights(target, torch.tensor([rate]))
        assert weights[..., 10:18, 10:18].mean() > 1.5
        assert weights[..., 40:, 40:].mean() < 1.0


def test_each_stretch_of_a_fast_clip_has_weights_of_its_own() -> None:
    torch.manual_seed(0)
    weights = motion_weights(torch.rand(2, 3, 32, 32, 32), torch.tensor([1, 8]))
    assert (weights[0] == weights[0][:, :1]).all()
    stretches = weights[1].unflatten(1, (8, 4))
    assert (stretches == stretches[:, :, :1]).all()
    assert not torch.equal(stretches[:, 0], stretches[:, 1])


# --------------------------------------------------------------------------------------- two branches


class AnyMap(Backbone):
    """A map of a chosen size."""

    size: tuple[int, int, int] = (1, 1, 1)

    def __init__(self, options: object, clip: ClipSpec) -> None:
        super().__init__(options, clip)
        self.embed_dim = 8
        self.project = nn.Conv3d(3, 8, 1)

    def forward_features(self, video_BCTHW: torch.Tensor) -> torch.Tensor:
        return nn.functional.adaptive_avg_pool3d(self.project(video_BCTHW), self.size)

    def stages(self) -> dict[str, nn.Module]:
        return {"project": self.project}


@pytest.mark.parametrize("size", [(1, 1, 1), (1, 2, 2), (2, 7, 7), (4, 14, 14), (16, 5, 3)])
@pytest.mark.parametrize("clip", [SMALL, ClipSpec(5, 1, 40), ClipSpec(8, 2, 48)])
def test_the_decoder_draws_the_target_from_any_map(size: tuple[int, int, int], clip: ClipSpec) -> None:
    kind = type("Map", (AnyMap,), {"size": size})
    task = make_task(PRP, backbone=kind, clip=clip, hidden_dim=8)
    views, _ = make_batch(task, PRPOptions(), clip=clip, batch=2)
    drawing = task.decoder(task.backbone.forward_features(views["clip"]))
    assert (
        drawing.shape == views["target"].shape == (2, 3, 2 * clip.num_frames, clip.crop_size, clip.crop_size)
    )
    assert drawing.min() >= 0


def test_the_decoder_has_the_authors_layers() -> None:
    decoder = Decoder(512, 512, (32, 112, 112))
    wide = [m.out_channels for m in decoder.modules() if isinstance(m, nn.Conv3d)]
    assert wide == [512, 256, 128, 64, 3]
    assert [m.out_channels for m in decoder.modules() if isinstance(m, nn.ConvTranspose3d)] == [
        512,
        256,
        128,
        64,
    ]
    assert decoder.start_THW == [2, 7, 7]


def test_loss_is_the_weighted_error_of_real_frames_and_a_tenth_of_the_cross_entropy() -> None:
    task = make_task(PRP, hidden_dim=8).eval()
    views, _ = make_batch(task, PRPOptions())
    info = {"rate": torch.tensor([0, 3, 1, 2])}
    output = task(views, info)
    drawing = task.decoder(task.backbone.forward_features(views["clip"]))
    weights = motion_weights(views["target"], torch.tensor(RATES)[info["rate"]])
    error = weights * (drawing - views["target"]) ** 2
    per_video = [error[0][:, ::2].mean(), *(error[row].mean() for row in (1, 2, 3))]
    expected = torch.stack(per_video).mean()
    torch.testing.assert_close(output.losses["reconstruction"], expected.detach())
    torch.testing.assert_close(output.loss.detach(), (expected + 0.1 * output.losses["rate"]).detach())


def test_repeated_frames_of_rate_one_give_no_gradient() -> None:
    task = make_task(PRP, hidden_dim=8).eval()
    views, _ = make_batch(task, PRPOptions(), batch=2)
    views["target"].requires_grad_()
    task(views, {"rate": torch.tensor([0, 1])}).loss.backward()
    assert not views["target"].grad[0][:, 1::2].any()
    assert views["target"].grad[0][:, ::2].any()
    assert views["target"].grad[1][:, 1::2].any()


def test_without_weight_the_classifier_gets_no_gradient() -> None:
    task = make_task(PRP, hidden_dim=8, classification_weight=0.0)
    task(*make_batch(task, PRPOptions())).loss.backward()
    assert not task.rate.weight.grad.any()
    assert task.backbone.project.weight.grad.any()


def test_the_last_layer_of_the_classifier_learns_ten_times_as_fast_and_no_parameter_is_lost() -> None:
    task = make_task(PRP, hidden_dim=8)
    groups = task.param_groups()
    fast = [p for group in groups if group["lr_scale"] == 10 for p in group["params"]]
    assert {id(p) for p in fast} == {id(p) for p in task.rate.parameters()}
    listed = [id(p) for group in groups for p in group["params"]]
    assert sorted(listed) == sorted(id(p) for p in task.parameters())


def test_levels_take_the_first_rates() -> None:
    assert [PRP.sampler(PRPOptions(num_rates=n), PAPER) for n in (2, 3)] == [
        PlaybackRate(16, (1, 2)),
        PlaybackRate(16, (1, 2, 4)),
    ]
