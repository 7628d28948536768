"""Two processes with half the batch each give the loss and the gradient of one with all of it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import Tensor

from vssl_core.distributed import share_batch_layers
from vssl_core.interfaces import Backbone, PretextTask, TaskContext
from vssl_core.types import ClipSpec
from vssl_plugins.backbones.shufflenet import ShuffleNet, ShuffleNetOptions
from vssl_plugins.tasks.cvrl import CVRL, CVRLOptions
from vssl_plugins.tasks.vcop import VCOP, VCOPOptions

BATCH = 4
CLIP = ClipSpec(num_frames=4, frame_stride=1, crop_size=32)


def make_backbone() -> Backbone:
    torch.manual_seed(0)
    return ShuffleNet(ShuffleNetOptions(width=0.5), CLIP)


def make_step(name: str) -> tuple[PretextTask, dict[str, Tensor], dict[str, Tensor]]:
    """The task in train mode and the whole batch, equal on every process."""
    context = TaskContext(clip=CLIP, num_videos=8, batch_size=BATCH)
    torch.manual_seed(2)
    if name == "cvrl":
        task, views = CVRL(make_backbone, CVRLOptions(hidden_dim=16), context), ["view_0", "view_1"]
    else:
        task, views = VCOP(make_backbone, VCOPOptions(), context), ["clip_0", "clip_1", "clip_2"]
    torch.manual_seed(3)
    batch = {view: torch.randn(BATCH, 3, 4, 32, 32) for view in views}
    return task.train(), batch, {"order": torch.tensor([0, 4, 2, 5])}


def run_step(name: str, rank: int, world: int) -> dict[str, Tensor]:
    """Loss, metrics and gradients of this process's part of the batch."""
    task, views, info = make_step(name)
    task = share_batch_layers(task)
    part = slice(rank * BATCH // world, (rank + 1) * BATCH // world)
    torch.manual_seed(4)
    output = task({k: v[part] for k, v in views.items()}, {k: v[part] for k, v in info.items()})
    output.loss.backward()
    found = {"loss": output.loss.detach(), **output.metrics}
    found |= {"chance": torch.tensor(next(iter(output.chance.values())))}
    return found | {"gradient": torch.cat([p.grad.flatten() for p in task.parameters()])}


def process(rank: int, name: str, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    found = run_step(name, rank, 2)
    for value in found.values():
        dist.all_reduce(value)
    if rank == 0:
        torch.save({key: value / 2 for key, value in found.items()}, Path(folder) / "found.pt")
    dist.destroy_process_group()


@pytest.mark.parametrize("name", ["cvrl", "vcop"])
def test_two_processes_equal_one(name: str, tmp_path: Path) -> None:
    expected = run_step(name, 0, 1)
    mp.spawn(process, args=(name, str(tmp_path)), nprocs=2)
    found = torch.load(tmp_path / "found.pt", weights_only=True)
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        error = (found[key] - value).norm() / value.norm().clamp(min=0.1)
        assert error < (1e-2 if key == "gradient" else 1e-4), key  # float32 through 50 BatchNorms
