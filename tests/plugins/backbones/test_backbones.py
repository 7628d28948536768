"""R(2+1)D and ShuffleNet: sizes, costs, maps, layouts, gradients, and agreement with other wirings."""

from __future__ import annotations

import math
import warnings

import pytest
import torch
from fvcore.nn import FlopCountAnalysis
from pydantic import ValidationError
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from torch.utils.flop_counter import FlopCounterMode
from torchvision.models.video.resnet import BasicBlock, VideoResNet

from vssl_core.errors import UsageError
from vssl_core.interfaces import Backbone
from vssl_core.types import ClipSpec
from vssl_plugins.backbones.r2plus1d import FactorizedConv3d, R2Plus1D, R2Plus1DOptions, mid_planes
from vssl_plugins.backbones.shufflenet import ShuffleNet, ShuffleNetOptions, channel_shuffle

CLIP = ClipSpec(num_frames=16, frame_stride=1, crop_size=112)
STRIDES = {R2Plus1D: (8, 16, 16), ShuffleNet: (16, 32, 32)}


def r2plus1d(**options: object) -> R2Plus1D:
    torch.manual_seed(0)
    return R2Plus1D(R2Plus1DOptions(**options), CLIP)


def shufflenet(**options: object) -> ShuffleNet:
    torch.manual_seed(0)
    return ShuffleNet(ShuffleNetOptions(**options), CLIP)


BOTH = pytest.mark.parametrize("make", [r2plus1d, shufflenet])


def size(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def settle(net: Backbone) -> Backbone:
    """Give every BatchNorm statistics and an affine of its own, so that a swap of two would show."""
    generator = torch.Generator().manual_seed(1)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm3d):
            for tensor in (module.weight.data, module.running_var, module.running_mean):
                tensor.copy_(torch.rand(tensor.shape, generator=generator) + 0.5)
            module.bias.data.copy_(torch.randn(module.bias.shape, generator=generator) / 4)
    return net.eval()


# ------------------------------------------------------------------------------------ published sizes


def test_r2plus1d_has_the_published_sizes() -> None:
    net = r2plus1d()
    assert size(net) == 14_365_303
    assert [size(net) + n * (net.embed_dim + 1) for n in (101, 400)] == [14_417_116, 14_570_503]
    deep = r2plus1d(blocks=(2, 2, 2, 2))
    assert size(deep) + 101 * 513 == 33_230_236


def test_r2plus1d_mid_planes() -> None:
    mids = [m.spatial.out_channels for m in r2plus1d().modules() if isinstance(m, FactorizedConv3d)]
    assert sorted(mids) == sorted([83, 144, 144, 230, 288, 42, 460, 576, 85, 921, 1152, 170])
    assert mid_planes(3, 64, (3, 7, 7)) == 83


def test_shufflenet_has_the_published_sizes() -> None:
    net = shufflenet()
    assert net.embed_dim == 1920
    assert size(net) == 3_606_288
    sizes = [size(net) + n * (net.embed_dim + 1) for n in (101, 400, 600)]
    assert sizes == [3_800_309, 4_374_688, 4_758_888]
    other = {g: size(n := shufflenet(groups=g)) + 101 * (n.embed_dim + 1) for g in (2, 4, 8)}
    assert other == {2: 3_883_589, 4: 3_722_229, 8: 3_878_549}


def test_shufflenet_groups_the_first_pointwise_convolution_except_at_width_1() -> None:
    assert shufflenet().stage1[0].conv1.groups == 3
    assert shufflenet(width=1.0).stage1[0].conv1.groups == 1


def test_shufflenet_refuses_a_width_that_its_groups_do_not_divide() -> None:
    with pytest.raises(ValidationError, match=r"groups do not divide; use"):
        ShuffleNetOptions(width=0.25, groups=8)
    with pytest.raises(ValidationError, match="width"):
        ShuffleNetOptions(width=0)


@pytest.mark.parametrize(
    ("make", "macs", "with_norms"), [(r2plus1d, 21.362, 21.439), (shufflenet, 0.5135, 0.5270)]
)
def test_multiply_accumulates_with_101_classes(make, macs: float, with_norms: float) -> None:
    net, video = make().eval(), torch.randn(1, 3, 16, 112, 112)
    classifier = nn.Sequential(net, nn.Linear(net.embed_dim, 101)).eval()
    counted = FlopCountAnalysis(classifier, video).unsupported_ops_warnings(False)
    products = counted.by_operator()["conv"] + counted.by_operator()["linear"]
    assert round(products / 1e9, 4 if macs < 1 else 3) == macs
    assert round(counted.total() / 1e9, 4 if macs < 1 else 3) == with_norms
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        classifier(video)
    assert counter.get_total_flops() == 2 * products


# ------------------------------------------------------------------------------ independent wirings


class _Maker(FactorizedConv3d):
    """The factorised convolution as torchvision's VideoResNet asks for one."""

    def __init__(self, in_planes: int, out_planes: int, midplanes: int, stride: int = 1) -> None:
        super().__init__(in_planes, out_planes, kernel=(3, 3, 3), stride=(stride,) * 3)

    @staticmethod
    def get_downsample_stride(stride: int) -> tuple[int, int, int]:
        return (stride,) * 3


def torchvision_r2plus1d() -> VideoResNet:
    def stem() -> nn.Sequential:
        conv = FactorizedConv3d(3, 64, kernel=(3, 7, 7), stride=(1, 2, 2))
        return nn.Sequential(conv, nn.BatchNorm3d(64), nn.ReLU())

    net = VideoResNet(BasicBlock, [_Maker] * 4, [1, 1, 1, 1], stem)
    for layer, (inputs, outputs) in zip(
        (net.layer2, net.layer3, net.layer4), ((64, 128), (128, 256), (256, 512)), strict=True
    ):
        conv = FactorizedConv3d(inputs, outputs, kernel=(1, 1, 1), stride=(2, 2, 2))
        layer[0].downsample = nn.Sequential(conv, nn.BatchNorm3d(outputs))
    net.fc = nn.Identity()
    return net


def test_r2plus1d_equals_torchvisions_wiring_with_the_same_convolutions() -> None:
    ours, theirs = settle(r2plus1d()), torchvision_r2plus1d().eval()
    names = {
        "conv1": "conv1.0",
        "norm1": "conv1.1",
        "conv2": "conv2.0",
        "norm2": "conv2.1",
        "shortcut": "downsample",
    }
    state = {}
    for key, value in ours.state_dict().items():
        stage, *rest = key.split(".")
        if stage != "stem":
            stage, rest[1] = stage.replace("stage", "layer"), names.get(rest[1], "downsample")
        state[".".join([stage, *rest])] = value
    theirs.load_state_dict(state)
    video = torch.randn(2, 3, 8, 40, 48)
    with torch.no_grad():
        torch.testing.assert_close(ours(video), theirs(video))


def functional_shufflenet(state: dict[str, Tensor], x: Tensor) -> Tensor:
    """The network of Köpüklü et al. written as formulas, with the shuffle as an index."""

    def norm(x: Tensor, name: str) -> Tensor:
        keys = ("running_mean", "running_var", "weight", "bias")
        return F.batch_norm(x, *(state[f"{name}.{key}"] for key in keys))

    x = F.conv3d(x, state["stem.0.weight"], stride=(1, 2, 2), padding=1)
    x = F.max_pool3d(norm(x, "stem.1").relu(), 3, 2, 1)
    for stage, units in ((1, 4), (2, 8), (3, 4)):
        for unit in range(units):
            name, stride = f"stage{stage}.{unit}", 2 if unit == 0 else 1
            y = F.conv3d(x, state[f"{name}.conv1.weight"], groups=3)
            y = norm(y, f"{name}.norm1").relu()
            mid = y.shape[1]
            y = y[:, [(c % 3) * (mid // 3) + c // 3 for c in range(mid)]]
            y = F.conv3d(y, state[f"{name}.conv2.weight"], stride=stride, padding=1, groups=mid)
            y = F.conv3d(norm(y, f"{name}.norm2"), state[f"{name}.conv3.weight"], groups=3)
            y = norm(y, f"{name}.norm3")
            pooled = F.avg_pool3d(F.pad(x, (1, 1, 1, 1)), (2, 3, 3), 2) if stride == 2 else x
            x = (torch.cat([y, pooled], 1) if stride == 2 else y + x).relu()
    return x.mean((2, 3, 4))


def test_shufflenet_equals_its_formulas() -> None:
    net = settle(shufflenet())
    for shape in ((16, 48, 64), (32, 32, 20), (15, 9, 70)):
        video = torch.randn(2, 3, *shape)
        with torch.no_grad():
            expected = functional_shufflenet(net.state_dict(), video)
            torch.testing.assert_close(net(video), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last_3d])
def test_channel_shuffle_deals_the_groups_out_in_turn(layout: torch.memory_format) -> None:
    x = torch.arange(12.0).view(1, 12, 1, 1, 1).expand(2, 12, 2, 3, 4).contiguous(memory_format=layout)
    shuffled = channel_shuffle(x, 3)
    assert shuffled[1, :, 1, 2, 3].tolist() == [0, 4, 8, 1, 5, 9, 2, 6, 10, 3, 7, 11]
    assert torch.equal(channel_shuffle(shuffled, 4), x)


def test_shufflenet_pools_the_last_of_an_odd_number_of_frames() -> None:
    unit = shufflenet().stage1[0].eval()
    x = torch.rand(1, 48, 3, 4, 4)
    shortcut = unit(x)[:, -48:]
    assert shortcut.shape[2] == 2
    torch.testing.assert_close(shortcut[:, :, 1], F.avg_pool2d(x[:, :, 2], 3, 2, 1))


# ------------------------------------------------------------------------------------ the contract


@BOTH
def test_every_clip_size_gives_the_map_that_the_docstring_promises(make) -> None:
    net = make().eval()
    stride = STRIDES[type(net)]
    shapes = [
        (4, 56, 56),
        (8, 56, 56),
        (8, 64, 64),
        (5, 57, 71),
        (16, 56, 56),
        (1, 1, 1),
        (7, 30, 90),
        (64, 56, 56),
    ]
    for shape in shapes:
        with torch.no_grad():
            features = net.forward_features(torch.randn(1, 3, *shape))
        expected = tuple(math.ceil(n / s) for n, s in zip(shape, stride, strict=True))
        assert features.shape == (1, net.embed_dim, *expected), shape
        assert features.isfinite().all()


@BOTH
def test_every_number_of_frames_from_4_to_64_works(make) -> None:
    net = make().eval()
    for frames in range(4, 65):
        with torch.no_grad():
            assert net.forward_features(torch.randn(1, 3, frames, 16, 16)).shape[2] == math.ceil(
                frames / STRIDES[type(net)][0]
            )


@BOTH
def test_forward_is_the_mean_of_the_map_and_stages_compose_to_it(make) -> None:
    net, video = make().eval(), torch.randn(2, 3, 8, 40, 40)
    with torch.no_grad():
        features = net.forward_features(video)
        torch.testing.assert_close(net(video), features.mean((2, 3, 4)))
        x = video
        for stage in net.stages().values():
            x = stage(x)
    assert torch.equal(x, features)
    assert next(iter(net.stages())) == "stem"
    assert sum(size(stage) for stage in net.stages().values()) == size(net)


@BOTH
def test_eval_output_does_not_depend_on_the_rest_of_the_batch(make) -> None:
    net, video = settle(make()), torch.randn(3, 3, 8, 40, 40)
    with torch.no_grad():
        together = net(video)
        alone = torch.cat([net(clip[None]) for clip in video])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)


@BOTH
def test_channels_last_changes_neither_features_nor_gradients(make) -> None:
    video = torch.randn(2, 3, 8, 40, 40)
    results = []
    for layout in (torch.contiguous_format, torch.channels_last_3d):
        net = make().train().double().to(memory_format=layout)
        features = net(video.double().contiguous(memory_format=layout))
        features.square().sum().backward()
        results.append((features, net.stem.get_parameter(next(iter(net.stem.state_dict()))).grad))
    torch.testing.assert_close(results[0], results[1], rtol=1e-6, atol=1e-8)


@BOTH
def test_gradient_reaches_every_parameter(make) -> None:
    """In eval mode: in train mode the BatchNorm after next takes out what some biases add."""
    net, video = make(), torch.randn(3, 3, 8, 48, 48)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm3d):
            module.momentum = 1.0
            nn.init.ones_(module.weight)  # nothing passes a normalisation that still multiplies by zero
    net.train()(video)  # the running statistics are now those of the clips
    features = net.eval()(video)
    (features * torch.randn(features.shape)).sum().backward()
    assert [name for name, p in net.named_parameters() if p.grad is None or not p.grad.any()] == []


@BOTH
def test_no_module_overwrites_an_activation_that_a_hook_keeps(make) -> None:
    net, kept = make().train(), []
    for module in net.modules():
        if not list(module.children()):
            module.register_forward_hook(
                lambda _m, _i, output: kept.append((output, output.detach().clone()))
            )
    net(torch.randn(2, 3, 8, 40, 40))
    assert len(kept) > 50
    assert all(torch.equal(output, copy) for output, copy in kept)


@BOTH
def test_initialisation_is_pytorchs_default_and_seeded(make) -> None:
    first, second = make(), make()
    for (name, p), q in zip(first.named_parameters(), second.parameters(), strict=True):
        assert torch.equal(p, q), name
    conv = first.stem[0].spatial if isinstance(first, R2Plus1D) else first.stem[0]
    bound = 1 / math.sqrt(conv.weight[0].numel())
    assert 0.98 * bound < conv.weight.abs().max() <= bound


def test_shufflenet_units_with_an_addition_start_as_the_identity() -> None:
    net, reference = shufflenet(), shufflenet(zero_init_residual=False)
    unit, x = net.stage2[3].eval(), torch.rand(2, 960, 2, 3, 3)
    assert torch.equal(unit(x), x)
    theirs = dict(reference.named_parameters())
    changed = [name for name, p in net.named_parameters() if not torch.equal(p, theirs[name])]
    assert len(changed) == 3 + 7 + 3
    assert all(name.endswith("norm3.weight") and ".0." not in name for name in changed)


@BOTH
def test_one_value_per_channel_in_train_mode_is_refused_and_says_what_helps(make) -> None:
    net = make()
    frames, height, width = STRIDES[type(net)]
    video = torch.randn(1, 3, frames, height, width)
    with pytest.raises(UsageError, match=r"two or more clips.*got \(1, 3, .*Raise the batch size"):
        net.train()(video)
    assert net.eval()(video).isfinite().all()
    assert net.train()(torch.randn(2, 3, frames, height, width)).isfinite().all()
    assert net.train()(torch.randn(1, 3, frames + 1, height, width)).isfinite().all()


@BOTH
@pytest.mark.parametrize("shape", [(3, 8, 32, 32), (1, 1, 8, 32, 32), (0, 3, 8, 32, 32), (1, 3, 0, 32, 32)])
def test_other_shapes_are_refused(make, shape: tuple[int, ...]) -> None:
    with pytest.raises(UsageError, match=r"takes float clips \(B, 3, T, H, W\).*got \("):
        make()(torch.randn(shape))


@BOTH
@pytest.mark.filterwarnings("ignore:.torch.jit:FutureWarning")
def test_tracing_gives_the_same_features(make) -> None:
    net, video = make().eval(), torch.randn(1, 3, 8, 40, 40)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore", torch.jit.TracerWarning)
        traced = torch.jit.trace(net, video)
        torch.testing.assert_close(traced(video), net(video))
