"""Two processes with half a batch each do what one does with the whole."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from timm.layers import BatchNormAct2d, DropPath
from torch import nn

from vssl_core import distributed
from vssl_core.errors import ContractError
from vssl_core.interfaces import Backbone
from vssl_core.types import ClipSpec


def _network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv3d(3, 4, 3), nn.BatchNorm3d(4), nn.ReLU(), nn.Flatten(2), nn.Unflatten(2, (4, 2)),
        BatchNormAct2d(4, act_layer=nn.SiLU), nn.Flatten(), nn.Linear(32, 6), nn.BatchNorm1d(6),
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


class _Frames(Backbone):
    """Drops paths of frames, which are rows of their own for a while, and of clips."""

    embed_dim = 6

    def __init__(self) -> None:
        super().__init__(None, ClipSpec(num_frames=4, frame_stride=1, crop_size=4))
        self.embed = nn.Linear(3 * 4 * 4, 6)
        self.drop_path = DropPath(0.5)

    def forward_features(self, video_BCTHW: torch.Tensor) -> torch.Tensor:
        frames_BTD = self.embed(video_BCTHW.transpose(1, 2).flatten(2))
        frames_NTD = self.drop_path(frames_BTD.flatten(0, 1)).unflatten(0, (-1, 4))
        return self.drop_path(frames_NTD).mT[..., None, None]

    def stages(self) -> dict[str, nn.Module]:
        return {"embed": self.embed}


class _Views(nn.Module):
    """Encodes two clips of each video in one batch, and one of them once more."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = _Frames()
        self.head = nn.Sequential(nn.Dropout(0.5), nn.Linear(6, 6), nn.Dropout(0.5))

    def forward(self, views: dict[str, torch.Tensor]) -> torch.Tensor:
        features_MD = self.head(self.backbone(torch.cat(list(views.values()))))
        again_BD = self.backbone.forward_features(views["a"]).sum(dim=(2, 3, 4))
        return torch.cat([features_MD, again_BD]).unflatten(0, (3, -1)).transpose(0, 1)


def _features_of_views(videos: slice) -> torch.Tensor:
    """Features (B, 3, D) of these of eight videos, in train mode."""
    torch.manual_seed(3)
    network, views = _Views(), {name: torch.randn(8, 3, 4, 4, 4) for name in "ab"}
    torch.manual_seed(4)
    network = distributed.share_batch_layers(network)
    return network({name: view[videos] for name, view in views.items()}).detach()


def _worker_of_views(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=2)
    torch.save(_features_of_views(slice(4 * rank, 4 * rank + 4)), f"{folder}/{rank}")
    dist.barrier()  # one that leaves while the other is at it takes it down
    dist.destroy_process_group()


def test_clips_encoded_together_get_the_draws_of_their_places_in_the_whole_batch(tmp_path: Path) -> None:
    mp.spawn(_worker_of_views, (str(tmp_path),), nprocs=2)
    halves = [torch.load(tmp_path / str(rank), weights_only=True) for rank in range(2)]
    whole = _features_of_views(slice(8))
    assert (whole == 0).any()
    torch.testing.assert_close(torch.cat(halves), whole)


def _worker(rank: int, rendezvous: str, result: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{rendezvous}", rank=rank, world_size=2)
    torch.manual_seed(2)
    video = torch.randn(8, 3, 4, 4, 4)
    loss, network = _step(video[4 * rank : 4 * rank + 4])
    grads = {n: distributed.mean_over_processes(p.grad) for n, p in network.named_parameters()}
    loss = distributed.mean_over_processes(loss)
    with distributed.alone():
        lonely = [distributed.world_size(), distributed.rank(), len(distributed.gather_with_grad(video[:1]))]
    again = [distributed.world_size(), distributed.rank(), len(distributed.gather_with_grad(video[:1]))]
    if rank == 1:
        torch.save({"alone": lonely, "again": again}, f"{result}1")
    if rank == 0:
        torch.save({"loss": loss, "grads": grads, "state": network.state_dict()}, result)
    dist.barrier()  # one that leaves while the other is at it takes it down
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
    assert torch.load(tmp_path / "result1", weights_only=True) == {"alone": [1, 0, 1], "again": [2, 1, 2]}


def test_one_process_changes_nothing() -> None:
    network = _network()
    assert distributed.share_batch_layers(network) is network
    assert [type(m) for m in network] == [type(m) for m in _network()]
    x = torch.randn(3, 2, requires_grad=True)
    assert distributed.gather_with_grad(x) is x
    assert distributed.world_size() == 1
    assert distributed.rank() == 0


class Doubling(nn.BatchNorm3d):
    """A layer of the family that does something that its children do not say."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:  # noqa: A002
        return 2 * super().forward(input)


def test_a_norm_that_does_something_unknown_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distributed, "_active", lambda: True)
    with pytest.raises(ContractError, match="Doubling is derived from BatchNorm"):
        distributed.share_batch_layers(nn.Sequential(Doubling(3)))


@pytest.mark.parametrize("count", [1, 5])
def test_sums_and_means_of_one_process(count: int) -> None:
    x = torch.arange(float(count))
    torch.testing.assert_close(distributed.sum_over_processes(x), x)
    torch.testing.assert_close(distributed.mean_over_processes(x), x)
