"""Video Swin's windows and biases, and its wiring against torchvision's."""

from __future__ import annotations

from itertools import product

import pytest
import torch
from small_transformers import MAKERS, clips, settle
from torch import nn
from torchvision.models.video import swin_transformer as reference

from vssl_core.types import ClipSpec
from vssl_core.weights import load_into
from vssl_plugins.backbones.video_swin import (
    WINDOW_THW,
    PatchMerging,
    VideoSwin,
    VideoSwinOptions,
    bias_index,
    cut,
    join,
    shift_mask,
    windows_of,
)

pytestmark = pytest.mark.usefixtures("one_thread")


def places_in_the_full_window(window: tuple[int, int, int]) -> torch.Tensor:
    """Numbers that the tokens of a clipped window have in the window of 8 x 7 x 7."""
    return torch.tensor([(t * 7 + h) * 7 + w for t, h, w in product(*map(range, window))])


# --------------------------------------------------------------------------------------- relative biases


def test_the_full_index_is_the_references() -> None:
    attention = reference.ShiftedWindowAttention3d(4, list(WINDOW_THW), [0, 0, 0], 2)
    assert torch.equal(bias_index(WINDOW_THW), attention.relative_position_index)


@pytest.mark.parametrize("window", [(8, 4, 4), (1, 7, 7), (3, 2, 7), (8, 7, 1), (1, 1, 1), (2, 3, 5)])
def test_a_clipped_window_has_the_biases_of_the_same_distances(window: tuple[int, int, int]) -> None:
    places = places_in_the_full_window(window)
    assert torch.equal(bias_index(window), bias_index(WINDOW_THW)[places][:, places])
    for (i, one), (j, other) in product(enumerate(product(*map(range, window))), repeat=2):
        t, h, w = (a - b for a, b in zip(one, other, strict=True))
        assert bias_index(window)[i, j] == ((t + 7) * 13 + (h + 6)) * 13 + (w + 6)
        if i > 5:
            break


def test_the_public_codes_are_right_in_time_and_wrong_in_space() -> None:
    """They take the first rows and columns of the full index, whatever was clipped."""

    def share(window: tuple[int, int, int]) -> float:
        tokens = window[0] * window[1] * window[2]
        return float((bias_index(WINDOW_THW)[:tokens, :tokens] == bias_index(window)).float().mean())

    assert share((4, 7, 7)) == 1
    assert round(100 * share((8, 4, 4)), 1) == 2.6


def test_attention_uses_the_bias_of_the_distance_in_every_window() -> None:
    """Tokens attend alike in a map of 4 x 4 and at its places in one of 7 x 7, the rest masked away."""
    attention = settle(MAKERS["video_swin"]()).layers[0].blocks[0].attn
    window, places = (2, 4, 4), places_in_the_full_window((2, 4, 4))
    x_1NC, cpu = torch.randn(1, 32, 16), torch.device("cpu")
    small = attention(x_1NC, windows_of(window, cpu).index_NN, None)
    full_1NC, mask_1NN = torch.zeros(1, 392, 16), torch.full((1, 392, 392), -1e9)
    full_1NC[:, places] = x_1NC
    mask_1NN[:, :, places] = 0
    full = attention(full_1NC, bias_index(WINDOW_THW), mask_1NN)
    torch.testing.assert_close(full[:, places], small, rtol=1e-4, atol=1e-5)


# ---------------------------------------------------------------------------------- windows and shifts


@pytest.mark.parametrize("size", [(8, 14, 14), (16, 7, 21), (3, 4, 14), (16, 7, 7)])
def test_the_mask_is_the_references(size: tuple[int, int, int]) -> None:
    found = windows_of(size, torch.device("cpu"))
    expected = reference._compute_attention_mask_3d(torch.zeros(1), size, found.size, found.shift)
    assert found.mask_WNN is not None
    assert torch.equal(found.mask_WNN, expected.masked_fill(expected == -100, -torch.inf))


def test_windows_are_clipped_to_the_map_and_do_not_shift_where_they_cover_it() -> None:
    found = windows_of((8, 5, 9), torch.device("cpu"))
    assert (found.size, found.shift) == ((8, 5, 7), (0, 0, 3))
    covered = windows_of((3, 7, 4), torch.device("cpu"))
    assert (covered.size, covered.shift, covered.mask_WNN) == ((3, 7, 4), (0, 0, 0), None)


def test_the_mask_separates_what_the_shift_brought_together() -> None:
    mask = shift_mask((1, 1, 14), (1, 1, 7), (0, 0, 3), torch.device("cpu"))
    assert not mask[0].any()
    assert (mask[1] == 0).tolist() == [[(i < 4) == (j < 4) for j in range(7)] for i in range(7)]


def test_cutting_and_joining_are_inverse_and_keep_clips_apart() -> None:
    x_BTHWC = torch.randn(2, 4, 6, 8, 3)
    windows = cut(x_BTHWC, (2, 3, 4))
    assert windows.shape == (16, 24, 3)
    assert torch.equal(windows[8].view(2, 3, 4, 3), x_BTHWC[1, :2, :3, :4])
    assert torch.equal(join(windows, (2, 3, 4), (4, 6, 8)), x_BTHWC)


def test_merging_takes_neighbours_in_the_references_order() -> None:
    ours, theirs = PatchMerging(3), reference.PatchMerging(3)
    theirs.load_state_dict(settle(ours).state_dict())
    for shape in [(2, 3, 4, 6, 3), (1, 2, 5, 3, 3)]:
        x_BTHWC = torch.randn(shape)
        torch.testing.assert_close(ours(x_BTHWC), theirs(x_BTHWC))


# ------------------------------------------------------------------------------------- against torchvision


def torchvision_swin() -> nn.Module:
    net = reference.SwinTransformer3d([2, 4, 4], 16, [2, 1, 2, 2], [1, 2, 4, 4], list(WINDOW_THW))
    net.head = nn.Identity()
    settle(net)
    for module in net.modules():
        if isinstance(module, reference.ShiftedWindowAttention3d):
            module.relative_position_bias_table.data.mul_(50)  # wrong biases must show
    return net


def ours_like(theirs: nn.Module, tmp_path) -> VideoSwin:
    net = MAKERS["video_swin"](ClipSpec(4, 1, 64)).eval()
    torch.save(theirs.state_dict(), tmp_path / "swin.pth")
    assert load_into(net, tmp_path / "swin.pth", net.key_maps).key_map == "torchvision swin3d"
    return net


@pytest.mark.parametrize("shape", [(4, 224, 224), (19, 200, 232)])
def test_maps_that_windows_fit_in_give_torchvisions_features(shape: tuple[int, ...], tmp_path) -> None:
    theirs = torchvision_swin()
    video = clips(1, *shape)
    with torch.no_grad():
        torch.testing.assert_close(ours_like(theirs, tmp_path)(video), theirs(video), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("shape", [(16, 112, 112), (5, 60, 72)])
def test_smaller_maps_differ_from_torchvision_by_the_biases_alone(
    shape: tuple[int, ...], tmp_path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def corrected(table: torch.Tensor, index: torch.Tensor, window: list[int]) -> torch.Tensor:
        del index
        return table[bias_index(tuple(window))].permute(2, 0, 1)[None]

    theirs, video = torchvision_swin(), clips(2, *shape)
    ours = ours_like(theirs, tmp_path)
    with torch.no_grad():
        assert (ours(video) - theirs(video)).abs().max() > 1e-3
        monkeypatch.setattr(reference, "_get_relative_position_bias", corrected)
        torch.testing.assert_close(ours(video), theirs(video), rtol=1e-4, atol=1e-5)


# ------------------------------------------------------------------------------------------ initial values


def test_initialisation_is_the_authors() -> None:
    torch.manual_seed(0)
    net = VideoSwin(VideoSwinOptions(), ClipSpec(4, 1, 64))
    for name, parameter in net.named_parameters():
        if "norm" in name:
            assert (parameter == ("weight" in name)).all(), name
        elif name.endswith("bias") and "patch_embed" not in name:
            assert not parameter.any(), name
        elif "patch_embed" not in name:
            assert parameter.std().item() == pytest.approx(0.02, rel=0.05), name
    assert net.patch_embed.proj.weight.abs().max() <= 1 / (3 * 2 * 4 * 4) ** 0.5  # PyTorch's default


def test_stochastic_depth_is_the_authors_for_each_size_unless_it_is_given() -> None:
    for options, last in [
        ({}, 0.1),
        ({"size": "small"}, 0.1),
        ({"size": "base"}, 0.3),
        ({"drop_path": 0}, 0),
    ]:
        with torch.device("meta"):
            net = VideoSwin(VideoSwinOptions(**options), ClipSpec(4, 1, 64))
        assert getattr(net.layers[3].blocks[1].drop_path, "drop_prob", 0) == pytest.approx(last)
