"""RotNet: exact turns, nothing beside the turn that differs between views, labels that cannot leak."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from small_tasks import make_task, render
from torch import nn

from vssl_core.augmentation import HorizontalFlip, QuarterTurn
from vssl_core.types import ClipSpec, VideoRecord
from vssl_core.video import FrameReader
from vssl_core.views import Key, ViewPipeline
from vssl_plugins.tasks.rotnet import RotNet, RotNetOptions

CLIP = ClipSpec(num_frames=6, frame_stride=2, crop_size=48)


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, np.ndarray]]:
    """Views (T, S, S, 3) of eight draws of one real, decoded video that is wider than high."""
    frames_THWC = np.random.default_rng(0).integers(0, 256, (30, 64, 96, 3), dtype=np.uint8)
    path = render(tmp_path_factory.mktemp("rotnet"), frames_THWC)
    options = RotNetOptions()
    pipeline = ViewPipeline(
        reader=FrameReader(),
        sampler=RotNet.sampler(options, CLIP),
        augmentation=RotNet.augmentation(options, CLIP),
        clip=CLIP,
        seed=0,
    )
    record = VideoRecord("video", str(path))
    return [dict(pipeline(Key(epoch, record)).views) for epoch in range(8)]


def test_views_of_a_clip_differ_by_an_exact_turn_of_every_frame(samples: list[dict[str, np.ndarray]]) -> None:
    for views in samples:
        assert list(views) == ["rot_0", "rot_90", "rot_180", "rot_270"]
        for turns, view in enumerate(views.values()):
            assert view.shape == (6, 48, 48, 3)
            assert np.array_equal(view, np.rot90(views["rot_0"], turns, axes=(1, 2)))


def test_histograms_of_the_views_are_identical(samples: list[dict[str, np.ndarray]]) -> None:
    for views in samples:
        counts = [
            np.stack([np.bincount(v[..., c].ravel(), minlength=256) for c in range(3)])
            for v in views.values()
        ]
        assert all(np.array_equal(count, counts[0]) for count in counts)


def test_draws_differ_between_epochs(samples: list[dict[str, np.ndarray]]) -> None:
    assert not np.array_equal(samples[0]["rot_0"], samples[1]["rot_0"])


@pytest.mark.parametrize("name", ["benchmark", "paper"])
def test_the_turn_comes_last_so_that_the_flip_swaps_no_labels(name: str) -> None:
    views = RotNet.augmentation(RotNetOptions(augmentation=name), CLIP)
    for turns, view in enumerate(views.values()):
        kinds = [type(op) for op in view.ops]
        assert view.ops[-1] == QuarterTurn(turns)
        assert kinds.index(HorizontalFlip) < kinds.index(QuarterTurn)
        assert (view.frames, view.draw) == ("clip", "clip")


@pytest.mark.parametrize("angles", [2, 3, 4])
def test_head_is_as_wide_as_there_are_angles(angles: int) -> None:
    task = make_task(RotNet, num_rotations=angles)
    assert task.head[0].out_features == 64
    assert task.head[2].out_features == angles
    assert list(task.augmentation(RotNetOptions(num_rotations=angles), CLIP)) == list(task.view_names)


def test_labels_are_uniform_in_every_batch_and_loss_is_their_cross_entropy() -> None:
    task = make_task(RotNet)
    nn.init.zeros_(task.head[2].weight)
    with torch.no_grad():
        task.head[2].bias.copy_(torch.tensor([2.0, 0.0, 0.0, 0.0]))
    output = task({name: torch.rand(5, 3, 4, 32, 32) for name in task.view_names}, {})
    logits = torch.tensor([2.0, 0.0, 0.0, 0.0])
    assert output.loss.item() == pytest.approx(-logits.log_softmax(0).mean().item(), rel=1e-6)
    assert output.metrics["accuracy"].item() == pytest.approx(0.25)
    assert output.metrics["accuracy_rot_0"] == 1
    assert output.metrics["accuracy_rot_90"] == 0


def test_uniform_clips_give_exactly_chance() -> None:
    task = make_task(RotNet).eval()
    grey = torch.rand(7, 3, 1, 1, 1).expand(-1, -1, 4, 32, 32)
    assert task(dict.fromkeys(task.view_names, grey), {}).metrics["accuracy"].item() == pytest.approx(0.25)
