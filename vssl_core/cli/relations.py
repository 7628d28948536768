"""What a component has to do with others: the backbones that a task can use, and what it then costs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from vssl_core.cli.isolated import Finding, Job, Limits, inspect
from vssl_core.errors import UsageError, VsslError
from vssl_core.protocol import Protocol
from vssl_core.registry import PluginRef, conflicts, load, resolve, scan

__all__ = ["compatible_backbones", "cost"]

_IMPORT_SECONDS = 20.0


def compatible_backbones(requires: frozenset[str], *, others: bool) -> dict[str, list[str]]:
    """Names of the backbones that provide what a task requires, and of those that nobody can tell of.

    Args:
        requires: Of the task.
        others: Ask third-party backbones too; they are imported in a process of their own.
    """
    refs = [ref for ref in scan() if ref.kind == "backbone"]
    words = conflicts(refs)
    found: dict[str, list[str]] = {"compatible": [], "unknown": []}
    for ref, provides in [*_built_in(refs), *(_others(refs) if others else ())]:
        name = (ref.spec or ref.target) if ref in words else ref.name
        if provides is None:
            found["unknown"].append(name)
        elif requires <= provides:
            found["compatible"].append(name)
    return found


def _built_in(refs: list[PluginRef]) -> Iterator[tuple[PluginRef, frozenset[str] | None]]:
    for ref in refs:
        if ref.origin == "built-in":
            yield ref, load(ref).provides  # type: ignore[attr-defined]


def _others(refs: list[PluginRef]) -> Iterator[tuple[PluginRef, frozenset[str] | None]]:
    jobs = [Job(ref) for ref in refs if ref.origin == "installed"]
    for finding in inspect(jobs, limits=Limits(import_seconds=_IMPORT_SECONDS)):
        yield finding.job.ref, _provides(finding)


def _provides(finding: Finding) -> frozenset[str] | None:
    """None where the backbone cannot be used."""
    broken = any(result.name != "check_name" for result in finding.report.bad)
    return None if broken or "provides" not in finding.facts else frozenset(finding.facts["provides"])


def cost(ref: PluginRef, protocol: Protocol, *, backbone: str | None) -> dict[str, Any]:
    """What a task or a backbone costs under a protocol, empty for other kinds.

    Where it cannot be counted, `unknown` says why. Without `backbone` a task is counted with the
    protocol's, or else with the first built-in one that provides what it requires.

    Raises:
        UsageError: There is no such backbone, or it lacks what the task requires.
    """
    from vssl_core.cli.costs import backbone_cost, task_cost

    cls: Any = load(ref) if ref.kind in ("task", "backbone") else None
    if ref.kind == "backbone":
        return _counted(partial(backbone_cost, cls, protocol))
    if ref.kind != "task":
        return {}
    name = backbone or _usual(cls.requires, protocol)
    if not name:
        needs = ", ".join(sorted(cls.requires))
        return {"unknown": f"no built-in backbone provides {needs}; name one with --backbone"}
    network: Any = load(resolve("backbone", name))
    if missing := sorted(cls.requires - network.provides):
        raise UsageError(f"task {ref.name!r} requires {', '.join(missing)}; {name!r} does not provide it.")
    return _counted(partial(task_cost, cls, protocol, backbone=network, backbone_name=name))


def _counted(count: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    try:
        return count()
    except Exception as error:  # noqa: BLE001  a plugin's own code runs here, and the rest is still worth showing
        return {"unknown": str(error) if isinstance(error, VsslError) else f"{type(error).__name__}: {error}"}


def _usual(requires: frozenset[str], protocol: Protocol) -> str:
    fits = compatible_backbones(requires, others=False)["compatible"]
    return protocol.backbone if protocol.backbone in fits else next(iter(fits), "")
