"""Training steps of a backbone as vssl runs them, and as the reference does, each in a process of its own.

Everybody starts from the same initial weights and takes the same clips; a step is the forward pass with a
classifier of 101 classes, cross entropy, the backward pass and SGD with momentum. Before the first step the
features are compared with those of the plain float32 network: who gives others is wrong.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from contest import Absent, Verdict
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from vssl_core.interfaces import Backbone
from vssl_core.precision import FORMATS, autocast_factory, to_device
from vssl_core.registry import load, resolve
from vssl_core.types import ClipSpec
from vssl_core.weights import publishers_names

CLASSES = 101
TOLERANCE = {"fp32": 1e-3, "bf16": 0.1}
"""Of features, as the mean difference over the mean size; bfloat16 keeps eight bits of each product."""


@dataclass(frozen=True)
class Setting:
    """What a contest is about.

    Args:
        backbone: Name of the backbone.
        options: Of it.
        clip: Geometry of the clips.
        batch: Clips in a step.
        steps: Steps in a job.
    """

    backbone: str
    options: Mapping[str, Any]
    clip: ClipSpec
    batch: int
    steps: int

    def network(self) -> Backbone:
        """The backbone with the weights of seed 0."""
        cls: Any = load(resolve("backbone", self.backbone))
        torch.manual_seed(0)
        made: Backbone = cls(cls.Options(**self.options), self.clip)
        return made

    def clips(self) -> Tensor:
        """Noise, float32 (B, 3, T, S, S)."""
        clip = self.clip
        shape = (self.batch, 3, clip.num_frames, clip.crop_size, clip.crop_size)
        return torch.randn(shape, generator=torch.Generator().manual_seed(1))


def device() -> torch.device:
    """The GPU where there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


class Steps:
    """Takes training steps; `check` says whether the network gave the right features at the start."""

    def __init__(
        self, setting: Setting, net: nn.Module, *, mode: str = "fp32 contiguous", compiled: bool = False
    ) -> None:
        precision, layout = mode.split()
        self._setting = setting
        self._autocast = autocast_factory(precision, device())
        self._clips = setting.clips().to(device()).contiguous(memory_format=FORMATS[layout])
        self._labels = torch.arange(setting.batch, device=device()) % CLASSES
        net = to_device(net, device(), memory_format=layout)
        head = nn.Linear(setting.network().embed_dim, CLASSES).to(device())
        self.wrong = not self._difference(net) <= TOLERANCE[precision]
        self._net = torch.compile(net.train()) if compiled else net.train()
        self._head = head
        self._optimizer = torch.optim.SGD([*net.parameters(), *head.parameters()], lr=1e-5, momentum=0.9)

    def _difference(self, net: nn.Module) -> float:
        """Of the features from those of the plain network, relative to their size."""
        with torch.no_grad():
            expected = self._setting.network().eval().to(device())(self._setting.clips().to(device()))
            with self._autocast():
                found = net.eval()(self._clips).float()
        return float((found - expected).abs().mean() / expected.abs().mean())

    def run(self, job: int) -> float:
        """Take the steps; gives the last loss."""
        loss = torch.zeros(())
        for _ in range(self._setting.steps):
            with self._autocast():
                loss = F.cross_entropy(self._head(self._net(self._clips)), self._labels)
            loss.backward()
            self._optimizer.step()
            self._optimizer.zero_grad()
        if self._clips.is_cuda:
            torch.cuda.synchronize()
        return float(loss.detach())

    def check(self, job: int, result: float) -> Verdict:
        """Wrong where the features were, or where the loss is no number any more."""
        wrong = self.wrong or not math.isfinite(result)
        clips = self._setting.steps * self._setting.batch
        return Verdict(items=clips, wrong=int(wrong), checked=1)


def ours(setting: Setting, mode: str, compiled: bool = False) -> Steps:
    """As vssl trains it: in the precision and memory format of the probe."""
    return Steps(setting, setting.network(), mode=mode, compiled=compiled)


def plain(setting: Setting) -> Steps:
    """The same network in float32 and contiguous memory, of torch's own layers alone."""
    net = setting.network()
    for parent in net.modules():
        for name, child in parent.named_children():
            if isinstance(child, nn.Conv3d) and type(child) is not nn.Conv3d:
                setattr(parent, name, _stock(child))
    return Steps(setting, net)


def _stock(conv: nn.Conv3d) -> nn.Conv3d:
    """torch's layer of the same weights in the place of one that computes gradients otherwise."""
    sizes: Any = (conv.kernel_size, conv.stride, conv.padding)
    made = nn.Conv3d(conv.in_channels, conv.out_channels, *sizes, groups=conv.groups, bias=False)
    made.load_state_dict(conv.state_dict())
    return made


def torchvision(setting: Setting, name: str) -> Steps:
    """torchvision's network of the same weights, in float32 and contiguous memory, as it comes."""
    try:
        from torchvision.models.video import r2plus1d_18, r3d_18
        from torchvision.models.video.resnet import BasicBlock, BasicStem, Conv3DSimple, VideoResNet
    except ImportError as error:
        raise Absent(f"{error}; python -m pip install torchvision") from error
    one_block = [BasicBlock, [Conv3DSimple] * 4, [1, 1, 1, 1], BasicStem]
    nets = {"r3d": lambda: VideoResNet(*one_block), "r3d_18": r3d_18, "r2plus1d_18": r2plus1d_18}
    net = nets[name]()
    net.fc = nn.Identity()
    same = setting.network()
    net.load_state_dict(publishers_names(same.state_dict(), same.key_maps, "torchvision", of=name))
    return Steps(setting, net)
