"""What a component must leave as it was: random generators and settings of the process."""

from __future__ import annotations

import os
import pickle
import random
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from typing import Any, TypeVar

import numpy as np
import torch

from vssl_core.testing.outcome import Check, CheckFailed

__all__ = [
    "GENERATORS",
    "disturbed",
    "generator_states",
    "isolated",
    "preserved",
    "torch_draws",
    "unchanged",
]

Subject = TypeVar("Subject")

_ODD = 1_640_531_527
GENERATORS = ("random", "numpy.random", "torch")


def isolated(checks: Sequence[Check[Subject]]) -> tuple[Check[Subject], ...]:
    """The checks, each of which leaves generators and settings as they were, whatever a component does.

    They run on one thread: what they compute is so small that several would only wait for each other.
    """
    return tuple(_isolated(check) for check in checks)


def _isolated(check: Check[Subject]) -> Check[Subject]:
    @wraps(check)
    def run(subject: Subject) -> str | None:
        try:
            with preserved():
                torch.set_num_threads(1)
                return check(subject)
        except SystemExit as error:
            raise CheckFailed(
                f"expected an error where something is wrong, but it ended the process ({error!r})."
            ) from error

    return run


@contextmanager
def preserved() -> Iterator[None]:
    """Put generators and settings back afterwards, whatever happened in between."""
    settings, generators = _settings(), _generators()
    try:
        yield
    finally:
        _restore(settings, generators)


@contextmanager
def unchanged(
    who: str, *, generators: Sequence[str] = GENERATORS, environment: bool = False
) -> Iterator[None]:
    """Raise CheckFailed when the body leaves a generator or a setting of the process changed.

    Args:
        who: Subject of the sentence, such as `"building the backbone"`.
        generators: Those of `GENERATORS` that must not move.
        environment: Whether environment variables count as settings.
    """
    settings, generators_before, variables = _settings(), _generators(), dict(os.environ)
    try:
        if generators:
            _seed(_ODD)  # nobody seeds so: seeding shows as a change
        states = _generators()
        yield
        changed = [name for name in generators if not _equal(states[name], _generators()[name])]
        if changed:
            raise CheckFailed(
                f"expected {who} to leave the global random generators alone, but it moved or seeded that "
                f"of {', '.join(changed)}; draw from a generator of your own (vssl_core.generator)."
            )
        now = _settings()
        if changed := [name for name, value in settings.items() if now[name] != value]:
            pairs = ", ".join(f"{name} from {settings[name]} to {now[name]}" for name in changed)
            raise CheckFailed(
                f"expected {who} to leave the settings of the process alone, but it changed {pairs}; "
                "put back what you change, or use a context manager."
            )
        if environment and variables != dict(os.environ):
            names = sorted(dict(variables.items() ^ dict(os.environ).items()))
            raise CheckFailed(
                f"expected {who} to leave this process's environment alone, but it changed "
                f"{', '.join(names)}; give variables to the process that needs them."
            )
    finally:
        _restore_variables(variables)
        _restore(settings, generators_before)


@contextmanager
def disturbed(number: int) -> Iterator[None]:
    """Run the body with other states of the global generators than before; put them back afterwards."""
    with preserved():
        _seed(number)
        yield


def _seed(number: int) -> None:
    random.seed(number)
    np.random.seed(number)
    torch.manual_seed(number)


def torch_draws() -> bytes:
    """The state of torch's generator, to be compared."""
    return bytes(torch.get_rng_state().numpy().tobytes())


def generator_states() -> dict[str, bytes]:
    """The state of each of `GENERATORS`, to be compared."""
    plain = {**_generators(), "torch": torch_draws()}  # equal tensors are not pickled to equal bytes
    return {name: pickle.dumps(state) for name, state in plain.items()}


def _generators() -> dict[str, Any]:
    return {
        "random": random.getstate(),
        "numpy.random": np.random.get_state(legacy=False),
        "torch": torch.get_rng_state(),
    }


def _equal(first: Any, second: Any) -> bool:
    if isinstance(first, torch.Tensor):
        return torch.equal(first, second)
    if isinstance(first, dict):
        return all(_equal(value, second[name]) for name, value in first.items())
    if isinstance(first, np.ndarray):
        return np.array_equal(first, second)
    return bool(first == second)


def _settings() -> dict[str, Any]:
    return {
        "torch's default dtype": torch.get_default_dtype(),
        "torch's default device": torch.get_default_device(),
        "gradients enabled": torch.is_grad_enabled(),
        "deterministic algorithms": torch.are_deterministic_algorithms_enabled(),
        "filling of new memory": torch.utils.deterministic.fill_uninitialized_memory,  # type: ignore[attr-defined]
        "torch's threads": torch.get_num_threads(),
        "float32 matmul precision": torch.get_float32_matmul_precision(),
        "cudnn.benchmark": torch.backends.cudnn.benchmark,
        "cudnn.deterministic": torch.backends.cudnn.deterministic,
        "oneDNN": torch.backends.mkldnn.enabled,
        "anomaly detection": torch.is_anomaly_enabled(),
        "autocast on the CPU": torch.is_autocast_enabled("cpu"),
        "numpy's treatment of errors": np.geterr(),
        "the working folder": os.getcwd(),  # noqa: PTH109
        "the handler of SIGINT": signal.getsignal(signal.SIGINT),
        "the handler of SIGTERM": signal.getsignal(signal.SIGTERM),
    }


def _restore_variables(before: dict[str, str]) -> None:
    for name in os.environ.keys() - before.keys():
        del os.environ[name]
    for name, value in before.items():
        if os.environ.get(name) != value:
            os.environ[name] = value


def _restore(settings: dict[str, Any], generators: dict[str, Any]) -> None:
    random.setstate(generators["random"])
    np.random.set_state(generators["numpy.random"])
    torch.set_rng_state(generators["torch"])
    now = _settings()
    put_back: dict[str, Callable[[Any], object]] = {
        "torch's default dtype": torch.set_default_dtype,
        "torch's default device": lambda value: torch.set_default_device(
            None if value.type == "cpu" else value
        ),
        "gradients enabled": torch.set_grad_enabled,
        "deterministic algorithms": torch.use_deterministic_algorithms,
        "filling of new memory": lambda value: setattr(
            torch.utils.deterministic, "fill_uninitialized_memory", value
        ),
        "torch's threads": torch.set_num_threads,
        "float32 matmul precision": torch.set_float32_matmul_precision,
        "cudnn.benchmark": lambda value: setattr(torch.backends.cudnn, "benchmark", value),
        "cudnn.deterministic": lambda value: setattr(torch.backends.cudnn, "deterministic", value),
        "oneDNN": lambda value: setattr(torch.backends.mkldnn, "enabled", value),
        "anomaly detection": torch.set_anomaly_enabled,
        "autocast on the CPU": lambda value: torch.set_autocast_enabled("cpu", value),
        "numpy's treatment of errors": lambda value: np.seterr(**value),
        "the working folder": os.chdir,
        "the handler of SIGINT": lambda value: signal.signal(signal.SIGINT, value),
        "the handler of SIGTERM": lambda value: signal.signal(signal.SIGTERM, value),
    }
    for name, value in settings.items():
        if now[name] != value:
            put_back[name](value)
