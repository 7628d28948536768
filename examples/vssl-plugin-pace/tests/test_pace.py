"""The loss: paces are learnt from motion, and the contrast is what its equation says."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from vssl_core import Backbone, ClipSpec, OptionError, Options, TaskContext, generator
from vssl_plugin_pace import Pace
from vssl_plugin_pace.task import same_context

CLIP = ClipSpec(num_frames=8, frame_stride=2, crop_size=1)


class Differences(Backbone):
    """Features of the difference between one frame and the next."""

    def __init__(self, options: Options, clip: ClipSpec) -> None:
        super().__init__(options, clip)
        self.embed_dim = 16
        self.conv = nn.Conv3d(3, 16, (2, 1, 1))

    def forward_features(self, video_BCTHW: Tensor) -> Tensor:
        return self.conv(video_BCTHW).relu()

    def stages(self) -> dict[str, nn.Module]:
        return {"conv": self.conv}


def make(batch_size: int = 8, **options: object) -> tuple[Pace, object]:
    torch.manual_seed(0)
    chosen = Pace.Options(**options)
    context = TaskContext(CLIP, num_videos=64, batch_size=batch_size)
    return Pace(lambda: Differences(Options(), CLIP), chosen, context), chosen


def brightening(
    options: object, count: int, *, first: int = 0
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Clips of videos whose every frame is a little brighter than the one before: views and info."""
    sampler = Pace.sampler(options, CLIP)
    samples = [sampler(100, 25.0, generator("pace", first + i)) for i in range(count)]
    views = {
        name: torch.from_numpy(np.stack([s.frames[name] for s in samples])).float().view(count, 1, -1, 1, 1)
        for name in samples[0].frames
    }
    views = {name: (frames / 50 - 1).expand(-1, 3, -1, -1, -1) for name, frames in views.items()}
    return views, {"pace": torch.from_numpy(np.stack([s.info["pace"] for s in samples]))}


@pytest.mark.parametrize("contrast", ["none", "same_context"])
def test_the_pace_of_unseen_videos_is_learnt(contrast: str) -> None:
    task, options = make(contrast=contrast, contrast_weight=0.01)
    optimizer = torch.optim.Adam(task.parameters(), lr=0.03)
    batch = brightening(options, 128)
    for _ in range(200):
        optimizer.zero_grad()
        task(*batch).loss.backward()
        optimizer.step()
    output = task(*brightening(options, 64, first=1000))
    assert output.metrics["accuracy"] > 0.9
    assert output.chance["accuracy"] == 0.25


def test_without_contrast_the_loss_is_the_cross_entropy_of_one_clip() -> None:
    task, options = make()
    views, info = brightening(options, 8)
    assert list(Pace.augmentation(options, CLIP)) == list(views) == ["clip_0"]
    output = task(views, info)
    expected = nn.functional.cross_entropy(
        task.classifier(task.backbone(views["clip_0"])), info["pace"].squeeze(1)
    )
    torch.testing.assert_close(output.loss, expected)
    assert output.losses.keys() == {"pace"}


def test_the_parts_of_the_loss_are_weighed() -> None:
    task, options = make(contrast="same_context", contrast_weight=0.3)
    output = task(*brightening(options, 8))
    torch.testing.assert_close(output.loss.detach(), output.losses["pace"] + 0.3 * output.losses["contrast"])
    assert output.chance["contrast_accuracy"] == pytest.approx(1 / 15)


def test_features_that_are_all_alike_are_no_better_than_guessing() -> None:
    task, options = make(contrast="same_context")
    task.backbone.forward = lambda video: video.new_ones(len(video), task.backbone.embed_dim)
    output = task(*brightening(options, 8))
    assert output.metrics["contrast_accuracy"].item() == pytest.approx(1 / 15)


def test_each_clip_is_classified_by_its_own_pace() -> None:
    """Logits that name the pace of every clip rightly give accuracy 1, in whatever slot the clip is."""
    task, options = make(contrast="same_context")
    views, info = brightening(options, 32)

    class Oracle(nn.Module):
        def forward(self, feature_BCD: Tensor) -> Tensor:
            return nn.functional.one_hot(feature_BCD[..., 0].round().long() - 1, 4).float()

    task.classifier = Oracle()
    task.backbone.forward = lambda video: 50 * video.diff(dim=2).mean(dim=(2, 3, 4))
    assert task(views, info).metrics["accuracy"] == 1


@pytest.mark.parametrize("temperature", [0.1, None])
def test_the_contrast_follows_its_equation(temperature: float | None) -> None:
    torch.manual_seed(0)
    everyone = torch.randn(6, 2, 5)
    mine = everyone[2:5]
    logits, target = same_context(mine, everyone, first=2, temperature=temperature)
    flat = everyone.flatten(0, 1)
    if temperature is not None:
        flat = nn.functional.normalize(flat, dim=1) / math.sqrt(temperature)
    losses = []
    for video in range(2, 5):
        for clip in range(2):
            i, other = 2 * video + clip, 2 * video + 1 - clip
            rest = sum(math.exp(flat[i] @ flat[k]) for k in range(12) if k != i)
            losses.append(-math.log(math.exp(flat[i] @ flat[other]) / rest))
    assert nn.functional.cross_entropy(logits, target).item() == pytest.approx(np.mean(losses), rel=1e-4)


def test_equal_features_give_the_contrast_of_a_guess() -> None:
    same = torch.ones(4, 2, 3)
    logits, target = same_context(same, same, first=0, temperature=0.1)
    assert nn.functional.cross_entropy(logits, target).item() == pytest.approx(math.log(7), rel=1e-5)


def test_a_contrast_needs_a_second_video() -> None:
    with pytest.raises(OptionError, match="two or more videos"):
        make(batch_size=1, contrast="same_context")
    make(batch_size=1)


@pytest.mark.parametrize("level", [1, 2, 3])
def test_levels_are_numbers_of_paces(level: int) -> None:
    task, options = make(**Pace.levels[level])
    output = task(*brightening(options, 8))
    assert output.chance["accuracy"] == pytest.approx(1 / (level + 1))
