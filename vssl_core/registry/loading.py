"""From a component's metadata to its class, with every way in which that can fail told apart."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import reduce
from hashlib import sha256
from pathlib import Path
from types import ModuleType
from typing import Any

from vssl_core.errors import PluginLoadError, UnknownNameError, UsageError, did_you_mean
from vssl_core.registry.digest import imported_files, plugin_digest
from vssl_core.registry.ref import Kind, PluginRef

__all__ = ["CLASS_CHECKS", "core_class", "file_of_module", "import_target", "load"]

_CORE_CLASS: dict[Kind, str] = {
    "task": "PretextTask",
    "backbone": "Backbone",
    "dataset": "VideoDataset",
    "evaluator": "Evaluator",
    "corruption": "Corruption",
    "executor": "Executor",
}


@dataclass(frozen=True)
class _LoadedFile:
    module: ModuleType
    digest: str


_files: dict[Path, _LoadedFile] = {}
_files_lock = threading.RLock()


def load(ref: PluginRef) -> type:
    """The class of a component, imported and checked.

    Raises:
        PluginLoadError: The import fails, or what it gives is no complete component of this kind, or one
            for another version of the contract. Names the component, where it comes from and the way out.
        UnknownNameError: A `module` or `file` reference to a class that is not there.
        UsageError: The reference is to a hook, which is no class.
    """
    if ref.kind == "hook":
        raise UsageError(f"{ref} is a hook module, not a class; `vssl_core.hooks.load_hooks` loads it.")
    cls: Any = ref.component if ref.component is not None else import_target(ref)
    for check in CLASS_CHECKS:
        check(ref, cls)
    return cls  # type: ignore[no-any-return]  # the first check has made sure


def import_target(ref: PluginRef) -> object:
    """Import what a reference points at: a class, or for a hook a module or an object.

    Raises:
        PluginLoadError: Its code raises, or an entry point names nothing.
        UnknownNameError: A `module` or `file` reference to something that is not there.
    """
    place, _, attributes = ref.target.rpartition(":") if ":" in ref.target else (ref.target, "", "")
    try:
        module = _import_file(ref, Path(place)) if ref.origin == "file" else importlib.import_module(place)
    except (PluginLoadError, UnknownNameError):
        raise
    except (Exception, SystemExit) as error:
        if ref.origin == "module" and _is_missing(error, place):
            raise UnknownNameError(f"{ref}: there is no module {place!r}.{_advice(ref)}") from error
        raise _failed(ref, f"{type(error).__name__}: {error}") from error
    try:
        return reduce(getattr, filter(None, attributes.split(".")), module)
    except AttributeError as error:
        reason = f"{place} has no {attributes!r}.{did_you_mean(attributes, _class_names(ref, module))}"
        if ref.origin in ("module", "file"):
            raise UnknownNameError(f"{ref.kind} {ref.name!r}: {reason}") from error
        raise _failed(ref, reason) from error


def _is_missing(error: BaseException, module: str) -> bool:
    return isinstance(error, ModuleNotFoundError) and f"{module}.".startswith(f"{error.name}.")


def _class_names(ref: PluginRef, module: ModuleType) -> list[str]:
    core = core_class(ref.kind) if ref.kind in _CORE_CLASS else object
    return [
        name
        for name, value in vars(module).items()
        if isinstance(value, type) and issubclass(value, core) and value.__module__ == module.__name__
    ]


def _failed(ref: PluginRef, reason: str) -> PluginLoadError:
    reason = f"{reason.rstrip('.')}."
    return PluginLoadError(f"{ref} cannot be used: {reason}{_advice(ref)}", reason=reason)


def _advice(ref: PluginRef) -> str:
    if ref.origin == "built-in":
        return " The installation of vssl is not complete: pip install --force-reinstall vssl."
    if ref.origin == "installed":
        update, remove = f"pip install -U {ref.dist}", f"pip uninstall {ref.dist}"
        return f" Update it ({update}), tell its author, or remove it ({remove})."
    if ref.origin == "module":
        return " A class in a file of your own is named ./FILE.py:CLASS."
    return " Correct it and run again."


# ---------------------------------------------------------------------------------------------- checks


def core_class(kind: Kind) -> type:
    """The class of the contract that every component of a kind derives from."""
    from vssl_core import corruption, interfaces

    module = corruption if kind == "corruption" else interfaces
    return getattr(module, _CORE_CLASS[kind])  # type: ignore[no-any-return]


def check_base_class(ref: PluginRef, cls: Any) -> None:
    """It is a subclass of the kind's class of the contract. Raises PluginLoadError."""
    core = core_class(ref.kind)
    if not isinstance(cls, type) or not issubclass(cls, core):
        got = cls.__name__ if isinstance(cls, type) else f"a {type(cls).__name__}"
        raise _failed(ref, f"expected a subclass of vssl_core.{core.__name__}, got {got}")


def check_complete(ref: PluginRef, cls: Any) -> None:
    """It defines every abstract method. Raises PluginLoadError."""
    if inspect.isabstract(cls):
        missing = ", ".join(sorted(vars(cls)["__abstractmethods__"]))
        raise _failed(ref, f"{cls.__name__} does not define {missing}")


def check_options_class(ref: PluginRef, cls: Any) -> None:
    """Its `Options` is a subclass of `vssl_core.Options`. Raises PluginLoadError."""
    from vssl_core.options import Options

    if not (isinstance(cls.Options, type) and issubclass(cls.Options, Options)):
        raise _failed(
            ref, f"{cls.__name__}.Options must be a subclass of vssl_core.Options, got {cls.Options!r}"
        )


def check_api_version(ref: PluginRef, cls: Any) -> None:
    """A packaged class states the host's `api_version`. Raises PluginLoadError.

    The number must stand in the plugin's own classes: an inherited one would be the host's.
    """
    from vssl_core.interfaces import API_VERSION

    above = core_class(ref.kind).__mro__
    own = [vars(part) for part in cls.__mro__ if part not in above]
    stated = next((names["api_version"] for names in own if "api_version" in names), None)
    if stated is None and ref.origin not in ("built-in", "installed"):
        return
    if stated is None:
        raise _failed(ref, f"{cls.__name__} does not state its api_version; this vssl has {API_VERSION}")
    if stated != API_VERSION or isinstance(stated, bool):
        side = "vssl" if isinstance(stated, int) and stated > API_VERSION else "the plugin"
        raise _failed(ref, f"it is made for api_version {stated}, this vssl has {API_VERSION}: update {side}")


CLASS_CHECKS = (check_base_class, check_complete, check_options_class, check_api_version)
"""What `load` asks of a class, in this order; after the first has failed the others mean nothing."""


# ------------------------------------------------------------------------------------------------ files


def _import_file(ref: PluginRef, path: Path) -> ModuleType:
    """The module of a file, executed once per process under a name that depends on its path alone."""
    digest = plugin_digest(ref)
    with _files_lock:
        loaded = _files.get(path)
        if loaded is None:
            _check_siblings(ref, path)
            loaded = _files[path] = _LoadedFile(_execute(path), digest)
    if loaded.digest != digest:
        raise PluginLoadError(
            f"{ref} changed after this process imported it: start Python again to use the new version."
        )
    return loaded.module


def file_of_module(name: str) -> Path | None:
    """The file that `load` imported under this module name."""
    return next((path for path, loaded in _files.items() if loaded.module.__name__ == name), None)


def _execute(path: Path) -> ModuleType:
    name = f"vssl_file_{path.stem}_{sha256(str(path).encode()).hexdigest()[:12]}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # before execution: pickle, dataclasses and pydantic look it up
    try:
        with _first_on_path(path.parent):
            spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _check_siblings(ref: PluginRef, path: Path) -> None:
    """Refuse a file whose `import helpers` would give the `helpers` of another folder."""
    for name, file in imported_files(path.stem, path, root=path.parent).items():
        other = getattr(sys.modules.get(name), "__file__", None)
        if file != path and other is not None and Path(other).resolve() != file.resolve():
            raise PluginLoadError(
                f"{ref} imports {name!r} from beside it ({file}), but this process already has a module of "
                f"that name ({other}). Rename the file."
            )


@contextmanager
def _first_on_path(folder: Path) -> Iterator[None]:
    sys.path.insert(0, str(folder))
    importlib.invalidate_caches()
    try:
        yield
    finally:
        sys.path.remove(str(folder))
