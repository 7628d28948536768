"""PRP: perceive at which rate a clip plays, and restore the frames that were left out.

Yao et al., Video Playback Rate Perception for Self-supervised Spatio-Temporal Representation Learning, CVPR
2020. A rate s of 1, 2, 4 or 8 is drawn; the clip x takes every s-th of T·s frames in a row. Of the
backbone's map, one branch tells the rate, and the other draws the clip y of 2T frames at twice the rate
of x, whose every second frame is x:

    L_c = -log softmax(c(f(x)))_s
    L_g = mean over real frames of m · (g(f(x)) - y)²       pixels in [0, 1], mean over the batch
    L = L_g + λ · L_c, λ = 0.1

At rate 1 there are no frames between: these places of y are not counted. The weights m, from 0.8 to 2, are
larger where the video moves: squared differences of a few frames of each stretch of the clip, averaged over
quarters of the view's side, stretched to that range per colour channel.

Complexity in the benchmark is the number of rates: its C1, C2, C3 are 2, 3, 4 and here `levels` 1, 2, 3.

Author's settings: SGD, learning rate 0.01 (ten times that for the last layer of the classifier), momentum
0.9, weight decay 5e-4, 8 videos a batch, 300 epochs on UCF101. The protocol replaces them, so that all tasks
train alike, but for the factor of ten.

Deviations from the authors' code, each with the option that undoes it where one can:

- Augmentation is the benchmark's (supplement 3.4), the same for x and y, but that the contrast's mean is that
  of each clip's own frames; `augmentation=paper` is the centre crop.
- x is normalised like the clips of all tasks; y is in [0, 1], which a last ReLU can draw. Theirs are both in
  [0, 1].
- A rate is a distance between frames, so that the protocol's stride is not used.
- Their loader takes another video where one is too short for its rate, so that fast clips come from long
  videos. Here the rate is drawn without a look at the length; a video that is too short for the largest rate
  is read forwards and backwards, at every rate alike.
- The decoder starts from a sixteenth of the clip, to which the map of any backbone is resized; theirs takes
  maps of that size alone.
- m is computed from the frames of y; theirs compares frames of the whole stretch that was read, which at high
  rates holds more.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from vssl_core.augmentation import Augmentation, CenterCrop, Op, ViewAugmentation
from vssl_core.interfaces import Backbone, PretextTask, TaskContext, TaskOutput, ViewSampler
from vssl_core.options import Options
from vssl_core.sampling import back_and_forth
from vssl_core.types import ClipSpec, Sampled
from vssl_plugins.tasks.benchmark_ops import BENCHMARK_OPS

__all__ = ["PRP", "PRPOptions", "PlaybackRate", "motion_weights"]

RATES = (1, 2, 4, 8)
WEIGHT_RANGE = (0.8, 2.0)
FRAMES_COMPARED = 4  # of each stretch of T source frames


class PRPOptions(Options):
    """Defaults are the authors', but for `augmentation`."""

    num_rates: int = Field(4, ge=2, le=4)
    """Rates to tell apart: the first of 1, 2, 4 and 8."""
    classification_weight: float = Field(0.1, ge=0)
    """Weight λ of the rate's cross-entropy beside the error of the drawn frames."""
    classifier_lr_scale: float = Field(10.0, gt=0)
    """Learning rate of the classifier's last layer, as a factor."""
    motion_attention: bool = True
    """Weigh pixels by how much moves around them; false: all alike."""
    hidden_dim: int = Field(512, ge=8, multiple_of=8)
    """Channels of both branches behind the backbone; the decoder is most of the cost of a small network."""
    augmentation: Literal["benchmark", "paper"] = "benchmark"
    """`benchmark`: rotation, crop, colour and flip of supplement 3.4; `paper`: centre crop alone."""


@dataclass(frozen=True, slots=True)
class PlaybackRate:
    """Clip `clip` of every s-th frame from a uniform start, and `target` of twice as many, s/2 apart.

    s is one of `rates` with equal probability, whatever the video's length; `info["rate"]` is its index. At
    s = 1 every frame stands twice in `target`. A video that is too short for the largest rate is continued
    backwards, then forwards again.
    """

    num_frames: int
    rates: tuple[int, ...]

    def __call__(self, n_frames: int, fps: float, generator: np.random.Generator) -> Sampled:
        """See `vssl_core.interfaces.ViewSampler`."""
        del fps
        index = int(generator.integers(len(self.rates)))
        halves_T = np.arange(2 * self.num_frames, dtype=np.int64)
        target_T = halves_T * self.rates[index] // 2
        if halves_T[-1] * self.rates[-1] // 2 < n_frames:
            target_T += int(generator.integers(n_frames - target_T[-1]))
        else:
            start = int(generator.integers(2 * max(n_frames - 1, 1)))
            target_T = back_and_forth(target_T + start, n_frames)
        return Sampled({"clip": target_T[::2], "target": target_T}, {"rate": index})


@torch.no_grad()
def motion_weights(target_BCTHW: Tensor, rate_B: Tensor) -> Tensor:
    """Weights (B, C, T, H, W) of the pixels of clips, 1 where a stretch of a clip does not move at all.

    Args:
        target_BCTHW: The clips to be drawn.
        rate_B: Rate s of each: its frames are s/2 apart, so that a stretch has T/s of them.
    """
    low, high = WEIGHT_RANGE
    frames, (height, width) = target_BCTHW.shape[2], target_BCTHW.shape[3:]
    kernel = (max(height // 4, 1), max(width // 4, 1))
    step = (max(height // 16, 1), max(width // 16, 1))
    weights_BCTHW = torch.ones_like(target_BCTHW)
    for rate in rate_B.unique().tolist():
        rows = rate_B == rate
        for stretch in torch.arange(frames, device=rows.device).chunk(rate):
            compared = torch.linspace(0, len(stretch) - 1, FRAMES_COMPARED).round().long()
            seen_NCTHW = target_BCTHW[rows][:, :, stretch[compared]]
            energy_NCHW = seen_NCTHW.diff(dim=2).square().mean(dim=2)
            energy_NCHW = F.avg_pool2d(energy_NCHW, kernel, step)
            least = energy_NCHW.amin(dim=(2, 3), keepdim=True)
            span = energy_NCHW.amax(dim=(2, 3), keepdim=True) - least
            stretched = low + (high - low) * (energy_NCHW - least) / span.clamp(min=1e-12)
            stretched = torch.where(span > 1e-8, stretched, torch.ones_like(stretched))
            full_NCHW = F.interpolate(stretched, size=(height, width), mode="bilinear", align_corners=False)
            weights_BCTHW[rows.nonzero()[:, :1], :, stretch] = full_NCHW[:, None].expand(
                -1, len(stretch), -1, -1, -1
            )
    return weights_BCTHW


def _conv(in_planes: int, out_planes: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv3d(in_planes, out_planes, 3, padding=1, bias=False), nn.BatchNorm3d(out_planes), nn.ReLU()
    )


class Decoder(nn.Module):
    """Map (B, D, T', H', W') → clip (B, 3, T, H, W), not negative: four doublings of space and time.

    The map is first resized (trilinear) to a sixteenth of the clip, so that any backbone fits and the layers
    are the same for all; the authors' backbones give that size themselves.

    Args:
        in_planes: Channels D of the map.
        hidden_dim: Channels of the first layer; three doublings halve them.
        clip_THW: Size of the clip.
    """

    def __init__(self, in_planes: int, hidden_dim: int, clip_THW: tuple[int, int, int]) -> None:
        super().__init__()
        self.clip_THW = clip_THW
        self.start_THW = [-(-size // 16) for size in clip_THW]
        widths = [hidden_dim, hidden_dim // 2, hidden_dim // 4, hidden_dim // 8]
        layers: list[nn.Module] = [_conv(in_planes, hidden_dim)]
        for wide, narrow in pairwise(widths):
            layers += [nn.ConvTranspose3d(wide, wide, 2, stride=2), _conv(wide, narrow)]
        layers += [nn.ConvTranspose3d(widths[-1], widths[-1], 2, stride=2), _conv(widths[-1], 3)]
        self.layers = nn.Sequential(*layers)

    def forward(self, map_BDTHW: Tensor) -> Tensor:
        """(B, D, T', H', W') → (B, 3, T, H, W)."""
        return _resized(self.layers(_resized(map_BDTHW, self.start_THW)), self.clip_THW)


def _resized(video_BCTHW: Tensor, size_THW: Sequence[int]) -> Tensor:
    if list(video_BCTHW.shape[2:]) == list(size_THW):
        return video_BCTHW
    return F.interpolate(video_BCTHW, tuple(size_THW), mode="trilinear", align_corners=False)


def _mean_of_real(error_BCTHW: Tensor, real_BT: Tensor) -> Tensor:
    """Mean over videos of the mean over the pixels of a video's real frames."""
    return ((error_BCTHW.mean(dim=(1, 3, 4)) * real_BT).sum(dim=1) / real_BT.sum(dim=1)).mean()


class PRP(PretextTask):
    """Playback rate perception: at which rate does the clip play, and what lies between its frames?"""

    api_version = 1
    Options = PRPOptions
    levels: ClassVar[Mapping[int, Mapping[str, Any]]] = {n - 1: {"num_rates": n} for n in (2, 3, 4)}
    paper = "https://arxiv.org/abs/2006.11476"

    @classmethod
    def sampler(cls, options: Any, clip: ClipSpec) -> ViewSampler:
        """A clip at a random rate; see `PlaybackRate`."""
        return PlaybackRate(clip.num_frames, RATES[: options.num_rates])

    @classmethod
    def augmentation(cls, options: Any, clip: ClipSpec) -> Augmentation:
        """The clip and what is to be drawn share their draws."""
        del clip
        ops: tuple[Op, ...] = BENCHMARK_OPS if options.augmentation == "benchmark" else (CenterCrop(8 / 7),)
        return {
            "clip": ViewAugmentation(ops),
            "target": ViewAugmentation(ops, draw="clip", normalize=False),
        }

    def __init__(self, make_backbone: Callable[[], Backbone], options: Any, context: TaskContext) -> None:
        super().__init__(make_backbone, options, context)
        self.num_rates = options.num_rates
        self.classification_weight = options.classification_weight
        self.classifier_lr_scale = options.classifier_lr_scale
        self.motion_attention = options.motion_attention
        self.backbone = make_backbone()
        dim, hidden, clip = self.backbone.embed_dim, options.hidden_dim, context.clip
        self.rate_conv = _conv(dim, hidden)
        self.rate = nn.Linear(hidden, self.num_rates)
        goal = (2 * clip.num_frames, clip.crop_size, clip.crop_size)
        self.decoder = Decoder(dim, hidden, goal)

    def param_groups(self) -> list[dict[str, Any]]:
        """The classifier's last layer learns faster."""
        rest = [p for n, p in self.named_parameters() if p.requires_grad and not n.startswith("rate.")]
        return [
            {"params": [p for p in rest if p.ndim > 1], "lr_scale": 1.0, "weight_decay_scale": 1.0},
            {"params": [p for p in rest if p.ndim <= 1], "lr_scale": 1.0, "weight_decay_scale": 0.0},
            {"params": [self.rate.weight], "lr_scale": self.classifier_lr_scale, "weight_decay_scale": 1.0},
            {"params": [self.rate.bias], "lr_scale": self.classifier_lr_scale, "weight_decay_scale": 0.0},
        ]

    def forward(self, views: Mapping[str, Tensor], info: Mapping[str, Tensor]) -> TaskOutput:
        """Both losses over `clip` (B, 3, T, H, W), `target` (B, 3, 2T, H, W) in [0, 1] and `rate` (B,)."""
        target_BCTHW, rate_B = views["target"], info["rate"]
        map_BDTHW = self.backbone.forward_features(views["clip"])
        logits_BK = self.rate(self.rate_conv(map_BDTHW).mean(dim=(2, 3, 4))).float()
        drawn_BCTHW = self.decoder(map_BDTHW).float()
        speed_B = torch.tensor(RATES, device=rate_B.device)[rate_B]
        real_BT = torch.ones(target_BCTHW.shape[:1] + target_BCTHW.shape[2:3], device=rate_B.device)
        real_BT[:, 1::2] = (speed_B > 1).float()[:, None]
        error_BCTHW = (drawn_BCTHW - target_BCTHW).square()
        plain = _mean_of_real(error_BCTHW.detach(), real_BT)
        if self.motion_attention:
            error_BCTHW = error_BCTHW * motion_weights(target_BCTHW, speed_B)
        losses = {
            "reconstruction": _mean_of_real(error_BCTHW, real_BT),
            "rate": F.cross_entropy(logits_BK, rate_B),
        }
        return TaskOutput(
            loss=losses["reconstruction"] + self.classification_weight * losses["rate"],
            losses={name: part.detach() for name, part in losses.items()},
            metrics={
                "accuracy": (logits_BK.detach().argmax(dim=1) == rate_B).float().mean(),
                "squared_error": plain,
            },
            chance={"accuracy": 1 / self.num_rates},
        )
