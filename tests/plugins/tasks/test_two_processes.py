"""Two processes with half the batch each give the loss and the gradient of one with all of it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from small_tasks import NOW, make_batch
from torch import Tensor

from vssl_core.distributed import share_batch_layers
from vssl_core.interfaces import Backbone, PretextTask, TaskContext
from vssl_core.options import Options
from vssl_core.types import ClipSpec
from vssl_plugins.backbones.shufflenet import ShuffleNet, ShuffleNetOptions
from vssl_plugins.tasks.cvrl import CVRL, CVRLOptions
from vssl_plugins.tasks.prp import PRP, PRPOptions
from vssl_plugins.tasks.rotnet import RotNet, RotNetOptions
from vssl_plugins.tasks.rspnet import RSPNet, RSPNetOptions
from vssl_plugins.tasks.tdl import TDL, TDLOptions
from vssl_plugins.tasks.vcop import VCOP, VCOPOptions

BATCH = 4
CLIP = ClipSpec(num_frames=4, frame_stride=1, crop_size=32)
TASKS: dict[str, tuple[type[PretextTask], Options]] = {
    "cvrl": (CVRL, CVRLOptions(hidden_dim=16)),
    "prp": (PRP, PRPOptions(hidden_dim=16)),
    "rotnet": (RotNet, RotNetOptions()),
    "rspnet": (RSPNet, RSPNetOptions(queue_size=8)),
    "tdl": (TDL, TDLOptions(queue_size=8)),
    "vcop": (VCOP, VCOPOptions()),
}


def make_backbone() -> Backbone:
    torch.manual_seed(0)
    return ShuffleNet(ShuffleNetOptions(width=0.5), CLIP)


def make_step(name: str) -> tuple[PretextTask, dict[str, Tensor], dict[str, Tensor]]:
    """The task in train mode and the whole batch, equal on every process."""
    context = TaskContext(clip=CLIP, num_videos=8, batch_size=BATCH)
    cls, options = TASKS[name]
    torch.manual_seed(2)
    task = cls(make_backbone, options, context)
    return task.train(), *make_batch(task, options, batch=BATCH, clip=CLIP)


def run_step(name: str, rank: int, world: int) -> dict[str, Tensor]:
    """Loss, metrics and gradients of this process's part of the batch."""
    task, views, info = make_step(name)
    task = share_batch_layers(task)
    part = slice(rank * BATCH // world, (rank + 1) * BATCH // world)
    torch.manual_seed(4)
    output = task({k: v[part] for k, v in views.items()}, {k: v[part] for k, v in info.items()})
    output.loss.backward()
    task.after_step(NOW)
    found = {"loss": output.loss.detach(), **output.metrics}
    found |= {"chance": torch.tensor(next(iter(output.chance.values())))}
    found |= {k: v.float() for k, v in task.state_dict().items() if k.startswith(("queue.", "key_encoder."))}
    return found | {"gradient": torch.cat([p.grad.flatten() for p in task.parameters() if p.requires_grad])}


def process(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    for name in TASKS:
        found = run_step(name, rank, 2)
        for value in found.values():
            dist.all_reduce(value)
        if rank == 0:
            torch.save({key: value / 2 for key, value in found.items()}, Path(folder) / f"{name}.pt")
    dist.barrier()  # one that leaves while the other is at it takes it down
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def halves(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what two processes found together of each task."""
    folder = tmp_path_factory.mktemp("two")
    mp.spawn(process, args=(str(folder),), nprocs=2)
    return folder


@pytest.mark.parametrize("name", TASKS)
def test_two_processes_equal_one(name: str, halves: Path) -> None:
    expected = run_step(name, 0, 1)
    found = torch.load(halves / f"{name}.pt", weights_only=True)
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        error = (found[key] - value).norm() / value.norm().clamp(min=0.1)
        assert error < (1e-2 if key == "gradient" else 1e-4), key  # float32 through 50 BatchNorms
