"""Checks of hooks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from vssl_core.hooks import check_hook
from vssl_core.registry import PluginRef, import_target
from vssl_core.testing.outcome import CheckFailed

__all__ = ["CHECKS", "subject"]


@dataclass(frozen=True, slots=True)
class Hook:
    """A hook under test: a module or an object."""

    ref: PluginRef
    plugin: Any


def subject(ref: PluginRef, values: Mapping[str, Any]) -> Hook:
    """Load a hook; it has no options."""
    del values
    return Hook(ref, ref.component if ref.component is not None else import_target(ref))


def check_hook_watches_known_events(subject: Hook) -> None:
    """It watches one event at least, and none that there is not."""
    if not check_hook(subject.ref, subject.plugin):
        raise CheckFailed(f"expected {subject.ref} to watch an event with @hookimpl, but it watches none.")


CHECKS = (check_hook_watches_known_events,)
