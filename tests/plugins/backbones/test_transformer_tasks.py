"""Every built-in task trains a step with every kind of transformer and with an image model."""

from __future__ import annotations

import warnings

import pytest
import torch
from small_transformers import MAKERS, clips
from torch import Tensor

from vssl_core.interfaces import Backbone, PretextTask, TaskContext
from vssl_core.seeding import generator
from vssl_core.types import ClipSpec
from vssl_plugins.tasks.cvrl import CVRL
from vssl_plugins.tasks.prp import PRP
from vssl_plugins.tasks.rotnet import RotNet
from vssl_plugins.tasks.rspnet import RSPNet
from vssl_plugins.tasks.tdl import TDL
from vssl_plugins.tasks.vcop import VCOP

pytestmark = pytest.mark.usefixtures("one_thread")

CLIP = ClipSpec(num_frames=4, frame_stride=1, crop_size=32)
TASKS: dict[type[PretextTask], dict[str, object]] = {
    CVRL: {"hidden_dim": 16},
    PRP: {"hidden_dim": 16},
    RotNet: {},
    RSPNet: {"queue_size": 8},
    TDL: {"queue_size": 8},
    VCOP: {},
}


@pytest.mark.parametrize(("cls", "options"), TASKS.items(), ids=lambda value: getattr(value, "__name__", ""))
@pytest.mark.parametrize("name", ["vivit", "timesformer", "video_swin", "mvit_v2", "timm_resnet"])
def test_each_task_trains_a_step(cls: type[PretextTask], options: dict[str, object], name: str) -> None:
    def make_backbone() -> Backbone:
        with torch.random.fork_rng(devices=[]):
            return MAKERS[name](CLIP)

    torch.manual_seed(1)
    chosen = cls.Options(**options)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # tasks tell choices so
        task = cls(make_backbone, chosen, TaskContext(clip=CLIP, num_videos=64, batch_size=2)).train()
    views, info = batch_of(task, chosen)
    before = {key: p.detach().clone() for key, p in task.backbone.named_parameters()}
    optimizer = torch.optim.SGD([p for p in task.parameters() if p.requires_grad], lr=1e-3)
    task(views, info).loss.backward()
    assert [key for key, p in task.backbone.named_parameters() if p.grad is None] == []
    optimizer.step()
    moved = [key for key, p in task.backbone.named_parameters() if not torch.equal(p, before[key])]
    assert len(moved) > 0.4 * len(before)  # what stands behind a layer that starts at zero stays
    assert torch.isfinite(task.eval()(views, info).loss)


def batch_of(task: PretextTask, options: object) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Random views of the shapes that the task's sampler and augmentation give."""
    sampler = task.sampler(options, CLIP)
    sampled = [sampler(90, 25.0, generator("transformers", number)) for number in range(2)]
    views = {}
    for name, view in task.augmentation(options, CLIP).items():
        frames = len(sampled[0].frames[view.frames or name])
        views[name] = clips(2, frames, CLIP.crop_size, CLIP.crop_size)
    info = {key: torch.as_tensor([one.info[key] for one in sampled]) for key in sampled[0].info}
    return views, info
