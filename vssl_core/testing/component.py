"""What all kinds have in common: a loaded component with its options, and the checks of those."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from vssl_core.errors import OptionError
from vssl_core.options import Options, build_options, describe_options
from vssl_core.registry import PluginRef, load
from vssl_core.testing.outcome import CheckFailed

__all__ = ["OPTION_CHECKS", "Component", "component"]


@dataclass(frozen=True, slots=True)
class Component:
    """A component under test.

    Args:
        ref: Where it comes from.
        cls: Its class.
        values: Options that differ from the defaults, as the author gave them.
    """

    ref: PluginRef
    cls: Any
    values: Mapping[str, Any]

    @property
    def options(self) -> Any:
        """The options with which the checks run."""
        levels = getattr(self.cls, "levels", None)
        return build_options(self.cls.Options, self.values, owner=self.ref.kind, levels=levels)


def component(ref: PluginRef, values: Mapping[str, Any]) -> Component:
    """Load a component. Raises what `load` raises."""
    return Component(ref, load(ref), values)


def check_options_are_described(subject: Component) -> None:
    """Every option says in words what it is."""
    silent = [row.name for row in describe_options(subject.cls.Options) if not row.description.strip()]
    if silent:
        raise CheckFailed(
            f"expected a text for every option, but {', '.join(silent)} of {subject.cls.Options.__name__} "
            "have none; write a docstring below the field, or Field(description=...)."
        )


def check_options_have_defaults(subject: Component) -> None:
    """A component runs without any option given."""
    fields = subject.cls.Options.model_fields
    needed = [name for name, field in fields.items() if field.is_required()]
    if needed and not set(needed) <= subject.values.keys():
        raise CheckFailed(
            f"expected a default for every option, but {', '.join(needed)} of {subject.cls.Options.__name__} "
            "must be given."
        )


def check_options_survive_json(subject: Component) -> None:
    """Options are stored as JSON; what is read back equals what was written."""
    written = subject.options.model_dump_json()
    again = subject.cls.Options.model_validate(json.loads(written))
    if again != subject.options:
        raise CheckFailed(
            f"expected the options to survive JSON, but {subject.options!r} came back as {again!r}."
        )


def check_unknown_options_are_refused(subject: Component) -> None:
    """A misspelt option is an error and never ignored; options do not change after they were checked."""
    cls = subject.cls.Options
    try:
        build_options(cls, {**subject.values, "no_such_option": 1}, owner=subject.ref.kind)
    except OptionError:
        pass
    else:
        raise CheckFailed(
            f"expected {cls.__name__} to refuse an option that it does not have, but it took it; do not set "
            "extra='allow' or 'ignore' in its model_config."
        )
    if not cls.model_config.get("frozen"):
        raise CheckFailed(f"expected {cls.__name__} to be frozen like {Options.__name__}, but it is not.")


OPTION_CHECKS = (
    check_options_are_described,
    check_options_have_defaults,
    check_options_survive_json,
    check_unknown_options_are_refused,
)
