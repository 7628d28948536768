"""Two processes with half a batch each do what one does with the whole."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from timm.layers import DropPath
from torch import nn

from vssl_core import distributed


def _network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv3d(3, 4, 3), nn.BatchNorm3d(4), nn.ReLU(), nn.Flatten(), nn.Linear(32, 6), nn.BatchNorm1d(6),
        nn.Dropout(0.5), DropPath(0.5),
    )  # fmt: skip


def _contrast(x_ND: torch.Tensor, everything_MD: torch.Tensor) -> torch.Tensor:
    """A loss in which every row meets every other row."""
    return torch.logsumexp(x_ND @ everything_MD.T, dim=1).mean()


def _step(video: torch.Tensor) -> tuple[torch.Tensor, nn.Module]:
    network = distributed.share_batch_layers(_network())
    torch.manual_seed(1)
    features = network(video)
    loss = _contrast(features, distributed.gather_with_grad(features))
    loss.backward()
    return loss.detach(), network


def _worker(rank: int, rendezvous: str, result: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{rendezvous}", rank=rank, world_size=2)
    torch.manual_seed(2)
    video = torch.randn(8, 3, 4, 4, 4)
    loss, network = _step(video[4 * rank : 4 * rank + 4])
    grads = {n: distributed.mean_over_processes(p.grad) for n, p in network.named_parameters()}
    loss = distributed.mean_over_processes(loss)
    if rank == 0:
        torch.save({"loss": loss, "grads": grads, "state": network.state_dict()}, result)
    dist.destroy_process_group()


def test_two_processes_equal_one(tmp_path: Path) -> None:
    mp.spawn(_worker, (str(tmp_path / "rendezvous"), str(tmp_path / "result")), nprocs=2)
    two = torch.load(tmp_path / "result", weights_only=True)
    torch.manual_seed(2)
    loss, network = _step(torch.randn(8, 3, 4, 4, 4))
    torch.testing.assert_close(two["loss"], loss)
    for name, parameter in network.named_parameters():
        torch.testing.assert_close(two["grads"][name], parameter.grad, rtol=1e-4, atol=1e-5)
    for name, value in network.state_dict().items():
        torch.testing.assert_close(two["state"][name], value)


def test_one_process_changes_nothing() -> None:
    network = _network()
    assert distributed.share_batch_layers(network) is network
    assert [type(m) for m in network] == [type(m) for m in _network()]
    x = torch.randn(3, 2, requires_grad=True)
    assert distributed.gather_with_grad(x) is x
    assert distributed.world_size() == 1
    assert distributed.rank() == 0


@pytest.mark.parametrize("count", [1, 5])
def test_sums_and_means_of_one_process(count: int) -> None:
    x = torch.arange(float(count))
    torch.testing.assert_close(distributed.sum_over_processes(x), x)
    torch.testing.assert_close(distributed.mean_over_processes(x), x)
