"""Gradient checkpointing changes what is kept in memory and nothing else."""

from __future__ import annotations

import pytest
import torch
from cnn_nets import ALL, make
from torch import Tensor, nn

from vssl_core.interfaces import Backbone
from vssl_plugins.backbones.checkpointing import run_stages


def video() -> Tensor:
    return torch.randn(2, 3, 4, 32, 32, generator=torch.Generator().manual_seed(3))


def kept_bytes(net: Backbone) -> int:
    """What a forward pass keeps for the backward pass, parameters apart."""
    owned, kept = {p.data_ptr() for p in net.parameters()}, {}

    def keep(tensor: Tensor) -> Tensor:
        if tensor.data_ptr() not in owned:
            kept[tensor.data_ptr()] = tensor.nbytes
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        features = net(video())
    assert features.requires_grad
    return sum(kept.values())


@ALL
def test_features_gradients_and_statistics_stay_the_same(cls) -> None:
    plain, saving = make(cls).train(), make(cls, checkpointing=True).train()
    for _ in range(2):
        results = [net(video()) for net in (plain, saving)]
        for result in results:
            result.square().sum().backward()
        assert torch.equal(*results)
    for (name, p), q in zip(plain.named_parameters(), saving.parameters(), strict=True):
        assert torch.equal(p.grad, q.grad), name
    theirs = saving.state_dict()
    assert [name for name, value in plain.state_dict().items() if not torch.equal(value, theirs[name])] == []
    counters = [module.num_batches_tracked for module in saving.modules() if type(module) is nn.BatchNorm3d]
    assert all(counter == 2 for counter in counters)


@ALL
def test_less_is_kept_for_the_backward_pass(cls) -> None:
    assert kept_bytes(make(cls, checkpointing=True)) < 0.5 * kept_bytes(make(cls))


@ALL
def test_evaluation_does_not_change(cls) -> None:
    plain, saving = make(cls).eval(), make(cls, checkpointing=True).eval()
    with torch.no_grad():
        assert torch.equal(plain(video()), saving(video()))


def test_statistics_are_learnt_again_after_an_error_in_the_backward_pass() -> None:
    class Breaks(nn.Module):
        calls = 0

        def forward(self, x: Tensor) -> Tensor:
            self.calls += 1
            if self.calls > 1:
                raise RuntimeError("second time")
            return x * x

    norm = nn.BatchNorm3d(2)
    stage = nn.Sequential(norm, Breaks())
    y = run_stages([stage], torch.randn(2, 2, 2, 2, 2, requires_grad=True), checkpointing=True)
    with pytest.raises(RuntimeError, match="second time"):
        y.sum().backward()
    assert norm.momentum == 0.1
    assert norm.num_batches_tracked == 1
