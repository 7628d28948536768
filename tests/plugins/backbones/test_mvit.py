"""MViT's wiring against torchvision's, and its initial values."""

from __future__ import annotations

from unittest.mock import patch

import pytest
import torch
from small_transformers import MAKERS, build, clips, settle, small_tables
from torch import nn
from torchvision.models.video.mvit import MSBlockConfig, _add_rel_pos
from torchvision.models.video.mvit import MViT as Reference

from vssl_core.types import ClipSpec
from vssl_core.weights import load_into, publishers_names
from vssl_plugins.backbones import mvit
from vssl_plugins.backbones.mvit import MViT
from vssl_plugins.backbones.mvit_attention import Distances, distance_rows

pytestmark = pytest.mark.usefixtures("one_thread")


def torchvision_mvit(variant: str, frames: int, side: int) -> nn.Module:
    """The network of `small_transformers` in torchvision's words: 5 blocks, of which 1, 2 and 4 widen."""
    second, widening, width, heads, key_stride, blocks = variant == "v2_s", (1, 2, 4), 16, 1, 8, []
    for number in range(5):
        halve = number in widening
        if halve:
            heads, key_stride = 2 * heads, key_stride // 2
        into = width
        width = 2 * width if (halve if second else number + 1 in widening) else width
        pool_query = halve or second
        blocks.append(
            MSBlockConfig(
                num_heads=heads,
                input_channels=into,
                output_channels=width,
                kernel_q=[3, 3, 3] if pool_query else [],
                kernel_kv=[3, 3, 3],
                stride_q=[1, 2, 2] if halve else [1, 1, 1] if pool_query else [],
                stride_kv=[1, key_stride, key_stride],
            )
        )
    net = Reference(
        (side, side),
        frames,
        blocks,
        residual_pool=second,
        residual_with_cls_embed=not second,
        rel_pos_embed=second,
        proj_after_attn=second,
    )
    net.head = nn.Identity()
    return settle(net)


@pytest.mark.parametrize("name", ["mvit_v1", "mvit_v2"])
@pytest.mark.parametrize(("frames", "side"), [(4, 64), (8, 112), (6, 72)])
def test_the_class_token_is_torchvisions(name: str, frames: int, side: int, tmp_path) -> None:
    net = MAKERS[name](ClipSpec(frames, 1, side), pool="cls").eval()
    theirs = torchvision_mvit({"mvit_v1": "v1_b", "mvit_v2": "v2_s"}[name], frames, side)
    torch.save(theirs.state_dict(), tmp_path / "mvit.pth")
    assert load_into(net, tmp_path / "mvit.pth", net.key_maps).key_map == "torchvision mvit"
    video = clips(2, frames, side, side)
    with torch.no_grad():
        torch.testing.assert_close(net(video), theirs(video), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("query", "key"), [((2, 7, 7), (2, 4, 4)), ((3, 5, 4), (3, 5, 4)), ((2, 14, 9), (2, 4, 3))]
)
def test_the_bias_of_distances_is_the_references(
    query: tuple[int, int, int], key: tuple[int, int, int]
) -> None:
    distances = Distances(6, (4, 8, 8), query_stride=1, key_stride=2)
    settle(distances)
    tokens = torch.randn(2, 3, 1 + query[0] * query[1] * query[2], 6)
    nothing = torch.zeros(2, 3, tokens.shape[2], 1 + key[0] * key[1] * key[2])
    tables = (distances.rel_pos_h, distances.rel_pos_w, distances.rel_pos_t)
    with torch.no_grad():
        expected = _add_rel_pos(nothing, tokens, query, key, *tables)
        torch.testing.assert_close(distances(tokens, query, key), expected)


def test_rows_of_distances_run_from_the_largest_negative_to_the_largest() -> None:
    table = torch.arange(7.0)[:, None]
    assert distance_rows(table, 4, 4)[..., 0].tolist() == [[3 + q - k for k in range(4)] for q in range(4)]
    assert distance_rows(table, 4, 2)[..., 0].tolist() == [
        [2 + q - 2 * k for k in range(2)] for q in range(4)
    ]


@pytest.mark.parametrize("name", ["mvit_v1", "mvit_v2"])
def test_its_weights_are_written_for_torchvisions_network(name: str) -> None:
    net = settle(MAKERS[name](ClipSpec(4, 1, 64), pool="cls"))
    theirs = torchvision_mvit({"mvit_v1": "v1_b", "mvit_v2": "v2_s"}[name], 4, 64)
    theirs.load_state_dict(publishers_names(net.state_dict(), net.key_maps, "torchvision", of=name))
    video = clips(2, 4, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(net(video), theirs(video), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("side", [16, 28])
def test_clips_smaller_than_the_strides_together_pass(side: int) -> None:
    """The last map is one place then, and a size rounded down would be none."""
    with small_tables(), patch.multiple(mvit, DEPTH=6):
        net = build(MViT, ClipSpec(4, 1, side))
    assert net(clips(2, 4, side, side)).isfinite().all()
    assert net.state_dict()["blocks.5.attn.distances.rel_pos_h"].shape[0] == 1


@pytest.mark.parametrize("variant", ["v1_b", "v2_s"])
def test_initialisation_is_torchvisions(variant: str) -> None:
    net = build(MViT, ClipSpec(4, 1, 64), variant=variant)
    for name, parameter in net.named_parameters():
        if ".pool.weight" in name or name.startswith("patch_embed."):
            bound = parameter[0].numel() if "weight" in name else 3 * 3 * 7 * 7
            assert parameter.abs().max() <= bound**-0.5, name  # PyTorch's default
        elif "norm" in name:
            assert (parameter == ("weight" in name)).all(), name
        elif name.endswith("bias"):
            assert not parameter.any(), name
        else:
            assert parameter.std().item() == pytest.approx(0.02, rel=0.2), name
