"""VCOP: predict in which order the clips of a video came.

Xu et al., Self-supervised Spatiotemporal Learning via Video Clip Order Prediction, CVPR 2019.
N clips of T frames with gaps between them are shuffled, and one shared encoder gives a feature f_i for
the clip in slot i. For all pairs i < j, with [ ; ] for concatenation:

    h_ij = ReLU(W_1 [f_i ; f_j] + b_1)          one layer for all pairs
    a = W_2 dropout[h_01 ; h_02 ; …] + b_2      logits of the N! orders
    L = -log softmax(a)_y                       mean over the batch

The class y of a tuple is the lexicographic rank of "original position of the clip in each slot".

Complexity in the benchmark is N: its C1, C2, C3 are 3, 4, 5 clips. Here `levels` 1, 2, 3, 4 are 2, 3, 4,
5 clips, so C1, C2, C3 are levels 2, 3, 4.

Author's settings: SGD, learning rate 0.001 constant, momentum 0.9, weight decay 5e-4, 8 tuples a batch,
300 epochs on UCF101. The protocol replaces them, so that all tasks train alike.

Deviations from the authors' code, each with the option that undoes it where one can:

- Augmentation is the benchmark's (supplement 3.4: rotation, resize, crop, colour, flip); the strengths
  of its colour jitter are not published and taken from `ColorJitter`. `augmentation=paper` leaves the
  random crop alone. Both draw per clip: a crop or colour shared by the clips would let registration
  and exposure drift give the order away. The flip is drawn per clip too. It says nothing about
  the order, because its probability is the same in each slot; the price is that an object's place
  cannot be followed from clip to clip, a low-level cue that the task had better not reward.
- Clips are normalised; the authors feed [0, 1].
- `frame_stride` of the protocol spaces the frames; the authors take consecutive ones (stride 1).
- A video too short for clips and gaps is used as far as it goes (see `ShuffledClips`); the authors drop
  it from their lists, which would give tasks different training sets.
- `encode=together` sends all clips through the encoder in one batch, so that BatchNorm sees B·N clips;
  the authors encode slot by slot (B clips): `encode=slots`. Together is faster, and statistics of N
  times as many clips suit small batches. In eval mode the two are the same.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, permutations
from math import factorial
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from vssl_core.augmentation import Augmentation, RandomCrop, ViewAugmentation
from vssl_core.interfaces import Backbone, PretextTask, TaskContext, TaskOutput, ViewSampler
from vssl_core.options import Options
from vssl_core.types import ClipSpec, Sampled
from vssl_plugins.tasks.benchmark_ops import BENCHMARK_OPS

__all__ = ["VCOP", "OrderHead", "ShuffledClips", "VCOPOptions", "permutation_rank"]


class VCOPOptions(Options):
    """Defaults are the authors', but for `augmentation` and `encode`."""

    num_clips: int = Field(3, ge=2, le=5)
    """Clips per video, N; there are N! orders to tell apart."""
    gap: int | None = Field(None, ge=0)
    """Source frames between two clips; empty: half of num_frames · frame_stride (8 for 16 frames)."""
    augmentation: Literal["benchmark", "paper"] = "benchmark"
    """`benchmark`: rotation, crop, colour and flip of supplement 3.4; `paper`: random crop alone."""
    encode: Literal["together", "slots"] = "together"
    """`together`: BatchNorm sees the clips of all slots at once; `slots`: one slot after the other."""
    hidden_dim: int = Field(512, gt=0)
    """Outputs of the layer that is shared by all pairs."""
    dropout: float = Field(0.5, ge=0, lt=1)
    """Share of the concatenated pair features that is dropped before the last layer."""


def permutation_rank(order: Sequence[int]) -> int:
    """Place of a permutation of 0 … N-1 in the lexicographic list of all N! of them."""
    rank = 0
    for slot, position in enumerate(order):
        rank = rank * (len(order) - slot) + sum(later < position for later in order[slot + 1 :])
    return rank


@dataclass(frozen=True, slots=True)
class ShuffledClips:
    """N clips of a video at a uniform place, equally spaced, in shuffled slots `clip_0` … `clip_{N-1}`.

    `info["order"]` is the rank of "original position of the clip in each slot". Between the last frame
    of a clip and the first of the next there are `gap` frames. A video that is too short gets, in this
    order, the first remedy that suffices:

    1. a smaller gap, down to 0;
    2. a smaller stride, down to 1, with what remains as gap;
    3. clips that overlap, spread over the whole video, while no two of them are equal;
    4. clips that loop an N-th of the video each; with fewer frames than clips some clips are equal,
       and their order cannot be known.

    The place is uniform over all that fit, so that the start of a stream is nothing special wherever
    the video leaves a choice.
    """

    num_clips: int
    num_frames: int
    frame_stride: int
    gap: int

    def __call__(self, n_frames: int, fps: float, generator: np.random.Generator) -> Sampled:
        """See `vssl_core.interfaces.ViewSampler`."""
        del fps
        steps_T, distance = self._layout(n_frames)
        room = n_frames - int(steps_T.max()) - distance * (self.num_clips - 1)
        start = int(generator.integers(room)) if room > 0 else 0
        order = generator.permutation(self.num_clips)
        rows = [np.minimum(start + int(i) * distance + steps_T, n_frames - 1) for i in order]
        frames = {f"clip_{slot}": row.astype(np.int64) for slot, row in enumerate(rows)}
        return Sampled(frames, {"order": permutation_rank(order.tolist())})

    def _layout(self, n_frames: int) -> tuple[np.ndarray, int]:
        """Frames of a clip relative to its start, and the distance between the starts of two clips."""
        clips, steps_T = self.num_clips, np.arange(self.num_frames)
        for stride in range(self.frame_stride, 0, -1):
            span = (self.num_frames - 1) * stride + 1
            if clips * span <= n_frames:
                gap = min(self.gap, (n_frames - clips * span) // (clips - 1))
                return steps_T * stride, span + gap
        shift = (n_frames - self.num_frames) // (clips - 1)
        if shift >= 1:
            return steps_T, shift
        length = max(n_frames // clips, 1)
        return steps_T % length, length


class OrderHead(nn.Module):
    """Pairwise features and the classifier of orders: (B, N, D) → logits (B, N!)."""

    def __init__(self, embed_dim: int, *, num_clips: int, hidden_dim: int, dropout: float) -> None:
        super().__init__()
        self.pairs = list(combinations(range(num_clips), 2))
        self.pair = nn.Linear(2 * embed_dim, hidden_dim)
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(len(self.pairs) * hidden_dim, factorial(num_clips))

    def forward(self, features_BND: Tensor) -> Tensor:
        """(B, N, D) → (B, N!)."""
        first, second = (list(slots) for slots in zip(*self.pairs, strict=True))
        pairs_BPD = torch.cat([features_BND[:, first], features_BND[:, second]], dim=-1)
        hidden_BPD = self.pair(pairs_BPD).relu()
        return self.classifier(self.dropout(hidden_BPD.flatten(1)))


def pair_signs(num_clips: int) -> Tensor:
    """For each order (N!) and pair of slots i < j (P): 1 where slot i came first, else -1. Float."""
    orders = torch.tensor(list(permutations(range(num_clips))))
    first, second = torch.combinations(torch.arange(num_clips)).unbind(1)
    return torch.sign(orders[:, second] - orders[:, first]).float()


class VCOP(PretextTask):
    """Video clip order prediction: which of the N! orders are the shuffled clips in?"""

    api_version = 1
    Options = VCOPOptions
    levels: ClassVar[Mapping[int, Mapping[str, Any]]] = {n - 1: {"num_clips": n} for n in (2, 3, 4, 5)}
    paper = "https://openaccess.thecvf.com/content_CVPR_2019/html/Xu_Self-Supervised_Spatiotemporal_Learning_via_Video_Clip_Order_Prediction_CVPR_2019_paper.html"

    @classmethod
    def sampler(cls, options: Any, clip: ClipSpec) -> ViewSampler:
        """N shuffled clips; see `ShuffledClips`."""
        gap = clip.num_frames * clip.frame_stride // 2 if options.gap is None else options.gap
        return ShuffledClips(options.num_clips, clip.num_frames, clip.frame_stride, gap)

    @classmethod
    def augmentation(cls, options: Any, clip: ClipSpec) -> Augmentation:
        """The same ops for every clip, drawn for each clip alone."""
        del clip
        view = ViewAugmentation(BENCHMARK_OPS if options.augmentation == "benchmark" else (RandomCrop(),))
        return {f"clip_{slot}": view for slot in range(options.num_clips)}

    def __init__(self, make_backbone: Callable[[], Backbone], options: Any, context: TaskContext) -> None:
        super().__init__(make_backbone, options, context)
        self.pair_signs: Tensor
        self.num_clips = options.num_clips
        self.encode = options.encode
        self.backbone = make_backbone()
        self.head = OrderHead(
            self.backbone.embed_dim,
            num_clips=options.num_clips,
            hidden_dim=options.hidden_dim,
            dropout=options.dropout,
        )
        self.register_buffer("pair_signs", pair_signs(options.num_clips), persistent=False)

    def forward(self, views: Mapping[str, Tensor], info: Mapping[str, Tensor]) -> TaskOutput:
        """Cross-entropy of the order over `clip_0` … `clip_{N-1}` (B, 3, T, H, W) and `order` (B,)."""
        logits_BK = self.head(self._features([views[f"clip_{slot}"] for slot in range(self.num_clips)]))
        loss = F.cross_entropy(logits_BK.float(), info["order"])
        return TaskOutput(
            loss=loss,
            losses={"order": loss.detach()},
            metrics=self._metrics(logits_BK.detach(), info["order"]),
            chance={"accuracy": 1 / factorial(self.num_clips), "kendall_tau": 0.0},
        )

    def _features(self, clips: Sequence[Tensor]) -> Tensor:
        """N clips (B, 3, T, H, W) → (B, N, D)."""
        if self.encode == "slots":
            return torch.stack([self.backbone(clip_BCTHW) for clip_BCTHW in clips], dim=1)
        features_MD = self.backbone(torch.cat(list(clips)))
        return features_MD.unflatten(0, (self.num_clips, -1)).transpose(0, 1)

    def _metrics(self, logits_BK: Tensor, order_B: Tensor) -> dict[str, Tensor]:
        """Share of right orders, and Kendall's tau: pairs ordered rightly minus wrongly, per pair."""
        predicted_B = logits_BK.argmax(dim=1)
        tau_B = (self.pair_signs[predicted_B] * self.pair_signs[order_B]).mean(dim=1)
        return {"accuracy": (predicted_B == order_B).float().mean(), "kendall_tau": tau_B.mean()}
