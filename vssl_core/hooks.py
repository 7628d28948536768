"""Events of a run that installed hooks may watch; five of them, and none can change a result.

A hook is a module or an object under the entry point group `vssl.hooks`, with functions marked
`@hookimpl`. A function takes those arguments of its event that it needs, by name.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pluggy import HookimplMarker, HookspecMarker, PluginManager

from vssl_core.errors import HookError, PluginLoadError, UnknownNameError, did_you_mean
from vssl_core.registry import PluginRef, import_target, scan

if TYPE_CHECKING:
    from vssl_core.rows import Row

__all__ = ["EVENTS", "Hooks", "RunInfo", "check_hook", "hookimpl", "load_hooks", "selected_hooks"]

hookimpl = HookimplMarker("vssl")
_hookspec = HookspecMarker("vssl")


@dataclass(frozen=True, slots=True)
class RunInfo:
    """The run that an event belongs to.

    Args:
        cell_id: The cell.
        folder: Its folder in the run folder.
        task: Name of the pretext task.
        backbone: Name of the backbone.
        seed: The cell's seed.
        budget: How much pretraining the cell gets, in `currency`.
        currency: `epochs`, `frames`, `flops` or `seconds`.
    """

    cell_id: str
    folder: Path
    task: str
    backbone: str
    seed: int
    budget: float
    currency: str


class _Events:
    """What may be watched."""

    @_hookspec
    def vssl_run_start(self, run: RunInfo) -> None:
        """Before the first step of a cell, or of its resumption."""

    @_hookspec
    def vssl_step_end(self, run: RunInfo, step: int, metrics: Mapping[str, float]) -> None:
        """After an optimiser step; `metrics` is a copy of what is logged for it."""

    @_hookspec
    def vssl_checkpoint_saved(self, run: RunInfo, path: Path) -> None:
        """After a checkpoint stands on disk, whole."""

    @_hookspec
    def vssl_result(self, run: RunInfo, row: Row) -> None:
        """After an evaluator gave a metric; `row` is a copy."""

    @_hookspec
    def vssl_run_end(self, run: RunInfo, error: BaseException | None) -> None:
        """When the cell is finished, or stops with an error."""


EVENTS = tuple(name for name in vars(_Events) if name.startswith("vssl_"))


class Hooks:
    """The hooks of one process. Each event goes to all of them, in the order of their names.

    An event method raises HookError, which names the hook and its distribution, when one raises.

    Args:
        plugins: What watches, with where it comes from.
        problems: One sentence for each installed hook that cannot be used; show them.

    Raises:
        PluginLoadError: An object is no valid hook.
    """

    def __init__(self, plugins: Mapping[PluginRef, object], *, problems: Collection[str] = ()) -> None:
        # A manager for each: pluggy stops at the first that raises and does not say which it was.
        self._managers = {ref: _manager(ref, plugin) for ref, plugin in plugins.items()}
        self.problems = tuple(problems)

    @property
    def refs(self) -> tuple[PluginRef, ...]:
        """The hooks that are active; where there is none, no event needs to be prepared."""
        return tuple(self._managers)

    def run_start(self, run: RunInfo) -> None:
        """Before the first step."""
        self._send("vssl_run_start", lambda: {"run": run})

    def step_end(self, run: RunInfo, step: int, metrics: Mapping[str, float]) -> None:
        """After an optimiser step; each hook gets a copy of the metrics."""
        self._send("vssl_step_end", lambda: {"run": run, "step": step, "metrics": dict(metrics)})

    def checkpoint_saved(self, run: RunInfo, path: Path) -> None:
        """After a checkpoint stands on disk."""
        self._send("vssl_checkpoint_saved", lambda: {"run": run, "path": path})

    def result(self, run: RunInfo, row: Row) -> None:
        """After an evaluator gave a metric; each hook gets a copy of the row."""
        self._send("vssl_result", lambda: {"run": run, "row": row.model_copy(deep=True)})

    def run_end(self, run: RunInfo, error: BaseException | None = None) -> None:
        """At the end; reaches every hook, also after one raised, and never hides `error`."""
        failures: list[HookError] = []
        for ref in self._managers:
            try:
                self._send_one(ref, "vssl_run_end", {"run": run, "error": error})
            except HookError as caught:
                failures.append(caught)
        if error is not None:
            for failure in failures:
                error.add_note(str(failure))
        elif failures:
            raise failures[0]

    def _send(self, event: str, arguments: Callable[[], dict[str, Any]]) -> None:
        for ref in self._managers:
            self._send_one(ref, event, arguments())  # new copies for each

    def _send_one(self, ref: PluginRef, event: str, arguments: dict[str, Any]) -> None:
        try:
            getattr(self._managers[ref].hook, event)(**arguments)
        except Exception as error:
            raise HookError(
                f"{ref} failed in {event} with {type(error).__name__}: {error}. "
                f"Leave it out with --no-plugin {ref.name}, or all hooks with VSSL_DISABLE_PLUGINS=1."
            ) from error


def load_hooks(*, disabled: Collection[str] = (), environ: Mapping[str, str] = os.environ) -> Hooks:
    """The installed hooks. One that cannot be used is left out, and said in `problems`.

    Args:
        disabled: What `--no-plugin` named: `name`, `distribution:name` or a distribution.
        environ: Where VSSL_DISABLE_PLUGINS=1 leaves out all of them.

    Raises:
        UnknownNameError: `disabled` names no installed hook.
    """
    plugins: dict[PluginRef, object] = {}
    problems: list[str] = []
    for ref in selected_hooks(disabled=disabled, environ=environ):
        try:
            plugin = import_target(ref)
            check_hook(ref, plugin)
            plugins[ref] = plugin
        except PluginLoadError as error:
            problems.append(f"{error} The run goes on without it.")
    return Hooks(plugins, problems=problems)


def selected_hooks(
    *, disabled: Collection[str] = (), environ: Mapping[str, str] = os.environ
) -> tuple[PluginRef, ...]:
    """The installed hooks that a run will have, nothing imported; arguments as in `load_hooks`.

    Raises:
        UnknownNameError: `disabled` names no installed hook.
    """
    installed = [ref for ref in scan() if ref.kind == "hook"]
    known = {word for ref in installed for word in _names(ref)}
    for name in disabled:
        if name not in known:
            near = did_you_mean(name, known)
            raise UnknownNameError(f"--no-plugin {name}: no such hook is installed.{near}")
    if environ.get("VSSL_DISABLE_PLUGINS", "0") not in ("", "0"):
        return ()
    return tuple(ref for ref in installed if _names(ref).isdisjoint(disabled))


def _names(ref: PluginRef) -> set[str]:
    return {ref.name, f"{ref.dist}:{ref.name}", ref.dist}


def check_hook(ref: PluginRef, plugin: object) -> tuple[str, ...]:
    """Events that a hook watches.

    Raises:
        PluginLoadError: It watches none, or has a function that no event could call.
    """
    manager = _manager(ref, plugin)
    return tuple(caller.name for caller in manager.get_hookcallers(plugin) or ())


def _manager(ref: PluginRef, plugin: object) -> PluginManager:
    if isinstance(plugin, type):
        raise PluginLoadError(f"{ref} is no valid hook: expected a module or an object, got a class.")
    manager = PluginManager("vssl")
    manager.add_hookspecs(_Events)
    try:
        manager.register(plugin, name=ref.name)
        manager.check_pending()
    except Exception as error:
        raise PluginLoadError(f"{ref} is no valid hook: {' '.join(str(error).split())}") from error
    marked = {caller.name for caller in manager.get_hookcallers(plugin) or ()}
    for name in dir(plugin):
        if name.startswith("vssl_") and name not in marked and callable(getattr(plugin, name)):
            what = "is not marked @hookimpl" if name in EVENTS else "is no event"
            raise PluginLoadError(f"{ref} is no valid hook: {name} {what}.{did_you_mean(name, EVENTS)}")
    if not marked:
        raise PluginLoadError(f"{ref} is no valid hook: it has none of {', '.join(EVENTS)}.")
    return manager
