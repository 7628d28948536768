"""The backbone: maps and tokens agree, and no clip depends on another."""

from __future__ import annotations

import pytest
import torch

from vssl_core import ClipSpec, OptionError, UsageError
from vssl_plugin_videomae import VideoMAEViT
from vssl_plugin_videomae.tokens import sinusoids, tubelets

CLIP = ClipSpec(num_frames=4, frame_stride=2, crop_size=32)


def make(clip: ClipSpec = CLIP, **options: object) -> VideoMAEViT:
    torch.manual_seed(0)
    return VideoMAEViT(VideoMAEViT.Options(**options), clip)


def clips(count: int, clip: ClipSpec = CLIP) -> torch.Tensor:
    torch.manual_seed(1)
    return torch.randn(count, 3, clip.num_frames, clip.crop_size, clip.crop_size)


@pytest.mark.parametrize(
    ("options", "shape"),
    [
        ({}, (2, 192, 2, 4, 4)),
        ({"patch_size": 16}, (2, 192, 2, 2, 2)),
        ({"tubelet_size": 1}, (2, 192, 4, 4, 4)),
    ],
)
def test_the_map_has_the_shape_of_the_grid(options: dict, shape: tuple) -> None:
    net = make(**options)
    features = net.forward_features(clips(2))
    assert features.shape == shape
    torch.testing.assert_close(net(clips(2)), features.mean(dim=(2, 3, 4)))


@pytest.mark.parametrize(("size", "millions"), [("small", 21.9), ("base", 86.2)])
def test_sizes_are_those_of_vit(size: str, millions: float) -> None:
    with torch.device("meta"):
        net = VideoMAEViT(VideoMAEViT.Options(size=size, patch_size=16), ClipSpec(16, 4, 224))
    assert sum(p.numel() for p in net.parameters()) / 1e6 == pytest.approx(millions, abs=0.05)
    assert net.positions_LD.shape[0] == 8 * 14 * 14


def test_the_map_holds_the_tokens_in_their_places() -> None:
    """Without blocks a token's feature is a function of its own pixels and place."""
    net = make()
    net.blocks = torch.nn.Identity()
    before = net.forward_features(clips(1))
    video = clips(1)
    video[:, :, 2:4, 8:16, 24:32] += 1
    changed = (net.forward_features(video) != before).any(dim=1).nonzero()
    assert changed.tolist() == [[0, 1, 1, 3]]


def test_the_embedding_is_a_convolution_with_its_weights_in_a_row() -> None:
    net = make()
    kernel = net.embed.weight.unflatten(1, (3, *net.token_size))
    expected = torch.nn.functional.conv3d(clips(2), kernel, net.embed.bias, stride=net.token_size)
    embedded = net.embed(tubelets(clips(2), net.token_size))
    torch.testing.assert_close(embedded, expected.flatten(2).transpose(1, 2), atol=1e-5, rtol=1e-5)


def test_all_tokens_shown_give_the_map() -> None:
    net = make().eval()
    everything = torch.arange(32).expand(2, -1)
    tokens = net.forward_tokens(clips(2), everything)
    torch.testing.assert_close(tokens, net.forward_features(clips(2)).flatten(2).transpose(1, 2))


def test_tokens_come_in_the_order_in_which_they_are_asked_for() -> None:
    net = make().eval()
    some = torch.tensor([[3, 30, 7], [1, 2, 4]])
    tokens = net.forward_tokens(clips(2), some)
    torch.testing.assert_close(net.forward_tokens(clips(2), some.flip(1)), tokens.flip(1))


def test_tokens_do_not_depend_on_the_pixels_of_the_others() -> None:
    net, video = make(), clips(1).requires_grad_()
    shown = torch.tensor([[0, 5, 17]])
    net.forward_tokens(video, shown).square().sum().backward()
    seen = tubelets(video.grad, net.token_size).abs().sum(dim=2)[0].nonzero().flatten()
    assert seen.tolist() == [0, 5, 17]


def test_a_clip_does_not_depend_on_its_batch() -> None:
    net = make().eval()
    together = net(clips(3))
    torch.testing.assert_close(torch.cat([net(clip[None]) for clip in clips(3)]), together)


def test_positions_are_sines_and_cosines() -> None:
    table = sinusoids(50, 8)
    assert table[0].tolist() == [0, 1] * 4
    one = torch.tensor(7.0)
    torch.testing.assert_close(table[7, :2], torch.stack([one.sin(), one.cos()]))
    torch.testing.assert_close(table[20, 6], torch.tensor(20 / 10000**0.75).sin())
    assert len(torch.unique(table, dim=0)) == 50


@pytest.mark.parametrize("clip", [ClipSpec(5, 2, 32), ClipSpec(4, 2, 36)])
def test_clips_that_do_not_divide_are_refused(clip: ClipSpec) -> None:
    with pytest.raises(
        OptionError, match=f"got {clip.num_frames} frames of {clip.crop_size} pixels.*patch_size"
    ):
        make(clip)


def test_clips_of_another_shape_are_refused() -> None:
    with pytest.raises(UsageError, match=r"\(B, 3, 4, 32, 32\); got \(1, 3, 4, 16, 16\)"):
        make()(torch.zeros(1, 3, 4, 16, 16))
