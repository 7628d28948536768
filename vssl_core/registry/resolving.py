"""From what a user wrote to one component, without importing it."""

from __future__ import annotations

import importlib.util
import inspect
import os
import sys
from collections.abc import Sequence
from functools import cache
from importlib import metadata
from pathlib import Path

from vssl_core.errors import UnknownNameError, UsageError, did_you_mean
from vssl_core.registry.discovery import scan
from vssl_core.registry.loading import file_of_module
from vssl_core.registry.ref import NAME_PATTERN, Kind, PluginRef, canonical, check_kind, class_target

__all__ = ["resolve"]


def resolve(kind: Kind, spec: str | type) -> PluginRef:
    """The component that `spec` names; nothing is imported.

    Args:
        kind: What it should be.
        spec: `name`, `distribution:name`, `package.module:Class`, `./file.py:Class`, or the class.

    Raises:
        UnknownNameError: Nothing answers to it; names the nearest known ones.
        UsageError: Several components answer to a bare name.
    """
    check_kind(kind)
    known = [ref for ref in scan() if ref.kind == kind]
    if isinstance(spec, type):
        return _of_class(kind, spec, known)
    left, colon, right = spec.rpartition(":")
    if _is_file(left if colon else spec):
        return _of_file(kind, spec, known)
    if colon:
        return _of_pair(kind, left, right, known)
    return _of_name(kind, spec, known)


def _of_class(kind: Kind, cls: type, known: Sequence[PluginRef]) -> PluginRef:
    """A packaged class is the same component, and the same cell, however it is named."""
    target = class_target(cls)
    for ref in known:
        if ref.component is cls or (ref.target == target and _loaded(target) is cls):
            return ref
    file = file_of_module(cls.__module__)
    if file is not None and _loaded(target) is cls:
        return PluginRef(kind, cls.__qualname__, f"{file}:{cls.__qualname__}", "", "", origin="file")
    return PluginRef(kind, cls.__name__, target, dist="", version="", origin="in-code", component=cls)


def _loaded(target: str) -> object:
    module, _, attributes = target.partition(":")
    found: object = sys.modules.get(module)
    for attribute in attributes.split("."):
        found = inspect.getattr_static(found, attribute, None)
    return found


def _is_file(text: str) -> bool:
    return text.endswith(".py") or "/" in text or os.sep in text


def _of_file(kind: Kind, spec: str, known: Sequence[PluginRef]) -> PluginRef:
    name, colon, attribute = spec.rpartition(":")
    path = Path(name if colon else spec).expanduser().resolve()
    if not path.is_file():
        raise UnknownNameError(
            f"{kind} {spec!r}: there is no file {str(path)!r}. Expected ./FILE.py:CLASS with an existing "
            f"file, or the name of an installed {kind}.{_listed(kind, known)}"
        )
    if not colon or not _dotted(attribute):
        raise UsageError(
            f"{kind} {spec!r}: name the class in the file too, for instance {path.name}:MyClass."
        )
    return PluginRef(kind, attribute, f"{path}:{attribute}", dist="", version="", origin="file")


def _of_pair(kind: Kind, left: str, right: str, known: Sequence[PluginRef]) -> PluginRef:
    packaged = [ref for ref in known if ref.dist == canonical(left) and ref.name == right]
    if len(packaged) == 1:
        return packaged[0]
    if packaged:
        raise UsageError(_declared_twice(kind, right, packaged))
    target = f"{left}:{right}"
    for ref in known:
        if ref.target == target and ref.origin != "in-code":
            return ref
    if not _dotted(left) or not _dotted(right) or not _top_exists(left):
        raise UnknownNameError(_unknown_pair(kind, left, right, known))
    dist, version = _shipped_by(left.partition(".")[0])
    return PluginRef(kind, right, target, dist, version, origin="module")


def _of_name(kind: Kind, name: str, known: Sequence[PluginRef]) -> PluginRef:
    same = [ref for ref in known if ref.name == name]
    built_in = [ref for ref in same if ref.origin == "built-in"]
    if not same:
        raise UnknownNameError(
            f"there is no {kind} called {name!r}.{did_you_mean(name, {ref.name for ref in known})} "
            f"`vssl plugins list --kind {kind}` shows all of them."
        )
    if not NAME_PATTERN.fullmatch(name):
        raise UsageError(
            f"{same[0]} cannot be used under this name: names match {NAME_PATTERN.pattern}. "
            f"Write {same[0].target}, and tell its author."
        )
    chosen = built_in or same
    if len(chosen) == 1:
        return chosen[0]
    if len({ref.dist for ref in chosen}) < len(chosen):
        raise UsageError(_declared_twice(kind, name, chosen))
    ways = " or ".join(f"{ref.dist}:{name}" for ref in chosen)
    raise UsageError(f"{kind} {name!r} is the name of {len(chosen)} components; write {ways}.")


def _declared_twice(kind: Kind, name: str, refs: Sequence[PluginRef]) -> str:
    ways = " or ".join(ref.target for ref in refs)
    return f"{kind} {name!r} is declared more than once by {refs[0].dist}; write {ways}, and tell its author."


def _unknown_pair(kind: Kind, left: str, right: str, known: Sequence[PluginRef]) -> str:
    packaged = [f"{ref.dist}:{ref.name}" for ref in known if ref.dist]
    return (
        f"{kind} '{left}:{right}': no distribution {left!r} with a {kind} {right!r} is installed, and no "
        f"module {left!r} can be imported.{did_you_mean(f'{left}:{right}', packaged)} "
        "A class in a file is named ./FILE.py:CLASS."
    )


def _listed(kind: Kind, known: Sequence[PluginRef]) -> str:
    return (
        f" Installed: {', '.join(sorted({ref.name for ref in known}))}."
        if known
        else f" No {kind} is installed."
    )


def _dotted(text: str) -> bool:
    return all(part.isidentifier() for part in text.split("."))


def _top_exists(module: str) -> bool:
    top = module.partition(".")[0]
    if top in sys.modules:
        return True
    try:
        return importlib.util.find_spec(top) is not None  # a top-level name: finds without importing
    except (ImportError, ValueError):
        return False


@cache
def _shipped_by(top: str) -> tuple[str, str]:
    """Distribution and version of an importable package, empty where no installer knows it."""
    try:
        dists = metadata.packages_distributions().get(top, [])
        return (canonical(dists[0]), metadata.version(dists[0])) if dists else ("", "")
    except Exception:  # noqa: BLE001  the metadata of any distribution may be broken; provenance is best effort
        return "", ""
