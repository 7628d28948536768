"""The backbone under a task that is checked: a small one of our own, else the smallest that fits."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from vssl_core.errors import VsslError
from vssl_core.interfaces import Backbone
from vssl_core.registry import load, scan
from vssl_core.testing.outcome import CheckSkipped
from vssl_core.types import ClipSpec

__all__ = ["PlainBackbone", "backbone_class", "blinded", "watched"]


class PlainBackbone(Backbone):
    """Three convolutions with BatchNorm and ReLU; half of the frames and a quarter of the side remain."""

    def __init__(self, options: Any, clip: ClipSpec) -> None:
        super().__init__(options, clip)
        self.embed_dim = 16
        self.stem = _block(3, 8, (1, 2, 2))
        self.middle = _block(8, 16, (2, 2, 2))
        self.top = _block(16, 16, (1, 1, 1))

    def forward_features(self, video_BCTHW: Tensor) -> Tensor:
        """(B, 3, T, H, W) → (B, 16, T/2, H/4, W/4)."""
        features: Tensor = self.top(self.middle(self.stem(video_BCTHW)))
        return features

    def stages(self) -> Mapping[str, nn.Module]:
        """The three blocks."""
        return {"stem": self.stem, "middle": self.middle, "top": self.top}


def _block(planes: int, out_planes: int, stride: tuple[int, int, int]) -> nn.Sequential:
    convolution = nn.Conv3d(planes, out_planes, 3, stride=stride, padding=1, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm3d(out_planes), nn.ReLU())


@cache
def backbone_class(requires: frozenset[str], clip: ClipSpec) -> type[Backbone]:
    """`PlainBackbone` where it provides enough, else of the installed ones that do the smallest.

    Raises:
        CheckSkipped: There is none.
    """
    if requires <= PlainBackbone.provides:
        return PlainBackbone
    sizes = dict(_installed(requires, clip))
    if not sizes:
        raise CheckSkipped(
            f"the task requires {', '.join(sorted(requires - PlainBackbone.provides))}, and no installed "
            f"backbone that takes clips of {clip.num_frames} frames of {clip.crop_size} pixels provides it; "
            "install one"
        )
    return min(sizes, key=lambda cls: sizes[cls])


def _installed(requires: frozenset[str], clip: ClipSpec) -> Iterator[tuple[type[Backbone], int]]:
    """Backbones that provide what is required, and their parameters, counted without making them."""
    for ref in scan():
        if ref.kind != "backbone":
            continue
        try:
            cls: Any = load(ref)
            if requires <= cls.provides:
                with torch.device("meta"), warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    made = cls(cls.Options(), clip)
                yield cls, sum(p.numel() for p in made.parameters())
        except (VsslError, RuntimeError, NotImplementedError):
            continue  # a broken backbone is not this task's fault


def blinded(backbone: Backbone) -> Backbone:
    """The backbone, which is given black clips from now on, whatever it is shown."""
    for name in ("forward", "forward_features", "forward_tokens"):
        if hasattr(backbone, name):
            setattr(backbone, name, _on_black(getattr(backbone, name)))
    return backbone


def _on_black(method: Callable[..., Tensor]) -> Callable[..., Tensor]:
    def black(value: Any) -> Any:
        return torch.zeros_like(value) if _is_clip(value) else value

    def call(*given: Any, **named: Any) -> Tensor:
        return method(*map(black, given), **{name: black(value) for name, value in named.items()})

    return call


def _is_clip(value: object) -> bool:
    return isinstance(value, Tensor) and value.ndim == 5 and value.shape[1] == 3


def watched(backbone: Backbone, seen: list[Tensor]) -> Backbone:
    """The backbone, which notes from now on every clip (B, 3, T, H, W) that it or a part of it is given."""

    def note(value: Any) -> None:
        if _is_clip(value):
            seen.append(value.detach().clone())

    def call(video_BCTHW: Tensor) -> Tensor:
        note(video_BCTHW)
        return original(video_BCTHW)

    original = backbone.forward_features
    backbone.forward_features = call  # type: ignore[method-assign]
    for module in backbone.modules():
        module.register_forward_pre_hook(lambda _, given: note(given[0] if given else None))
    return backbone
