"""Parameters, multiply-accumulates and initial weights of the convolutional backbones are the references'."""

from __future__ import annotations

import math

import pytest
import torch
from cnn_nets import STRIDES, make, size
from fvcore.nn import FlopCountAnalysis
from pydantic import ValidationError
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from vssl_core.checkpoint import weights_digest
from vssl_core.interfaces import Backbone
from vssl_plugins.backbones.c3d import C3D
from vssl_plugins.backbones.mobilenetv2 import MobileNetV2, MobileNetV2Options
from vssl_plugins.backbones.r2plus1d import FactorizedConv3d, R2Plus1D, mid_planes
from vssl_plugins.backbones.r3d import R3D
from vssl_plugins.backbones.shufflenet import ShuffleNet, ShuffleNetOptions
from vssl_plugins.backbones.squeezenet import SqueezeNet

# class, options, parameters without a head, with 101, 400 and 600 classes where a reference has them
PARAMETERS = [
    (ShuffleNet, {}, 3_606_288, (3_800_309, 4_374_688, 4_758_888)),
    (MobileNetV2, {}, 2_354_048, (2_483_429, 2_866_448, 3_122_648)),
    (SqueezeNet, {}, 1_837_760, (1_889_573, 2_042_960, 2_145_560)),
    (C3D, {}, 27_661_440, (27_713_253, 27_866_640)),
    (R3D, {}, 14_361_792, (14_413_605, 14_566_992)),
    (R2Plus1D, {}, 14_365_303, (14_417_116, 14_570_503)),
    (R3D, {"blocks": (2, 2, 2, 2)}, 33_166_272, (33_218_085,)),
    (R2Plus1D, {"blocks": (2, 2, 2, 2)}, 33_178_423, (33_230_236,)),
    (R2Plus1D, {"blocks": (2, 2, 2, 2), "form": "torchvision"}, 31_300_125, (31_351_938,)),
    (R2Plus1D, {"form": "torchvision"}, 12_487_005, (12_538_818,)),
]


@pytest.mark.parametrize(("cls", "options", "headless", "with_head"), PARAMETERS)
def test_parameters(cls, options, headless: int, with_head: tuple[int, ...]) -> None:
    net = make(cls, **options)
    assert size(net) == headless
    counts = (101, 400, 600)[: len(with_head)]
    assert tuple(headless + classes * (net.embed_dim + 1) for classes in counts) == with_head


def test_shufflenet_with_other_groups() -> None:
    sizes = {g: size(n := make(ShuffleNet, groups=g)) + 101 * (n.embed_dim + 1) for g in (2, 4, 8)}
    assert sizes == {2: 3_883_589, 4: 3_722_229, 8: 3_878_549}


class WithHead(nn.Module):
    """A classifier of 101 classes as the reference builds it: SqueezeNet's is a convolution over the map."""

    def __init__(self, net: Backbone) -> None:
        super().__init__()
        self.net = net
        over_map = isinstance(net, SqueezeNet)
        self.head = nn.Conv3d(net.embed_dim, 101, 1) if over_map else nn.Linear(net.embed_dim, 101)

    def forward(self, video: torch.Tensor) -> torch.Tensor:
        if isinstance(self.head, nn.Conv3d):
            return self.head(self.net.forward_features(video)).relu().mean((2, 3, 4))
        return self.head(self.net(video))


# class, G multiply-accumulates of convolutions and linear layers, and fvcore's total with norms
MACS = [
    (ShuffleNet, 0.5135, 0.5270),
    (MobileNetV2, 0.5184, 0.5468),
    (SqueezeNet, 0.8985, 0.9097),
    (C3D, 38.497, 38.543),
    (R3D, 19.887, 19.913),
    (R2Plus1D, 21.362, 21.439),
]


@pytest.mark.parametrize(("cls", "macs", "with_norms"), MACS)
def test_multiply_accumulates_with_101_classes(cls, macs: float, with_norms: float) -> None:
    video, digits = torch.zeros(1, 3, 16, 112, 112), 4 if macs < 1 else 3
    classifier = WithHead(make(cls)).eval()
    with torch.no_grad():
        counted = FlopCountAnalysis(classifier, video).unsupported_ops_warnings(False)
        products = counted.by_operator()["conv"] + counted.by_operator()["linear"]
    assert round(products / 1e9, digits) == macs
    assert round(counted.total() / 1e9, digits) == with_norms
    assert multiply_accumulates(classifier) == products


def multiply_accumulates(module: nn.Module) -> float:
    """As torch counts them, without computing anything."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        module.to("meta")(torch.zeros(1, 3, 16, 112, 112, device="meta"))
    return counter.get_total_flops() / 2


@pytest.mark.parametrize(
    ("cls", "options", "macs"),
    [
        (R3D, {"blocks": (2, 2, 2, 2)}, 40.70),
        (R2Plus1D, {"blocks": (2, 2, 2, 2)}, 42.17),
        (R2Plus1D, {"blocks": (2, 2, 2, 2), "form": "torchvision"}, 40.52),
        (R2Plus1D, {"form": "torchvision"}, 19.71),
    ],
)
def test_multiply_accumulates_of_the_variants(cls, options, macs: float) -> None:
    assert round(multiply_accumulates(WithHead(make(cls, **options)).eval()) / 1e9, 2) == macs


# ------------------------------------------------------------------------------------------ the parts


def test_r2plus1d_mid_planes() -> None:
    mids = [m.spatial.out_channels for m in make(R2Plus1D).modules() if isinstance(m, FactorizedConv3d)]
    assert sorted(mids) == sorted([83, 144, 144, 230, 288, 42, 460, 576, 85, 921, 1152, 170])
    assert mid_planes(3, 64, (3, 7, 7)) == 83


def test_shufflenet_groups_the_first_pointwise_convolution_except_at_width_1() -> None:
    assert make(ShuffleNet).stage1[0].conv1.groups == 3
    assert make(ShuffleNet, width=1.0).stage1[0].conv1.groups == 1


def test_widths_that_cannot_be_are_refused() -> None:
    with pytest.raises(ValidationError, match=r"groups do not divide; use"):
        ShuffleNetOptions(width=0.25, groups=8)
    with pytest.raises(ValidationError, match="width"):
        ShuffleNetOptions(width=0)
    with pytest.raises(ValidationError, match=r"without channels; use 0.0625 or more"):
        MobileNetV2Options(width=0.05)


def test_mobilenet_keeps_1280_channels_when_it_is_narrower() -> None:
    assert make(MobileNetV2, width=0.5).embed_dim == 1280
    assert make(MobileNetV2, width=1.5).embed_dim == 1920


# ------------------------------------------------------------------------------------ initial weights

# Cells are reused by their key, which holds the source and the seed: what those give must not move.
INITIAL = {
    C3D: "1368d3940b0e3a736fac6a9613b6106a356aa58aa2cebc240217c2b20b904232",
    MobileNetV2: "170d1631236b4a8d5c74442eb9457531647484951c2ea95a36f1b11b42962e3f",
    R2Plus1D: "40489dd73730a305a3963322c7a85b1c6ddfcfd62d505b18a519cd65c9bd2976",
    R3D: "ef6ca22d7eb53efaebb4b1b7dc487a3eedf13515373e655c8dc323eee64caf1c",
    ShuffleNet: "ba0d4ababf01ba6a03abd958a1906166b11d90c0e72af986749dba0d766194df",
    SqueezeNet: "cd5df209288e2dbb9dd1161f26943dabaf6123788c4b9bb0a4fddd9b6c9a1b8e",
}


@pytest.mark.parametrize("cls", list(STRIDES))
def test_initial_weights_are_those_of_every_machine(cls) -> None:
    assert weights_digest(make(cls)) == INITIAL[cls]


@pytest.mark.parametrize("cls", [C3D, R2Plus1D, R3D, ShuffleNet])
def test_initialisation_is_pytorchs_default_where_it_is_the_references(cls) -> None:
    net = make(cls)
    convolutions = [module for module in net.modules() if isinstance(module, nn.Conv3d)]
    for conv in convolutions:
        bound = 1 / math.sqrt(conv.weight[0].numel())
        assert 0.9 * bound < conv.weight.abs().max() <= bound


@pytest.mark.parametrize(
    ("cls", "options"), [(MobileNetV2, {}), (SqueezeNet, {}), (R2Plus1D, {"form": "torchvision"})]
)
def test_initialisation_is_kaimings_by_fan_out_where_it_is_the_references(cls, options) -> None:
    net = make(cls, **options)
    for conv in net.modules():
        if isinstance(conv, nn.Conv3d) and conv.weight.numel() > 1000:
            std = math.sqrt(2 / (math.prod(conv.kernel_size) * conv.out_channels))
            assert conv.weight.std().item() == pytest.approx(std, rel=0.1)
            assert abs(conv.weight.mean().item()) < 0.1 * std
    assert all((m.weight == 1).all() and not m.bias.any() for m in net.modules() if type(m) is nn.BatchNorm3d)


def test_shufflenet_units_with_an_addition_start_as_the_identity() -> None:
    net, reference = make(ShuffleNet), make(ShuffleNet, zero_init_residual=False)
    unit, x = net.stage2[3].eval(), torch.rand(2, 960, 2, 3, 3)
    assert torch.equal(unit(x), x)
    theirs = dict(reference.named_parameters())
    changed = [name for name, p in net.named_parameters() if not torch.equal(p, theirs[name])]
    assert len(changed) == 3 + 7 + 3
    assert all(name.endswith("norm3.weight") and ".0." not in name for name in changed)
