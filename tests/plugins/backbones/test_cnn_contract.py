"""What every convolutional backbone keeps to: maps, layouts, gradients, refusals."""

from __future__ import annotations

import math
import warnings

import pytest
import torch
from cnn_nets import ALL, STRIDES, make, settle, size
from torch import nn

from vssl_core.errors import UsageError


@ALL
def test_every_clip_size_gives_the_map_that_the_docstring_promises(cls) -> None:
    net = make(cls).eval()
    stride = STRIDES[cls]
    shapes = [(4, 56, 56), (8, 64, 64), (5, 57, 71), (1, 1, 1), (7, 30, 90)]
    shapes += [(frames, 16, 16) for frames in (4, 6, 9, 15, 16, 17, 31, 33, 48, 63, 64)]
    shapes += [(4, pixels, 8) for pixels in (56, 57, 111, 112, 113, 160, 223, 224)]
    for shape in shapes:
        with torch.no_grad():
            features = net.forward_features(torch.randn(1, 3, *shape))
        expected = tuple(math.ceil(n / s) for n, s in zip(shape, stride, strict=True))
        assert features.shape == (1, net.embed_dim, *expected), shape
        assert features.isfinite().all()


@ALL
def test_forward_is_the_mean_of_the_map_and_stages_compose_to_it(cls) -> None:
    net, video = make(cls).eval(), torch.randn(2, 3, 4, 40, 40)
    with torch.no_grad():
        features = net.forward_features(video)
        torch.testing.assert_close(net(video), features.mean((2, 3, 4)))
        x = video
        for stage in net.stages().values():
            x = stage(x)
    assert torch.equal(x, features)
    assert next(iter(net.stages())) == "stem"
    assert sum(size(stage) for stage in net.stages().values()) == size(net)


@ALL
def test_eval_output_does_not_depend_on_the_rest_of_the_batch(cls) -> None:
    net, video = settle(make(cls)), torch.randn(3, 3, 4, 40, 40)
    with torch.no_grad():
        together = net(video)
        alone = torch.cat([net(clip[None]) for clip in video])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-4)


@ALL
def test_channels_last_changes_neither_features_nor_gradients(cls) -> None:
    video = torch.randn(2, 3, 4, 40, 40)
    results = []
    for layout in (torch.contiguous_format, torch.channels_last_3d):
        net = make(cls).train().double().to(memory_format=layout)
        features = net(video.double().contiguous(memory_format=layout))
        features.square().sum().backward()
        results.append((features, net.stem.get_parameter(next(iter(net.stem.state_dict()))).grad))
    torch.testing.assert_close(results[0], results[1], rtol=1e-6, atol=1e-8)


@ALL
def test_bf16_autocast_gives_nearly_the_same_features_and_finite_gradients(cls) -> None:
    """Gradients of frames that oneDNN has no fault with on this processor: see `vssl_core.precision`."""
    net, video = settle(make(cls)), torch.randn(2, 3, 4, 40, 40)
    with torch.no_grad():
        expected = net(video)
        with torch.autocast("cpu", torch.bfloat16):
            features = net(video)
    assert expected.abs().mean() > 0.1
    assert (features.float() - expected).abs().mean() < 0.15 * expected.abs().mean()
    with torch.autocast("cpu", torch.bfloat16):
        net(
            video if torch.cpu._is_amx_tile_supported() else video[:, :, :1]
        ).float().square().sum().backward()
    assert [name for name, p in net.named_parameters() if not p.grad.isfinite().all()] == []


@ALL
def test_gradient_reaches_every_parameter(cls) -> None:
    """In eval mode: in train mode the BatchNorm after next takes out what some biases add."""
    net, video = make(cls), torch.randn(3, 3, 4, 40, 40)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm3d):
            module.momentum = 1.0
            nn.init.ones_(module.weight)  # nothing passes a normalisation that still multiplies by zero
    net.train()(video)  # the running statistics are now those of the clips
    features = net.eval()(video)
    (features * torch.randn(features.shape)).sum().backward()
    assert [name for name, p in net.named_parameters() if p.grad is None or not p.grad.any()] == []


@ALL
def test_in_eval_mode_no_module_overwrites_an_activation_that_a_hook_keeps(cls) -> None:
    net, kept = make(cls).eval(), []
    for module in net.modules():
        if not list(module.children()):
            module.register_forward_hook(
                lambda _m, _i, output: kept.append((output, output.detach().clone()))
            )
    net(torch.randn(2, 3, 4, 40, 40))
    assert len(kept) > 20
    assert all(torch.equal(output, copy) for output, copy in kept)


@ALL
def test_in_train_mode_activations_work_in_place(cls) -> None:
    """A tenth of a large network's step on a CPU: each would write another map of its size."""
    net, kept = make(cls).train(), []
    for module in net.modules():
        if isinstance(module, nn.ReLU | nn.ReLU6):
            module.register_forward_hook(lambda _m, inputs, output: kept.append(inputs[0] is output))
    net(torch.randn(2, 3, 4, 40, 40))
    assert len(kept) >= 5
    assert all(kept)


@ALL
def test_one_value_per_channel_in_train_mode_is_refused_and_says_what_helps(cls) -> None:
    net = make(cls)
    frames, height, width = STRIDES[cls]
    video = torch.randn(1, 3, frames, height, width)
    with pytest.raises(UsageError, match=r"two or more clips.*got \(1, 3, .*Raise the batch size"):
        net.train()(video)
    assert net.eval()(video).isfinite().all()
    assert net.train()(torch.randn(2, 3, frames, height, width)).isfinite().all()
    assert net.train()(torch.randn(1, 3, frames + 1, height, width)).isfinite().all()


@ALL
@pytest.mark.parametrize("shape", [(3, 8, 32, 32), (1, 1, 8, 32, 32), (0, 3, 8, 32, 32), (1, 3, 0, 32, 32)])
def test_other_shapes_are_refused(cls, shape: tuple[int, ...]) -> None:
    with pytest.raises(UsageError, match=r"takes float clips \(B, 3, T, H, W\).*got \("):
        make(cls)(torch.randn(shape))


@ALL
@pytest.mark.filterwarnings("ignore:.torch.jit:FutureWarning")
def test_tracing_gives_the_same_features(cls) -> None:
    net, video = make(cls).eval(), torch.randn(1, 3, 4, 40, 40)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore", torch.jit.TracerWarning)
        traced = torch.jit.trace(net, video)
        torch.testing.assert_close(traced(video), net(video))


@ALL
def test_the_compiler_takes_the_whole_network_in_one_graph(cls) -> None:
    net, video = settle(make(cls)), torch.randn(2, 3, 4, 32, 32)
    compiled = torch.compile(net, fullgraph=True, backend="eager")
    with torch.no_grad():
        torch.testing.assert_close(compiled(video), net(video))
