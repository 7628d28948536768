"""An image model of timm on every frame: features, weights, refusals, and what is needed of timm."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest
import timm
import torch
from pydantic import ValidationError
from small_transformers import SMALL, build, clips, settle, size
from timm.layers import Attention, DropPath, Mlp, resample_abs_pos_embed
from timm.models.vision_transformer import Block
from torch import nn

from vssl_core.errors import UsageError, WeightsError
from vssl_core.types import ClipSpec
from vssl_core.weights import load_into
from vssl_plugins.backbones.timm_image import TimmImage, TimmImageOptions, near_square

pytestmark = pytest.mark.usefixtures("one_thread")

# NCHW, NHWC with a width of its own before the classifier, tokens behind a class token, scaled activations
MODELS = ["test_resnet", "test_mambaout", "test_vit", "test_nfnet"]


def image_model(name: str, **more: object) -> nn.Module:
    """timm's own network, with its classifier."""
    torch.manual_seed(5)
    return settle(timm.create_model(name, **more))


def copied(theirs: nn.Module, folder: Path, clip: ClipSpec = SMALL, **options: object) -> TimmImage:
    """Ours with the weights of theirs, by a file."""
    torch.save(theirs.state_dict(), folder / "image.pth")
    net = build(TimmImage, clip, **options).eval()
    loaded = load_into(net, folder / "image.pth", net.key_maps)
    assert loaded.key_map == f"timm {options['model']}"
    assert loaded.initial == ()
    assert loaded.tensors + len(loaded.dropped) == len(theirs.state_dict())
    assert {key.rpartition(".")[2] for key in loaded.dropped} == {"weight", "bias"}
    return net


@pytest.mark.parametrize("model", MODELS)
def test_features_are_the_mean_over_the_frames_of_the_image_models(model: str, tmp_path: Path) -> None:
    sized = {"img_size": SMALL.crop_size} if model == "test_vit" else {}
    theirs, video = image_model(model, **sized), clips(2, 3, 64, 64)
    net = copied(theirs, tmp_path, model=model)
    theirs.reset_classifier(0, "")
    with torch.no_grad():
        map_BDTHW = net.forward_features(video)
        frames = [theirs(video[:, :, t]) for t in range(3)]
        for t, found in enumerate(frames):
            expected_NLD = found[:, 1:] if found.ndim == 3 else found.flatten(1, 2)
            if model in {"test_resnet", "test_nfnet"}:
                expected_NLD = found.flatten(2).transpose(1, 2)
            torch.testing.assert_close(map_BDTHW[:, :, t].flatten(2).transpose(1, 2), expected_NLD)
        torch.testing.assert_close(net(video), map_BDTHW.mean((2, 3, 4)))


@pytest.mark.parametrize("model", ["test_resnet", "test_vit"])
def test_the_order_of_frames_changes_nothing(model: str) -> None:
    net, video = settle(build(TimmImage, model=model)), clips(2, 5, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(net(video[:, :, [3, 1, 4, 0, 2]]), net(video))
        assert (net(video[:, :, :2]) - net(video)).abs().max() > 1e-3


def test_the_default_is_resnet18_without_its_classifier() -> None:
    with torch.device("meta"):
        net = build(TimmImage)
    assert (net.embed_dim, size(net)) == (512, 11_689_512 - 1000 * 513)
    assert list(net.stages()) == ["conv1", "bn1", *(f"layer{s}.{b}" for s in range(1, 5) for b in (0, 1))]


def test_weights_for_images_of_another_size_have_their_positions_interpolated(tmp_path: Path) -> None:
    theirs = image_model("test_vit")  # for 160 pixels
    net = copied(theirs, tmp_path, model="test_vit")
    expected = resample_abs_pos_embed(theirs.pos_embed, [4, 4], num_prefix_tokens=net.net.num_prefix_tokens)
    torch.testing.assert_close(net.net.pos_embed, expected)
    assert net.net.pos_embed.shape[1] < theirs.pos_embed.shape[1]


def test_weights_of_another_model_are_refused_with_what_is_missing(tmp_path: Path) -> None:
    torch.save(image_model("test_vit2").state_dict(), tmp_path / "w.pth")
    net = build(TimmImage, model="test_resnet")
    with pytest.raises(WeightsError, match=r"not those of this TimmImage.*not in the file: net\.conv1"):
        load_into(net, tmp_path / "w.pth", net.key_maps)


# -------------------------------------------------------------------------------------------- refusals


def test_an_unknown_model_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(ValidationError, match=r"timm \S+ has no such model.*resnet18"):
        TimmImageOptions(model="resnet-18")


def test_sizes_that_a_model_cannot_take_are_refused_when_it_is_built() -> None:
    expected = (
        r"xcit_nano_12_p16_224 cannot be built for images of 30 x 30: .* evenly\. Take another crop_size"
    )
    with torch.device("meta"), pytest.raises(UsageError, match=expected):
        build(TimmImage, ClipSpec(2, 1, 30), model="xcit_nano_12_p16_224")


@pytest.mark.parametrize(
    ("model", "dim"), [("deit_tiny_distilled_patch16_224", 192), ("efficientvit_b0", 128)]
)
def test_models_that_must_pool_give_the_map_before_they_do(model: str, dim: int, tmp_path: Path) -> None:
    sized = {"img_size": SMALL.crop_size} if "deit" in model else {}
    theirs, video = image_model(model, **sized), clips(2, 3, 64, 64)
    torch.save(theirs.state_dict(), tmp_path / "image.pth")
    net = build(TimmImage, model=model).eval()
    load_into(net, tmp_path / "image.pth", net.key_maps)
    with torch.no_grad():
        map_BDTHW, expected = net.forward_features(video), theirs.forward_features(video[:, :, 1])
    assert map_BDTHW.shape[1] == net.embed_dim == dim
    expected_NLD = expected[:, 2:] if expected.ndim == 3 else expected.flatten(2).transpose(1, 2)
    torch.testing.assert_close(map_BDTHW[:, :, 1].flatten(2).transpose(1, 2), expected_NLD)
    assert all(not name.startswith("net.head") for name, _ in net.named_parameters())


def test_a_model_whose_tokens_are_not_told_apart_is_refused_without_advice_on_sizes() -> None:
    net = build(TimmImage, model="coat_lite_tiny")
    with pytest.raises(UsageError, match=r"coat_lite_tiny gives no map .* Take another model") as caught:
        net.forward_features(clips(1, 2, 64, 64))
    assert "crop_size" not in str(caught.value)


def test_frames_of_another_size_are_refused_where_the_model_has_one_size() -> None:
    net = build(TimmImage, model="gmlp_ti16_224")
    with pytest.raises(UsageError, match=r"built for 64 x 64, does not take frames of 48 x 80.*crop_size"):
        net.forward_features(clips(1, 2, 48, 80))


def test_stochastic_depth_is_refused_by_models_that_have_none() -> None:
    assert any(isinstance(m, DropPath) for m in build(TimmImage, model="test_vit", drop_path=0.3).modules())
    with pytest.raises(UsageError, match=r"vgg11 cannot be built with these options.*drop_path_rate"):
        build(TimmImage, model="vgg11", drop_path=0.3)


@pytest.mark.parametrize(
    ("tokens", "height", "width", "grid"),
    [(16, 64, 64, (4, 4)), (8, 64, 32, (4, 2)), (8, 32, 64, (2, 4)), (7, 30, 30, (1, 7)), (1, 9, 9, (1, 1))],
)
def test_tokens_are_laid_out_like_the_image(
    tokens: int, height: int, width: int, grid: tuple[int, int]
) -> None:
    assert near_square(tokens, height, width) == grid


# ------------------------------------------------------------------ what the backbones need of timm itself


def test_timms_parts_have_the_names_that_key_maps_and_initialisation_use() -> None:
    block = {
        f"{part}.{kind}"
        for part in ("norm1", "attn.qkv", "attn.proj", "norm2", "mlp.fc1", "mlp.fc2")
        for kind in ("weight", "bias")
    }
    made = Block(8, 2, qkv_bias=True, drop_path=0.1, norm_layer=nn.LayerNorm, act_layer=nn.GELU)
    assert made.state_dict().keys() == block
    assert isinstance(made.attn, Attention)
    assert isinstance(made.mlp, Mlp)


def test_timms_attention_is_the_plain_one_in_the_order_query_key_value() -> None:
    attention, x_NLD = settle(Attention(8, 2, qkv_bias=True)), torch.randn(3, 5, 8)
    query, key, value = attention.qkv(x_NLD).reshape(3, 5, 3, 2, 4).permute(2, 0, 3, 1, 4)
    weights = (query @ key.transpose(-2, -1) / 4**0.5).softmax(-1)
    expected = attention.proj((weights @ value).transpose(1, 2).reshape(3, 5, 8))
    torch.testing.assert_close(attention(x_NLD), expected)


def test_timms_drop_path_drops_rows_and_scales_the_others() -> None:
    """`vssl_core.distributed` puts another in its place where several processes train."""
    layer = DropPath(0.25).train()
    assert (layer.drop_prob, layer.scale_by_keep) == (0.25, True)
    torch.manual_seed(0)
    kept = layer(torch.ones(400, 2, 2))
    assert kept[kept != 0].unique().tolist() == pytest.approx([4 / 3])
    assert ((kept == 0).all((1, 2)) | (kept != 0).all((1, 2))).all()


def test_timms_models_say_what_this_backbone_asks_of_them() -> None:
    vit = timm.create_model("test_vit", num_classes=0, global_pool="", img_size=64)
    mamba = timm.create_model("test_mambaout", num_classes=0, global_pool="")
    assert vit.num_prefix_tokens == 1
    assert tuple(vit.patch_embed.grid_size) == (4, 4)
    assert vit.pretrained_cfg["classifier"] == "head"
    assert (mamba.num_features, mamba.head_hidden_size, mamba.output_fmt) == (64, 256, "NHWC")
    assert "num_prefix_tokens" in inspect.signature(resample_abs_pos_embed).parameters
    assert timm.is_model("resnet18.a1_in1k")
