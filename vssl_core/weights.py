"""Published weights: read from a file, renamed by a named key map, loaded with every key accounted for.

A backbone lists in `key_maps` the layouts that it can load beside its own; the core picks the one that
accounts for every tensor of the file and of the network, and says which it was. Nothing is skipped in
silence: what a map leaves out (a classifier) or leaves as initialised (a part that the publisher's network
does not have) is named in the map, and anything else is an error that lists it.

Pickled files are opened through torch's `weights_only` reader alone, which runs no code.
"""

from __future__ import annotations

import pickle
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from vssl_core.errors import ContractError, UsageError, WeightsError
from vssl_core.files import file_sha256

__all__ = [
    "OWN_NAMES",
    "KeyMap",
    "Loaded",
    "file_digest",
    "load_into",
    "load_weights",
    "publishers_names",
]

_WRAPPERS = ("state_dict", "model_state", "model_state_dict", "model")
_PREFIXES = ("module.", "model.", "backbone.")
_COUNTER = "num_batches_tracked"
_SHOWN = 10

Tensors = dict[str, Tensor]
Convert = Callable[[Tensors, nn.Module], Tensors]
"""(renamed tensors, the network) → the network's tensors: for inflation, splits, copies, resized tables.

A source key that the map did not rename is still there under its old name. May raise WeightsError.
"""


@dataclass(frozen=True, slots=True)
class KeyMap:
    """How one published layout is named in this backbone.

    Every pattern is a regular expression that is matched at the start of a key, after the wrappers that
    training scripts add (`state_dict`, `module.`, `backbone.` …) are gone.

    Args:
        name: What errors and the run call it: `torchvision r3d_18`.
        recognise: Each must match some key of the file; else the map is not tried.
        rename: (pattern, replacement) of `re.sub`, one after the other, on every key that is kept.
        drop: Keys of the file that have no place here: classifiers, index buffers.
        initial: Keys of the network that the file does not have; they keep their initial values.
        convert: Changes tensors after they were renamed; gets the network for its shapes.
        back: `re.sub` pairs that name the network's keys as the publisher does, for `vssl export`; empty
            where the publisher has no exact counterpart.
        convert_back: Changes the shapes of tensors that `back` has named, where the publisher's differ.
        without: None may match a key of the file; else the map is not tried.
    """

    name: str
    recognise: tuple[str, ...] = ()
    rename: tuple[tuple[str, str], ...] = ()
    drop: tuple[str, ...] = ()
    initial: tuple[str, ...] = ()
    convert: Convert | None = None
    back: tuple[tuple[str, str], ...] = ()
    without: tuple[str, ...] = ()
    convert_back: Callable[[Tensors], Tensors] | None = None


OWN_NAMES = KeyMap("names of vssl")
"""The backbone's own state dict, as `vssl export` writes it; always tried first."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """What `load_into` did.

    Args:
        key_map: Name of the map that fitted.
        tensors: How many tensors of the network were set.
        dropped: Keys of the file that the map leaves out.
        initial: Keys of the network that keep their initial values.
    """

    key_map: str
    tensors: int
    dropped: tuple[str, ...]
    initial: tuple[str, ...]

    def __str__(self) -> str:
        parts = [f"{self.tensors} tensors by key map {self.key_map!r}"]
        parts += [f"left out of the file: {_listed(self.dropped)}"] if self.dropped else []
        parts += [f"as initialised: {_listed(self.initial)}"] if self.initial else []
        return "; ".join(parts)


@dataclass(frozen=True, slots=True)
class _Fit:
    """How well one map accounts for a file."""

    key_map: KeyMap
    tensors: Tensors = field(default_factory=dict)
    dropped: tuple[str, ...] = ()
    initial: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    unexpected: tuple[str, ...] = ()
    shapes: tuple[str, ...] = ()
    refusal: str = ""

    @property
    def problems(self) -> int:
        return len(self.missing) + len(self.unexpected) + len(self.shapes)

    @property
    def is_meant(self) -> bool:
        """The file's names say that it may be of this layout."""
        return bool(self.key_map.recognise) or 2 * len(self.unexpected) <= len(self.tensors)

    def text(self) -> str:
        if self.refusal:
            return f"which refuses it: {self.refusal.rstrip('.')}"
        lists = {
            "not in the file": self.missing,
            "in the file and not expected": self.unexpected,
            "of another shape": self.shapes,
        }
        parts = [f"{len(keys)} {what}: {_listed(keys)}" for what, keys in lists.items() if keys]
        return f"by which there are {'; '.join(parts)}"


# ----------------------------------------------------------------------------------------------- a file


def file_digest(path: Path) -> str:
    """SHA-256 of a file's content.

    Raises:
        WeightsError: It cannot be read.
    """
    try:
        return file_sha256(path)
    except OSError as error:
        raise WeightsError(f"cannot read weights {str(path)!r}: {error.strerror or error}.") from error


def load_weights(path: Path) -> Tensors:
    """The tensors of a safetensors or PyTorch file, without the wrappers that training scripts add.

    Raises:
        WeightsError: The file cannot be read, holds more than tensors and plain values, or no tensors.
    """
    return _without_prefixes(_tensors(path))


def _tensors(path: Path) -> Tensors:
    """The tensors of a file by the names that they have there."""
    content = _read(path)
    tensors = _unwrapped(content)
    if not tensors:
        raise WeightsError(
            f"{str(path)!r} holds no state dict: expected tensors by name, or one under "
            f"{', '.join(repr(word) for word in _WRAPPERS)}; got {_instead(content)}."
        )
    return tensors


def _read(path: Path) -> Any:
    try:
        with path.open("rb") as file:
            start = file.read(9)
        if path.suffix == ".safetensors" or start[8:] == b"{":
            return load_file(path)
        return torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise WeightsError(f"cannot read weights {str(path)!r}: {error.strerror or error}.") from error
    except pickle.UnpicklingError as error:
        named = re.search(r"GLOBAL ([\w.]+)", str(error))
        held = f"it holds {named[1]}" if named else "it holds other objects, or is damaged"
        raise WeightsError(
            f"{str(path)!r} is no file of tensors alone ({held}), and anything else could run code when it "
            "is opened. Where you trust it, save its state dict anew: "
            "safetensors.torch.save_file(state_dict, 'weights.safetensors')."
        ) from error
    except Exception as error:  # the readers raise anything on bytes that are no such file
        raise WeightsError(f"{str(path)!r} is neither safetensors nor a PyTorch file ({error}).") from error


def _unwrapped(content: Any) -> Tensors:
    """The state dict inside what a training script saved; empty where there is none."""
    if not isinstance(content, Mapping):
        return {}
    if content and all(isinstance(value, Tensor) for value in content.values()):
        return {str(key): value for key, value in content.items()}
    for word in _WRAPPERS:
        if word in content:
            return _unwrapped(content[word])
    return {}


def _instead(content: Any) -> str:
    """What a file holds that is no state dict, in words."""
    if not isinstance(content, Mapping):
        return type(content).__name__
    word = next((word for word in _WRAPPERS if word in content), None)
    others = {key: value for key, value in content.items() if not isinstance(value, Tensor)}
    if word is not None and word in others:
        return f"{_instead(content[word])} under {word!r}"
    if len(others) == len(content):
        return f"the entries {_listed(content)}" if content else "no entry"
    kinds = _listed(f"{key} ({type(value).__name__})" for key, value in others.items())
    return f"tensors beside entries that are none, which must go: {kinds}"


def _without_prefixes(tensors: Tensors) -> Tensors:
    """Take off what all keys begin with; `backbone.` also where only some do (heads lie beside it)."""
    for prefix in _PREFIXES:
        having = [key.startswith(prefix) for key in tensors]
        if all(having) or (prefix == "backbone." and any(having)):
            shorter = {key.removeprefix(prefix): value for key, value in tensors.items()}
            return _without_prefixes(shorter) if len(shorter) == len(tensors) else tensors
    return tensors


# --------------------------------------------------------------------------------------- into a network


def load_into(module: nn.Module, path: Path, maps: Sequence[KeyMap] = ()) -> Loaded:
    """Set every tensor of `module` from a file, by its own names or by the first of `maps` that fits.

    The counters of BatchNorm (`num_batches_tracked`), which old files lack and which nothing here reads,
    may be missing; they keep their values.

    Raises:
        WeightsError: No map accounts for every key; the message lists those that are missing,
            unexpected or of another shape under the map that came nearest. `module` is unchanged.
    """
    there = _tensors(path)
    found = _without_prefixes(there)
    fits = [_fit(key_map, found, module) for key_map in (OWN_NAMES, *maps) if _recognises(key_map, found)]
    # `model.` may be a part of the network, not what a script has wrapped it in.
    fits.insert(0, _fit(OWN_NAMES, there, module))
    fitting = next((fit for fit in fits if not fit.problems and not fit.refusal), None)
    if fitting is None:
        raise WeightsError(_why_not(path, module, fits, maps))
    module.load_state_dict({**module.state_dict(), **fitting.tensors})
    return Loaded(fitting.key_map.name, len(fitting.tensors), fitting.dropped, fitting.initial)


def _why_not(path: Path, module: nn.Module, fits: Sequence[_Fit], maps: Sequence[KeyMap]) -> str:
    meant = [fit for fit in fits if fit.is_meant] or fits
    nearest = min(meant, key=lambda fit: (bool(fit.refusal), fit.problems))
    others = [fit for fit in meant if fit.refusal and fit is not nearest]
    refusals = "".join(f" There is also {fit.key_map.name!r}, {fit.text()}." for fit in others)
    known = ", ".join(repr(key_map.name) for key_map in (OWN_NAMES, *maps))
    return (
        f"the weights {str(path)!r} are not those of this {type(module).__name__}. Nearest is key map "
        f"{nearest.key_map.name!r}, {nearest.text()}.{refusals} It knows {known}; check the "
        "backbone's name and options, or rename the keys."
    )


def _recognises(key_map: KeyMap, found: Tensors) -> bool:
    if any(_matches(key, key_map.without) for key in found):
        return False
    return all(any(re.match(pattern, key) for key in found) for pattern in key_map.recognise)


def _matches(key: str, patterns: Iterable[str]) -> bool:
    return any(re.match(pattern, key) for pattern in patterns)


def _renamed(key: str, rules: Iterable[tuple[str, str]]) -> str:
    for pattern, replacement in rules:
        key = re.sub(pattern, replacement, key)
    return key


def _fit(key_map: KeyMap, found: Tensors, module: nn.Module) -> _Fit:
    dropped = tuple(key for key in found if _matches(key, key_map.drop))
    tensors: Tensors = {}
    for key in found:
        if key in dropped:
            continue
        name = _renamed(key, key_map.rename)
        if name in tensors:
            return _Fit(key_map, refusal=f"two keys of the file become {name!r}")
        tensors[name] = found[key]
    if key_map.convert is not None:
        try:
            tensors = key_map.convert(tensors, module)
        except WeightsError as error:
            return _Fit(key_map, refusal=str(error))
    return _compared(key_map, tensors, module.state_dict(), dropped)


def _compared(key_map: KeyMap, tensors: Tensors, wanted: Tensors, dropped: tuple[str, ...]) -> _Fit:
    absent = [key for key in wanted if key not in tensors]
    initial = tuple(key for key in absent if _matches(key, key_map.initial))
    counters = {key for key in absent if key.rpartition(".")[2] == _COUNTER}
    return _Fit(
        key_map,
        tensors,
        dropped,
        initial,
        missing=tuple(key for key in absent if key not in initial and key not in counters),
        unexpected=tuple(key for key in tensors if key not in wanted),
        shapes=tuple(
            f"{key} (expected {tuple(wanted[key].shape)}, got {tuple(tensor.shape)})"
            for key, tensor in tensors.items()
            if key in wanted and tensor.shape != wanted[key].shape
        ),
    )


def _listed(keys: Iterable[object]) -> str:
    """The first ten, and how many more there are."""
    names = [str(key) for key in keys]
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


# ------------------------------------------------------------------------------------ out of a network


def publishers_names(
    tensors: Mapping[str, Tensor], maps: Sequence[KeyMap], publisher: str, *, of: str
) -> Tensors:
    """A network's tensors as a publisher names them.

    Args:
        tensors: By the network's own names.
        maps: The network's key maps.
        publisher: First word of the map's name.
        of: What errors call the network.

    Raises:
        UsageError: No map of that publisher leads back.
    """
    back = {key_map.name.split()[0]: key_map for key_map in maps if key_map.back}
    key_map = back.get(publisher)
    if key_map is None:
        known = ", ".join(["vssl", *back])
        raise UsageError(f"vssl cannot write {publisher}'s layout of backbone {of}; it can write: {known}.")
    named = {_renamed(key, key_map.back): tensor for key, tensor in tensors.items()}
    again = [_renamed(key, key_map.rename) for key in named]
    if again != list(tensors):
        raise ContractError(f"key map {key_map.name!r} does not lead back to the names of {of}.")
    return named if key_map.convert_back is None else key_map.convert_back(named)
