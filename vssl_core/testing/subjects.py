"""One component under test, kept from check to check, because what it shows may take long to make."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, TypeVar

from vssl_core.registry import PluginRef

__all__ = ["kept"]

Subject = TypeVar("Subject")
Make = Callable[[PluginRef, Mapping[str, Any]], Subject]


def kept(make: Make[Subject]) -> Make[Subject]:
    """`make`, which gives the last subject again for the very same reference object and equal options.

    Who resolves a component anew gets a new subject, so that nothing is kept of files that have changed.
    """
    last: list[tuple[PluginRef, dict[str, Any], Subject]] = []

    @wraps(make)
    def subject(ref: PluginRef, values: Mapping[str, Any]) -> Subject:
        if last and last[0][0] is ref and last[0][1] == dict(values):
            return last[0][2]
        last.clear()
        made = make(ref, values)
        last.append((ref, dict(values), made))
        return made

    return subject
