"""Which components there are, read from the metadata of installed distributions alone."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from email import message_from_string
from functools import cache
from importlib import metadata

from vssl_core.errors import UsageError
from vssl_core.registry.ref import (
    GROUPS,
    NAME_PATTERN,
    Kind,
    Origin,
    PluginRef,
    canonical,
    check_kind,
    class_target,
)

__all__ = ["conflicts", "register", "scan", "scan_problems"]

_CORE_DIST = "vssl"
_KIND_OF_GROUP = {group: kind for kind, group in GROUPS.items()}
_TARGET = re.compile(r"\s*([\w.]+)\s*(?::\s*([\w.]+)\s*)?(?:\[.*\]\s*)?")

_registered: dict[tuple[Kind, str], PluginRef] = {}


def scan() -> tuple[PluginRef, ...]:
    """Every component that is installed or was registered by this process, sorted.

    The metadata are read once per process. A distribution that stands twice on the path (an editable
    install, lib and lib64) counts once, the first on the path. Never raises, never imports a component.
    """
    refs, _ = _installed()
    return tuple(sorted((*refs, *_registered.values()), key=_order))


def scan_problems() -> tuple[str, ...]:
    """One sentence for each distribution whose metadata could not be read."""
    return _installed()[1]


def register(kind: Kind, name: str, cls: type) -> PluginRef:
    """Give a class a name in this process, for notebooks; a later class of this name replaces it.

    Raises:
        UsageError: The name is not of the allowed form, or an installed component has it.
    """
    check_kind(kind)
    if not NAME_PATTERN.fullmatch(name):
        raise UsageError(f"the name of a component matches {NAME_PATTERN.pattern}; got {name!r}.")
    taken = [ref for ref in _installed()[0] if (ref.kind, ref.name) == (kind, name)]
    if taken:
        raise UsageError(f"{taken[0]} has this name already; register the class under another one.")
    ref = PluginRef(kind, name, class_target(cls), dist="", version="", origin="in-code", component=cls)
    _registered[kind, name] = ref
    return ref


def conflicts(refs: Iterable[PluginRef]) -> dict[PluginRef, str]:
    """Those components to which their bare name does not lead, each with the reason and the way out."""
    of_name: dict[tuple[Kind, str], list[PluginRef]] = {}
    for ref in refs:
        of_name.setdefault((ref.kind, ref.name), []).append(ref)
    reasons = {ref: _conflict(ref, same) for same in of_name.values() for ref in same}
    return {ref: reason for ref, reason in reasons.items() if reason}


def _conflict(ref: PluginRef, same: Sequence[PluginRef]) -> str:
    others = [other for other in same if other != ref]
    if not NAME_PATTERN.fullmatch(ref.name):
        return f"its name is not of the form {NAME_PATTERN.pattern}"
    if not others or ref.origin == "built-in":
        return ""
    if any(other.origin == "built-in" for other in others):
        return f"a built-in has this name: write {ref.dist}:{ref.name}"
    if any(other.dist == ref.dist for other in others):
        return f"{ref.dist} declares this name more than once: write {ref.target}"
    return f"{others[0].dist} has this name too: write {ref.dist}:{ref.name}"


@cache
def _installed() -> tuple[tuple[PluginRef, ...], tuple[str, ...]]:
    refs: dict[PluginRef, None] = {}
    problems: list[str] = []
    seen: dict[str, metadata.Distribution] = {}
    for dist in _distributions(problems):
        # Not `metadata.entry_points()`: it fails as a whole on one malformed file. Not `dist.metadata`
        # either: it parses the long description, and only few distributions have a group of ours.
        try:
            text = dist.read_text("entry_points.txt")
            if not text or "vssl." not in text:
                continue
            name, version = _name_and_version(dist)
            if seen.setdefault(canonical(name), dist) is dist:
                refs.update(dict.fromkeys(_refs(dist, name, version)))
        except Exception as error:  # noqa: BLE001  whatever a foreign file can do
            problems.append(f"{_place(dist)}: its metadata cannot be read ({type(error).__name__}: {error})")
    return tuple(refs), tuple(problems)


def _distributions(problems: list[str]) -> Iterator[metadata.Distribution]:
    try:
        yield from metadata.distributions()
    except Exception as error:  # noqa: BLE001
        problems.append(f"the search path cannot be read to its end ({type(error).__name__}: {error})")


def _name_and_version(dist: metadata.Distribution) -> tuple[str, str]:
    text = dist.read_text("METADATA") or dist.read_text("PKG-INFO") or ""
    headers = message_from_string(text.partition("\n\n")[0])
    if not headers["Name"]:
        raise ValueError("it states no name")
    return str(headers["Name"]), str(headers["Version"] or "")


def _refs(dist: metadata.Distribution, name: str, version: str) -> Iterator[PluginRef]:
    origin: Origin = "built-in" if canonical(name) == _CORE_DIST else "installed"
    for entry in dist.entry_points:
        kind = _KIND_OF_GROUP.get(entry.group)
        if kind is not None:
            yield PluginRef(kind, entry.name, _target(entry.value), canonical(name), version, origin)


def _target(value: str) -> str:
    """The entry point's value without extras and spaces; as it stands where it is malformed."""
    match = _TARGET.fullmatch(value)
    return ":".join(filter(None, match.groups())) if match else value


def _place(dist: metadata.Distribution) -> str:
    return str(getattr(dist, "_path", None) or dist)


def _order(ref: PluginRef) -> tuple[int, str, bool, str, str]:
    return list(GROUPS).index(ref.kind), ref.name, ref.origin != "built-in", ref.dist, ref.target
