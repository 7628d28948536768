"""Pace prediction: at which pace does a clip play?

Wang, Jiao and Liu, Self-supervised Video Representation Learning by Pace Prediction, ECCV 2020. A pace p of
1 … K is drawn, and the clip x takes every p-th frame of a video; f is the backbone with its pooling, c a
linear layer:

    L_cls = -log softmax(c(f(x)))_p                                          mean over clips

With `contrast=same_context` (section 3.3 of the paper) each of the N videos of a step gives two clips of two
paces. They are each other's positive, and the 2N - 2 clips of the other videos are the negatives:

    L_ctr = -1/(2N) Σ_i log exp(s(i, i')) / Σ_{k ≠ i} exp(s(i, k))           s: similarity of features
    L = L_cls + λ · L_ctr, λ = 0.1

The more paces, the harder: `levels` 1, 2, 3 are 2, 3 and 4 paces.

Author's settings: 16 frames, K = 4, SGD, learning rate 0.001 divided by ten every 6 epochs, momentum 0.9,
weight decay 5e-3, 30 videos a batch, 18 epochs over ten times UCF101 (64 frames, 32 videos and a rate of
0.01 for S3D-G). The protocol replaces them, so that all tasks train alike.

Deviations from the authors' code, each with the option that undoes it where one can:

- Augmentation is that of vssl's built-in tasks: small rotation, crop, colour and flip; `augmentation=paper`
  is crop, flip and the stronger colour. Colour is held over a clip, where theirs changes with every frame:
  vssl draws an augmentation once for a clip.
- Their clip starts anywhere and goes on at the first frame where the video ends, so that a clip with a cut
  in it is more often a fast one. Here it starts where it fits; see `PacedClips` for short videos.
- A pace is a distance between frames, so that the protocol's stride is not used.
- Their code has no contrast. Similarities are cosines over a temperature here; `temperature=null` is the
  plain product of the features.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Literal

import torch
from pydantic import Field, PositiveFloat
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from vssl_core import (
    Backbone,
    ClipSpec,
    OptionError,
    Options,
    PretextTask,
    TaskContext,
    TaskOutput,
    ViewSampler,
    distributed,
)
from vssl_core.augmentation import (
    Augmentation,
    ColorJitter,
    HorizontalFlip,
    Op,
    RandomCrop,
    RotationJitter,
    ViewAugmentation,
)
from vssl_core.momentum import contrast_accuracy
from vssl_plugin_pace.sampling import PacedClips

__all__ = ["Pace", "PaceOptions", "same_context"]

_OPS: dict[str, tuple[Op, ...]] = {
    "benchmark": (RotationJitter(), RandomCrop(), ColorJitter(), HorizontalFlip()),
    "paper": (
        RandomCrop(),
        HorizontalFlip(),
        ColorJitter(brightness=0.8, contrast=0.8, saturation=0.8, hue=0.2, p=0.8),
    ),
}


class PaceOptions(Options):
    """Defaults are the authors', but for `augmentation` and `temperature`."""

    num_paces: int = Field(4, ge=2, le=8)
    """Paces to tell apart: every 1st, 2nd, … frame up to this."""
    contrast: Literal["none", "same_context"] = "none"
    """`same_context`: two clips of a video, of different paces, are also to have similar features."""
    contrast_weight: float = Field(0.1, ge=0)
    """Weight λ of the contrast beside the cross-entropy of the pace."""
    temperature: PositiveFloat | None = 0.1
    """Divisor of the cosines of the contrast; null: products of features as they are."""
    augmentation: Literal["benchmark", "paper"] = "benchmark"
    """`benchmark`: rotation, crop, colour and flip; `paper`: crop, flip and strong colour."""


def same_context(
    feature_BCD: Tensor, all_NCD: Tensor, *, first: int, temperature: float | None
) -> tuple[Tensor, Tensor]:
    """Logits and targets of the contrast between the two clips of each video.

    Args:
        feature_BCD: Features of this process's videos, two clips (C) each.
        all_NCD: Those of the videos of all processes; row `first` + b is video b of this one.
        first: Row of this process's first video.
        temperature: Divisor of the cosines; None: plain products.

    Returns:
        Logits (2B, 2N), with -inf where a clip meets itself; targets (2B,): the other clip of the video.
    """
    anchor_MD, all_KD = feature_BCD.flatten(0, 1), all_NCD.flatten(0, 1)
    if temperature is not None:
        anchor_MD, all_KD = F.normalize(anchor_MD, dim=1) / temperature, F.normalize(all_KD, dim=1)
    itself_M = torch.arange(anchor_MD.shape[0], device=anchor_MD.device) + 2 * first
    itself_MK = F.one_hot(itself_M, all_KD.shape[0]).bool()
    return (anchor_MD @ all_KD.T).masked_fill(itself_MK, float("-inf")), itself_M ^ 1


class Pace(PretextTask):
    """Pace prediction: is every frame shown, or every second, third or fourth?"""

    api_version = 1
    Options = PaceOptions
    levels: ClassVar[Mapping[int, Mapping[str, Any]]] = {k - 1: {"num_paces": k} for k in (2, 3, 4)}
    paper = "https://arxiv.org/abs/2008.05861"

    @classmethod
    def sampler(cls, options: Any, clip: ClipSpec) -> ViewSampler:
        """One clip, or two of different paces; see `PacedClips`."""
        return PacedClips(clip.num_frames, options.num_paces, _num_clips(options))

    @classmethod
    def augmentation(cls, options: Any, clip: ClipSpec) -> Augmentation:
        """The same ops for every clip, drawn for each clip alone."""
        del clip
        view = ViewAugmentation(_OPS[options.augmentation])
        return {f"clip_{i}": view for i in range(_num_clips(options))}

    def __init__(self, make_backbone: Callable[[], Backbone], options: Any, context: TaskContext) -> None:
        """Backbone and the classifier of paces.

        Raises:
            OptionError: A contrast with fewer than two videos a step: nothing to contrast with.
        """
        super().__init__(make_backbone, options, context)
        self.num_paces, self.num_clips = options.num_paces, _num_clips(options)
        self.contrast_weight, self.temperature = options.contrast_weight, options.temperature
        if self.num_clips > 1 and context.batch_size < 2:
            raise OptionError(
                "contrast=same_context takes a batch of two or more videos, because each is contrasted with "
                f"the others; got batch_size={context.batch_size}. Raise it, or set contrast=none."
            )
        self.backbone = make_backbone()
        self.classifier = nn.Linear(self.backbone.embed_dim, self.num_paces)

    def forward(self, views: Mapping[str, Tensor], info: Mapping[str, Tensor]) -> TaskOutput:
        """The loss over `clip_0`, … (B, 3, T, H, W) each and `pace` (B, C), C clips a video."""
        clips = [views[f"clip_{i}"] for i in range(self.num_clips)]
        feature_BCD = self.backbone(torch.cat(clips)).unflatten(0, (self.num_clips, -1)).transpose(0, 1)
        logits_MK, pace_M = self.classifier(feature_BCD).flatten(0, 1).float(), info["pace"].flatten()
        losses = {"pace": F.cross_entropy(logits_MK, pace_M)}
        metrics = {"accuracy": (logits_MK.detach().argmax(dim=1) == pace_M).float().mean()}
        chance = {"accuracy": 1 / self.num_paces}
        loss = losses["pace"]
        if self.num_clips > 1:
            similar_MK, target_M = self._contrast(feature_BCD)
            losses["contrast"] = F.cross_entropy(similar_MK, target_M)
            metrics["contrast_accuracy"] = contrast_accuracy(similar_MK.detach(), target_M)
            chance["contrast_accuracy"] = 1 / (similar_MK.shape[1] - 1)
            loss = loss + self.contrast_weight * losses["contrast"]
        return TaskOutput(loss, {name: part.detach() for name, part in losses.items()}, metrics, chance)

    def _contrast(self, feature_BCD: Tensor) -> tuple[Tensor, Tensor]:
        with torch.autocast(feature_BCD.device.type, enabled=False):
            feature_BCD = feature_BCD.float()
            return same_context(
                feature_BCD,
                distributed.gather_with_grad(feature_BCD),
                first=distributed.rank() * feature_BCD.shape[0],
                temperature=self.temperature,
            )


def _num_clips(options: PaceOptions) -> int:
    return 2 if options.contrast == "same_context" else 1
