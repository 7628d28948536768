"""R(2+1)D and ShuffleNet give the same features as other wirings of the same tensors."""

from __future__ import annotations

import pytest
import torch
from cnn_nets import make, settle
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from torchvision.models.video.resnet import BasicBlock, VideoResNet

from vssl_plugins.backbones.r2plus1d import FactorizedConv3d, R2Plus1D
from vssl_plugins.backbones.shufflenet import ShuffleNet, channel_shuffle


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
    ours, theirs = settle(make(R2Plus1D)), torchvision_r2plus1d().eval()
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
        expected = theirs(video)
        assert expected.abs().mean() > 0.1
        torch.testing.assert_close(ours(video), expected, rtol=1e-4, atol=1e-4)


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
    net = settle(make(ShuffleNet))
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
    unit = make(ShuffleNet).stage1[0].eval()
    x = torch.rand(1, 48, 3, 4, 4)
    shortcut = unit(x)[:, -48:]
    assert shortcut.shape[2] == 2
    torch.testing.assert_close(shortcut[:, :, 1], F.avg_pool2d(x[:, :, 2], 3, 2, 1))
