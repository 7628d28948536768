"""Every error that vssl raises on purpose.

    VsslError                     exit code 1
    ├── UsageError                exit code 2: the request cannot be meant
    │   ├── UnknownNameError      no such task, backbone, dataset, evaluator, preset …
    │   ├── OptionError           an option that does not exist or a value out of range
    │   ├── ProtocolError         a protocol document that is not valid
    │   └── WeightsError          a file of weights that does not fit the backbone
    ├── PluginError               a component that cannot be used
    │   ├── PluginLoadError       its import, base class or api_version fails
    │   ├── ContractError         it breaks its interface at run time
    │   └── HookError             a hook raised
    ├── DataError                 something is wrong with the data
    │   ├── VideoError            one file cannot be read as it should
    │   └── DatasetError          a dataset cannot give what was asked
    ├── TrainingError             a cell cannot go on
    │   └── DivergedError         the loss is no longer a usable number
    └── StoreError                a run folder, cache or bundle cannot be used
        ├── SchemaError           written by a newer or unknown schema
        └── BusyError             held by another process

Messages say what was expected, what came and what to do.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

__all__ = [
    "BusyError",
    "ContractError",
    "DataError",
    "DatasetError",
    "DivergedError",
    "HookError",
    "OptionError",
    "PluginError",
    "PluginLoadError",
    "ProtocolError",
    "SchemaError",
    "StoreError",
    "TrainingError",
    "UnknownNameError",
    "UsageError",
    "VideoError",
    "VsslError",
    "WeightsError",
    "did_you_mean",
]


class VsslError(Exception):
    """Root of the tree: an expected failure with a message for the user."""

    exit_code = 1


class UsageError(VsslError):
    """The request itself is wrong; running it again cannot help."""

    exit_code = 2


class UnknownNameError(UsageError):
    """A name that nothing answers to."""


class OptionError(UsageError):
    """An option that does not exist, or a value that it does not take."""


class ProtocolError(UsageError):
    """A protocol document that is not valid."""


class WeightsError(UsageError):
    """A file of weights that cannot be read or does not fit the backbone; the message lists the keys."""


class PluginError(VsslError):
    """A component that cannot be used."""


class PluginLoadError(PluginError):
    """A selected component could not be imported or is not what its entry point says.

    `reason` is what is wrong, without the component's name and the advice to its user.
    """

    def __init__(self, message: str, *, reason: str = "") -> None:
        super().__init__(message)
        self.reason = reason or message


class ContractError(PluginError):
    """A component returned something that its interface does not allow."""


class HookError(PluginError):
    """A hook raised; the cell that it observed stops."""


class DataError(VsslError):
    """Something is wrong with the data."""


class VideoError(DataError):
    """One video file cannot be read as it should; `path` names it.

    `passing`: for a reason that says nothing of its content and may be gone the next time (memory that
    ran out, a disk or a network that failed).
    """

    def __init__(self, path: object, reason: str, *, passing: bool = False) -> None:
        super().__init__(f"cannot read video {str(path)!r}: {reason}")
        self.path = str(path)
        self.reason = reason
        self.passing = passing

    def __reduce__(self) -> tuple[type[VideoError], tuple[str, str], dict[str, bool]]:
        return type(self), (self.path, self.reason), {"passing": self.passing}


class DatasetError(DataError):
    """A dataset cannot give what was asked of it."""


class TrainingError(VsslError):
    """Training cannot go on."""


class DivergedError(TrainingError):
    """The loss or a gradient is no longer a usable number; the message says where."""


class StoreError(VsslError):
    """A run folder, cache or bundle cannot be used."""


class SchemaError(StoreError):
    """A file was written by a newer or an unknown schema."""


class BusyError(StoreError):
    """Another process holds what is needed."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A sentence that names the nearest known words, or lists all of them.

    Empty when nothing is known. Starts with a space so that it can follow a full stop.
    """
    names = sorted(set(known))
    near = get_close_matches(word, names, n=3, cutoff=0.6)
    if near:
        return f" Did you mean {' or '.join(repr(name) for name in near)}?"
    return f" Known: {', '.join(names)}." if names else ""
