"""A backbone under test: built as the core builds it, and clips to show it."""

from __future__ import annotations

import copy
import random
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from vssl_core.draws import equal_draws
from vssl_core.interfaces import Backbone
from vssl_core.seeding import key_seed
from vssl_core.testing.component import Component
from vssl_core.testing.outcome import CheckFailed
from vssl_core.types import ClipSpec

__all__ = ["CLIPS", "BackboneSubject", "clips", "difference", "train_steps"]

CLIPS = (
    ClipSpec(num_frames=4, frame_stride=2, crop_size=32),
    ClipSpec(num_frames=8, frame_stride=2, crop_size=48),
    ClipSpec(num_frames=12, frame_stride=1, crop_size=64),
    ClipSpec(num_frames=16, frame_stride=2, crop_size=112),
)
"""Geometries of the presets and one between them, the cheapest first."""


class BackboneSubject(Component):
    """A backbone class with its options, and the cheapest clips that it takes."""

    @cached_property
    def clip(self) -> ClipSpec:
        """The first of `CLIPS` with which the backbone works; of the others `check_clip_sizes` speaks."""
        problem: Exception | None = None
        for clip in CLIPS:
            try:
                with torch.no_grad():
                    self.build(clip=clip).eval().forward_features(clips(1, clip))
            except Exception as error:  # noqa: BLE001  it is said if no clip works
                problem = error
            else:
                return clip
        raise CheckFailed(
            f"expected the backbone to take the clips of one preset at least, but none of {shapes()} works; "
            f"of the last it says: {type(problem).__name__}: {problem}"
        ) from problem

    @cached_property
    def settled(self) -> Backbone:
        """One backbone in eval mode whose normalisations have seen clips; not to be changed."""
        backbone = self.build().train()
        with torch.no_grad():
            backbone.forward_features(clips(4, self.clip, seed=100))
        return backbone.eval()

    def build(self, *, seed: int = 0, clip: ClipSpec | None = None) -> Backbone:
        """A new backbone with the weights that this seed gives, whatever was drawn before."""
        with torch.random.fork_rng(devices=[]), equal_draws():
            torch.manual_seed(key_seed("backbone", seed))
            backbone: Backbone = self.cls(self.options, clip or self.clip)
        return backbone

    def copy(self) -> Backbone:
        """A copy of `settled` that may be changed."""
        return copy.deepcopy(self.settled)


def shapes() -> str:
    """The geometries of `CLIPS` in words."""
    return ", ".join(f"{clip.num_frames} x {clip.crop_size} x {clip.crop_size}" for clip in CLIPS)


def clips(count: int, clip: ClipSpec, *, seed: int = 0) -> Tensor:
    """Random normalised clips (B, 3, T, H, W) float32 of different brightness and contrast."""
    generator = torch.Generator().manual_seed(seed)
    shape = (count, 3, clip.num_frames, clip.crop_size, clip.crop_size)
    noise = torch.randn(shape, generator=generator)
    contrast = torch.linspace(0.5, 1.5, count).view(-1, 1, 1, 1, 1)
    return noise * contrast + torch.randn((count, 3, 1, 1, 1), generator=generator)


def difference(one: Tensor, other: Tensor) -> float:
    """Largest difference of two outputs as a share of the largest value; infinite where they do not fit."""
    if one.shape != other.shape or not one.isfinite().all() or not other.isfinite().all():
        return float("inf")
    largest = float(torch.maximum(one.abs().max(), other.abs().max()))
    return float((one - other).abs().max()) / max(largest, 1e-12)


def train_steps(backbone: Backbone, clip: ClipSpec, *, steps: int, rate: float) -> None:
    """Steps of SGD in train mode on two clips, with the generators seeded per step as the core does."""
    weights = [p for p in backbone.parameters() if p.requires_grad]
    optimizer = torch.optim.SGD(weights, lr=rate) if weights else None
    backbone.train()
    for step in range(steps):
        torch.manual_seed(step)
        random.seed(step)
        np.random.seed(step)
        features_BD = backbone(clips(2, clip, seed=100 + step))
        if optimizer is not None:
            optimizer.zero_grad()
            features_BD.float().square().mean().backward()
            optimizer.step()
