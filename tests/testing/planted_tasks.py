"""A correct small task, and the same with one bug each; `BUGS` says which check must see it."""

from __future__ import annotations

import random
import socket
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from vssl_core import Backbone, ClipSpec, Options, PretextTask, Sampled, TaskContext, TaskOutput, UniformClip
from vssl_core.augmentation import Augmentation, ColorJitter, HorizontalFlip, RandomCrop, ViewAugmentation

__all__ = ["BUGS", "OPS", "Arrow", "caught_by"]

OPS = (RandomCrop(), ColorJitter(), HorizontalFlip())
BUGS: dict[str, list[type[PretextTask]]] = {}
"""Name of a check → tasks that it must fail."""


def caught_by(check: str) -> Callable[[type[PretextTask]], type[PretextTask]]:
    def note(cls: type[PretextTask]) -> type[PretextTask]:
        BUGS.setdefault(check, []).append(cls)
        return cls

    return note


# ------------------------------------------------------------------------- classification: arrow of time


@dataclass(frozen=True)
class Direction:
    clip: ClipSpec

    def __call__(self, n_frames: int, fps: float, generator: np.random.Generator) -> Sampled:
        frames = UniformClip(self.clip)(n_frames, fps, generator).frames["clip"]
        backwards = int(generator.integers(2))
        return Sampled({"clip": frames[::-1] if backwards else frames}, {"backwards": backwards})


class Arrow(PretextTask):
    """Is the clip played backwards?"""

    @classmethod
    def sampler(cls, options: Options, clip: ClipSpec) -> Any:
        return Direction(clip)

    @classmethod
    def augmentation(cls, options: Options, clip: ClipSpec) -> Augmentation:
        return {"clip": ViewAugmentation(OPS)}

    def __init__(self, make_backbone: Callable[[], Backbone], options: Options, context: TaskContext) -> None:
        super().__init__(make_backbone, options, context)
        self.backbone = make_backbone()
        self.head = nn.Sequential(nn.Dropout(0.2), nn.Linear(self.backbone.embed_dim, 2))

    def forward(self, views: Mapping[str, Tensor], info: Mapping[str, Tensor]) -> TaskOutput:
        return self.answer(self.head(self.backbone(self.clip(views, info))), info)

    def clip(self, views: Mapping[str, Tensor], info: Mapping[str, Tensor]) -> Tensor:
        return views["clip"]

    def answer(self, logits_BK: Tensor, info: Mapping[str, Tensor]) -> TaskOutput:
        accuracy = (logits_BK.detach().argmax(dim=1) == info["backwards"]).float().mean()
        loss = self.loss(logits_BK.float(), info["backwards"])
        return TaskOutput(loss, metrics={"accuracy": accuracy}, chance={"accuracy": 0.5})

    def loss(self, logits_BK: Tensor, target_B: Tensor) -> Tensor:
        return F.cross_entropy(logits_BK, target_B)


@caught_by("check_labels_and_file_names_change_nothing")
class ReadsLabel(Arrow):
    def forward(self, views, info):
        output = super().forward(views, info)
        if "label" not in info:
            return output
        return TaskOutput(
            output.loss + 0.1 * info["label"].float().mean() * output.loss, metrics=output.metrics
        )


@caught_by("check_labels_and_file_names_change_nothing")
class ReadsLabelOfEachVideo(Arrow):
    def loss(self, logits_BK, target_B):
        return super().loss(logits_BK, target_B if self.labels is None else self.labels % 2)

    def forward(self, views, info):
        self.labels = info.get("label")
        return super().forward(views, info)


class PeekingDirection(Direction):
    def __call__(self, n_frames, fps, generator):
        record = sys._getframe(1).f_locals.get("record")
        sampled = super().__call__(n_frames, fps, generator)
        shift = sum(map(ord, record.path)) % 5 if record else 0
        return Sampled({"clip": np.minimum(sampled.frames["clip"] + shift, n_frames - 1)}, sampled.info)


@caught_by("check_labels_and_file_names_change_nothing")
class ReadsFileName(Arrow):
    @classmethod
    def sampler(cls, options, clip):
        return PeekingDirection(clip)


class FindsLabel(Arrow):
    def loss(self, logits_BK, target_B):
        frame = sys._getframe()
        while frame and not frame.f_locals.get("records"):
            frame = frame.f_back
        labels = [record.label or 0 for record in frame.f_locals["records"]] if frame else []
        return super().loss(logits_BK, target_B) * (
            1 + 0.01 * sum(i * label for i, label in enumerate(labels))
        )


caught_by("check_labels_and_file_names_change_nothing")(FindsLabel)


# ------------------------------------------------------------------------------------------ sampling


class CountingDirection(Direction):
    calls: ClassVar[list[int]] = []

    def __call__(self, n_frames, fps, generator):
        self.calls.append(1)
        sampled = super().__call__(n_frames, fps, generator)
        return Sampled({"clip": (sampled.frames["clip"] + len(self.calls)) % n_frames}, sampled.info)


@caught_by("check_sampler_is_pure")
@caught_by("check_same_generator_same_views")
@caught_by("check_views_do_not_depend_on_the_batch")
class DependsOnTheBatch(Arrow):
    @classmethod
    def sampler(cls, options, clip):
        return CountingDirection(clip)


class GlobalDirection(Direction):
    def __call__(self, n_frames, fps, generator):
        return super().__call__(n_frames, fps, np.random.default_rng(np.random.randint(1 << 30)))


@caught_by("check_sampler_leaves_global_random_state_alone")
@caught_by("check_sampler_is_pure")
class DrawsGlobally(Arrow):
    @classmethod
    def sampler(cls, options, clip):
        return GlobalDirection(clip)


class PythonDirection(Direction):
    def __call__(self, n_frames, fps, generator):
        sampled = super().__call__(n_frames, fps, generator)
        random.seed(0)
        return sampled


@caught_by("check_sampler_leaves_global_random_state_alone")
class SeedsPython(Arrow):
    @classmethod
    def sampler(cls, options, clip):
        return PythonDirection(clip)


class ClockDirection(Direction):
    def __call__(self, n_frames, fps, generator):
        return super().__call__(n_frames, fps, np.random.default_rng(int(time.time()) // 3600))


@caught_by("check_sampler_is_pure")
class GoesByTheClock(Arrow):
    @classmethod
    def sampler(cls, options, clip):
        return ClockDirection(clip)


class HashDirection(Direction):
    def __call__(self, n_frames, fps, generator):
        return super().__call__(n_frames, fps, np.random.default_rng(abs(hash(f"video of {n_frames}"))))


@caught_by("check_sampler_is_picklable")
class GoesByHash(Arrow):
    @classmethod
    def sampler(cls, options, clip):
        return HashDirection(clip)


@caught_by("check_sampler_is_picklable")
class Unpicklable(Arrow):
    @classmethod
    def sampler(cls, options, clip):
        sampler = Direction(clip)
        return lambda *arguments: sampler(*arguments)  # noqa: PLW0108


class LongDirection(Direction):
    def __call__(self, n_frames, fps, generator):
        span = self.clip.num_frames * self.clip.frame_stride
        start = int(generator.integers(max(n_frames - span, 1)))
        frames = start + np.arange(self.clip.num_frames) * self.clip.frame_stride
        return Sampled({"clip": frames}, {"backwards": int(generator.integers(2))})


class CutDirection(Direction):
    def __call__(self, n_frames, fps, generator):
        sampled = super().__call__(n_frames, fps, generator)
        return Sampled({"clip": sampled.frames["clip"][:n_frames]}, sampled.info)


@caught_by("check_sampler_works_for_every_length")
class ReadsPastTheEnd(Arrow):
    @classmethod
    def sampler(cls, options, clip):
        return LongDirection(clip)


@caught_by("check_sampler_works_for_every_length")
class CutsShortVideos(Arrow):
    @classmethod
    def sampler(cls, options, clip):
        return CutDirection(clip)


class ReusingDirection(Direction):
    """Gives the same array each time, with other frames in it."""

    frames = np.zeros(8, np.int64)

    def __call__(self, n_frames, fps, generator):
        sampled = super().__call__(n_frames, fps, generator)
        self.frames[:] = sampled.frames["clip"]
        return Sampled({"clip": self.frames}, sampled.info)


@caught_by("check_sampler_is_pure")
class ReusesItsArray(Arrow):
    @classmethod
    def sampler(cls, options, clip):
        return ReusingDirection(clip)


@caught_by("check_views_are_declared")
class AsksForAnotherView(Arrow):
    def clip(self, views, info):
        return views["video"]


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


# ----------------------------------------------------------------------------------- state and conduct


@caught_by("check_forward_leaves_its_input_alone")
class NormalisesInPlace(Arrow):
    def clip(self, views, info):
        return views["clip"].sub_(views["clip"].mean())


@caught_by("check_forward_leaves_its_input_alone")
class TakesViewsAway(Arrow):
    def clip(self, views, info):
        return views.pop("clip")


@caught_by("check_forward_changes_no_state")
class RemembersFeatures(Arrow):
    def forward(self, views, info):
        features_BD = self.backbone(views["clip"])
        last, self.last = getattr(self, "last", 0.0), features_BD.detach().mean(dim=0)
        return self.answer(self.head(features_BD + 0.1 * last), info)


@caught_by("check_forward_changes_no_state")
class CallsBackward(Arrow):
    def loss(self, logits_BK, target_B):
        loss = super().loss(logits_BK, target_B)
        if self.training:
            loss.backward(retain_graph=True)
        return loss


@caught_by("check_forward_changes_no_state")
class StaysInEvaluation(Arrow):
    def forward(self, views, info):
        self.backbone.eval()
        return super().forward(views, info)


@caught_by("check_state_dict_reproduces_the_loss_and_the_next_step")
@caught_by("check_resume_equals_uninterrupted")
class CountsByItself(Arrow):
    steps = 0

    def after_step(self, progress):
        self.steps += 1

    def loss(self, logits_BK, target_B):
        return super().loss(logits_BK, target_B) * min(1.0, 0.1 + 0.1 * self.steps)


@caught_by("check_resume_equals_uninterrupted")
class OwnGenerator(Arrow):
    """Masks features by a generator of its own, whose state is in no checkpoint."""

    def __init__(self, make_backbone, options, context):
        super().__init__(make_backbone, options, context)
        self.generator = torch.Generator().manual_seed(0)

    def forward(self, views, info):
        features_BD = self.backbone(views["clip"])
        kept_BD = torch.rand(features_BD.shape, generator=self.generator) > 0.2
        return self.answer(self.head(features_BD * kept_BD), info)


@caught_by("check_global_generators_are_not_seeded")
class SeedsTorch(Arrow):
    def forward(self, views, info):
        torch.manual_seed(0)
        return super().forward(views, info)


@caught_by("check_global_generators_are_not_seeded")
class SeedsNumpyWhenBuilt(Arrow):
    def __init__(self, make_backbone, options, context):
        np.random.seed(1)
        super().__init__(make_backbone, options, context)


@caught_by("check_settings_of_torch_are_left_alone")
class SetsThreads(Arrow):
    def __init__(self, make_backbone, options, context):
        super().__init__(make_backbone, options, context)
        torch.set_num_threads(2)


@caught_by("check_no_file_is_written")
class WritesAFile(Arrow):
    def after_step(self, progress):
        torch.save({"step": progress.step}, Path(__file__).parent / "left-behind.pt")
        (Path(__file__).parent / "left-behind.pt").unlink()


@caught_by("check_no_socket_is_opened")
class AsksTheNetwork(Arrow):
    def __init__(self, make_backbone, options, context):
        super().__init__(make_backbone, options, context)
        with socket.socket() as one:
            one.connect_ex(("127.0.0.1", 9))
