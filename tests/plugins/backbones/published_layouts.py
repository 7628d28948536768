"""Published networks wired anew under their publishers' names: what a real checkpoint of each would hold.

Written from the key names and configurations that the publications state, not from vssl's modules, so that
a wrong key map or a wrong wiring shows as another output.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


def named(**modules: nn.Module) -> nn.Sequential:
    """A Sequential whose parts have names."""
    layers = nn.Sequential()
    for name, module in modules.items():
        layers.add_module(name, module)
    return layers


class Residual(nn.Module):
    """ReLU(main(x) + shortcut(x)); the parts lie in this module's own namespace."""

    def __init__(self, shortcut: tuple[str, ...], **modules: nn.Module) -> None:
        super().__init__()
        self.shortcut = shortcut
        self.main = tuple(name for name in modules if name not in shortcut)
        for name, module in modules.items():
            self.add_module(name, module)

    def forward(self, x: Tensor) -> Tensor:
        y, beside = x, x
        for name in self.main:
            y = getattr(self, name)(y)
        for name in self.shortcut:
            beside = getattr(self, name)(beside)
        return (y + beside).relu()


# --------------------------------------------------------------------------------- VCOP (Xu et al. 2019)


def vcop_conv(factorised: bool, into: int, out: int, kernel: tuple[int, int, int], stride: int | tuple):
    stride = stride if isinstance(stride, tuple) else (stride,) * 3
    pad = tuple(k // 2 for k in kernel)
    if not factorised:
        conv = nn.Conv3d(into, out, kernel, stride=stride, padding=pad, bias=False)
        return named(temporal_spatial_conv=conv)
    t, h, w = kernel
    mid = (t * h * w * into * out) // (h * w * into + t * out)
    space = nn.Conv3d(into, mid, (1, h, w), stride=(1, *stride[1:]), padding=(0, *pad[1:]), bias=False)
    time = nn.Conv3d(mid, out, (t, 1, 1), stride=(stride[0], 1, 1), padding=(pad[0], 0, 0), bias=False)
    return named(spatial_conv=space, bn=nn.BatchNorm3d(mid), relu=nn.ReLU(), temporal_conv=time)


def vcop_block(factorised: bool, into: int, out: int, *, halve: bool) -> Residual:
    stride, beside = (2 if halve else 1), {}
    if halve:
        conv = vcop_conv(factorised, into, out, (1, 1, 1), 2)
        beside = {"downsampleconv": conv, "downsamplebn": nn.BatchNorm3d(out)}
    return Residual(
        tuple(beside),
        **beside,
        conv1=vcop_conv(factorised, into, out, (3, 3, 3), stride),
        bn1=nn.BatchNorm3d(out),
        relu1=nn.ReLU(),
        conv2=vcop_conv(factorised, out, out, (3, 3, 3), 1),
        bn2=nn.BatchNorm3d(out),
    )


class VcopLayer(nn.Module):
    def __init__(self, factorised: bool, into: int, out: int, count: int, *, halve: bool) -> None:
        super().__init__()
        self.block1 = vcop_block(factorised, into, out, halve=halve)
        self.blocks = nn.ModuleList(vcop_block(factorised, out, out, halve=False) for _ in range(count - 1))

    def forward(self, x: Tensor) -> Tensor:
        x = self.block1(x)
        for block in self.blocks:
            x = block(x)
        return x


def vcop_resnet(*, factorised: bool, blocks: tuple[int, ...] = (1, 1, 1, 1)) -> nn.Sequential:
    """VCOP's R3DNet or R2Plus1DNet without its pool and `linear`."""
    widths = (64, 64, 128, 256, 512)
    layers = {
        f"conv{n + 2}": VcopLayer(factorised, widths[n], widths[n + 1], blocks[n], halve=n > 0)
        for n in range(4)
    }
    stem = vcop_conv(factorised, 3, 64, (3, 7, 7), (1, 2, 2))
    return named(conv1=stem, bn1=nn.BatchNorm3d(64), relu1=nn.ReLU(), **layers)


def vcop_c3d() -> nn.Sequential:
    """VCOP's C3D without its last pool and `linear`."""
    layers: dict[str, nn.Module] = {}
    into = 3
    names = ("1", "2", "3a", "3b", "4a", "4b", "5a", "5b")
    for name, out in zip(names, (64, 128, 256, 256, 512, 512, 512, 512), strict=True):
        layers |= {
            f"conv{name}": nn.Conv3d(into, out, 3, padding=1),
            f"bn{name}": nn.BatchNorm3d(out),
            f"relu{name}": nn.ReLU(),
        }
        into = out
        if name in ("1", "2", "3b", "4b"):
            layers[f"pool{name[0]}"] = nn.MaxPool3d((1, 2, 2) if name == "1" else 2)
    return named(**layers)


# -------------------------------------------------------------------------- Köpüklü et al. (ICCVW 2019)


class PublishedFire(nn.Module):
    def __init__(self, into: int, squeeze: int, expand: int, *, bypass: bool) -> None:
        super().__init__()
        self.bypass = bypass
        self.squeeze, self.squeeze_bn = nn.Conv3d(into, squeeze, 1), nn.BatchNorm3d(squeeze)
        self.expand1x1, self.expand1x1_bn = nn.Conv3d(squeeze, expand, 1), nn.BatchNorm3d(expand)
        self.expand3x3 = nn.Conv3d(squeeze, expand, 3, padding=1)
        self.expand3x3_bn = nn.BatchNorm3d(expand)

    def forward(self, x: Tensor) -> Tensor:
        s = self.squeeze_bn(self.squeeze(x)).relu()
        pair = (self.expand1x1_bn(self.expand1x1(s)), self.expand3x3_bn(self.expand3x3(s)))
        y = torch.cat(pair, dim=1)
        return (x + y if self.bypass else y).relu()


def published_squeezenet() -> nn.Sequential:
    """SqueezeNet 1.1 without its classifier."""
    stem = (nn.Conv3d(3, 64, 3, stride=(1, 2, 2), padding=1), nn.BatchNorm3d(64), nn.ReLU())
    layers, into = [*stem], 64
    for squeeze, expand in ((16, 64), (32, 128), (48, 192), (64, 256)):
        layers += [
            nn.MaxPool3d(3, 2, 1),
            PublishedFire(into, squeeze, expand, bypass=False),
            PublishedFire(2 * expand, squeeze, expand, bypass=True),
        ]
        into = 2 * expand
    return named(features=nn.Sequential(*layers))


class PublishedInverted(nn.Module):
    def __init__(self, into: int, out: int, stride: int, ratio: int) -> None:
        super().__init__()
        hidden = into * ratio
        self.residual = stride == 1 and into == out
        wide = [nn.Conv3d(into, hidden, 1, bias=False), nn.BatchNorm3d(hidden), nn.ReLU6()]
        deep = nn.Conv3d(hidden, hidden, 3, stride, 1, groups=hidden, bias=False)
        rest = [deep, nn.BatchNorm3d(hidden), nn.ReLU6(), nn.Conv3d(hidden, out, 1, bias=False)]
        self.conv = nn.Sequential(*(wide if ratio != 1 else []), *rest, nn.BatchNorm3d(out))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv(x) if self.residual else self.conv(x)


def published_mobilenetv2() -> nn.Sequential:
    """MobileNetV2 1.0x without its classifier."""

    def norm_relu6(conv: nn.Conv3d) -> nn.Sequential:
        return nn.Sequential(conv, nn.BatchNorm3d(conv.out_channels), nn.ReLU6())

    layers: list[nn.Module] = [norm_relu6(nn.Conv3d(3, 32, 3, (1, 2, 2), 1, bias=False))]
    into = 32
    table = [(1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2)]
    for ratio, out, count, stride in [*table, (6, 320, 1, 1)]:
        for block in range(count):
            layers.append(PublishedInverted(into, out, stride if block == 0 else 1, ratio))
            into = out
    layers.append(norm_relu6(nn.Conv3d(320, 1280, 1, bias=False)))
    return named(features=nn.Sequential(*layers))


class PublishedUnit(nn.Module):
    def __init__(self, into: int, out: int, stride: int) -> None:
        super().__init__()
        self.stride, mid, main = stride, out // 4, out - into if stride == 2 else out
        self.conv1, self.bn1 = nn.Conv3d(into, mid, 1, groups=3, bias=False), nn.BatchNorm3d(mid)
        self.conv2 = nn.Conv3d(mid, mid, 3, stride, 1, groups=mid, bias=False)
        self.bn2 = nn.BatchNorm3d(mid)
        self.conv3, self.bn3 = nn.Conv3d(mid, main, 1, groups=3, bias=False), nn.BatchNorm3d(main)
        self.shortcut = nn.AvgPool3d((2, 3, 3), 2, (0, 1, 1)) if stride == 2 else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn1(self.conv1(x)).relu()
        b, c, *thw = y.shape
        y = y.view(b, 3, c // 3, *thw).transpose(1, 2).reshape(b, c, *thw)
        y = self.bn3(self.conv3(self.bn2(self.conv2(y))))
        beside = self.shortcut(x)
        return (torch.cat([y, beside], 1) if self.stride == 2 else y + beside).relu()


def published_shufflenet() -> nn.Sequential:
    """ShuffleNet 2.0x with three groups without its classifier."""
    stem = nn.Sequential(nn.Conv3d(3, 48, 3, (1, 2, 2), 1, bias=False), nn.BatchNorm3d(48), nn.ReLU())
    layers: dict[str, nn.Module] = {"conv1": stem, "maxpool": nn.MaxPool3d(3, 2, 1)}
    into = 48
    for number, (out, count) in enumerate(((480, 4), (960, 8), (1920, 4)), start=1):
        units = [PublishedUnit(into if n == 0 else out, out, 2 if n == 0 else 1) for n in range(count)]
        layers[f"layer{number}"] = nn.Sequential(*units)
        into = out
    return named(**layers)


# --------------------------------------------------------------------------------- around the networks


def as_rspnet(state: dict[str, Tensor]) -> dict[str, object]:
    """What RSPNet's training script saves: a MoCo pair with two heads, of which one is empty here."""
    model = {f"encoder_q.encoder.{key}": value for key, value in state.items()}
    heads = {f"{fc}.2.{p}": torch.zeros(s) for fc in ("fc1", "fc2") for p, s in HEAD.items()}
    linear = {"encoder.linear.weight": torch.zeros(1, 512), "encoder.linear.bias": torch.zeros(1)}
    model |= {f"encoder_q.{key}": value for key, value in (linear | heads).items()}
    model |= {key.replace("encoder_q.", "encoder_k.", 1): torch.zeros(0) for key in model}
    model |= {"queue": torch.zeros(128, 16), "queue_ptr": torch.zeros(1, dtype=torch.long)}
    return {"epoch": 200, "arch": "moco-train-base", "model": model, "best_loss": 1.5, "optimizer": {}}


HEAD = {"weight": (128, 512), "bias": (128,)}


def as_vcop(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """What VCOP's pretraining script saves."""
    heads = {"fc7.weight": torch.zeros(512, 1024), "fc7.bias": torch.zeros(512)}
    heads |= {"fc8.weight": torch.zeros(6, 1536), "fc8.bias": torch.zeros(6)}
    return {f"base_network.{key}": value for key, value in state.items()} | heads


def as_koepueklue(state: dict[str, Tensor], classifier: dict[str, tuple[int, ...]]) -> dict[str, object]:
    """What the training script of Köpüklü et al. saves."""
    head = {f"classifier.1.{key}": torch.zeros(shape) for key, shape in classifier.items()}
    state_dict = {f"module.{key}": value for key, value in (state | head).items()}
    return {"epoch": 9, "arch": "net", "state_dict": state_dict, "best_prec1": 50.0, "optimizer": {}}
