"""Hooks that tell the truth: in place, twice, never, tuples, containers, axes in another order."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
import torch
from torch import Tensor, nn

from vssl_core.errors import UsageError
from vssl_plugins.evaluators.layers import evaluating, layers_of, look, out_of_order


class InPlace(nn.Module):
    """Each linear layer is followed by a ReLU that overwrites its output; the one ReLU runs twice."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(5, 6), nn.Linear(6, 4)
        self.relu = nn.ReLU(inplace=True)
        self.unused = nn.Linear(2, 2)

    def forward(self, x_BP: Tensor) -> Tensor:
        return self.relu(self.second(self.relu(self.first(x_BP))))

    def stages(self) -> Mapping[str, nn.Module]:
        return {"begin": self.first, "end": self.second}


def looked(network: nn.Module, clips: Tensor, hooks: str = "leaf", **how: bool) -> object:
    return look(network.eval(), clips, layers_of(network, hooks), take=torch.clone, **how)


@pytest.fixture
def clips() -> Tensor:
    return torch.randn(6, 5, generator=torch.Generator().manual_seed(0))


def test_outputs_are_seen_before_later_layers_change_them(clips: Tensor) -> None:
    network = InPlace()
    seen = looked(network, clips)
    assert list(seen.found) == ["first", "relu", "second", "relu#2"]
    torch.testing.assert_close(seen.found["first"], network.first(clips))
    torch.testing.assert_close(seen.found["relu"], network.first(clips).relu())
    assert (seen.found["first"] < 0).any()
    assert seen.twins == {}
    assert seen.passed_over == {"unused": "it never ran"}
    assert not any(module._forward_hooks for module in network.modules())


def test_they_are_seen_in_inference_mode_too(clips: Tensor) -> None:
    network = InPlace()
    with torch.inference_mode():
        seen = looked(network, clips)
    assert list(seen.found) == ["first", "relu", "second", "relu#2"]


def test_hooks_go_also_when_the_network_fails(clips: Tensor) -> None:
    network = InPlace()
    with pytest.raises(RuntimeError):
        looked(network, torch.randn(6, 3))
    assert not any(module._forward_hooks for module in network.modules())


def test_blocks_are_the_stages_and_all_is_everything(clips: Tensor) -> None:
    network = InPlace()
    assert list(looked(network, clips, "block").found) == ["begin", "end"]
    assert list(layers_of(network, "all")) == ["(whole)", "first", "second", "relu", "unused"]
    with pytest.raises(UsageError, match=r"stages\(\)"):
        layers_of(nn.Linear(2, 2), "block")


def test_containers_and_layers_that_change_nothing_are_named_as_twins(clips: Tensor) -> None:
    network = nn.Sequential(nn.Sequential(nn.Linear(5, 3), nn.Tanh()), nn.Dropout(0.5), nn.Identity())
    seen = looked(network, clips, "all")
    assert list(seen.found) == ["0.0", "0.1"]
    assert seen.twins == {"0": "0.1", "1": "0.1", "2": "0.1", "(whole)": "0.1"}
    assert seen.passed_over["0"] == "it hands on the tensor of 0.1"
    parity = looked(network, clips, "all", twins=True)
    assert list(parity.found) == ["0.0", "0.1", "0", "1", "2", "(whole)"]
    assert parity.twins == seen.twins
    assert torch.equal(parity.found["0"], parity.found["0.1"])


class Odd(nn.Module):
    """Outputs of several kinds."""

    def __init__(self, output: object) -> None:
        super().__init__()
        self.output = output

    def forward(self, x_BP: Tensor) -> object:
        return self.output(x_BP)


class Host(nn.Module):
    """Runs one odd layer and gives its input on."""

    def __init__(self, output: object) -> None:
        super().__init__()
        self.odd, self.last = Odd(output), nn.Linear(5, 2)

    def forward(self, x_BP: Tensor) -> Tensor:
        self.odd(x_BP)
        return self.last(x_BP)


@pytest.mark.parametrize(
    "output",
    [
        lambda x: (2 * x, None),
        lambda x: [torch.arange(6), 2 * x],
        lambda x: {"weights": None, "hidden": (2 * x,)},
    ],
)
def test_the_first_tensor_of_a_tuple_list_or_mapping_is_taken(clips: Tensor, output: object) -> None:
    torch.testing.assert_close(looked(Host(output), clips).found["odd"], 2 * clips)


def test_outputs_that_are_no_features_of_clips_are_passed_over_with_a_reason(clips: Tensor) -> None:
    assert looked(Host(lambda x: None), clips).passed_over == {"odd": "it gives no tensor"}
    assert looked(Host(lambda x: x.argmax(1)), clips).passed_over == {"odd": "it gives no tensor"}
    reason = looked(Host(lambda x: x.T), clips).passed_over["odd"]
    assert "(5, 6) does not hold 6 clips" in reason


def test_several_rows_of_each_clip_are_its_features(clips: Tensor) -> None:
    seen = looked(Host(lambda x: torch.stack([x, -x], dim=1).flatten(0, 1)), clips)
    torch.testing.assert_close(seen.found["odd"], torch.stack([clips, -clips], dim=1))
    assert looked(Host(lambda x: x.sum(dim=1)), clips).found["odd"].shape == (6, 1)


def test_layers_whose_first_axis_counts_something_else_are_found(clips: Tensor) -> None:
    tokens_first = Host(lambda x: torch.stack([x, -x, 2 * x, x + 1]).flatten(0, 1))  # (4 tokens · B, P)
    assert (
        "place of the clip"
        in out_of_order(tokens_first.eval(), clips, layers_of(tokens_first, "leaf"))["odd"]
    )
    clips_first = Host(lambda x: torch.stack([x, -x, 2 * x, x + 1], dim=1).flatten(0, 1))
    assert out_of_order(clips_first.eval(), clips, layers_of(clips_first, "leaf")) == {}


def test_random_layers_are_found_and_plain_ones_are_not(clips: Tensor) -> None:
    torch.manual_seed(0)
    noisy = Host(lambda x: x * torch.rand(len(x), 1))
    assert list(out_of_order(noisy.eval(), clips, layers_of(noisy, "leaf"))) == ["odd"]
    constant = Host(lambda x: torch.ones(len(x), 3) * 0.1 + 1e-7 * x[:, :3])
    assert out_of_order(constant.eval(), clips, layers_of(constant, "leaf")) == {}
    network = InPlace().eval()
    assert out_of_order(network, clips, layers_of(network, "leaf")) == {}


def test_every_module_is_left_in_its_mode() -> None:
    network = nn.Sequential(nn.Dropout(), nn.BatchNorm1d(3))
    network[1].eval()
    with evaluating(network):
        assert not any(module.training for module in network.modules())
    assert [network.training, network[0].training, network[1].training] == [True, True, False]
