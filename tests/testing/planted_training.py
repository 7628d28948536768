"""Tasks with one bug each in what they require, in their sampling by length, and in what steps reach."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from planted_tasks import Arrow, caught_by
from torch import nn

from vssl_core import ClipSpec, Sampled, TaskOutput, UniformClip

# ------------------------------------------------------------------------------------------ backbones


@caught_by("check_requires_is_a_set_of_words")
class RequiresText(Arrow):
    requires = "feature_map"


@caught_by("check_a_backbone_provides_what_is_required")
class MisspeltRequirement(Arrow):
    requires = frozenset({"feature_maps"})


@caught_by("check_everything_moves_with_the_task")
class KeepsAPlainTensor(Arrow):
    def __init__(self, make_backbone, options, context):
        super().__init__(make_backbone, options, context)
        self.scale = torch.ones(2)

    def loss(self, logits_BK, target_B):
        return super().loss(logits_BK * self.scale, target_B)


@caught_by("check_everything_moves_with_the_task")
class MakesATensorOnTheCpu(Arrow):
    def loss(self, logits_BK, target_B):
        return super().loss(logits_BK + torch.zeros(len(logits_BK), 2), target_B)


@caught_by("check_everything_moves_with_the_task")
class KeepsAMeanOnTheCpu(Arrow):
    def __init__(self, make_backbone, options, context):
        super().__init__(make_backbone, options, context)
        self.mean = torch.zeros(2, self.backbone.embed_dim)

    def after_step(self, progress):
        self.mean += self.head[1].weight.detach()


# ----------------------------------------------------------------------------------- lengths of videos


@dataclass(frozen=True)
class FittingSpeed:
    """Draws among the speeds at which a clip fits into the video."""

    clip: ClipSpec

    def __call__(self, n_frames: int, fps: float, generator: np.random.Generator) -> Sampled:
        fitting = [s for s in (1, 2) if (self.clip.num_frames - 1) * s * 2 < n_frames] or [1]
        speed = int(generator.choice(fitting))
        played = ClipSpec(self.clip.num_frames, 2 * speed, self.clip.crop_size)
        return Sampled(UniformClip(played)(n_frames, fps, generator).frames, {"backwards": speed - 1})


@caught_by("check_the_length_of_a_video_does_not_tell_the_answer")
class CouplesSpeedAndLength(Arrow):
    @classmethod
    def sampler(cls, options, clip):
        return FittingSpeed(clip)


# --------------------------------------------------------------------------------- what steps reach


@caught_by("check_every_parameter_takes_part_in_each_step")
class UnusedHead(Arrow):
    def __init__(self, make_backbone, options, context):
        super().__init__(make_backbone, options, context)
        self.unused = nn.Linear(self.backbone.embed_dim, 2)


@caught_by("check_every_parameter_takes_part_in_each_step")
class OneOfTwoHeads(Arrow):
    def __init__(self, make_backbone, options, context):
        super().__init__(make_backbone, options, context)
        self.other = nn.Linear(self.backbone.embed_dim, 2)

    def forward(self, views, info):
        head = self.head if torch.rand(()) < 0.5 else self.other
        return self.answer(head(self.backbone(views["clip"])), info)


@caught_by("check_the_optimiser_trains_the_backbone")
class RateOfNothing(Arrow):
    def param_groups(self):
        return [
            {"params": list(self.backbone.parameters()), "lr_scale": 0.0},
            {"params": list(self.head.parameters())},
        ]


@caught_by("check_hooks_leave_the_backbone_alone")
class DecaysByItself(Arrow):
    @torch.no_grad()
    def after_step(self, progress):
        for parameter in self.backbone.parameters():
            parameter.mul_(0.9)


@caught_by("check_steps_leave_nothing_behind")
class KeepsLosses(Arrow):
    def __init__(self, make_backbone, options, context):
        super().__init__(make_backbone, options, context)
        self.history = []

    def forward(self, views, info):
        output = super().forward(views, info)
        if self.training:
            self.history.append(output.loss)
        return output


@caught_by("check_steps_leave_nothing_behind")
class KeepsFeatures(Arrow):
    def __init__(self, make_backbone, options, context):
        super().__init__(make_backbone, options, context)
        self.history = []

    def forward(self, views, info) -> TaskOutput:
        features_BD = self.backbone(views["clip"])
        self.history.append(features_BD)
        return self.answer(self.head(features_BD), info)
