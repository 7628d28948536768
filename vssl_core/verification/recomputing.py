"""Evaluators that recompute metrics from stored arrays.

A bundle names its evaluator, and a stranger may have written anything there: only installed plugins are
loaded by that name, and what the user names besides.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from vssl_core import registry
from vssl_core.cells import Component
from vssl_core.errors import VsslError
from vssl_core.interfaces import Evaluator, Metric
from vssl_core.options import build_options
from vssl_core.registry import PluginRef

__all__ = ["Recomputed", "Recomputer"]


@dataclass(frozen=True)
class Recomputed:
    """What an evaluator says of stored arrays.

    Args:
        metrics: Name → metric; empty where it says nothing.
        why_not: Why it says nothing.
        problem: What is wrong with the arrays; empty if nothing.
        other_code: Whether the evaluator installed here is another version than the one that scored.
    """

    metrics: Mapping[str, Metric]
    why_not: str = ""
    problem: str = ""
    other_code: bool = False


class Recomputer:
    """Finds and asks evaluators.

    Args:
        trusted: Evaluators by name or class whose code may be run although no plugin has them.
    """

    def __init__(self, trusted: Sequence[str | type] = ()) -> None:
        self._trusted = [registry.resolve("evaluator", named) for named in trusted]
        self._digests: dict[PluginRef, str] = {}

    def metrics(self, component: Component, arrays: Mapping[str, np.ndarray]) -> Recomputed:
        """What the evaluator of a request says of arrays."""
        ref = self._find(component)
        if ref is None:
            return Recomputed({}, f"evaluator {component.spec!r} is no plugin that is installed here")
        try:
            cls: Any = registry.load(ref)
            if cls.recompute is Evaluator.recompute:
                return Recomputed({}, f"evaluator {component.name!r} has no recompute")
            options = build_options(cls.Options, component.options, owner=f"eval/{component.name}")
            evaluator = cls(options)
            if ref not in self._digests:
                self._digests[ref] = registry.plugin_digest(ref)
        except VsslError as error:
            return Recomputed({}, f"evaluator {component.name!r} cannot be used here: {error}")
        return _asked(evaluator, component.name, arrays, self._digests[ref] != component.digest)

    def _find(self, component: Component) -> PluginRef | None:
        for ref in self._trusted:
            if ref.name == component.name:
                return ref
        installed = [ref for ref in registry.scan() if ref.kind == "evaluator" and ref.spec == component.spec]
        return installed[0] if len(installed) == 1 else None


def _asked(evaluator: Any, name: str, arrays: Mapping[str, np.ndarray], other_code: bool) -> Recomputed:
    try:
        found = evaluator.recompute(arrays)
    except KeyError as error:
        missing = f"array {error} is not stored"
        if other_code:
            return Recomputed({}, f"{missing}; another version of evaluator {name!r} scored")
        return Recomputed({}, problem=missing)
    except Exception as error:  # noqa: BLE001  whatever altered arrays make of an evaluator is a finding
        return Recomputed({}, problem=f"{type(error).__name__}: {error}", other_code=other_code)
    if not found:
        return Recomputed({}, f"evaluator {name!r} recomputes no metric")
    return Recomputed(found, other_code=other_code)
