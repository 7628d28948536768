"""What `vssl plugins check TARGET` means: components by name, in a module, in a file, in a project."""

from __future__ import annotations

import importlib.util
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vssl_core.errors import UnknownNameError, UsageError, did_you_mean
from vssl_core.registry import GROUPS, Kind, PluginRef, resolve, scan
from vssl_core.registry.ref import canonical
from vssl_core.testing import CheckResult

__all__ = ["Target", "find_target"]

_KIND_OF_GROUP = {group: kind for kind, group in GROUPS.items()}


@dataclass(frozen=True, slots=True)
class Target:
    """What is to be checked.

    Args:
        refs: Components; where `survey` is given they are not known yet.
        survey: A module, a file or something in one, whose components are to be found by importing it.
        paths: Folders that come first on the import path.
        results: What reading a project's own file showed.
    """

    refs: tuple[PluginRef, ...] = ()
    survey: PluginRef | None = None
    paths: tuple[Path, ...] = ()
    results: tuple[CheckResult, ...] = field(default=())


def find_target(text: str, *, kind: Kind | None, folder: Path) -> Target:
    """What `text` names; nothing is imported.

    Args:
        text: `name`, `distribution:name`, a distribution, `package.module:Class`, a module,
            `./file.py:Class`, `./file.py`, or the folder of a project.
        kind: What it should be; None: whatever it is.
        folder: An empty folder, for a project's metadata.

    Raises:
        UsageError: Nothing answers to it, several components do, or a project declares none.
    """
    left, colon, right = text.rpartition(":")
    if (left if colon else text).endswith(".py"):
        return _of_file(left if colon else text, right if colon else "", kind)
    if colon:
        return _of_pair(left, right, kind)
    known = [ref for ref in scan() if kind in (None, ref.kind)]
    named = [ref for ref in known if ref.name == text]
    if named:
        return Target(refs=(_one(text, named),))
    if shipped := [ref for ref in known if ref.dist == canonical(text)]:
        return Target(refs=tuple(shipped))
    if Path(text).is_dir():
        return _of_project(Path(text).resolve(), kind, folder)
    if _is_module(text):
        return Target(survey=PluginRef("hook", text, text, "", "", "module"))
    raise UnknownNameError(_unknown(text, kind, known))


def _of_file(file: str, attribute: str, kind: Kind | None) -> Target:
    path = Path(file).expanduser().resolve()
    if not path.is_file():
        raise UnknownNameError(f"there is no file {str(path)!r}; expected ./FILE.py or ./FILE.py:CLASS.")
    if attribute and kind not in (None, "hook"):
        return Target(refs=(resolve(kind, f"{file}:{attribute}"),))
    target = f"{path}:{attribute}" if attribute else str(path)
    return Target(survey=PluginRef("hook", attribute or path.stem, target, "", "", "file"))


def _of_pair(left: str, right: str, kind: Kind | None) -> Target:
    shipped = [ref for ref in scan() if ref.dist == canonical(left) and ref.name == right]
    shipped = [ref for ref in shipped if kind in (None, ref.kind)]
    if shipped:
        return Target(refs=(_one(f"{left}:{right}", shipped),))
    if kind is not None:
        return Target(refs=(resolve(kind, f"{left}:{right}"),))
    if not _is_module(left):
        words = [f"{ref.dist}:{ref.name}" for ref in scan() if ref.dist]
        raise UnknownNameError(
            f"'{left}:{right}': no distribution {left!r} with a component {right!r} is installed, and no "
            f"module {left!r} can be imported.{did_you_mean(f'{left}:{right}', words)}"
        )
    return Target(survey=PluginRef("hook", right, f"{left}:{right}", "", "", "module"))


def _one(text: str, refs: Sequence[PluginRef]) -> PluginRef:
    """The component of this name; as everywhere, a built-in has its bare name for itself."""
    kinds = sorted({ref.kind for ref in refs})
    if len(kinds) > 1:
        raise UsageError(f"{text!r} is the name of a {' and of a '.join(kinds)}; say which with --kind.")
    return refs[0] if len(refs) == 1 else resolve(refs[0].kind, text)


def _is_module(text: str) -> bool:
    """Whether there is a module of this name; looks for its top alone, which imports nothing."""
    if not all(part.isidentifier() for part in text.split(".")):
        return False
    try:
        return importlib.util.find_spec(text.partition(".")[0]) is not None
    except (ImportError, ValueError):
        return False


def _unknown(text: str, kind: Kind | None, known: Sequence[PluginRef]) -> str:
    return (
        f"nothing is called {text!r}: no {kind or 'component'}, distribution, module or folder."
        f"{did_you_mean(text, {ref.name for ref in known})} Expected NAME, DISTRIBUTION:NAME, "
        "PACKAGE.MODULE, PACKAGE.MODULE:CLASS, ./FILE.py, ./FILE.py:CLASS or the folder of a project."
    )


# --------------------------------------------------------------------------------------------- project


def _of_project(root: Path, kind: Kind | None, folder: Path) -> Target:
    """What a project's pyproject.toml declares, as if it were installed: its metadata stand in `folder`."""
    document = _pyproject(root)
    project = document.get("project", {})
    groups: Mapping[str, Mapping[str, str]] = project.get("entry-points", {})
    ours = {group: names for group, names in groups.items() if group.partition(".")[0] == "vssl"}
    if not ours:
        raise UsageError(
            f"{str(root / 'pyproject.toml')!r} declares no component; expected a table such as "
            '[project.entry-points."vssl.tasks"] with NAME = "PACKAGE:CLASS".'
        )
    name, version = str(project.get("name", root.name)), str(project.get("version", "0"))
    refs = tuple(
        PluginRef(_KIND_OF_GROUP[group], key, _plain(target), canonical(name), version, "installed")
        for group, names in ours.items()
        if group in _KIND_OF_GROUP
        for key, target in names.items()
    )
    _write_metadata(folder, name, version, ours)
    chosen = tuple(ref for ref in refs if kind in (None, ref.kind))
    if refs and not chosen:
        raise UsageError(f"{str(root)!r} declares no {kind}.")
    return Target(chosen, paths=(folder, *_sources(root, document)), results=(_groups(ours),))


def _pyproject(root: Path) -> dict[str, Any]:
    path = root / "pyproject.toml"
    if not path.is_file():
        raise UsageError(f"expected a project with a pyproject.toml; {str(root)!r} has none.")
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{str(path)!r} is not valid TOML: {error}.") from error


def _plain(target: str) -> str:
    return re.sub(r"\s+|\[.*\]", "", target)


def _groups(ours: Mapping[str, Mapping[str, str]]) -> CheckResult:
    unknown = [group for group in ours if group not in _KIND_OF_GROUP]
    if not unknown:
        return CheckResult("check_groups", "passed")
    hint = did_you_mean(unknown[0], _KIND_OF_GROUP)
    return CheckResult("check_groups", "failed", f"there is no group {unknown[0]!r} of entry points.{hint}")


def _write_metadata(folder: Path, name: str, version: str, groups: Mapping[str, Mapping[str, str]]) -> None:
    """What an installer would write, so that every process of the check finds the project's components."""
    info = folder / f"{canonical(name).replace('-', '_')}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n", encoding="utf-8"
    )
    lines = [
        line for group, names in groups.items() for line in (f"[{group}]", *map(" = ".join, names.items()))
    ]
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _sources(root: Path, document: Mapping[str, Any]) -> list[Path]:
    """The folders that hold the project's packages: as setuptools or hatch is told, `src`, or the project."""
    tool = document.get("tool", {})
    told = [*_of_setuptools(tool.get("setuptools", {})), *_of_hatch(tool.get("hatch", {}))]
    usual = ["src"] if (root / "src").is_dir() else ["."]
    return [root / folder for folder in dict.fromkeys(told or usual)]


def _of_setuptools(table: Mapping[str, Any]) -> list[str]:
    packages = table.get("packages", {})
    where = packages.get("find", {}).get("where", []) if isinstance(packages, dict) else []
    top = table.get("package-dir", {}).get("")
    return [*where, *([top] if top else [])]


def _of_hatch(table: Mapping[str, Any]) -> list[str]:
    """The parents of the packages that go into the wheel, and what is cut from paths in it."""
    build = table.get("build", {})
    wheel = {**build, **build.get("targets", {}).get("wheel", {})}
    sources = wheel.get("sources", [])
    cut = sources if isinstance(sources, list) else []
    return [*(str(Path(package).parent) for package in wheel.get("packages", [])), *cut]
