"""Published transformers load by their key maps: every key accounted for, the publisher's features."""

from __future__ import annotations

from pathlib import Path

import pytest
import timm
import torch
import transformer_layouts as layouts
from safetensors.torch import save_file
from small_transformers import MAKERS, clips, each, settle
from torch import Tensor, nn

from vssl_core.errors import WeightsError
from vssl_core.interfaces import Backbone
from vssl_core.types import ClipSpec
from vssl_core.weights import Loaded, load_into
from vssl_plugins.backbones.tokens import resize_table

pytestmark = pytest.mark.usefixtures("one_thread")

LONGER = ClipSpec(num_frames=8, frame_stride=1, crop_size=64)


def load(net: Backbone, published: object, folder: Path) -> Loaded:
    """Load from a file of this content; every tensor of it and of the network is accounted for."""
    path = folder / "published.pth"
    torch.save(published, path)
    loaded = load_into(net.eval(), path, net.key_maps)
    assert loaded.tensors + len(loaded.initial) == len(net.state_dict())
    return loaded


def same(net: Backbone, other: Backbone) -> None:
    for (key, one), two in zip(net.state_dict().items(), other.state_dict().values(), strict=True):
        assert torch.equal(one, two), key


def still(frames: int) -> tuple[Tensor, Tensor]:
    """Two clips in which nothing moves, and their frame (2, 3, 64, 64)."""
    image = clips(2, 1, 64, 64)
    return image.repeat(1, 1, frames, 1, 1), image[:, :, 0]


def image_vit(**more: object) -> nn.Module:
    """An image ViT of timm with the width of the small networks, for 64 x 64."""
    torch.manual_seed(5)
    net = timm.create_model("vit_tiny_patch16_224", depth=2, img_size=64, num_classes=7, **more)
    return settle(net)


# ----------------------------------------------------------------------------------------- of their authors


def test_timesformer_of_its_authors(tmp_path: Path) -> None:
    torch.manual_seed(5)
    theirs = layouts.PublishedTimeSformer(192, 3, depth=2, frames=4, patches=16).eval()
    state = {f"model.{key}": tensor for key, tensor in theirs.state_dict().items()}
    net = MAKERS["timesformer"](pool="cls")
    loaded = load(net, {"epoch": 15, "model_state": state, "cfg": "TRAIN"}, tmp_path)
    assert loaded.key_map == "TimeSformer of its authors"
    assert loaded.dropped == ("head.weight", "head.bias")
    assert loaded.initial == ()
    with torch.no_grad():
        torch.testing.assert_close(
            net(clips(2, 4, 64, 64)), theirs(clips(2, 4, 64, 64)), rtol=1e-4, atol=1e-4
        )


def test_timesformer_for_other_clips_has_its_positions_interpolated(tmp_path: Path) -> None:
    theirs = layouts.PublishedTimeSformer(192, 3, depth=2, frames=8, patches=9)
    net = MAKERS["timesformer"]()
    load(net, theirs.state_dict(), tmp_path)
    space_HWD = theirs.pos_embed[0, 1:].detach().unflatten(0, (3, 3))
    torch.testing.assert_close(net.embed.positions.table.data, resize_table(space_HWD, (4, 4)))
    torch.testing.assert_close(net.embed.time.data, resize_table(theirs.time_embed[0].detach(), (4,)))


def test_video_swin_of_its_authors(tmp_path: Path) -> None:
    source, net = settle(MAKERS["video_swin"]()), MAKERS["video_swin"]()
    loaded = load(net, layouts.video_swin_of_its_authors(source.state_dict()), tmp_path)
    assert loaded.key_map == "Video Swin of its authors"
    assert len(loaded.dropped) == 7 + 2  # the index of each block, and the classifier
    same(net, source)


@pytest.mark.parametrize("split", [False, True])
@pytest.mark.parametrize("name", ["mvit_v1", "mvit_v2"])
def test_mvit_of_slowfast(name: str, split: bool, tmp_path: Path) -> None:
    source, net = settle(MAKERS[name]()), MAKERS[name]()
    loaded = load(net, layouts.slowfast_mvit(source.state_dict(), split=split), tmp_path)
    assert (loaded.key_map, loaded.dropped) == ("SlowFast MViT", ("head.projection.weight",))
    same(net, source)


@pytest.mark.parametrize(
    ("publish", "name"),
    [
        (layouts.hugging_face_4, "Hugging Face ViViT, saved by transformers 4"),
        (layouts.hugging_face_5, "Hugging Face ViViT, saved by transformers 5"),
    ],
)
def test_vivit_of_hugging_face(publish, name: str, tmp_path: Path) -> None:
    source, net = settle(MAKERS["vivit_joint"]()), MAKERS["vivit_joint"]()
    loaded = load(net, publish(source.state_dict()), tmp_path)
    assert (loaded.key_map, loaded.dropped) == (name, ("classifier.weight",))
    same(net, source)


def test_vivits_published_positions_are_of_14_x_14_also_where_the_clips_have_as_many(tmp_path: Path) -> None:
    """32 frames of 224 pixels and 8 of 448 have 3136 tokens each."""
    source = settle(MAKERS["vivit_joint"](ClipSpec(32, 1, 224)))
    net = MAKERS["vivit_joint"](ClipSpec(8, 1, 448))
    load(net, layouts.hugging_face_5(source.state_dict()), tmp_path)
    name = "encoders.joint.positions.table"
    expected = resize_table(source.state_dict()[name], (4, 28, 28))
    torch.testing.assert_close(net.state_dict()[name], expected)


# ------------------------------------------------------------------------------------- from image models


def test_timesformer_starts_as_the_image_model(tmp_path: Path) -> None:
    """`temporal_fc` starts at zero, so that a clip without motion has the image's features."""
    theirs, (video, image) = image_vit(), still(4)
    net = MAKERS["timesformer"]()
    loaded = load(net, theirs.state_dict(), tmp_path)
    assert loaded.key_map == "image ViT of timm"
    assert loaded.dropped == ("head.weight", "head.bias")
    assert {key.rpartition(".")[0].rpartition(".")[2] for key in loaded.initial} == {"embed", "temporal_fc"}
    for block, source in zip(net.blocks, theirs.blocks, strict=True):
        assert torch.equal(block.temporal_attn.qkv.weight, source.attn.qkv.weight)
        assert torch.equal(block.temporal_norm1.bias, source.norm1.bias)
    with torch.no_grad():
        expected = theirs.forward_features(image)[:, 1:].transpose(1, 2)
        for frame in net.forward_features(video).unbind(2):
            torch.testing.assert_close(frame.flatten(2), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("attention", "frames"), [("joint", 1), ("space", 4)])
def test_the_other_timesformers_take_image_models_too(attention: str, frames: int, tmp_path: Path) -> None:
    """With joint attention one frame alone has the image's features: many outweigh the class token."""
    theirs, (video, image) = image_vit(), still(frames)
    net = MAKERS[f"timesformer_{attention}"]()
    loaded = load(net, theirs.state_dict(), tmp_path)
    assert loaded.initial == (("embed.time",) if attention == "joint" else ())
    with torch.no_grad():
        expected = theirs.forward_features(image)[:, 1:].transpose(1, 2)
        torch.testing.assert_close(
            net.forward_features(video)[:, :, -1].flatten(2), expected, rtol=1e-4, atol=1e-4
        )


def test_vivits_spatial_encoder_starts_as_the_image_model_on_central_frames(tmp_path: Path) -> None:
    theirs, video = image_vit(act_layer="gelu_tanh"), clips(2, 4, 64, 64)
    net, seen = MAKERS["vivit"](), []
    loaded = load(net, theirs.state_dict(), tmp_path)
    assert loaded.key_map == "image ViT of timm, into the spatial encoder"
    assert loaded.initial
    assert all(key.startswith("encoders.temporal.") for key in loaded.initial)
    net.encoders["spatial"].register_forward_hook(lambda _m, _i, output: seen.append(output))
    with torch.no_grad():
        net(video)
        for step in range(2):
            expected = theirs.forward_features(video[:, :, 2 * step + 1])
            torch.testing.assert_close(seen[0][step::2], expected, rtol=1e-4, atol=1e-4)


def test_vivits_joint_encoder_starts_as_the_image_model(tmp_path: Path) -> None:
    """One step alone, as above; all steps of the table have the image's positions."""
    theirs, (video, image) = image_vit(act_layer="gelu_tanh"), still(2)
    net = MAKERS["vivit_joint"](LONGER, pool="cls")
    assert load(net, theirs.state_dict(), tmp_path).key_map == "image ViT of timm, into the joint encoder"
    with torch.no_grad():
        torch.testing.assert_close(net(video), theirs.forward_features(image)[:, 0], rtol=1e-4, atol=1e-4)


def image_swin() -> nn.Module:
    torch.manual_seed(5)
    sizes = {"embed_dim": 16, "depths": (2, 1, 2, 2), "num_heads": (1, 2, 4, 4)}
    return settle(timm.create_model("swin_tiny_patch4_window7_224", num_classes=7, **sizes))


@pytest.mark.parametrize("publish", [dict, layouts.image_swin_of_its_authors])
def test_video_swin_starts_as_the_image_model(publish, tmp_path: Path) -> None:
    """Kernels and tables of biases are spread over time: a clip without motion has the image's features."""
    theirs, net = image_swin(), MAKERS["video_swin"]()
    loaded = load(net, publish(theirs.state_dict()), tmp_path)
    assert loaded.key_map == f"image Swin of {'timm' if publish is dict else 'its authors'}"
    assert loaded.initial == ()
    image = clips(1, 1, 224, 224)
    with torch.no_grad():
        expected = theirs.forward_features(image[:, :, 0]).movedim(-1, 1)
        for frame in net.forward_features(image.repeat(1, 1, 4, 1, 1)).unbind(2):
            torch.testing.assert_close(frame, expected, rtol=1e-4, atol=1e-4)


# ------------------------------------------------------------------------------------------ own weights


@each(*MAKERS)
def test_own_weights_go_round(make, tmp_path: Path) -> None:
    source, net = settle(make()), make()
    save_file(source.state_dict(), tmp_path / "w.safetensors")
    assert load_into(net, tmp_path / "w.safetensors", net.key_maps).key_map == "names of vssl"
    same(net, source)


@each("vivit", "vivit_joint", "timesformer", "mvit_v1", "mvit_v2")
def test_own_weights_for_other_clips_have_their_positions_interpolated(make, tmp_path: Path) -> None:
    source, net = settle(make(ClipSpec(8, 1, 96))), make().eval()
    loaded = load(net, source.state_dict(), tmp_path)
    assert loaded.key_map == "names of vssl, clips of another size"
    with torch.no_grad():  # a forward pass interpolates the larger tables in the same way
        video = clips(1, 4, 64, 64)
        torch.testing.assert_close(net(video), source(video), rtol=1e-3, atol=1e-3)


# --------------------------------------------------------------------------------------------- refusals


def test_a_missing_and_an_unexpected_key_are_listed(tmp_path: Path) -> None:
    theirs = layouts.PublishedTimeSformer(192, 3, depth=2, frames=4, patches=16).state_dict()
    theirs["blocks.1.extra"] = theirs.pop("blocks.1.temporal_fc.weight")
    net = MAKERS["timesformer"]()
    before = {key: tensor.clone() for key, tensor in net.state_dict().items()}
    fc = r"blocks\.1\.temporal_fc\.weight"
    lists = rf"there are 1 not in the file: {fc}; 1 in the file and not expected: blocks\.1\.extra\."
    with pytest.raises(WeightsError, match=rf"'TimeSformer of its authors', by which {lists}"):
        load(net, theirs, tmp_path)
    assert all(map(torch.equal, before.values(), net.state_dict().values()))


def test_a_joint_vivit_into_the_factorised_one_says_which_option_fits(tmp_path: Path) -> None:
    published = layouts.hugging_face_5(MAKERS["vivit_joint"]().state_dict())
    expected = r"Nearest is key map 'Hugging Face ViViT.*which refuses.*set -o backbone\.attention=joint"
    with pytest.raises(WeightsError, match=expected):
        load(MAKERS["vivit"](), published, tmp_path)


def test_weights_of_another_size_are_told_by_the_layout_that_they_have(tmp_path: Path) -> None:
    image = timm.create_model("vit_small_patch16_224", depth=2, img_size=64)
    expected = (
        r"Nearest is key map 'image ViT of timm, into the spatial encoder', by which .* of another shape"
    )
    with pytest.raises(WeightsError, match=expected):
        load(MAKERS["vivit"](), image.state_dict(), tmp_path)


def test_an_image_swin_with_other_windows_is_refused(tmp_path: Path) -> None:
    state = image_swin().state_dict()
    for key, table in state.items():
        if key.endswith("bias_table"):
            state[key] = table[: 23 * 7]
    with pytest.raises(
        WeightsError, match=r"bias tables of 169 rows, of windows of 7 x 7; layers\.0.* has 161"
    ):
        load(MAKERS["video_swin"](), state, tmp_path)


def test_a_video_networks_kernel_is_not_inflated_again(tmp_path: Path) -> None:
    state = image_vit().state_dict()
    state["patch_embed.proj.weight"] = state["patch_embed.proj.weight"][:, :, None].repeat(1, 1, 2, 1, 1)
    with pytest.raises(WeightsError, match=r"expected an image's patch kernel.*got one of shape"):
        load(MAKERS["vivit"](), state, tmp_path)


def test_positions_of_no_square_frame_are_refused(tmp_path: Path) -> None:
    theirs = layouts.PublishedTimeSformer(192, 3, depth=2, frames=4, patches=15)
    with pytest.raises(WeightsError, match="expected positions of a square frame; got 15"):
        load(MAKERS["timesformer"](), theirs.state_dict(), tmp_path)
