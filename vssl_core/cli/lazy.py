"""Commands that stand in for one whose module is not imported yet."""

from __future__ import annotations

from collections.abc import Callable, MutableMapping
from importlib import import_module
from typing import Any, TypeVar

import click

__all__ = ["LazyCommand", "debug_option", "is_debugging"]

_DEBUG = "debug"
AnyCommand = TypeVar("AnyCommand", bound=Callable[..., Any] | click.Command)


class LazyCommand(click.Command):
    """Knows the name and the help text; imports the command when it is about to run.

    Args:
        name: What the user types.
        target: `module:attribute` of the command.
        help: The line that the group's help shows.
        hidden: Not shown there.
    """

    def __init__(self, name: str, target: str, *, help: str, hidden: bool = False) -> None:  # noqa: A002
        super().__init__(name, help=help, hidden=hidden)
        self.name: str = name
        self._target = target

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        """The context of the real command, which click then invokes."""
        command = self.real()
        if all(parameter.name != _DEBUG for parameter in command.params):
            debug_option(command)
        return command.make_context(info_name, args, parent, **extra)

    def real(self) -> click.Command:
        """Import the command."""
        module, _, attribute = self._target.partition(":")
        command: click.Command = getattr(import_module(module), attribute)
        return command


def _remember(context: click.Context, parameter: click.Parameter, wanted: bool) -> None:
    del parameter
    state = context.find_root().obj
    if wanted and isinstance(state, MutableMapping):
        state[_DEBUG] = True


def debug_option(command: AnyCommand) -> AnyCommand:
    """Add `--debug`, which every command takes at any place."""
    return click.option(
        "--debug",
        is_flag=True,
        is_eager=True,
        expose_value=False,
        callback=_remember,
        help="Show the traceback of an error.",
    )(command)


def is_debugging(state: MutableMapping[str, bool]) -> bool:
    """Whether `--debug` was given; `state` is the root context's `obj`."""
    return state.get(_DEBUG, False)
