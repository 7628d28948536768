"""Correct tasks that compare videos, predict pixels or mask, and the first of them with one bug each."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from planted_tasks import OPS, Arrow, caught_by
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from vssl_core import (
    Backbone,
    ClipSpec,
    Options,
    PretextTask,
    Sampled,
    TaskContext,
    TaskOutput,
    TrainProgress,
    UniformClip,
)
from vssl_core.augmentation import Augmentation, RandomCrop, ViewAugmentation
from vssl_core.distributed import gather_with_grad, rank
from vssl_core.momentum import contrast_accuracy

__all__ = ["CORRECT"]


@dataclass(frozen=True)
class TwoClips:
    clip: ClipSpec

    def __call__(self, n_frames: int, fps: float, generator: np.random.Generator) -> Sampled:
        take = UniformClip(self.clip)
        names = ("first", "second")
        return Sampled({name: take(n_frames, fps, generator).frames["clip"] for name in names})


class _TwoViews(PretextTask):
    @classmethod
    def sampler(cls, options: Options, clip: ClipSpec) -> TwoClips:
        return TwoClips(clip)

    @classmethod
    def augmentation(cls, options: Options, clip: ClipSpec) -> Augmentation:
        return {"first": ViewAugmentation(OPS), "second": ViewAugmentation(OPS)}

    def __init__(self, make_backbone: Callable[[], Backbone], options: Options, context: TaskContext) -> None:
        super().__init__(make_backbone, options, context)
        self.backbone = make_backbone()
        self.head = nn.Linear(self.backbone.embed_dim, 32)


class Pair(_TwoViews):
    """Two clips of a video against the second clips of the others, in the batch of all processes."""

    def forward(self, views: Mapping[str, Tensor], info: Mapping[str, Tensor]) -> TaskOutput:
        a_BD, b_BD = F.normalize(self.head(self.backbone(torch.cat([*views.values()]))).float(), dim=1).chunk(
            2
        )
        logits_BN = a_BD @ self.gathered(b_BD).T / 0.2
        target_B = torch.arange(len(a_BD), device=a_BD.device) + rank() * len(a_BD)
        accuracy = (logits_BN.detach().argmax(dim=1) == target_B).float().mean()
        chance = {"contrast_accuracy": 1 / logits_BN.shape[1]}
        return TaskOutput(
            F.cross_entropy(logits_BN, target_B), metrics={"contrast_accuracy": accuracy}, chance=chance
        )

    def gathered(self, keys_BD: Tensor) -> Tensor:
        return gather_with_grad(keys_BD)


@caught_by("check_two_processes_equal_one")
class ContrastsItsOwnProcess(Pair):
    def forward(self, views, info):
        a_BD, b_BD = F.normalize(self.head(self.backbone(torch.cat([*views.values()]))).float(), dim=1).chunk(
            2
        )
        return TaskOutput(F.cross_entropy(a_BD @ b_BD.T / 0.2, torch.arange(len(a_BD))))


@caught_by("check_two_processes_equal_one")
class LosesGradientOfOthers(Pair):
    def gathered(self, keys_BD):
        everything_ND = gather_with_grad(keys_BD.detach()).clone()
        everything_ND[rank() * len(keys_BD) : (rank() + 1) * len(keys_BD)] = keys_BD
        return everything_ND


# ------------------------------------------------------------------------------------ momentum, queue


class Momentum(_TwoViews):
    """A momentum encoder and a queue, written out."""

    queue_KD: Tensor
    pointer: Tensor

    def __init__(self, make_backbone: Callable[[], Backbone], options: Options, context: TaskContext) -> None:
        super().__init__(make_backbone, options, context)
        self.make_twin()
        self.register_buffer("queue_KD", F.normalize(torch.randn(context.num_videos, 32), dim=1))
        self.register_buffer("pointer", torch.zeros((), dtype=torch.int64))
        self.keys: list[Tensor] = []

    def make_twin(self) -> None:
        self.twin = nn.Sequential(copy.deepcopy(self.backbone), copy.deepcopy(self.head)).requires_grad_(
            False
        )

    def encode(self, video_BCTHW: Tensor) -> Tensor:
        with torch.no_grad():
            return self.twin(video_BCTHW)

    def forward(self, views: Mapping[str, Tensor], info: Mapping[str, Tensor]) -> TaskOutput:
        query_BD = F.normalize(self.head(self.backbone(views["first"])).float(), dim=1)
        key_BD = F.normalize(self.encode(views["second"]).float(), dim=1)
        own_B1 = (query_BD * key_BD).sum(dim=1, keepdim=True)
        logits_BM = torch.cat([own_B1, query_BD @ self.queue_KD.clone().T], dim=1) / 0.2
        self.keep(key_BD.detach())
        accuracy = contrast_accuracy(logits_BM.detach())
        return TaskOutput(
            -logits_BM.log_softmax(dim=1)[:, 0].mean(),
            metrics={"contrast_accuracy": accuracy},
            chance={"contrast_accuracy": 1 / logits_BM.shape[1]},
        )

    def keep(self, key_BD: Tensor) -> None:
        if self.training:
            self.keys.append(key_BD)

    def after_step(self, progress: object) -> None:
        with torch.no_grad():
            trained = [*self.backbone.parameters(), *self.head.parameters()]
            for mine, goal in zip(self.twin.parameters(), trained, strict=True):
                mine.lerp_(goal, 0.05)
        for key_BD in self.keys:
            self.push(self.gathered(key_BD))
        self.keys = []

    def gathered(self, keys_BD: Tensor) -> Tensor:
        return gather_with_grad(keys_BD)

    @torch.no_grad()
    def push(self, keys_ND: Tensor) -> None:
        places = (int(self.pointer) + torch.arange(len(keys_ND))) % len(self.queue_KD)
        self.queue_KD[places] = keys_ND
        self.pointer += len(keys_ND)


@caught_by("check_state_dict_reproduces_the_loss_and_the_next_step")
class TwinOutsideOfTheState(Momentum):
    def make_twin(self):
        super().make_twin()
        twin = self.twin
        del self.twin
        object.__setattr__(self, "twin", twin)


@caught_by("check_state_dict_reproduces_the_loss_and_the_next_step")
class PointerOutsideOfTheState(Momentum):
    place = 0

    def push(self, keys_ND):
        self.pointer.fill_(self.place)
        super().push(keys_ND)
        self.place += len(keys_ND)
        self.pointer.zero_()


@caught_by("check_state_dict_reproduces_the_loss_and_the_next_step")
class QueueThatIsNotKept(Momentum):
    def __init__(self, make_backbone, options, context):
        super().__init__(make_backbone, options, context)
        self.register_buffer("queue_KD", self.queue_KD, persistent=False)


@caught_by("check_no_gradient_into_momentum_parts")
class TrainsTheTwin(Momentum):
    def make_twin(self):
        super().make_twin()
        self.twin.requires_grad_(True)

    def encode(self, video_BCTHW):
        return self.twin(video_BCTHW)


@caught_by("check_no_gradient_into_momentum_parts")
class FollowsTheOtherWay(Momentum):
    """The trained network is drawn towards its average."""

    def after_step(self, progress):
        with torch.no_grad():
            for mine, goal in zip(self.twin[0].parameters(), self.backbone.parameters(), strict=True):
                goal.lerp_(mine, 0.05)


@caught_by("check_no_second_backbone_stands_still")
class ForgetsToFollow(Momentum):
    def after_step(self, progress):
        for key_BD in self.keys:
            self.push(key_BD)
        self.keys = []


@caught_by("check_forward_changes_no_state")
class PushesInForward(Momentum):
    def keep(self, key_BD):
        self.push(self.gathered(key_BD))


@caught_by("check_forward_changes_no_state")
class FollowsInForward(Momentum):
    def encode(self, video_BCTHW):
        with torch.no_grad():
            for mine, goal in zip(self.twin[0].parameters(), self.backbone.parameters(), strict=True):
                mine.lerp_(goal + 0.01, 0.05)
        return super().encode(video_BCTHW)


@caught_by("check_held_out_evaluation_changes_nothing")
class KeepsHeldOutKeys(Momentum):
    def keep(self, key_BD):
        self.keys.append(key_BD)


@caught_by("check_two_processes_equal_one")
class QueueOfItsOwnProcess(Momentum):
    def gathered(self, keys_BD):
        return keys_BD


# -------------------------------------------------------------------------------- other correct designs


class Triplet(_TwoViews):
    """A clip is nearer to another clip of its video than to one of the next video in the batch."""

    def forward(self, views: Mapping[str, Tensor], info: Mapping[str, Tensor]) -> TaskOutput:
        a_BD, b_BD = F.normalize(self.head(self.backbone(torch.cat([*views.values()]))).float(), dim=1).chunk(
            2
        )
        everything_ND, start = gather_with_grad(b_BD), rank() * len(b_BD)
        c_BD = everything_ND.roll(-1, dims=0)[start : start + len(b_BD)]
        near_B, far_B = (a_BD - b_BD).norm(dim=1), (a_BD - c_BD).norm(dim=1)
        loss = (near_B - far_B + 0.5).clamp(min=0).mean()
        right = (near_B < far_B).float().mean().detach()
        return TaskOutput(loss, metrics={"triplet_accuracy": right}, chance={"triplet_accuracy": 0.5})


class Predict(_TwoViews):
    """The first clip's features predict the average network's features of the second; no metric, no queue."""

    def __init__(self, make_backbone: Callable[[], Backbone], options: Options, context: TaskContext) -> None:
        super().__init__(make_backbone, options, context)
        self.predictor = nn.Sequential(nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 32))
        self.target = nn.Sequential(make_backbone(), nn.Linear(self.backbone.embed_dim, 32)).requires_grad_(
            False
        )

    def forward(self, views: Mapping[str, Tensor], info: Mapping[str, Tensor]) -> TaskOutput:
        predicted_BD = F.normalize(self.predictor(self.head(self.backbone(views["first"]))).float(), dim=1)
        with torch.no_grad():
            goal_BD = F.normalize(self.target(views["second"]).float(), dim=1)
        return TaskOutput(1 - (predicted_BD * goal_BD).sum(dim=1).mean())

    @torch.no_grad()
    def before_step(self, progress: object) -> None:
        for mine, goal in zip(self.target[0].parameters(), self.backbone.parameters(), strict=True):
            mine.lerp_(goal, 0.01)


class Restore(Arrow):
    """The clip is restored from one with noise and holes, which forward itself draws."""

    @classmethod
    def augmentation(cls, options: Options, clip: ClipSpec) -> Augmentation:
        ops = (RandomCrop(),)
        return {
            "clip": ViewAugmentation(ops),
            "target": ViewAugmentation(ops, frames="clip", draw="clip", normalize=False),
        }

    def __init__(self, make_backbone: Callable[[], Backbone], options: Options, context: TaskContext) -> None:
        super().__init__(make_backbone, options, context)
        self.size = (context.clip.num_frames // 2, context.clip.crop_size // 4, context.clip.crop_size // 4)
        self.head = nn.Conv3d(self.backbone.embed_dim, 3, 1)

    def forward(self, views: Mapping[str, Tensor], info: Mapping[str, Tensor]) -> TaskOutput:
        clip_BCTHW = views["clip"]
        kept = (torch.rand((len(clip_BCTHW), 1, *self.size), device=clip_BCTHW.device) > 0.6).float()
        kept_BCTHW = F.interpolate(kept, clip_BCTHW.shape[2:])
        noisy_BCTHW = clip_BCTHW * kept_BCTHW + 0.1 * torch.randn_like(clip_BCTHW)
        drawn = self.head(self.backbone.forward_features(noisy_BCTHW)).float()
        target = F.adaptive_avg_pool3d(views["target"], self.size)
        error = (drawn - target).square()
        return TaskOutput(error.mean(), losses={"squared_error": error.detach().mean()})


class Motion(Arrow):
    """In which quarter of the clip does most move? The answer is made from the pixels, of any clip."""

    def __init__(self, make_backbone: Callable[[], Backbone], options: Options, context: TaskContext) -> None:
        super().__init__(make_backbone, options, context)
        self.head = nn.Linear(self.backbone.embed_dim, 4)

    def forward(self, views: Mapping[str, Tensor], info: Mapping[str, Tensor]) -> TaskOutput:
        moved_BHW = views["clip"].diff(dim=2).square().mean(dim=(1, 2))
        target_B = F.adaptive_avg_pool2d(moved_BHW, 2).flatten(1).argmax(dim=1)
        logits_BK = self.head(self.backbone(views["clip"])).float()
        right = (logits_BK.detach().argmax(dim=1) == target_B).float().mean()
        loss = F.cross_entropy(logits_BK, target_B)
        return TaskOutput(loss, metrics={"accuracy": right}, chance={"accuracy": 0.25})


class FadesIn(Arrow):
    """The loss counts more and more over the first half of training, from nothing."""

    def __init__(self, make_backbone: Callable[[], Backbone], options: Options, context: TaskContext) -> None:
        super().__init__(make_backbone, options, context)
        self.register_buffer("weight", torch.zeros(()))

    def before_step(self, progress: TrainProgress) -> None:
        self.weight.fill_(min(2 * progress.fraction, 1.0))

    def loss(self, logits_BK: Tensor, target_B: Tensor) -> Tensor:
        return self.weight * super().loss(logits_BK, target_B)


class Distil(Arrow):
    """Features of a random network that stands still, from those of the trained one."""

    def __init__(self, make_backbone: Callable[[], Backbone], options: Options, context: TaskContext) -> None:
        super().__init__(make_backbone, options, context)
        self.teacher = make_backbone().requires_grad_(False)
        width = self.backbone.embed_dim
        self.head = nn.Sequential(nn.Linear(width, 64), nn.ReLU(), nn.Linear(64, width))

    def train(self, mode: bool = True) -> Distil:
        super().train(mode)
        self.teacher.eval()
        return self

    def forward(self, views: Mapping[str, Tensor], info: Mapping[str, Tensor]) -> TaskOutput:
        with torch.no_grad():
            goal_BD = F.normalize(self.teacher(views["clip"]).float(), dim=1)
        guess_BD = F.normalize(self.head(self.backbone(views["clip"])).float(), dim=1)
        return TaskOutput((guess_BD - goal_BD).square().sum(dim=1).mean())


CORRECT: tuple[type[PretextTask], ...] = (
    Arrow,
    Pair,
    Momentum,
    Triplet,
    Predict,
    Restore,
    Motion,
    FadesIn,
    Distil,
)
