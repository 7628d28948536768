"""Checks of what a backbone is made of: seeded weights, state, stages, copies, devices, cost."""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from vssl_core import cost
from vssl_core.checkpoint import load_weights, save_weights
from vssl_core.draws import equal_draws
from vssl_core.interfaces import Backbone
from vssl_core.seeding import key_seed
from vssl_core.testing.backbone_builds import BackboneSubject, clips, difference, train_steps
from vssl_core.testing.fake_device import DEVICE, fake_device, first_line, stays_behind
from vssl_core.testing.file_events import recorded
from vssl_core.testing.outcome import CheckFailed, CheckSkipped
from vssl_core.testing.process_state import GENERATORS, disturbed, torch_draws, unchanged

__all__ = ["STATE_CHECKS"]

_DRAWN_LAYERS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.MultiheadAttention)
"""Layers whose weights torch draws."""


def check_provides_is_a_set_of_words(subject: BackboneSubject) -> None:
    """`provides` is a set of words, with `feature_map`, which every backbone gives."""
    words = subject.cls.provides
    if not isinstance(words, frozenset | set) or not all(isinstance(word, str) and word for word in words):
        raise CheckFailed(f"expected provides to be a frozenset of words; got {words!r}.")
    if "feature_map" not in words:
        raise CheckFailed(
            f"expected provides to hold 'feature_map', which forward_features gives; got {sorted(words)}. "
            "Without it every task that needs a map refuses the backbone."
        )


def check_seed_decides_the_weights(subject: BackboneSubject) -> None:
    """Weights are a function of torch's seed: equal for equal seeds, every layer's different for others."""
    torch.use_deterministic_algorithms(True)
    memory: Any = torch.utils.deterministic
    memory.fill_uninitialized_memory = True  # with NaN, so that what nobody set shows
    with disturbed(1):
        first = subject.build()
    with disturbed(2):
        second = subject.build()
    if apart := _apart(first, second):
        raise CheckFailed(
            f"expected equal weights of two backbones with one seed, but {', '.join(apart[:4])} differ; draw "
            "initial weights from torch's global generator alone, which the core seeds, and set all of them."
        )
    video = clips(2, subject.clip)
    with torch.no_grad():
        if difference(first.eval()(video), second.eval()(video)) > 1e-6:
            raise CheckFailed(
                "expected equal features of two new backbones with one seed, but they differ although their "
                "states are equal; make every tensor a parameter or buffer, drawn from torch's generator."
            )
    third = subject.build(seed=1)
    if any(p.requires_grad and p.numel() > 1 for p in first.parameters()) and not _apart(first, third):
        raise CheckFailed(
            "expected the seed to decide about the initial weights, but two seeds give the same; do not seed "
            "in __init__, the core does."
        )
    if brought := _brought_along(first, third):
        raise CheckFailed(
            f"expected weights to be drawn anew for every seed, but {', '.join(brought[:4])} are the same "
            "for two seeds; weights that were trained before are loaded by the user (option `weights`); "
            "what is fixed is a buffer or has no gradient."
        )


def check_building_leaves_the_process_alone(subject: BackboneSubject) -> None:
    """Building a backbone seeds nothing, changes no setting, writes no file and opens no connection."""
    after = []
    with recorded() as events, unchanged("building the backbone", generators=("random", "numpy.random")):
        for seed in (1, 2):
            with torch.random.fork_rng(devices=[]), equal_draws():
                torch.manual_seed(key_seed("backbone", seed))
                subject.cls(subject.options, subject.clip)
                after.append(torch_draws())
    if after[0] == after[1]:
        raise CheckFailed(
            "expected __init__ to draw from torch's generator as it is, but it seeds it anew; the core seeds."
        )
    if written := events.written_and_left():
        raise CheckFailed(f"expected building the backbone to write no file, but it wrote {written[0]!r}.")
    if events.addresses:
        raise CheckFailed(
            f"expected building the backbone to open no connection, but it asked for {events.addresses[0]}; "
            "weights of others are loaded by the user, not by __init__."
        )


def check_calls_leave_the_process_alone(subject: BackboneSubject) -> None:
    """A forward pass seeds nothing and changes no setting; in eval mode it draws nothing."""
    backbone, video = subject.copy().eval(), clips(2, subject.clip)
    for training in (False, True):
        backbone.train(training)
        modes = _modes(backbone)
        with unchanged("a call", generators=("random", "numpy.random") if training else GENERATORS):
            backbone(video)
        if changed := [name for name, mode in _modes(backbone).items() if mode != modes[name]]:
            raise CheckFailed(
                f"expected a call to leave train and eval mode and requires_grad alone, but it switched "
                f"{changed[0]!r}; those who train decide."
            )
    after = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        with torch.no_grad():
            backbone(video)
        after.append(torch_draws())
    if after[0] == after[1]:
        raise CheckFailed(
            "expected a call in train mode to draw from torch's generator as it is, but it seeds it anew."
        )


def check_state_dict_is_the_whole_state(subject: BackboneSubject) -> None:
    """The saved weights of a trained backbone, loaded into one of another seed, give the same features."""
    trained, other = subject.build(seed=0), subject.build(seed=1)
    train_steps(trained, subject.clip, steps=2, rate=0.01)
    with tempfile.TemporaryDirectory(prefix="vssl-check-") as folder:
        path = Path(folder) / "weights.safetensors"
        save_weights(path, trained, {"format": "vssl"})
        try:
            load_weights(path, other)
        except RuntimeError as error:
            raise CheckFailed(
                f"expected the saved state of a trained backbone to fit a new one, but {error}; make every "
                "parameter and buffer in __init__."
            ) from error
    video = clips(3, subject.clip)
    with torch.no_grad():
        gap = difference(other.eval()(video), trained.eval()(video))
    if gap > 1e-6:
        raise CheckFailed(
            "expected the state dict to hold all that a backbone learnt, but after save and load features "
            f"differ by {gap:.2g} of the largest value; make every tensor and counter that an output depends "
            "on a parameter or a persistent buffer."
        )


def check_copies_are_independent(subject: BackboneSubject) -> None:
    """A deep copy gives the same features, and shares no weight with its original."""
    original, video = subject.build(), clips(2, subject.clip)
    reached = _trained(original, video)
    try:
        twin = copy.deepcopy(original.eval())
    except Exception as error:
        raise CheckFailed(
            f"expected a backbone that was trained to be copied by copy.deepcopy; {type(error).__name__}: "
            f"{error}. Keep no features or other tensors with a gradient."
        ) from error
    twin.zero_grad()
    twin.eval()
    with torch.no_grad():
        before = original(video)
        if (gap := difference(twin(video), before)) > 1e-6:
            raise CheckFailed(
                f"expected equal features of a deep copy; they differ by {gap:.2g} of the largest."
            )
        for parameter in twin.parameters():
            parameter.add_(0.5)
        if difference(original(video), before) > 1e-6:
            raise CheckFailed(
                "expected a deep copy to be a network of its own, but changing its weights changes the "
                "original's features; keep no module or tensor in a closure, a class or a global name."
            )
    if missed := reached - _trained(twin, video):
        raise CheckFailed(
            f"expected training of a deep copy to reach its own weights, but {', '.join(sorted(missed)[:4])} "
            "get no gradient there; keep no module or tensor in a closure, a class or a global name."
        )


def check_stages_are_in_order(subject: BackboneSubject) -> None:
    """`stages` names modules of the network, each of which is called, in the order in which data passes."""
    backbone = subject.copy().eval()
    stages = backbone.stages()
    if not isinstance(stages, Mapping) or not stages:
        raise CheckFailed(f"expected stages() to give a mapping with one stage at least; got {stages!r}.")
    own = {id(module) for module in backbone.modules()}
    if foreign := [name for name, module in stages.items() if id(module) not in own]:
        raise CheckFailed(
            f"expected stages() to name modules of the network, but {', '.join(foreign)} is none of them; "
            "give the modules themselves, not copies."
        )
    order = _order_of_calls(backbone, stages, clips(1, subject.clip))
    if silent := [name for name in stages if name not in order]:
        raise CheckFailed(
            f"expected forward_features to call every stage, but it never calls {', '.join(silent)}; a stage "
            "is a module that is called as one (a ModuleList is not)."
        )
    if order != list(stages):
        raise CheckFailed(
            f"expected stages() in the order in which data passes, {', '.join(order)}; got "
            f"{', '.join(map(str, stages))}."
        )


def check_everything_moves_with_the_module(subject: BackboneSubject) -> None:
    """Nothing stays behind on the CPU: tensors are parameters, buffers, or made where the clip is."""
    backbone = subject.copy().eval()
    video = clips(2, subject.clip)
    try:
        with fake_device(backbone), torch.no_grad():
            output = backbone.forward_features(torch.empty(video.shape, device=DEVICE))
            place = output.device.type
    except Exception as error:
        if stays_behind(error):
            raise CheckFailed(
                f"expected the backbone to work on another device, but a tensor stays on the CPU ({error}); "
                "register_buffer what is kept, and give device=video.device to what is made."
            ) from error
        raise CheckSkipped(f"this network cannot be followed without a GPU: {first_line(error)}") from error
    if place != DEVICE.type:
        raise CheckFailed(f"expected features where the clips are; got them on {place}.")


def check_cost_can_be_counted(subject: BackboneSubject) -> None:
    """The core counts FLOPs of one clip by tracing, which every row of a table shows."""
    try:
        gflops, _ = cost.count_flops(subject.settled, subject.clip)
    except Exception as error:
        raise CheckFailed(
            f"expected a network that torch.jit can trace, so that its cost can be counted; got "
            f"{type(error).__name__}: {error}. Let nothing but shapes decide what forward_features does."
        ) from error
    if not 0.0 <= gflops < float("inf"):
        raise CheckFailed(f"expected a finite number of FLOPs; counted {gflops} G.")


def _apart(first: Backbone, second: Backbone) -> list[str]:
    """Names of the tensors of two states that differ."""
    one, other = first.state_dict(), second.state_dict()
    names = dict.fromkeys([*one, *other])
    return [n for n in names if n not in one or n not in other or not torch.equal(one[n], other[n])]


def _brought_along(one: Backbone, other: Backbone) -> list[str]:
    """Trainable weights of layers that are equal in both, and hold more than the few values of a pattern."""
    weights, found = dict(other.named_parameters()), []
    for prefix, module in one.named_modules():
        for name, weight in module.named_parameters(prefix, recurse=False):
            of_a_layer = isinstance(module, _DRAWN_LAYERS) and weight.requires_grad and weight.ndim > 1
            if of_a_layer and torch.equal(weight, weights[name]):
                found += [name] if len(weight.unique()) > max(8, weight.numel() // 10) else []
    return found


def _modes(backbone: Backbone) -> dict[str, bool]:
    """Name → mode of every module and requires_grad of every parameter."""
    modes = {f"{name} (train mode)": module.training for name, module in backbone.named_modules()}
    return {**modes, **{name: parameter.requires_grad for name, parameter in backbone.named_parameters()}}


def _trained(backbone: Backbone, video: Tensor) -> set[str]:
    """Names of the parameters that get a gradient."""
    features: Any = backbone.train()(video)
    if features.requires_grad:
        features.sum().backward()
    return {name for name, parameter in backbone.named_parameters() if parameter.grad is not None}


def _order_of_calls(backbone: Backbone, stages: Mapping[str, nn.Module], video: Tensor) -> list[str]:
    """Names of the stages in the order in which their first output came."""
    order: list[str] = []

    def note(name: str) -> None:
        if name not in order:
            order.append(name)

    handles = [
        module.register_forward_hook(lambda *_, name=name: note(name)) for name, module in stages.items()
    ]
    with torch.no_grad():
        backbone.forward_features(video)
    for handle in handles:
        handle.remove()
    return order


STATE_CHECKS = (
    check_provides_is_a_set_of_words,
    check_seed_decides_the_weights,
    check_building_leaves_the_process_alone,
    check_calls_leave_the_process_alone,
    check_state_dict_is_the_whole_state,
    check_copies_are_independent,
    check_stages_are_in_order,
    check_everything_moves_with_the_module,
    check_cost_can_be_counted,
)
