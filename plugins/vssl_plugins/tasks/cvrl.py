"""CVRL: two clips of one video are alike, clips of other videos are not.

Qian et al., Spatiotemporal Contrastive Video Representation Learning, CVPR 2021. Two clips of a video,
whose distance k in time has the decreasing density (p+1)/(p·M)·(1 - (k/M)^p), are augmented, each clip
alike over its frames, encoded, projected and L2-normalised to z and z'. For anchor z_i, over the B videos
of the step (equation 1 of the paper):

    L_i = -log exp(z_i·z'_i / τ) / (Σ_k exp(z_i·z'_k / τ) + Σ_{k≠i} exp(z_i·z_k / τ))

with 1 positive and 2B-2 negatives, in both directions; the two means over i are added, not averaged, as
in the authors' code. If all embeddings are equal the loss is 2·ln(2B-1).

Author's settings: 16 frames at stride 2, 224 pixels, R3D-50, SyncBN, 1024 videos a batch, SGD with
learning rate 0.32 on a cosine after 5 epochs of warm-up, weight decay 1e-6 on kernels alone. The protocol
replaces them, so that all tasks train alike.

Deviations from the authors' code, each with the option that undoes it where one can:

- Augmentation is the benchmark's (supplement 3.4): the rotation, resize, crop, colour jitter and flip of
  the other tasks at their strengths, and grayscale and gamma besides. `augmentation=paper` is the
  authors' asymmetric pair: random resized crop and strong colour jitter in both, blur in the first view,
  rare blur and solarisation in the second.
- The linear layers before BatchNorm have no bias, which BatchNorm would subtract again.
- Clip size, frame stride and batch size are the protocol's: `contrast_accuracy` has its chance level
  1/(2B-1) beside it, because a small batch is an easier question.

Both views pass the encoder in one batch, as in the authors' code, so that BatchNorm sees 2B clips. Over
several processes embeddings are gathered with gradient and BatchNorm is shared, because statistics of
one process would tell which clips belong together.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from pydantic import Field, PositiveInt
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from vssl_core import distributed
from vssl_core.augmentation import (
    Augmentation,
    ColorJitter,
    Gamma,
    GaussianBlur,
    Grayscale,
    HorizontalFlip,
    ResizedCrop,
    Solarize,
    ViewAugmentation,
)
from vssl_core.errors import OptionError
from vssl_core.interfaces import Backbone, PretextTask, TaskContext, TaskOutput, ViewSampler
from vssl_core.momentum import contrast_accuracy
from vssl_core.options import Options
from vssl_core.types import ClipSpec, Sampled
from vssl_plugins.tasks.benchmark_ops import BENCHMARK_OPS

__all__ = ["CVRL", "CVRLOptions", "IntervalPair", "contrast", "interval_cdf", "projection_head"]


class CVRLOptions(Options):
    """Defaults are the authors', but for `augmentation`."""

    interval_power: float = Field(1.0, gt=0)
    """Power p of the density 1 - (k/M)^p of the distance k between the clips; 1: falls linearly."""
    temperature: float = Field(0.1, gt=0)
    """Divisor τ of the cosines."""
    hidden_dim: PositiveInt | Literal["auto"] = 2048
    """Width of the projection head's hidden layers; `auto`: the backbone's embed_dim."""
    hidden_layers: int = Field(3, ge=0)
    """Hidden layers of the projection head, each with BatchNorm and ReLU."""
    output_dim: int = Field(128, gt=0)
    """Size of the embedding."""
    augmentation: Literal["benchmark", "paper"] = "benchmark"
    """`benchmark`: supplement 3.4, the same for both views; `paper`: the authors' asymmetric pair."""


def interval_cdf(k: float, max_interval: int, power: float) -> float:
    """Probability of a distance below k, for 0 <= k <= M: ((p+1)·(k/M) - (k/M)^(p+1)) / p."""
    share = k / max_interval
    return ((power + 1) * share - share ** (power + 1)) / power


@dataclass(frozen=True, slots=True)
class IntervalPair:
    """Two clips `view_0`, `view_1` whose distance in frames has the distribution `interval_cdf`.

    M = n - (T-1)·stride starts are valid. The distance is the largest δ with F(δ) <= u for a uniform u,
    found by bisection over integers; the earlier clip starts uniformly in [0, M-δ); which view is the
    earlier clip is a coin toss. Clips may overlap. In a video without a valid start both clips start
    anywhere and loop.
    """

    num_frames: int
    frame_stride: int
    power: float

    def __call__(self, n_frames: int, fps: float, generator: np.random.Generator) -> Sampled:
        """See `vssl_core.interfaces.ViewSampler`."""
        del fps
        steps_T = np.arange(self.num_frames, dtype=np.int64) * self.frame_stride
        max_interval = n_frames - int(steps_T[-1])
        if max_interval > 0:
            interval = self._interval(max_interval, float(generator.random()))
            first = int(generator.integers(max_interval - interval))
            starts = generator.permutation([first, first + interval])
        else:
            starts = generator.integers(n_frames, size=2)
        return Sampled({f"view_{view}": (start + steps_T) % n_frames for view, start in enumerate(starts)})

    def _interval(self, max_interval: int, u: float) -> int:
        low, high = 0, max_interval
        while high - low > 1:
            middle = (low + high) // 2
            if interval_cdf(middle, max_interval, self.power) > u:
                high = middle
            else:
                low = middle
        return low


def projection_head(embed_dim: int, *, hidden_dim: int, hidden_layers: int, output_dim: int) -> nn.Sequential:
    """`hidden_layers` times (linear, BatchNorm, ReLU), then linear: (N, embed_dim) → (N, output_dim)."""
    layers: list[nn.Module] = []
    for _ in range(hidden_layers):
        layers += [nn.Linear(embed_dim, hidden_dim, bias=False), nn.BatchNorm1d(hidden_dim), nn.ReLU()]
        embed_dim = hidden_dim
    return nn.Sequential(*layers, nn.Linear(embed_dim, output_dim))


def contrast(
    anchor_BD: Tensor, own_ND: Tensor, other_ND: Tensor, *, first: int, temperature: float
) -> tuple[Tensor, Tensor]:
    """Logits and targets of one direction of the loss.

    Args:
        anchor_BD: L2-normalised embeddings of one view of this process's videos.
        own_ND: The same view of the videos of all processes; row `first` + i is anchor i itself.
        other_ND: The other view of the same videos; row `first` + i is the positive of anchor i.
        first: Row of this process's first video.
        temperature: Divisor of the cosines.

    Returns:
        Logits (B, 2N), other view before own, with -inf where an anchor meets itself; targets (B,).
    """
    target_B = torch.arange(anchor_BD.shape[0], device=anchor_BD.device) + first
    itself_BN = F.one_hot(target_B, own_ND.shape[0]).bool()
    own_BN = (anchor_BD @ own_ND.T).masked_fill(itself_BN, float("-inf"))
    return torch.cat([anchor_BD @ other_ND.T, own_BN], dim=1) / temperature, target_B


class CVRL(PretextTask):
    """Contrast of two clips of a video against the clips of all other videos of the step."""

    api_version = 1
    Options = CVRLOptions
    paper = "https://arxiv.org/abs/2008.03800"

    @classmethod
    def sampler(cls, options: Any, clip: ClipSpec) -> ViewSampler:
        """Two clips, near ones more often; see `IntervalPair`."""
        return IntervalPair(clip.num_frames, clip.frame_stride, options.interval_power)

    @classmethod
    def augmentation(cls, options: Any, clip: ClipSpec) -> Augmentation:
        """Each view is drawn alone, and held over its frames."""
        del clip
        if options.augmentation == "benchmark":
            view = ViewAugmentation((*BENCHMARK_OPS, Grayscale(), Gamma()))
            return {"view_0": view, "view_1": view}
        crop = ResizedCrop(area=(0.3, 1.0), aspect=(0.5, 2.0))
        jitter = ColorJitter(brightness=0.8, contrast=0.8, saturation=0.8, hue=0.2, p=0.8)
        common = (crop, HorizontalFlip(), jitter, Grayscale(p=0.2))
        return {
            "view_0": ViewAugmentation((*common, GaussianBlur(p=1.0))),
            "view_1": ViewAugmentation((*common, GaussianBlur(p=0.1), Solarize(p=0.2))),
        }

    def __init__(self, make_backbone: Callable[[], Backbone], options: Any, context: TaskContext) -> None:
        """Backbone and projection head.

        Raises:
            OptionError: Fewer than two videos a step: nothing to contrast with.
        """
        super().__init__(make_backbone, options, context)
        if context.batch_size < 2:
            raise OptionError(
                "cvrl takes a batch of two or more videos, because each is contrasted with the others; got "
                f"batch_size={context.batch_size}. Raise the batch size."
            )
        self.temperature = options.temperature
        self.backbone = make_backbone()
        dim = self.backbone.embed_dim
        self.head = projection_head(
            dim,
            hidden_dim=dim if options.hidden_dim == "auto" else options.hidden_dim,
            hidden_layers=options.hidden_layers,
            output_dim=options.output_dim,
        )

    def forward(self, views: Mapping[str, Tensor], info: Mapping[str, Tensor]) -> TaskOutput:
        """Both directions of the loss over `view_0` and `view_1`, (B, 3, T, H, W) each."""
        del info
        embedding_MD = self.head(self.backbone(torch.cat([views["view_0"], views["view_1"]])))
        with torch.autocast(embedding_MD.device.type, enabled=False):
            a_BD, b_BD = F.normalize(embedding_MD.float(), dim=1).chunk(2)
            a_ND, b_ND = distributed.gather_with_grad(a_BD), distributed.gather_with_grad(b_BD)
            first = distributed.rank() * a_BD.shape[0]
            ab = contrast(a_BD, a_ND, b_ND, first=first, temperature=self.temperature)
            ba = contrast(b_BD, b_ND, a_ND, first=first, temperature=self.temperature)
            losses = {"a_to_b": F.cross_entropy(*ab), "b_to_a": F.cross_entropy(*ba)}
        return TaskOutput(
            loss=losses["a_to_b"] + losses["b_to_a"],
            losses={name: loss.detach() for name, loss in losses.items()},
            metrics=self._metrics(torch.cat([ab[0], ba[0]]).detach(), torch.cat([ab[1], ba[1]])),
            chance={"contrast_accuracy": 1 / (2 * a_ND.shape[0] - 1)},
        )

    def _metrics(self, logits_MK: Tensor, target_M: Tensor) -> dict[str, Tensor]:
        """Accuracy (ties are guesses), entropy (nats) over the positive and all negatives, mean cosines."""
        negatives = ~F.one_hot(target_M, logits_MK.shape[1]).bool() & logits_MK.isfinite()
        cosine_MK = logits_MK * self.temperature
        negative_sum = cosine_MK.where(negatives, 0.0).sum()
        return {
            "contrast_accuracy": contrast_accuracy(logits_MK, target_M),
            "positive_cosine": cosine_MK.gather(1, target_M[:, None]).mean(),
            "negative_cosine": negative_sum / negatives.sum().clamp(min=1),
            "entropy": torch.special.entr(logits_MK.softmax(dim=1)).sum(dim=1).mean(),
        }
