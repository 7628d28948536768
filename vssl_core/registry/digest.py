"""A digest of the source of a component, for the key of the cells that it takes part in.

What is hashed, by origin:

- `built-in`: the component's module and the modules of its package that it imports, directly or not,
  found in the source without importing, each with the `__init__` files above it. So editing one
  built-in task leaves the cells of the others valid.
- `installed`, `module`: every Python source and compiled extension of the whole top-level package.
  (Of a namespace package: of the first regular package on the way to the component.)
- `file`: the file and the files beside it that it imports, directly or not.
- `in-code`: the source of the class, and of every function, class and plain constant of its top-level
  package, script or folder that it reaches by name, as a default or in a closure.

File names count relative to the package, so the digest is the same on every machine. Data files and
other distributions are not covered.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import inspect
import linecache
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

from vssl_core.errors import PluginLoadError
from vssl_core.registry.ref import PluginRef

__all__ = ["imported_files", "plugin_digest"]

_CODE_SUFFIXES = (".py", ".so", ".pyd")
_OWN = ("vssl_core", "vssl_plugins")  # never counted as files beside a user's file


def plugin_digest(ref: PluginRef) -> str:
    """SHA-256 in hex over the component's source; the page above says what belongs to it.

    Imports nothing. Raises PluginLoadError where the source cannot be found.
    """
    if ref.component is not None:
        return _hash(_Reach(ref, ref.component).sources())
    module = ref.target.rpartition(":")[0] or ref.target
    if ref.origin == "file":
        path = Path(module)
        files = imported_files(path.stem, path, root=path.parent)
        return _hash({name: file.read_bytes() for name, file in files.items()})
    package, home = _package(ref, module)
    if ref.origin == "built-in" or package in _OWN:
        root = home.parent.parent
        start = _module_file(root, module)
        if start is None:
            raise PluginLoadError(f"{ref}: the source of module {module!r} cannot be found in {root}.")
        files = imported_files(module, start, root=root, package=package)
    elif home.name == "__init__.py":
        files = {file.relative_to(home.parent).as_posix(): file for file in _package_files(home.parent)}
    else:
        files = {home.name: home}
    return _hash({name: file.read_bytes() for name, file in files.items()})


def _hash(sources: Mapping[str, bytes]) -> str:
    digest = hashlib.sha256()
    for name in sorted(sources):
        digest.update(f"{name}\x1f{len(sources[name])}\x1f".encode())
        digest.update(sources[name])
    return digest.hexdigest()


# ------------------------------------------------------------------------------------------- packages


def _package(ref: PluginRef, module: str) -> tuple[str, Path]:
    """Name and `__init__` file of the first regular package on the way to a module, or the module."""
    parts = module.split(".")
    spec = _top_spec(parts[0])
    for depth in range(1, len(parts) + 1):
        if spec is None:
            break
        if spec.has_location and spec.origin and Path(spec.origin).is_file():
            return ".".join(parts[:depth]), Path(spec.origin)
        if depth < len(parts):
            spec = PathFinder.find_spec(".".join(parts[: depth + 1]), spec.submodule_search_locations)
    raise PluginLoadError(f"{ref}: the source of package {parts[0]!r} cannot be found; is it installed?")


def _top_spec(name: str) -> ModuleSpec | None:
    try:
        return importlib.util.find_spec(name)
    except (ImportError, ValueError):
        return None


def _package_files(folder: Path) -> Iterator[Path]:
    for file in folder.rglob("*"):
        if file.suffix in _CODE_SUFFIXES and "__pycache__" not in file.parts and file.is_file():
            yield file


def imported_files(name: str, start: Path, *, root: Path, package: str = "") -> dict[str, Path]:
    """A module and what it imports from under `root`, directly or not: module name → file.

    Found in the source, so imports inside functions count too. With `package`, only its modules do.
    """
    found: dict[str, Path] = {}
    todo = [(name, start)]
    while todo:
        module, file = todo.pop()
        if module in found:
            continue
        found[module] = file
        for wanted in _imports(file, module):
            inside = wanted.split(".")[0] == package if package else wanted.split(".")[0] not in _OWN
            if inside:
                todo += _with_parents(root, wanted)
        if package:
            todo += _with_parents(root, module)
    return found


def _with_parents(root: Path, module: str) -> list[tuple[str, Path]]:
    parts = module.split(".")
    names = [".".join(parts[:depth]) for depth in range(1, len(parts) + 1)]
    return [(name, file) for name in names if (file := _module_file(root, name)) is not None]


def _module_file(root: Path, module: str) -> Path | None:
    path = root.joinpath(*module.split("."))
    for candidate in (path / "__init__.py", path.with_name(f"{path.name}.py")):
        if candidate.is_file():
            return candidate
    return None


def _imports(file: Path, module: str) -> set[str]:
    """Dotted names that a source file may import; a name taken from a package may be a module."""
    try:
        tree = ast.parse(file.read_bytes())
    except (SyntaxError, ValueError):
        return set()  # loading it says what is wrong
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = module.split(".") if file.name == "__init__.py" else module.split(".")[:-1]
                above = above[: len(above) - node.level + 1]
                base = ".".join([*above, *filter(None, [base])])
            names.update([base, *(f"{base}.{alias.name}" for alias in node.names)])
    return names - {""}


# --------------------------------------------------------------------------------- classes of a program


class _Reach:
    """The definitions that a class of the running program reaches by name."""

    def __init__(self, ref: PluginRef, cls: type) -> None:
        self._ref, self._cls = ref, cls
        self._top = cls.__module__.partition(".")[0]
        file = getattr(sys.modules.get(cls.__module__), "__file__", None)
        self._home = Path(file).resolve().parent if file else None

    def sources(self) -> dict[str, bytes]:
        found: dict[str, bytes] = {}
        todo: list[tuple[str, Any]] = [("", self._cls)]
        while todo:
            name, item = todo.pop()
            if isinstance(item, type | FunctionType):
                name = f"{item.__module__}:{item.__qualname__}"
            if name in found or not self._is_own(item):
                continue
            found[name] = self._source(item).encode()
            todo += _mentions(item)
        return found

    def _is_own(self, item: object) -> bool:
        if _is_plain(item):
            return True
        if not isinstance(item, type | FunctionType | ModuleType):
            return False
        module = item.__name__ if isinstance(item, ModuleType) else item.__module__
        if module.partition(".")[0] == self._top:
            return True
        file = getattr(sys.modules.get(module), "__file__", None)
        return file is not None and Path(file).resolve().parent == self._home

    def _source(self, item: Any) -> str:
        if _is_plain(item):
            return _plain_text(item)
        try:
            return inspect.getsource(item)
        except (OSError, TypeError):
            lines = _cell_of(item)
        if not lines and item is self._cls:
            raise PluginLoadError(
                f"{self._ref}: the source of the class cannot be found, so its results could not be told "
                "from those of another version. Save it in a file and name it ./FILE.py:CLASS."
            )
        return "".join(lines)


def _cell_of(item: object) -> list[str]:
    """The notebook cell that defines a class: `inspect` finds functions there, but no classes."""
    for value in vars(item).values() if isinstance(item, type) else ():
        if isinstance(value, FunctionType) and value.__module__ == item.__module__:
            return linecache.getlines(value.__code__.co_filename)
    return []


def _mentions(item: object) -> list[tuple[str, Any]]:
    """What the source of a class or function refers to, each with a name for it."""
    if isinstance(item, type):
        members = [
            (name, _unwrapped(value)) for name, value in vars(item).items() if not _is_dunder(name, value)
        ]
        own = [(f"{item.__module__}:{item.__qualname__}.{name}", value) for name, value in members]
        return [*own, *(("", above) for above in item.__bases__)]
    if isinstance(item, FunctionType):
        values = {name: item.__globals__[name] for name in _names(item.__code__) if name in item.__globals__}
        found = [(f"{item.__module__}:{name}", _unwrapped(value)) for name, value in values.items()]
        start = f"{item.__module__}:{item.__qualname__}"
        return found + [(f"{start}.{name}", _unwrapped(value)) for name, value in _bound(item).items()]
    return []


def _bound(function: FunctionType) -> dict[str, Any]:
    """What a function holds besides its source: the values of its closure and of its defaults."""
    cells = zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
    found = {}
    for name, cell in cells:
        with suppress(ValueError):  # a name that has no value yet
            found[name] = cell.cell_contents
    found |= {f"default {place}": value for place, value in enumerate(function.__defaults__ or ())}
    return found | {f"default {name}": value for name, value in (function.__kwdefaults__ or {}).items()}


def _is_dunder(name: str, value: object) -> bool:
    return name.startswith("__") and name.endswith("__") and not isinstance(value, FunctionType)


def _unwrapped(value: Any) -> Any:
    if isinstance(value, property):
        value = value.fget
    value = getattr(value, "__func__", value) if isinstance(value, classmethod | staticmethod) else value
    return inspect.unwrap(value) if callable(value) and not isinstance(value, type) else value


def _names(code: CodeType) -> set[str]:
    inner = [_names(constant) for constant in code.co_consts if isinstance(constant, CodeType)]
    return set(code.co_names).union(*inner)


def _is_plain(value: object) -> bool:
    if isinstance(value, tuple | list | set | frozenset):
        return all(map(_is_plain, value))
    if isinstance(value, dict):
        return all(map(_is_plain, value)) and all(map(_is_plain, value.values()))
    return value is None or isinstance(value, bool | int | float | str | bytes)


def _plain_text(value: object) -> str:
    """The value as text that is the same in every process: sets have no order of their own."""
    if isinstance(value, set | frozenset):
        return f"{type(value).__name__}({sorted(map(_plain_text, value))})"
    if isinstance(value, tuple | list):
        return f"{type(value).__name__}({list(map(_plain_text, value))})"
    if isinstance(value, dict):
        return f"dict({[(_plain_text(key), _plain_text(item)) for key, item in value.items()]})"
    return repr(value)
