"""What must hold for every transformer: any clip, the contract, precision, checkpointing, stages."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from small_transformers import LIGHT, MAKERS, SMALL, TRANSFORMERS, Make, clips, each, settle, size
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from vssl_core.errors import UsageError
from vssl_core.types import ClipSpec
from vssl_plugins.backbones.tokens import Positions, drop_path_rates, resize_table
from vssl_plugins.backbones.video_swin import windows_of

pytestmark = pytest.mark.usefixtures("one_thread")

STRIDES = {
    "vivit": (2, math.inf, math.inf),
    "vivit_joint": (2, 16, 16),
    "timesformer": (1, 16, 16),
    "timesformer_joint": (1, 16, 16),
    "timesformer_space": (1, 16, 16),
    "video_swin": (2, 32, 32),
    "mvit_v1": (2, 32, 32),
    "mvit_v2": (2, 32, 32),
    "timm_resnet": (1, 32, 32),
    "timm_vit": (1, 16, 16),
}


def map_size(name: str, shape: tuple[int, ...]) -> tuple[int, ...]:
    strides = STRIDES[name]
    return tuple(max(math.ceil(n / s), 1) for n, s in zip(shape, strides, strict=True))


# ------------------------------------------------------------------------------------------- any clip


@pytest.mark.parametrize("name", MAKERS)
def test_every_clip_gives_the_map_that_the_docstring_promises(name: str) -> None:
    net = MAKERS[name]().eval()
    for shape in [(4, 64, 64), (16, 56, 56), (5, 57, 71), (7, 112, 30), (1, 16, 16)]:
        with torch.no_grad():
            features = net.forward_features(clips(2, *shape))
        assert features.shape == (2, net.embed_dim, *map_size(name, shape)), shape
        assert features.isfinite().all()


@pytest.mark.parametrize("name", TRANSFORMERS)
@pytest.mark.parametrize("shape", [(4, 224, 224), (64, 56, 56), (64, 224, 224), (16, 112, 112)])
def test_the_clips_of_protocols_pass_networks_built_for_them_and_for_others(
    name: str, shape: tuple[int, int, int]
) -> None:
    """On the meta device: shapes alone."""
    with torch.device("meta"), torch.no_grad():
        for clip in (SMALL, ClipSpec(shape[0], 1, shape[1])):
            net = MAKERS[name](clip).eval()
            features = net.forward_features(torch.empty(1, 3, *shape))
            assert features.shape == (1, net.embed_dim, *map_size(name, shape))


@each(*LIGHT)
def test_every_number_of_frames_from_4_to_64_works(make: Make) -> None:
    net = make().eval()
    with torch.no_grad():
        for frames in (*range(4, 12), 16, 31, 32, 33, 63, 64):
            assert net(clips(1, frames, 16, 16)).isfinite().all()


@each(*MAKERS)
@pytest.mark.parametrize("shape", [(3, 8, 32, 32), (1, 1, 8, 32, 32), (0, 3, 8, 32, 32), (1, 3, 0, 32, 32)])
def test_other_shapes_are_refused(make: Make, shape: tuple[int, ...]) -> None:
    with torch.device("meta"):
        net = make()
    with pytest.raises(UsageError, match=r"takes float clips \(B, 3, T, H, W\).*got \("):
        net(torch.randn(shape))


@each("vivit", "vivit_joint", "timesformer", "mvit_v1", "mvit_v2")
def test_positions_of_other_clips_are_interpolated_and_matter(make: Make) -> None:
    """A network built for the larger clip from interpolated tables gives what the smaller one gives."""
    small, large = settle(make()), settle(make(ClipSpec(8, 1, 96)))
    state = small.state_dict()
    for key, wanted in large.state_dict().items():
        if state[key].shape != wanted.shape:
            state[key] = resize_table(state[key], wanted.shape[:-1])
    large.load_state_dict(state)
    with torch.no_grad():
        video = clips(1, 8, 96, 96)
        torch.testing.assert_close(small(video), large(video), rtol=1e-3, atol=1e-4)
        for module in large.modules():
            if isinstance(module, Positions):
                module.table.copy_(module.table.flip(0))
        if any(isinstance(module, Positions) for module in large.modules()):
            assert (small(video) - large(video)).abs().max() > 1e-3


def test_a_table_is_interpolated_as_pytorch_does() -> None:
    table_THWD = torch.randn(5, 7, 7, 6)
    for grid in [(5, 7, 7), (9, 14, 4), (2, 3, 3), (1, 1, 1), (10, 7, 8)]:
        expected = F.interpolate(table_THWD.permute(3, 0, 1, 2)[None], size=grid, mode="trilinear")
        found = resize_table(table_THWD, grid)
        torch.testing.assert_close(found, expected[0].permute(1, 2, 3, 0), rtol=1e-5, atol=1e-6)
    assert resize_table(table_THWD, (5, 7, 7)) is table_THWD


# ------------------------------------------------------------------------------------------ the contract


@each(*MAKERS)
def test_forward_is_the_mean_of_the_map_and_its_batch_does_not_matter(make: Make) -> None:
    net, video = settle(make()), clips(3, 5, 48, 64)
    with torch.no_grad():
        together = net(video)
        torch.testing.assert_close(together, net.forward_features(video).mean((2, 3, 4)))
        alone = torch.cat([net(clip[None]) for clip in video])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)
    assert (together[0] - together[1]).abs().max() > 1e-3


@each("vivit", "vivit_joint", "timesformer", "timesformer_joint", "timesformer_space", "mvit_v1", "mvit_v2")
def test_the_class_token_is_pooled_where_it_is_asked_for(make: Make) -> None:
    mean, token, video = settle(make()), settle(make(pool="cls")), clips(2, 4, 64, 64)
    assert all(map(torch.equal, mean.state_dict().values(), token.state_dict().values()))
    with torch.no_grad():
        assert torch.equal(mean.forward_features(video), token.forward_features(video))
        assert token(video).shape == (2, token.embed_dim)
        assert (token(video) - mean(video)).abs().max() > 1e-2


@each(*MAKERS)
def test_initialisation_is_seeded_and_gradient_reaches_every_parameter(make: Make) -> None:
    net, again = make(), make()
    assert all(map(torch.equal, net.state_dict().values(), again.state_dict().values()))
    settle(net).train()
    features = net(clips(2, 5, 72, 72))  # no axis of a map is 1, where a table's row could not matter
    (features * torch.randn(features.shape)).sum().backward()
    assert [name for name, p in net.named_parameters() if p.grad is None or not p.grad.any()] == []


@each("vivit", "timesformer", "video_swin", "mvit_v2", "timm_resnet")
def test_channels_last_changes_neither_features_nor_gradients(make: Make) -> None:
    results = []
    for layout in (torch.contiguous_format, torch.channels_last_3d):
        net = make(drop_path=0.0).train().double()
        for parameter in net.parameters():
            if parameter.ndim == 5:
                parameter.data = parameter.data.contiguous(memory_format=layout)
        features = net(clips(2, 4, 40, 40).double().contiguous(memory_format=layout))
        features.square().sum().backward()
        results.append((features, next(iter(net.parameters())).grad))
    torch.testing.assert_close(results[0], results[1], rtol=1e-6, atol=1e-8)


@each(*TRANSFORMERS)
def test_bf16_autocast_stays_near_fp32_and_trains(make: Make) -> None:
    """With maps of four frames: see `vssl_core.precision` on gradients at two."""
    net, video = settle(make()), clips(2, 8, 48, 48)
    with torch.no_grad():
        expected = net(video)
    with torch.autocast("cpu", torch.bfloat16):
        features = net(video)
        features.float().square().sum().backward()
    assert F.cosine_similarity(features.float(), expected).min() > 0.99
    assert all(p.grad.isfinite().all() for p in net.parameters())


@each(*TRANSFORMERS)
def test_checkpointing_changes_neither_features_nor_gradients_and_saves_memory(make: Make) -> None:
    """In train mode, so that stochastic depth must draw the same twice."""
    found = []
    for checkpointing in (False, True):
        net = make(checkpointing=checkpointing, drop_path=0.5).train()
        kept: list[int] = []

        def keep(tensor: Tensor, kept: list[int] = kept) -> Tensor:
            kept.append(tensor.numel())
            return tensor

        torch.manual_seed(3)
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            features = net(clips(2, 4, 32, 32))
        features.square().sum().backward()
        found.append((features, [p.grad for p in net.parameters()], sum(kept)))
    torch.testing.assert_close(found[0][:2], found[1][:2])
    assert found[1][2] < 0.5 * found[0][2]


def compilable(name: str) -> tuple[nn.Module, tuple[object, ...]]:
    """A network, or of the deep ones the part that all others are like, with inputs."""
    net = settle(MAKERS[name]())
    if name == "video_swin":
        return net.layers[0].blocks[1], (
            torch.randn(1, 2, 9, 9, 16),
            windows_of((2, 9, 9), torch.device("cpu")),
        )
    if name == "mvit_v2":
        return net.blocks[1], (torch.randn(1, 1 + 2 * 5 * 5, 16), (2, 5, 5))
    return net, (clips(2, 4, 32, 32),)


@pytest.mark.parametrize("name", ["vivit", "timesformer", "video_swin", "mvit_v2"])
def test_nothing_breaks_the_graph_of_a_compiled_network(name: str) -> None:
    torch._dynamo.reset()
    module, inputs = compilable(name)
    compiled = torch.compile(module, backend="eager", fullgraph=True)
    with torch.no_grad():
        torch.testing.assert_close(compiled(*inputs), module(*inputs))


def test_a_compiled_network_may_have_checkpoints() -> None:
    torch._dynamo.reset()
    net, video = settle(MAKERS["timesformer"](checkpointing=True)), clips(2, 4, 32, 32)
    features = torch.compile(net, backend="aot_eager", fullgraph=True)(video)
    features.square().sum().backward()
    found = [p.grad for p in net.parameters()]
    net.zero_grad()
    net(video).square().sum().backward()
    torch.testing.assert_close(found, [p.grad for p in net.parameters()])


@pytest.mark.parametrize("name", ["timesformer", "video_swin"])
def test_an_exported_program_takes_any_batch(name: str) -> None:
    net, batch = settle(MAKERS[name]()), torch.export.Dim("batch", min=1)
    program = torch.export.export(net, (clips(2, 4, 32, 32),), dynamic_shapes=({0: batch},)).module()
    with torch.no_grad():
        for count in (1, 3):
            torch.testing.assert_close(program(clips(count, 4, 32, 32)), net(clips(count, 4, 32, 32)))


# --------------------------------------------------------------------------------------------- stages


@each(*TRANSFORMERS)
def test_stages_are_named_in_the_order_of_the_data_and_hold_every_parameter(make: Make) -> None:
    net, seen, video = make().eval(), [], clips(2, 4, 64, 64)
    stages = net.stages()
    for name, stage in stages.items():
        stage.register_forward_hook(lambda _m, _i, output, name=name: seen.append((name, output)))
    with torch.no_grad():
        net(video)
    assert [name for name, _ in seen] == list(stages)
    assert sum(size(stage) for stage in stages.values()) == size(net)
    for name, output in seen:
        first = output[0] if isinstance(output, tuple) else output
        assert first.shape[0] % 2 == 0, name
        assert first.flatten().unflatten(0, (2, -1)).isfinite().all()


@each(*TRANSFORMERS)
def test_outputs_of_stages_keep_clips_apart(make: Make) -> None:
    """Rows of an output cut in half are those of the first and of the second clip."""

    def outputs(video: Tensor) -> list[Tensor]:
        found: list[Tensor] = []
        hooks = [
            stage.register_forward_hook(
                lambda _m, _i, output: found.append(output[0] if isinstance(output, tuple) else output)
            )
            for stage in net.stages().values()
        ]
        with torch.no_grad():
            net(video)
        for hook in hooks:
            hook.remove()
        return found

    net, video = settle(make()), clips(2, 4, 32, 32)
    changed = torch.cat([video[:1], clips(1, 4, 32, 32, seed=9)])
    for before, after in zip(outputs(video), outputs(changed), strict=True):
        half = before.shape[0] // 2
        torch.testing.assert_close(before[:half], after[:half], rtol=1e-4, atol=1e-5)
        assert not torch.allclose(before[half:], after[half:])


def test_stochastic_depth_rises_from_zero_in_equal_steps() -> None:
    assert drop_path_rates(0.3, 4) == pytest.approx([0, 0.1, 0.2, 0.3])
    assert drop_path_rates(0.3, 1) == [0]
    defaults = {"vivit": 0, "timesformer": 0.1, "video_swin": 0.1, "mvit_v2": 0.2}
    for name, last in defaults.items():
        with torch.device("meta"):
            rates = [m.drop_prob for m in MAKERS[name]().modules() if type(m).__name__ == "DropPath"]
        assert max(rates, default=0) == pytest.approx(last)


@each("vivit", "timesformer", "mvit_v2")
def test_a_copy_is_independent(make: Make) -> None:
    net = make().eval()
    twin = copy.deepcopy(net)
    with torch.no_grad():
        for parameter in twin.parameters():
            parameter.add_(1)
        assert not torch.equal(net(clips(1, 4, 32, 32)), twin(clips(1, 4, 32, 32)))
