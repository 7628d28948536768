"""The task: what it hides is never seen, what it draws is compared with normalised pixels."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from vssl_core import ClipSpec, OptionError, TaskContext
from vssl_plugin_videomae import VideoMAE, VideoMAEViT
from vssl_plugin_videomae.masks import tubes
from vssl_plugin_videomae.tokens import normalized, tubelets

CLIP = ClipSpec(num_frames=4, frame_stride=2, crop_size=32)
SEEDS = torch.tensor([11, 12, 13])


def make(backbone: dict | None = None, **options: object) -> VideoMAE:
    torch.manual_seed(0)
    chosen = VideoMAEViT.Options(**backbone or {})
    context = TaskContext(CLIP, num_videos=16, batch_size=3)
    return VideoMAE(lambda: VideoMAEViT(chosen, CLIP), VideoMAE.Options(**options), context)


def drifting(count: int = 3) -> Tensor:
    """Smooth gratings that drift, each in its own direction (B, 3, 4, 32, 32)."""
    torch.manual_seed(2)
    row = torch.arange(32).view(1, 1, 1, 32, 1) / 32
    column, frame = row.transpose(3, 4), torch.arange(4).view(1, 1, 4, 1, 1) / 32
    a, b, c = (3 * torch.randn(3, count, 3, 1, 1, 1)).unbind()
    return (a * row + b * column + c * frame).sin()


def tokens(task: VideoMAE) -> tuple[Tensor, Tensor]:
    return tubes(SEEDS, task.grid_THW, hidden=task.hidden)


def changed(video: Tensor, indices_BN: Tensor, token_size: tuple) -> Tensor:
    """The video with other pixels at these tokens."""
    hit_BL = torch.zeros(video.shape[0], 32, dtype=torch.bool).scatter(1, indices_BN, True)
    time, side, _ = token_size
    grid = hit_BL.view(-1, 1, 2, 4, 4)
    for axis, size in ((2, time), (3, side), (4, side)):
        grid = grid.repeat_interleave(size, dim=axis)
    return torch.where(grid, torch.randn_like(video), video)


def test_hidden_pixels_change_the_target_and_never_the_drawing() -> None:
    task, video = make().eval(), drifting()
    shown, hidden = tokens(task)
    other = changed(video, hidden, task.token_size)
    assert torch.equal(task.draw(video, shown, hidden), task.draw(other, shown, hidden))
    assert (task.target(video, hidden) != task.target(other, hidden)).any(dim=2).all()


def test_shown_pixels_change_the_drawing_and_never_the_target() -> None:
    task, video = make().eval(), drifting()
    shown, hidden = tokens(task)
    other = changed(video, shown, task.token_size)
    assert torch.equal(task.target(video, hidden), task.target(other, hidden))
    assert (task.draw(video, shown, hidden) != task.draw(other, shown, hidden)).any(dim=2).all()


def test_the_loss_compares_hidden_tokens_alone() -> None:
    task, video = make().eval(), drifting()
    shown, hidden = tokens(task)
    output = task({"clip": video}, {"mask_seed": SEEDS})
    drawn = task.draw(video, shown, hidden)
    pixels = tubelets(video, task.token_size)
    total = 0.0
    for b in range(3):
        for place, index in enumerate(hidden[b].tolist()):
            total += (drawn[b, place] - normalized(pixels[b, index])).square().mean() / hidden.numel()
    torch.testing.assert_close(output.loss, total)


def test_targets_have_mean_zero_and_variance_one_in_every_channel_of_every_token() -> None:
    task = make()
    target = task.target(3 + 20 * drifting(), tokens(task)[1]).unflatten(-1, (3, -1))
    torch.testing.assert_close(target.mean(dim=-1), torch.zeros(target.shape[:-1]), atol=1e-5, rtol=0)
    torch.testing.assert_close(target.var(dim=-1), torch.ones(target.shape[:-1]), atol=1e-3, rtol=0)


def test_a_token_of_one_colour_has_the_target_zero() -> None:
    assert normalized(torch.full((1, 2, 384), 0.37)).abs().max() < 0.1


@pytest.mark.parametrize("backbone", [{}, {"patch_size": 16, "tubelet_size": 4}])
def test_the_drawing_has_the_shape_of_the_hidden_pixels(backbone: dict) -> None:
    task = make(backbone)
    shown, hidden = tokens(task)
    assert task.draw(drifting(), shown, hidden).shape == task.target(drifting(), hidden).shape


@pytest.mark.parametrize(("wanted", "dim"), [("auto", 96), (64, 64)])
def test_the_decoder_is_half_as_wide_or_as_asked(wanted: object, dim: int) -> None:
    assert make(decoder_dim=wanted).decoder.mask_token.shape == (dim,)


def test_the_relative_error_of_drawing_the_mean_is_one() -> None:
    task = make()
    torch.nn.init.zeros_(task.decoder.head.weight)
    output = task({"clip": drifting()}, {"mask_seed": SEEDS})
    assert float(output.metrics["relative_error"]) == pytest.approx(1.0)
    assert output.chance == {"relative_error": 1.0}
    still = task({"clip": torch.zeros(3, 3, 4, 32, 32)}, {"mask_seed": SEEDS})
    assert float(still.metrics["relative_error"]) == 1.0


def test_a_batch_gives_the_mean_of_its_videos() -> None:
    """So that several processes give what one gives."""
    task, video = make().eval(), drifting()
    whole = task({"clip": video}, {"mask_seed": SEEDS})
    parts = [task({"clip": video[i : i + 1]}, {"mask_seed": SEEDS[i : i + 1]}) for i in range(3)]
    torch.testing.assert_close(whole.loss, torch.stack([p.loss for p in parts]).mean())
    relative = torch.stack([p.metrics["relative_error"] for p in parts]).mean()
    torch.testing.assert_close(whole.metrics["relative_error"], relative)


def test_a_few_clips_are_learnt() -> None:
    """They are drawn better than by the means of their tokens, under masks that were not trained with."""
    task, video = make(mask_ratio=0.5, decoder_depth=2), drifting(8)
    optimizer = torch.optim.AdamW(task.parameters(), lr=1e-3)
    for step in range(40):
        optimizer.zero_grad()
        task({"clip": video}, {"mask_seed": torch.arange(8) + 8 * step}).loss.backward()
        optimizer.step()
    output = task.eval()({"clip": video}, {"mask_seed": torch.arange(8) + 10**6})
    assert output.metrics["relative_error"] < 0.9


def test_every_parameter_receives_gradient_and_no_vector_decays() -> None:
    task = make()
    task({"clip": drifting()}, {"mask_seed": SEEDS}).loss.backward()
    assert [name for name, p in task.named_parameters() if p.grad is None or not p.grad.any()] == []
    decaying, plain = task.param_groups()
    assert decaying["weight_decay_scale"] == 1.0
    assert any(p is task.decoder.mask_token for p in plain["params"])


def test_a_frame_of_one_token_is_refused() -> None:
    with pytest.raises(OptionError, match="one token of 32 x 32 pixels"):
        make({"patch_size": 32})
