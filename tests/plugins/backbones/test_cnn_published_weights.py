"""Published checkpoints load by their key maps and then give the publisher's features, to 1e-4."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import published_layouts as layouts
import pytest
import torch
from cnn_nets import STRIDES, make, settle
from safetensors.torch import save_file
from torch import Tensor, nn
from torchvision.models.video import r2plus1d_18, r3d_18
from torchvision.models.video.resnet import BasicBlock, BasicStem, Conv3DSimple, VideoResNet

from vssl_core.errors import WeightsError
from vssl_core.interfaces import Backbone
from vssl_core.weights import load_into
from vssl_plugins.backbones.c3d import C3D
from vssl_plugins.backbones.mobilenetv2 import MobileNetV2
from vssl_plugins.backbones.r2plus1d import R2Plus1D
from vssl_plugins.backbones.r3d import R3D
from vssl_plugins.backbones.shufflenet import ShuffleNet
from vssl_plugins.backbones.squeezenet import SqueezeNet

Publish = Callable[[dict[str, Tensor]], object]


def load_and_compare(
    ours: Backbone,
    theirs: nn.Module,
    published: object,
    path: Path,
    key_map: str,
    shape_THW: tuple[int, int, int] = (8, 32, 48),
) -> None:
    """Load the file and compare the features of two clips."""
    torch.save(published, path)
    loaded = load_into(ours.eval(), path, ours.key_maps)
    assert loaded.key_map == key_map
    assert loaded.tensors == len(ours.state_dict())
    assert loaded.initial == ()
    video = torch.randn(2, 3, *shape_THW)
    with torch.no_grad():
        expected = features(theirs, video)
        assert expected.abs().mean() > 0.1
        torch.testing.assert_close(ours(video), expected, rtol=1e-4, atol=1e-4)


def features(theirs: nn.Module, video: Tensor) -> Tensor:
    found = theirs(video)
    return found.mean((2, 3, 4)) if found.ndim == 5 else found


def torchvision_net(net: VideoResNet) -> tuple[nn.Module, dict[str, Tensor]]:
    """A network without its classifier, and its state with it."""
    state = dict(settle(net).state_dict())
    net.fc = nn.Identity()
    return net, state


def test_torchvisions_r3d_18(tmp_path: Path) -> None:
    theirs, state = torchvision_net(r3d_18())
    ours = make(R3D, blocks=(2, 2, 2, 2))
    load_and_compare(ours, theirs, state, tmp_path / "w.pth", "torchvision r3d")


def test_torchvisions_r2plus1d_18(tmp_path: Path) -> None:
    theirs, state = torchvision_net(r2plus1d_18())
    ours = make(R2Plus1D, blocks=(2, 2, 2, 2), form="torchvision")
    load_and_compare(ours, theirs, state, tmp_path / "w.pth", "torchvision r2plus1d")


def test_torchvisions_one_block_network_is_our_r3d(tmp_path: Path) -> None:
    net = VideoResNet(BasicBlock, [Conv3DSimple] * 4, [1, 1, 1, 1], BasicStem)
    theirs, state = torchvision_net(net)
    load_and_compare(make(R3D), theirs, state, tmp_path / "w.pth", "torchvision r3d")


@pytest.mark.parametrize(
    ("cls", "name", "net", "publish"),
    [
        (R3D, "R3D", lambda: layouts.vcop_resnet(factorised=False), dict),
        (R2Plus1D, "R(2+1)D", lambda: layouts.vcop_resnet(factorised=True), dict),
        (R2Plus1D, "R(2+1)D", lambda: layouts.vcop_resnet(factorised=True), layouts.as_vcop),
        (R2Plus1D, "R(2+1)D", lambda: layouts.vcop_resnet(factorised=True), layouts.as_rspnet),
        (C3D, "C3D", layouts.vcop_c3d, dict),
        (C3D, "C3D", layouts.vcop_c3d, layouts.as_rspnet),
    ],
)
def test_the_networks_of_vcop_and_rspnet(cls, name, net, publish: Publish, tmp_path: Path) -> None:
    theirs = settle(net())
    publisher = "RSPNet" if publish is layouts.as_rspnet else "VCOP"
    published = publish(theirs.state_dict())
    load_and_compare(make(cls), theirs, published, tmp_path / "w.pth.tar", f"{publisher} {name}")


@pytest.mark.parametrize("cls", [R3D, R2Plus1D])
def test_vcops_deeper_networks(cls, tmp_path: Path) -> None:
    theirs = settle(layouts.vcop_resnet(factorised=cls is R2Plus1D, blocks=(3, 2, 1, 1)))
    name = "VCOP R3D" if cls is R3D else "VCOP R(2+1)D"
    ours = make(cls, blocks=(3, 2, 1, 1))
    load_and_compare(ours, theirs, theirs.state_dict(), tmp_path / "w.pt", name)


@pytest.mark.parametrize(
    ("cls", "name", "net", "classifier"),
    [
        (
            SqueezeNet,
            "SqueezeNet 1.1",
            layouts.published_squeezenet,
            {"weight": (600, 512, 1, 1, 1), "bias": (600,)},
        ),
        (MobileNetV2, "MobileNetV2", layouts.published_mobilenetv2, {"weight": (600, 1280), "bias": (600,)}),
    ],
)
def test_the_networks_of_koepueklue_et_al(cls, name, net, classifier, tmp_path: Path) -> None:
    theirs = settle(net())
    published = layouts.as_koepueklue(theirs.state_dict(), classifier)
    load_and_compare(make(cls), theirs, published, tmp_path / "best.pth", f"Köpüklü et al. {name}")


def test_the_shufflenet_of_koepueklue_et_al(tmp_path: Path) -> None:
    """Its pools take no fewer frames and pixels than these."""
    shape_THW = (16, 48, 48)
    theirs = settle(layouts.published_shufflenet(), shape_THW)
    published = layouts.as_koepueklue(theirs.state_dict(), {"weight": (600, 1920), "bias": (600,)})
    name = "Köpüklü et al. ShuffleNet"
    load_and_compare(make(ShuffleNet), theirs, published, tmp_path / "best.pth", name, shape_THW)


@pytest.mark.parametrize("cls", list(STRIDES))
def test_own_weights_go_round(cls, tmp_path: Path) -> None:
    torch.manual_seed(1)
    source = settle(cls(cls.Options(), None))
    save_file(source.state_dict(), tmp_path / "w.safetensors")
    ours = make(cls)
    assert load_into(ours, tmp_path / "w.safetensors", ours.key_maps).key_map == "names of vssl"
    assert all(map(torch.equal, ours.state_dict().values(), source.state_dict().values()))


# -------------------------------------------------------------------------------------------- refusals


def test_the_other_form_of_r2plus1d_is_refused_with_the_shapes_that_differ(tmp_path: Path) -> None:
    torch.save(r2plus1d_18().state_dict(), tmp_path / "w.pth")
    ours = make(R2Plus1D, blocks=(2, 2, 2, 2))
    expected = r"'torchvision r2plus1d', by which .*stem.0.spatial.weight \(expected \(83, .* got \(45, "
    with pytest.raises(WeightsError, match=expected):
        load_into(ours, tmp_path / "w.pth", ours.key_maps)


def test_a_deeper_network_is_refused_with_the_blocks_that_are_too_many(tmp_path: Path) -> None:
    torch.save(r3d_18().state_dict(), tmp_path / "w.pth")
    ours = make(R3D)
    with pytest.raises(WeightsError, match=r"48 in the file and not expected: stage1\.1\.conv1\.weight"):
        load_into(ours, tmp_path / "w.pth", ours.key_maps)


def test_weights_of_another_architecture_are_refused(tmp_path: Path) -> None:
    torch.save(layouts.published_squeezenet().state_dict(), tmp_path / "w.pth")
    ours = make(MobileNetV2)
    with pytest.raises(
        WeightsError, match=r"not those of this MobileNetV2.*not in the file: stem\.0\.weight"
    ):
        load_into(ours, tmp_path / "w.pth", ours.key_maps)
