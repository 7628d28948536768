"""TDL: a clip is more like itself than like another moment of its own video.

Wang et al., Self-Supervised Temporal Discriminative Representation Learning for Video Action Recognition,
2020 (VTDL). From a video come an anchor and a positive of the same frames, augmented separately, and a
negative from another place of the same video. With embeddings of unit length q of the anchor, k of the
positive by a momentum encoder, n of the negative, a queue Q of K past keys, and temperature τ:

    L = -log exp(q·k/τ) / (exp(q·k/τ) + Σ_Q exp(q·Q/τ) + exp(q·n/τ))          mean over the batch

Temporal consistent augmentation (TCA) mixes a random frame into one of the two clips of a pair,
x_t → (1-λ)·x_t + λ·x_k with λ = α·U(0, 1), which keeps the direction of every temporal derivative.
Gradient flows through q and n, none through k. The momentum encoder follows after each step.

Author's settings: 16 frames at stride 4, SGD, learning rate 0.003 divided by ten at epochs 120, 160 and 200
of 240, momentum 0.9, weight decay 1e-4, 8 to 16 videos a batch, K from 3,569 to 12,500. The benchmark has
K = 500, which is the default here. The protocol replaces the rest, so that all tasks train alike.

Where text and code of the paper differ, the option's default is the text: `mix=positive` applies TCA to the
positive, the code to the anchor. The queue holds the keys k, as in the code; a figure shows anchors.

Deviations from the authors' code, each with the option that undoes it where one can:

- Augmentation is the benchmark's (supplement 3.4); `augmentation=paper` is theirs, with all four parts of the
  colour jitter, of which their code keeps the last alone.
- A negative starts at least `min_gap` frames from the anchor; by default the two do not overlap wherever the
  video is long enough (see `OwnNegative`). The authors' may overlap almost wholly, and in short videos they
  always lie a third of the video away, which tells them by their distance.
- The negative of a video in which nothing moves would be its positive: it is left out of the loss.
- λ is drawn per clip, not per batch.
- `key_norm=running` keeps the statistics of the batch out of the keys; see `vssl_core.momentum`.
  `key_norm=batch` is the authors'.
- A queue is never longer than the data; a shorter one is announced. One of that length still has an older key
  of the asking video among its negatives for about half of the queries; a longer one would for nearly all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from vssl_core.augmentation import (
    Augmentation,
    ColorJitter,
    Op,
    RandomCrop,
    RotationJitter,
    TemporalMix,
    ViewAugmentation,
)
from vssl_core.interfaces import Backbone, PretextTask, TaskContext, TaskOutput, TrainProgress, ViewSampler
from vssl_core.momentum import FeatureQueue, KeyNorm, MomentumEncoder, contrast_accuracy, queue_size
from vssl_core.options import Options
from vssl_core.types import ClipSpec, Sampled
from vssl_plugins.tasks.benchmark_ops import BENCHMARK_OPS

__all__ = ["TDL", "OwnNegative", "TDLOptions", "temporal_logits"]


class TDLOptions(Options):
    """Defaults are the authors', but for `augmentation`, `min_gap`, `mix`, `queue_size` and `key_norm`."""

    min_gap: int | None = Field(None, ge=1)
    """Source frames between the starts of anchor and negative, at least; empty: the length of a clip."""
    mix: Literal["positive", "anchor"] = "positive"
    """The clip that TCA is applied to: `positive` as in the text, `anchor` as in the authors' code."""
    mix_alpha: float = Field(0.1, ge=0, le=1)
    """Largest share α of the frame that TCA mixes in; 0 leaves TCA out."""
    queue_size: int = Field(500, ge=1)
    """Past keys to contrast with, K; the authors' is 3,569 or more."""
    momentum: float = Field(0.999, ge=0, le=1)
    """Share of its weights that the momentum encoder keeps at each step."""
    key_norm: KeyNorm = "running"
    """BatchNorm of the momentum encoder: statistics of earlier batches (`running`) or of this (`batch`)."""
    temperature: float = Field(0.07, gt=0)
    """Divisor τ of the cosines."""
    output_dim: int = Field(128, gt=0)
    """Size of the embedding."""
    augmentation: Literal["benchmark", "paper"] = "benchmark"
    """`benchmark`: rotation, crop, colour and flip of supplement 3.4; `paper`: stronger colour, no flip."""


@dataclass(frozen=True, slots=True)
class OwnNegative:
    """Clips `anchor` and, elsewhere in the same video, `negative`: uniform over all pairs of places whose
    starts are at least `min_gap` frames apart; None is the length of a clip.

    A video that is too short gets a smaller stride, and with it shorter clips; where even stride 1 does
    not suffice, half of the places as the gap; where no clip fits, two clips that loop the video, half of
    it apart.
    """

    num_frames: int
    frame_stride: int
    min_gap: int | None

    def __call__(self, n_frames: int, fps: float, generator: np.random.Generator) -> Sampled:
        """See `vssl_core.interfaces.ViewSampler`."""
        del fps
        if self.min_gap is None:
            widest = (n_frames - 1) // (2 * self.num_frames - 1)
        else:
            widest = (n_frames - 1 - self.min_gap) // max(self.num_frames - 1, 1)
        stride = max(min(self.frame_stride, widest), 1)
        steps_T = np.arange(self.num_frames, dtype=np.int64) * stride
        gap = self.num_frames * stride if self.min_gap is None else self.min_gap
        places = n_frames - int(steps_T[-1])
        first, second = self._starts(n_frames, places, gap=gap, generator=generator)
        anchor, negative = generator.permutation([first, second])
        return Sampled({"anchor": (anchor + steps_T) % n_frames, "negative": (negative + steps_T) % n_frames})

    @staticmethod
    def _starts(n_frames: int, places: int, *, gap: int, generator: np.random.Generator) -> tuple[int, int]:
        if places < 2:
            first = int(generator.integers(n_frames))
            return first, first + n_frames // 2
        distances = np.arange(gap if gap < places else places // 2, places)
        pairs = places - distances
        distance = int(generator.choice(distances, p=pairs / pairs.sum()))
        first = int(generator.integers(places - distance))
        return first, first + distance


def temporal_logits(
    query_BD: Tensor,
    key_BD: Tensor,
    negative_BD: Tensor,
    *,
    queue_BK: Tensor,
    still_B: Tensor,
    temperature: float,
) -> Tensor:
    """Logits (B, K + 2): the positive, the queue, the video's own negative (-inf where `still_B`).

    Args:
        query_BD: Unit vectors of the anchors.
        key_BD: Unit vectors of the positives.
        negative_BD: Unit vectors of the own negatives.
        queue_BK: Cosines of the anchors with the queue.
        still_B: True where a video shows nothing but one frame.
        temperature: Divisor of the cosines.
    """
    positive_B1 = (query_BD * key_BD).sum(dim=1, keepdim=True)
    own_B1 = (query_BD * negative_BD).sum(dim=1, keepdim=True).masked_fill(still_B[:, None], float("-inf"))
    return torch.cat([positive_B1, queue_BK, own_B1], dim=1) / temperature


def is_still(clip_BCTHW: Tensor) -> Tensor:
    """Which clips (B,) show one frame over and over."""
    return (clip_BCTHW == clip_BCTHW[:, :, :1]).flatten(1).all(dim=1)


class TDL(PretextTask):
    """Contrast of a clip against other videos and against another moment of its own video."""

    api_version = 1
    Options = TDLOptions
    paper = "https://arxiv.org/abs/2008.02129"

    @classmethod
    def sampler(cls, options: Any, clip: ClipSpec) -> ViewSampler:
        """Two clips of a video, some way apart; see `OwnNegative`."""
        return OwnNegative(clip.num_frames, clip.frame_stride, options.min_gap)

    @classmethod
    def augmentation(cls, options: Any, clip: ClipSpec) -> Augmentation:
        """Each view is drawn alone; TCA comes last, on the view that `mix` names."""
        del clip
        ops = BENCHMARK_OPS
        if options.augmentation == "paper":
            ops = (RotationJitter(), RandomCrop(), ColorJitter(0.5, 0.5, 0.25, 0.5))
        mixed: tuple[Op, ...] = (*ops, TemporalMix(options.mix_alpha)) if options.mix_alpha else ops
        return {
            "anchor": ViewAugmentation(mixed if options.mix == "anchor" else ops),
            "positive": ViewAugmentation(mixed if options.mix == "positive" else ops, frames="anchor"),
            "negative": ViewAugmentation(ops),
        }

    def __init__(self, make_backbone: Callable[[], Backbone], options: Any, context: TaskContext) -> None:
        super().__init__(make_backbone, options, context)
        self.temperature = options.temperature
        self.backbone = make_backbone()
        self.head = nn.Linear(self.backbone.embed_dim, options.output_dim)
        twin = nn.Sequential(make_backbone(), nn.Linear(self.backbone.embed_dim, options.output_dim))
        twin[1].load_state_dict(self.head.state_dict())
        self.key_encoder = MomentumEncoder(twin, momentum=options.momentum, norm=options.key_norm)
        self.queue = FeatureQueue(queue_size(options.queue_size, context), options.output_dim)
        self._keys: list[Tensor] = []

    def forward(self, views: Mapping[str, Tensor], info: Mapping[str, Tensor]) -> TaskOutput:
        """Contrast over `anchor`, `positive` and `negative`, (B, 3, T, H, W) each."""
        del info
        online_MD = self.head(self.backbone(torch.cat([views["anchor"], views["negative"]])))
        key_BD = self.key_encoder(views["positive"])
        with torch.autocast(online_MD.device.type, enabled=False):
            query_BD, negative_BD = F.normalize(online_MD.float(), dim=1).chunk(2)
            key_BD = F.normalize(key_BD.float(), dim=1)
            logits_BM = temporal_logits(
                query_BD,
                key_BD,
                negative_BD,
                queue_BK=self.queue.similarity(query_BD),
                still_B=is_still(views["negative"]),
                temperature=self.temperature,
            )
            loss = -logits_BM.log_softmax(dim=1)[:, 0].mean()
        if self.training:
            self._keys.append(key_BD)
        return TaskOutput(
            loss=loss,
            losses={"contrast": loss.detach()},
            metrics=self._metrics(logits_BM.detach(), (query_BD * negative_BD).sum(dim=1).detach()),
            chance={"contrast_accuracy": 1 / logits_BM.shape[1], "triplet_accuracy": 0.5},
        )

    def after_step(self, progress: TrainProgress) -> None:
        """Let the momentum encoder follow, and put the step's keys in the queue."""
        del progress
        self.key_encoder.follow(nn.Sequential(self.backbone, self.head))
        self.queue.push(self._keys)
        self._keys = []

    def _metrics(self, logits_BM: Tensor, own_cosine_B: Tensor) -> dict[str, Tensor]:
        """Accuracies of the contrast and of positive against own negative, and mean cosines."""
        positive_cosine_B = logits_BM[:, 0] * self.temperature
        pair_B2 = torch.stack([positive_cosine_B, own_cosine_B], dim=1)
        return {
            "contrast_accuracy": contrast_accuracy(logits_BM),
            "triplet_accuracy": contrast_accuracy(pair_B2),
            "positive_cosine": positive_cosine_B.mean(),
            "own_negative_cosine": own_cosine_B.mean(),
            "queue_cosine": (logits_BM[:, 1:-1] * self.temperature).mean(),
        }
