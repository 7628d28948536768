"""Tasks with one bug each in what they compute: answers given away, losses, metrics, gradients."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from planted_tasks import OPS, Arrow, Direction, caught_by
from torch import nn
from torch.nn import functional as F  # noqa: N812

from vssl_core import ClipSpec, Options, Sampled, TaskOutput, UniformClip
from vssl_core.augmentation import ViewAugmentation

# ------------------------------------------------------------------------------- augmentation per frame


@caught_by("check_all_frames_of_a_clip_share_their_draws")
class BrightensEachFrame(Arrow):
    def clip(self, views, info):
        clip_BCTHW = views["clip"]
        return clip_BCTHW * (1 + 0.3 * torch.randn(*clip_BCTHW.shape[:1], 1, clip_BCTHW.shape[2], 1, 1))


@caught_by("check_all_frames_of_a_clip_share_their_draws")
class ShiftsEachFrame(Arrow):
    def clip(self, views, info):
        frames = [frame.roll(random.randrange(8), dims=-1) for frame in views["clip"].unbind(2)]
        return torch.stack(frames, dim=2)


class SingleFrames(Direction):
    def __call__(self, n_frames, fps, generator):
        sampled = super().__call__(n_frames, fps, generator)
        frames = {f"frame_{t}": np.array([frame]) for t, frame in enumerate(sampled.frames["clip"])}
        return Sampled(frames, sampled.info)


@caught_by("check_all_frames_of_a_clip_share_their_draws")
class CropsEachFrame(Arrow):
    """One view for each frame, so that the core draws a crop for each of them."""

    @classmethod
    def sampler(cls, options, clip):
        return SingleFrames(clip)

    @classmethod
    def augmentation(cls, options, clip):
        return {f"frame_{t}": ViewAugmentation(OPS) for t in range(clip.num_frames)}

    def clip(self, views, info):
        return torch.cat([views[f"frame_{t}"] for t in range(len(views))], dim=2)


# -------------------------------------------------------------------------------- answers given away


@caught_by("check_equal_videos_give_chance")
@caught_by("check_noise_gives_chance")
class GivesTheAnswerToTheHead(Arrow):
    def forward(self, views, info):
        features_BD = self.backbone(views["clip"])
        return self.answer(self.head(features_BD + 0.3 * info["backwards"][:, None]), info)


@caught_by("check_noise_gives_chance")
class MarksBackwardsClips(Arrow):
    def clip(self, views, info):
        clip_BCTHW = views["clip"].clone()
        clip_BCTHW[info["backwards"] == 1, :, :, :2, :2] = 0
        return clip_BCTHW


@caught_by("check_equal_videos_give_chance")
class WrongChance(Arrow):
    def answer(self, logits_BK, info):
        output = super().answer(logits_BK, info)
        return TaskOutput(output.loss, metrics=output.metrics, chance={"accuracy": 0.1})


@dataclass(frozen=True)
class Turned:
    clip: ClipSpec

    def __call__(self, n_frames: int, fps: float, generator: np.random.Generator) -> Sampled:
        frames = UniformClip(self.clip)(n_frames, fps, generator).frames
        return Sampled(frames, {"backwards": int(generator.integers(2))})


@caught_by("check_noise_gives_chance")
class InterpolatesOneClass(Arrow):
    """Turned a little by bilinear interpolation, or not at all: the pixels' smoothness tells."""

    @classmethod
    def sampler(cls, options, clip):
        return Turned(clip)

    def clip(self, views, info):
        shifted = 0.5 * (views["clip"] + views["clip"].roll(1, -1))
        return torch.where(info["backwards"][:, None, None, None, None] == 1, shifted, views["clip"])


class Stuttering(Direction):
    def __call__(self, n_frames, fps, generator):
        sampled = super().__call__(n_frames, fps, generator)
        frames = sampled.frames["clip"].copy()
        if sampled.info["backwards"]:
            frames[-1] = frames[-2]
        return Sampled({"clip": frames}, sampled.info)


@caught_by("check_noise_gives_chance")
class RepeatsTheLastFrame(Arrow):
    @classmethod
    def sampler(cls, options, clip):
        return Stuttering(clip)


# ------------------------------------------------------------------------------------------- the loss


@caught_by("check_loss_is_a_mean_over_videos")
@caught_by("check_two_processes_equal_one")
class SumsOverVideos(Arrow):
    def loss(self, logits_BK, target_B):
        return F.cross_entropy(logits_BK, target_B, reduction="sum")


@caught_by("check_loss_is_a_mean_over_videos")
class DividesTwice(Arrow):
    def loss(self, logits_BK, target_B):
        return F.cross_entropy(logits_BK, target_B) / len(target_B)


@caught_by("check_loss_is_a_mean_over_videos")
class TargetsInAnotherOrder(Arrow):
    """Clips come view by view, targets video by video."""

    def forward(self, views, info):
        clip_BCTHW = views["clip"]
        logits_MK = self.head(self.backbone(torch.cat([clip_BCTHW, clip_BCTHW.flip(2)])))
        target_M = torch.tensor([0, 1]).repeat(len(clip_BCTHW))
        return TaskOutput(F.cross_entropy(logits_MK, target_M))


@caught_by("check_loss_is_a_finite_scalar")
class DividesByTheContrast(Arrow):
    def clip(self, views, info):
        clip_BCTHW = views["clip"]
        return clip_BCTHW / clip_BCTHW.std(dim=(1, 2, 3, 4), keepdim=True)


@caught_by("check_two_processes_equal_one")
class NormalisesOverVideos(Arrow):
    def loss(self, logits_BK, target_B):
        return F.nll_loss(logits_BK.log_softmax(dim=0), target_B)


@caught_by("check_loss_is_a_finite_scalar")
class OneLossForEachVideo(Arrow):
    def loss(self, logits_BK, target_B):
        return F.cross_entropy(logits_BK, target_B, reduction="none")


@caught_by("check_order_in_the_batch_does_not_matter")
class LearnsFromHalfOfTheBatch(Arrow):
    def loss(self, logits_BK, target_B):
        half = max(len(target_B) // 2, 1)
        return F.cross_entropy(logits_BK[:half], target_B[:half])


@caught_by("check_eight_clips_are_overfitted")
class MaximisesTheLoss(Arrow):
    def loss(self, logits_BK, target_B):
        return -F.cross_entropy(logits_BK, target_B)


@caught_by("check_eight_clips_are_overfitted")
class AveragesOverClasses(Arrow):
    def loss(self, logits_BK, target_B):
        return -logits_BK.log_softmax(dim=1).mean()


@caught_by("check_batch_of_one")
class StandardisesOverVideos(Arrow):
    def loss(self, logits_BK, target_B):
        return F.cross_entropy((logits_BK - logits_BK.mean(0)) / logits_BK.std(0), target_B)


@caught_by("check_bf16_autocast_is_finite")
class OverflowsInHalfPrecision(Arrow):
    def loss(self, logits_BK, target_B):
        exact = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else torch.float32
        scaled = (logits_BK + 1000).to(exact) - torch.tensor(1000.0).to(exact)
        return F.cross_entropy(scaled.float() / (scaled.float() != 0), target_B)


@caught_by("check_metrics_can_be_logged")
class KeepsTheGraph(Arrow):
    def answer(self, logits_BK, info):
        output = super().answer(logits_BK, info)
        return TaskOutput(output.loss, metrics={"confidence": logits_BK.softmax(1).amax(1).mean()})


@caught_by("check_gradient_reaches_the_backbone")
class DetachesFeatures(Arrow):
    def forward(self, views, info):
        return self.answer(self.head(self.backbone(views["clip"]).detach()), info)


@caught_by("check_gradient_reaches_the_backbone")
class ExportsAnotherNetwork(Arrow):
    def __init__(self, make_backbone, options, context):
        super().__init__(make_backbone, options, context)
        self.other = make_backbone()

    def forward(self, views, info):
        return self.answer(self.head(self.other(views["clip"])), info)


@caught_by("check_gradient_reaches_the_backbone")
class UsesTwoStagesOfThree(Arrow):
    def forward(self, views, info):
        map_BDTHW = self.backbone.middle(self.backbone.stem(views["clip"]))
        return self.answer(self.head(map_BDTHW.mean(dim=(2, 3, 4))), info)


@caught_by("check_backbone_is_the_one_given")
class StartsFromOtherWeights(Arrow):
    def __init__(self, make_backbone, options, context):
        super().__init__(make_backbone, options, context)
        for parameter in self.backbone.parameters():
            nn.init.normal_(parameter, std=0.05)


@caught_by("check_param_groups_hold_every_trained_parameter")
class ForgetsTheHead(Arrow):
    def param_groups(self):
        return [{"params": list(self.backbone.parameters())}]


class DeeperOptions(Options):
    """Options of a task with a level that does not fit."""

    classes: int = 2
    """Classes of the head."""


@caught_by("check_levels_work")
class BrokenLevel(Arrow):
    Options = DeeperOptions
    levels: ClassVar[Mapping[int, Mapping[str, Any]]] = {1: {"classes": 2}, 2: {"classes": 1}}

    def __init__(self, make_backbone, options, context):
        super().__init__(make_backbone, options, context)
        self.head = nn.Linear(self.backbone.embed_dim, options.classes)
