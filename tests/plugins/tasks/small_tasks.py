"""Small clips, backbones and steps for the tests of tasks."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from vssl_core.interfaces import Backbone, PretextTask, TaskContext, TrainProgress
from vssl_core.options import Options
from vssl_core.seeding import generator
from vssl_core.types import ClipSpec
from vssl_plugins.backbones.shufflenet import ShuffleNet, ShuffleNetOptions

SMALL = ClipSpec(num_frames=4, frame_stride=1, crop_size=32)
NOW = TrainProgress(step=0, epoch=0, fraction=0.0)


class MeanColour(Backbone):
    """The simplest backbone without BatchNorm: features are linear in the clip's mean colour."""

    def __init__(self, options: object, clip: ClipSpec) -> None:
        super().__init__(options, clip)
        self.embed_dim = 8
        self.project = nn.Conv3d(3, 8, 1)

    def forward_features(self, video_BCTHW: Tensor) -> Tensor:
        return self.project(video_BCTHW)

    def stages(self) -> dict[str, nn.Module]:
        return {"project": self.project}


def make_backbone(kind: type[Backbone] = MeanColour, clip: ClipSpec = SMALL) -> Backbone:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        if kind is ShuffleNet:
            return ShuffleNet(ShuffleNetOptions(width=0.5, zero_init_residual=False), clip)
        return kind(kind.Options(), clip)


def make_task(
    cls: type[PretextTask],
    *,
    backbone: type[Backbone] = MeanColour,
    clip: ClipSpec = SMALL,
    num_videos: int = 64,
    batch_size: int = 4,
    seed: int = 0,
    **options: object,
) -> Any:
    context = TaskContext(clip=clip, num_videos=num_videos, batch_size=batch_size)
    torch.manual_seed(seed)
    return cls(lambda: make_backbone(backbone, clip), cls.Options(**options), context)


def make_batch(
    task: PretextTask, options: Options, *, batch: int = 4, clip: ClipSpec = SMALL, seed: int = 0
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Random views of the shapes that the task's own sampler and augmentation give, and their information."""
    sampler = task.sampler(options, clip)
    sampled = [sampler(60, 25.0, generator("batch", seed, row)) for row in range(batch)]
    noise = torch.Generator().manual_seed(seed)
    views = {}
    for name, view in task.augmentation(options, clip).items():
        frames = len(sampled[0].frames[view.frames or name])
        views[name] = torch.rand(batch, 3, frames, clip.crop_size, clip.crop_size, generator=noise)
    info = {key: torch.tensor(np.stack([s.info[key] for s in sampled])) for key in sampled[0].info}
    return views, info


def step(
    task: PretextTask,
    batch: tuple[Mapping[str, Tensor], Mapping[str, Tensor]],
    *,
    lr: float,
    queues: bool = True,
) -> Tensor:
    """One step of plain SGD; gives the loss before it. Without `queues` neither twin nor queue moves."""
    task.train()
    if queues:
        task.before_step(NOW)
    loss = task(*batch).loss
    loss.backward()
    with torch.no_grad():
        for parameter in task.parameters():
            if parameter.grad is not None:
                parameter.sub_(lr * parameter.grad)
                parameter.grad = None
    if queues:
        task.after_step(NOW)
    return loss.detach()


def render(folder: Path, frames_THWC: np.ndarray) -> Path:
    """A real video file of these frames."""
    import av

    path = folder / f"clip{len(list(folder.iterdir()))}.mp4"
    with av.open(path, "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"crf": "12"})
        stream.height, stream.width = frames_THWC.shape[1:3]
        stream.pix_fmt = "yuv420p"
        for frame in frames_THWC:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), "rgb24")))
        container.mux(stream.encode(None))
    return path
