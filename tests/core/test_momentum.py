"""Momentum encoders and queues: the average, whose statistics normalise keys, who is overwritten when."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from timm.layers import BatchNormAct2d
from torch import nn

from vssl_core.errors import ContractError
from vssl_core.interfaces import TaskContext
from vssl_core.momentum import FeatureQueue, MomentumEncoder, contrast_accuracy, queue_size
from vssl_core.types import ClipSpec

CLIP = ClipSpec(num_frames=4, frame_stride=1, crop_size=32)


def network(seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv3d(3, 4, 1), nn.BatchNorm3d(4), nn.ReLU(), nn.Flatten(), nn.LazyLinear(5))


def built(seed: int = 0) -> nn.Sequential:
    made = network(seed).eval()
    made(torch.zeros(2, 3, 2, 4, 4))
    return made.train()


def test_weights_follow_the_closed_form() -> None:
    online, twin = built(0), MomentumEncoder(built(1), momentum=0.9)
    start = [p.clone() for p in twin.parameters()]
    for _ in range(3):
        twin.follow(online)
    for own, before, goal in zip(twin.parameters(), start, online.parameters(), strict=True):
        torch.testing.assert_close(own, 0.9**3 * before + (1 - 0.9**3) * goal)


def test_following_another_network_is_refused() -> None:
    twin = MomentumEncoder(built(), momentum=0.9)
    with pytest.raises(ContractError, match="must have the parameters"):
        twin.follow(nn.Linear(3, 3))


def test_keys_have_no_gradient_and_no_parameter_is_trained() -> None:
    twin = MomentumEncoder(built(), momentum=0.9)
    x = torch.rand(2, 3, 2, 4, 4, requires_grad=True)
    assert not twin(x).requires_grad
    assert not any(p.requires_grad for p in twin.parameters())


def test_a_key_does_not_depend_on_the_rest_of_its_batch() -> None:
    """After the first batch, which has none before it; with `batch` it does depend on it."""
    one, first, second = (torch.rand(1, 3, 2, 4, 4) for _ in range(3))
    keys = {}
    for norm in ("running", "batch"):
        for name, rest in (("first", first), ("second", second)):
            twin = MomentumEncoder(built(), momentum=0.9, norm=norm).train()
            twin(torch.ones(2, 3, 2, 4, 4) * torch.linspace(0, 1, 64).view(2, 1, 2, 4, 4))
            keys[norm, name] = twin(torch.cat([one, rest]))[0]
    torch.testing.assert_close(keys["running", "first"], keys["running", "second"])
    assert abs(keys["batch", "first"] - keys["batch", "second"]).max() > 1e-3


def test_running_statistics_are_those_of_batchnorm_in_the_end() -> None:
    twin, online = MomentumEncoder(built(), momentum=1.0).train(), built()
    torch.manual_seed(1)
    for _ in range(200):
        batch = 3 + 2 * torch.randn(16, 3, 2, 4, 4)
        twin(batch)
        online(batch)
    torch.testing.assert_close(twin.encoder[1].running_mean, online[1].running_mean, rtol=0, atol=1e-3)
    torch.testing.assert_close(twin.encoder[1].running_var, online[1].running_var, rtol=1e-3, atol=0)


def test_the_state_has_the_names_of_the_network_and_comes_back() -> None:
    twin = MomentumEncoder(built(), momentum=0.9).train()
    assert list(twin.encoder.state_dict()) == list(built().state_dict())
    twin(torch.rand(2, 3, 2, 4, 4))
    other = MomentumEncoder(built(3), momentum=0.9).train()
    other.load_state_dict(twin.state_dict())
    x = torch.rand(2, 3, 2, 4, 4)
    assert torch.equal(twin(x), other(x))


class Doubling(nn.BatchNorm2d):
    """A layer of the family that does something that its children do not say."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:  # noqa: A002
        return 2 * super().forward(input)


def with_activation() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 1), BatchNormAct2d(4, act_layer=nn.PReLU), nn.Flatten())


def test_a_norm_that_activates_still_does_in_the_key_encoder() -> None:
    twin, online = MomentumEncoder(with_activation(), momentum=0.9), with_activation()
    assert list(twin.encoder.state_dict()) == list(online.state_dict())
    x = torch.randn(4, 3, 5, 5, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(twin.eval()(x), online.eval()(x))
    torch.testing.assert_close(twin.train()(x), online.train()(x), rtol=1e-2, atol=1e-2)  # unbiased variance
    twin.follow(online)


def test_a_norm_that_does_something_unknown_is_refused_by_name() -> None:
    with pytest.raises(ContractError, match="Doubling is derived from BatchNorm"):
        MomentumEncoder(nn.Sequential(Doubling(3)), momentum=0.9)


def test_queue_is_first_in_first_out_for_any_number_of_rows() -> None:
    queue = FeatureQueue(5, 2)
    torch.testing.assert_close(queue.features.norm(dim=1), torch.ones(5))
    rows = torch.arange(26.0).view(13, 2)
    queue.push([rows[0:3], rows[3:4]])
    assert torch.equal(queue.features[:4], rows[0:4])
    queue.push([rows[4:7]])
    assert torch.equal(queue.features, rows[[5, 6, 2, 3, 4]])
    queue.push([rows[7:13]])  # more than fit: the last five
    assert {tuple(row) for row in queue.features.tolist()} == {tuple(row) for row in rows[8:13].tolist()}
    queue.push([rows[0:1]])
    assert rows[8].tolist() not in queue.features.tolist(), "the oldest went"


def test_queue_comes_back_from_its_state() -> None:
    queue, other = FeatureQueue(4, 2), FeatureQueue(4, 2)
    queue.push([torch.ones(3, 2)])
    other.load_state_dict(queue.state_dict())
    for each in (queue, other):
        each.push([torch.zeros(2, 2)])
    assert torch.equal(queue.features, other.features)


@pytest.mark.parametrize(
    ("wanted", "videos", "expected"), [(500, 1000, 500), (500, 500, 500), (16384, 320, 320), (500, 9, 9)]
)
def test_queue_is_no_longer_than_the_data(wanted: int, videos: int, expected: int) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert queue_size(wanted, TaskContext(clip=CLIP, num_videos=videos, batch_size=16)) == expected
    assert [f"instead of {wanted}" in str(w.message) for w in caught] == [True] * (wanted > videos)


@pytest.mark.parametrize(("longer", "share", "most"), [(1, 0.55, 1), (3, 1.0, 3)])
def test_a_queue_as_long_as_the_data_has_an_older_key_of_about_half_of_those_who_ask(
    longer: int, share: float, most: int
) -> None:
    """What the warning says: of 40 videos in batches of 4, ten steps an epoch, in another order each."""
    order, queue = np.random.default_rng(0), FeatureQueue(longer * 40, 1)
    own = []
    for epoch in range(200):
        for batch in order.permutation(40).reshape(10, 4):
            own += [int((queue.features == video).sum()) for video in batch] if epoch > longer else []
            queue.push([torch.tensor(batch).float()[:, None]])
    assert np.mean(np.array(own) > 0) == pytest.approx(share, abs=0.02)
    assert max(own) == most


def test_contrast_accuracy_counts_ties_as_guesses() -> None:
    logits = torch.tensor([[2.0, 1.0, 0.0], [1.0, 1.0, 1.0], [0.0, 1.0, 0.0], [1.0, 1.0, 0.0]])
    assert contrast_accuracy(logits).item() == pytest.approx((1 + 1 / 3 + 0 + 1 / 2) / 4)
    second = contrast_accuracy(logits, torch.ones(4, dtype=torch.int64))
    assert second.item() == pytest.approx((0 + 1 / 3 + 1 + 1 / 2) / 4)
