"""A contrastive task with a momentum encoder and a queue in one file (MoCo, He et al., CVPR 2020).

    vssl bench --task examples/my_contrast.py:MyContrast

Two clips of a video are alike, clips of the videos before are not: with unit embeddings q of the first clip,
k of the second by the momentum encoder, a queue Q of K past keys and temperature τ,

    L = -log exp(q·k/τ) / (exp(q·k/τ) + Σ_Q exp(q·Q/τ))          mean over the batch
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from pydantic import Field
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
from vssl_core.augmentation import Augmentation, ColorJitter, HorizontalFlip, RandomCrop, ViewAugmentation
from vssl_core.momentum import FeatureQueue, MomentumEncoder, contrast_accuracy, queue_size


@dataclass(frozen=True)
class TwoPlaces:
    clip: ClipSpec

    def __call__(self, n_frames: int, fps: float, generator: np.random.Generator) -> Sampled:
        names = ("query", "key")
        clips = [UniformClip(self.clip, name)(n_frames, fps, generator).frames for name in names]
        return Sampled({**clips[0], **clips[1]})


class MyContrastOptions(Options):
    queue_size: int = Field(4096, ge=1, description="Keys of other videos to contrast with, K.")
    momentum: float = Field(0.99, ge=0, le=1, description="Share of its weights the key encoder keeps.")
    temperature: float = Field(0.1, gt=0, description="Divisor τ of the cosines.")
    output_dim: int = Field(128, gt=0, description="Size of the embedding.")


class MyContrast(PretextTask):
    Options = MyContrastOptions
    requires = frozenset()  # pooled features suffice: any backbone will do
    paper = "https://arxiv.org/abs/1911.05722"

    @classmethod
    def sampler(cls, options: MyContrastOptions, clip: ClipSpec) -> TwoPlaces:
        return TwoPlaces(clip)

    @classmethod
    def augmentation(cls, options: MyContrastOptions, clip: ClipSpec) -> Augmentation:
        view = ViewAugmentation((RandomCrop(), ColorJitter(), HorizontalFlip()))
        return {"query": view, "key": view}  # each view draws alone

    def __init__(
        self, make_backbone: Callable[[], Backbone], options: MyContrastOptions, context: TaskContext
    ) -> None:
        super().__init__(make_backbone, options, context)
        self.temperature = options.temperature
        self.backbone = make_backbone()
        self.head = nn.Linear(self.backbone.embed_dim, options.output_dim)
        twin = nn.Sequential(make_backbone(), nn.Linear(self.backbone.embed_dim, options.output_dim))
        twin[1].load_state_dict(self.head.state_dict())  # the backbones are equal already
        self.key_encoder = MomentumEncoder(twin, momentum=options.momentum)
        self.queue = FeatureQueue(queue_size(options.queue_size, context), options.output_dim)
        self._keys: list[Tensor] = []  # of this step; empty between steps, so it is no state

    def before_step(self, progress: TrainProgress) -> None:
        self.key_encoder.follow(nn.Sequential(self.backbone, self.head))

    def forward(self, views: Mapping[str, Tensor], info: Mapping[str, Tensor]) -> TaskOutput:
        query_BD = self.head(self.backbone(views["query"]))
        key_BD = self.key_encoder(views["key"])
        with torch.autocast(query_BD.device.type, enabled=False):  # cosines and the loss in float32
            query_BD, key_BD = F.normalize(query_BD.float(), dim=1), F.normalize(key_BD.float(), dim=1)
            positive_B1 = (query_BD * key_BD).sum(dim=1, keepdim=True)
            logits_BK = torch.cat([positive_B1, self.queue.similarity(query_BD)], dim=1) / self.temperature
            loss = -logits_BK.log_softmax(dim=1)[:, 0].mean()
        if self.training:
            self._keys.append(key_BD)
        accuracy = contrast_accuracy(logits_BK.detach())
        return TaskOutput(loss, metrics={"accuracy": accuracy}, chance={"accuracy": 1 / logits_BK.shape[1]})

    def after_step(self, progress: TrainProgress) -> None:
        self.queue.push(self._keys)
        self._keys = []
