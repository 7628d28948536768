"""What every layer of a network makes of a batch of clips, by hooks that tell the truth.

Known traps of looking at layers through forward hooks, and what is done here:

- A later layer overwrites the tensor (a ReLU in place): a number is made of an output as soon as its layer
  has run, and no output is kept.
- A container gives the very tensor of its last child, and an Identity or a Dropout that is switched off that
  of the layer before it. Such twins are found by the tensor, and named; they stay out, except with `all`.
- A module runs several times: each run is a layer, `name`, `name#2`, ….
- A module never runs, or gives no tensor: it is named among those that were passed over.
- The first axis does not count clips (attention with tokens first): `out_of_order` finds that by showing the
  clips in another order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor, nn

from vssl_core.errors import UsageError

__all__ = ["HOOKS", "Hooks", "Seen", "evaluating", "layers_of", "look", "out_of_order"]

Hooks = Literal["leaf", "block", "all"]
HOOKS: tuple[Hooks, ...] = ("leaf", "block", "all")

_WHOLE = "(whole)"
_SKETCH = 4096  # numbers by which outputs are compared, per clip
_ORDER = (2, 0, 3, 1)  # another order of four clips, in which none keeps its place


@dataclass
class Seen:
    """What one forward pass showed.

    Args:
        found: Layer → what was made of its output, in the order in which the layers ran.
        twins: Layer → the one whose tensor it hands on.
        passed_over: Module → why it is no layer here.
    """

    found: dict[str, Any] = field(default_factory=dict)
    twins: dict[str, str] = field(default_factory=dict)
    passed_over: dict[str, str] = field(default_factory=dict)


def layers_of(network: nn.Module, hooks: Hooks) -> dict[str, nn.Module]:
    """The modules to look at, by name.

    Args:
        network: Any network; `block` needs one with `stages()`.
        hooks: `leaf`: modules without children; `block`: the stages; `all`: every module, containers and the
            whole included, as the benchmark paper's tool does.

    Raises:
        UsageError: There is no such module.
    """
    if hooks == "block":
        stages = getattr(network, "stages", None)
        if not callable(stages):
            raise UsageError(
                f"expected a backbone with stages() for hooks 'block', got {type(network).__name__}; "
                "take 'leaf' or 'all'."
            )
        return dict(stages())
    named = {name or _WHOLE: module for name, module in network.named_modules()}
    return named if hooks == "all" else {n: m for n, m in named.items() if not any(m.children())}


@contextmanager
def evaluating(*networks: nn.Module) -> Iterator[None]:
    """Networks in eval mode; afterwards each module is in the mode that it was in."""
    modes = [(module, module.training) for network in networks for module in network.modules()]
    for network in networks:
        network.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


def look(
    network: nn.Module,
    clips: Tensor,
    layers: Mapping[str, nn.Module],
    *,
    take: Callable[[Tensor], Any],
    twins: bool = False,
) -> Seen:
    """One forward pass, and what `take` makes of each layer's output.

    Args:
        network: In eval mode.
        clips: (B, …), what the network takes.
        layers: From `layers_of`.
        take: Output (B, …) → anything. It is called while the tensor is what the layer gave, and must not
            keep it.
        twins: Take layers that hand on another one's tensor, too.
    """
    watch = _Watch(len(clips), take, twins=twins)
    handles = [module.register_forward_hook(watch.hook(name)) for name, module in layers.items()]
    try:
        with torch.inference_mode(False), torch.no_grad():  # else tensors do not tell when they are changed
            network(clips)
    finally:
        for handle in handles:
            handle.remove()
    watch.seen.passed_over.update({name: "it never ran" for name in layers if name not in watch.runs})
    return watch.seen


class _Watch:
    """The hooks of one forward pass."""

    def __init__(self, count: int, take: Callable[[Tensor], Any], *, twins: bool) -> None:
        self.seen, self.runs = Seen(), dict[str, int]()
        self._count, self._take, self._twins = count, take, twins
        self._last: tuple[Tensor, int, str] | None = None

    def hook(self, name: str) -> Callable[[nn.Module, Any, Any], None]:
        def after(module: nn.Module, inputs: Any, output: Any) -> None:
            del module, inputs
            self.runs[name] = self.runs.get(name, 0) + 1
            self._note(name if self.runs[name] == 1 else f"{name}#{self.runs[name]}", _tensor(output))

        return after

    def _note(self, name: str, output: Tensor | None) -> None:
        if output is None:
            self.seen.passed_over[name] = "it gives no tensor"
            return
        if output.ndim < 1 or output.numel() == 0 or len(output) % self._count:
            self.seen.passed_over[name] = (
                f"the first axis of its output {tuple(output.shape)} does not hold {self._count} clips"
            )
            return
        if twin := self._twin_of(output):
            self.seen.twins[name] = twin
            if not self._twins:
                self.seen.passed_over[name] = f"it hands on the tensor of {twin}"
                return
        else:
            self._last = (output, output._version, name)
        several = output.ndim == 1 or len(output) > self._count  # clip after clip
        self.seen.found[name] = self._take(output.unflatten(0, (self._count, -1)) if several else output)

    def _twin_of(self, output: Tensor) -> str:
        """The layer that gave this very tensor, unchanged since; a layer in place gives another version."""
        if self._last is None:
            return ""
        tensor, version, name = self._last
        return name if output is tensor and output._version == version else ""


def _tensor(output: Any) -> Tensor | None:
    """The first tensor of floating point in an output, which may be a tuple, a list or a mapping."""
    if isinstance(output, Tensor):
        return output if output.is_floating_point() else None
    if isinstance(output, Mapping):
        output = list(output.values())
    if isinstance(output, Sequence) and not isinstance(output, str):
        return next((found for part in output if (found := _tensor(part)) is not None), None)
    return None


def out_of_order(network: nn.Module, clips: Tensor, layers: Mapping[str, nn.Module]) -> dict[str, str]:
    """Layers whose output does not follow the clips, and why: tokens or time come first, or it is random.

    Four clips are shown in two orders; what a layer gives for a clip must go with it.

    Args:
        network: In eval mode.
        clips: Four clips (4, …).
        layers: From `layers_of`.
    """
    order = list(_ORDER)
    plain = look(network, clips[: len(order)], layers, take=_sketch)
    turned = look(network, clips[order], layers, take=_sketch)
    reason = (
        "what it gives for a clip depends on the place of the clip in the batch: its first axis does not "
        "count clips, or it is random"
    )
    return {
        name: reason
        for name, sketch in plain.found.items()
        if name not in turned.found or not _alike(sketch[order], turned.found[name])
    }


def _sketch(features: Tensor) -> Tensor:
    flat = features.flatten(1)
    return flat[:, :: max(1, flat.shape[1] // _SKETCH)].double()


def _alike(one: Tensor, other: Tensor) -> bool:
    """Differences are small beside what tells the clips apart, or are rounding; of NaN nothing is known."""
    if one.shape != other.shape or not one.isfinite().all():
        return one.shape == other.shape
    off = (one - other).norm()
    return bool(off <= 0.1 * (one - one.mean(dim=0)).norm() or off <= 1e-4 * one.norm())
