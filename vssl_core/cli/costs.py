"""What a backbone costs per clip and a task per step, counted on a batch of noise; nothing is timed."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vssl_core.cost import count_flops, count_parameters, step_flop_counter
from vssl_core.interfaces import Backbone, PretextTask, TaskContext, TrainProgress
from vssl_core.protocol import Protocol
from vssl_core.seeding import generator
from vssl_core.types import ClipSpec, Sampled

__all__ = ["backbone_cost", "task_cost"]

_VIDEOS = 2  # in the batch that is counted
_SAMPLES = 64  # that the frames are averaged over
_SET_SIZE = 50_000  # videos that the task is told of; it bounds queues
_FRAMES, _FPS = 300, 30.0  # of the videos that frames are chosen from


def backbone_cost(cls: Any, protocol: Protocol) -> dict[str, Any]:
    """Parameters, width and forward GFLOPs of one clip, as a bench writes them into every row."""
    clip = protocol.clip.spec()
    backbone = _make(cls, clip)
    gflops, missing = count_flops(backbone, clip)
    cost: dict[str, Any] = {
        "clip": _size(clip),
        "parameters": count_parameters(backbone),
        "embed_dim": backbone.embed_dim,
        "gflops_per_clip": _rounded(gflops),
    }
    return {**cost, "operators_not_counted": dict(sorted(missing.items()))} if missing else cost


def task_cost(cls: Any, protocol: Protocol, *, backbone: Any, backbone_name: str) -> dict[str, Any]:
    """What one video costs in a step: clips, decoded frames, GFLOPs forward and backward; and parameters.

    The GFLOPs are those of `training_gflops_per_video` in a bundle: heads and twins included, multiplies
    and adds counted separately. What a step does in `before_step` and `after_step` is not in them.
    """
    clip, options = protocol.clip.spec(), cls.Options()
    sampler, augmentation = cls.sampler(options, clip), cls.augmentation(options, clip)
    samples = [sampler(_FRAMES, _FPS, generator("cost", row)) for row in range(_SAMPLES)]
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of this batch, not of a run
        torch.manual_seed(0)
        context = TaskContext(clip, num_videos=_SET_SIZE, batch_size=protocol.pretrain.batch_size)
        task: PretextTask = cls(lambda: _make(backbone, clip), options, context)
        views = {
            name: _noise(len(samples[0].frames[view.frames or name]), clip)
            for name, view in augmentation.items()
        }
        flops = _count(task, views, _info(samples[:_VIDEOS]))
    beside = count_parameters(task) - count_parameters(task.backbone)
    return {
        "clip": _size(clip),
        "backbone": backbone_name,
        "views_per_video": len(augmentation),
        "frames_per_video": _rounded(float(np.mean([_decoded(sampled) for sampled in samples]))),
        "step_gflops_per_video": _rounded(flops / 1e9 / _VIDEOS),
        "parameters_of_backbone": count_parameters(task.backbone),
        "parameters_beside_it": beside,
        "parameters_trained": sum(p.numel() for p in task.parameters() if p.requires_grad),
    }


def _make(cls: Any, clip: ClipSpec) -> Backbone:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        backbone: Backbone = cls(cls.Options(), clip)
    return backbone


def _noise(num_frames: int, clip: ClipSpec) -> Tensor:
    return torch.rand(_VIDEOS, 3, num_frames, clip.crop_size, clip.crop_size)


def _info(samples: list[Sampled]) -> dict[str, Tensor]:
    arrays = {key: np.stack([np.asarray(s.info[key]) for s in samples]) for key in samples[0].info}
    return {
        key: torch.from_numpy(array.astype(np.float32 if array.dtype.kind == "f" else np.int64))
        for key, array in arrays.items()
    }


def _count(task: PretextTask, views: Mapping[str, Tensor], info: Mapping[str, Tensor]) -> float:
    task.train()
    task.before_step(TrainProgress(step=0, epoch=0, fraction=0.0))
    with step_flop_counter() as counter:
        task(views, info).loss.backward()
    return float(counter.get_total_flops())


def _decoded(sampled: Sampled) -> int:
    return len(np.unique(np.concatenate([np.asarray(frames) for frames in sampled.frames.values()])))


def _size(clip: ClipSpec) -> str:
    return f"{clip.num_frames} x {clip.crop_size} x {clip.crop_size}"


def _rounded(number: float) -> float:
    """Four significant digits."""
    return float(f"{number:.4g}")
