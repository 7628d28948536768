"""What is known about a component before its code is imported."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

from vssl_core.errors import UnknownNameError, did_you_mean

__all__ = [
    "GROUPS",
    "KINDS",
    "NAME_PATTERN",
    "Kind",
    "Origin",
    "PluginRef",
    "canonical",
    "check_kind",
    "class_target",
]

Kind = Literal["task", "backbone", "dataset", "evaluator", "corruption", "executor", "hook"]
Origin = Literal["built-in", "installed", "module", "file", "in-code"]

KINDS: tuple[Kind, ...] = get_args(Kind)

GROUPS: Mapping[Kind, str] = {
    "task": "vssl.tasks",
    "backbone": "vssl.backbones",
    "dataset": "vssl.datasets",
    "evaluator": "vssl.evaluators",
    "corruption": "vssl.corruptions",
    "executor": "vssl.executors",
    "hook": "vssl.hooks",
}
"""Kind → entry point group."""

NAME_PATTERN = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
"""What the name of a packaged component matches, whole."""


@dataclass(frozen=True)
class PluginRef:
    """One component: metadata only, nothing imported.

    Args:
        kind: What it is.
        name: Its name in tables: of the entry point, or of the class where there is none.
        target: Where it lives: `package.module:Class`, or `/path/file.py:Class`.
        dist: The distribution that ships it; empty where it is not packaged.
        version: Of that distribution.
        origin: How it came here.
        component: The class itself, for origin `in-code`.
    """

    kind: Kind
    name: str
    target: str
    dist: str
    version: str
    origin: Origin
    component: type | None = field(default=None, repr=False)

    @property
    def spec(self) -> str | None:
        """The text by which another process resolves this component, to the same digest.

        None for a class given as such: only the process that has it can use it.
        """
        if self.origin == "built-in":
            return self.name
        if self.origin == "installed":
            return f"{self.dist}:{self.name}"
        return None if self.origin == "in-code" else self.target

    def __str__(self) -> str:
        place = f" of {self.dist} {self.version}".rstrip() if self.dist else ""
        return f"{self.kind} {self.name!r}{place} ({self.target})"


def check_kind(kind: str) -> None:
    """Raises UnknownNameError unless `kind` is one of `KINDS`."""
    if kind not in KINDS:
        raise UnknownNameError(f"there is no kind of component called {kind!r}.{did_you_mean(kind, KINDS)}")


def canonical(dist: str) -> str:
    """A distribution's name as the packaging rules compare it."""
    return re.sub(r"[-_.]+", "-", dist).lower()


def class_target(cls: type) -> str:
    """`package.module:Class` of a class."""
    return f"{cls.__module__}:{cls.__qualname__}"
