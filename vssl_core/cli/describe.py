"""One component as `vssl plugins show` presents it: to a person, to a page of documentation, to a program."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from vssl_core.options import OptionRow, describe_options
from vssl_core.registry import PluginRef, import_target, load

__all__ = ["Description", "describe", "markdown", "show"]

_FACTS = ("paper", "citation", "licence", "requires", "provides", "levels")


@dataclass(frozen=True, slots=True)
class Description:
    """What a component says of itself.

    Args:
        ref: Which it is.
        text: Its docstring.
        facts: Paper, licence and the like, those that it states.
        options: Its options.
        source: File and line, where known.
    """

    ref: PluginRef
    text: str
    facts: Mapping[str, Any]
    options: tuple[OptionRow, ...] = ()
    source: str = ""

    def document(self) -> dict[str, Any]:
        """As JSON."""
        ref = self.ref
        return {
            "kind": ref.kind,
            "name": ref.name,
            "distribution": ref.dist,
            "version": ref.version,
            "origin": ref.origin,
            "target": ref.target,
            "text": self.text,
            **self.facts,
            "options": [asdict(option) for option in self.options],
            "source": self.source,
        }


def describe(ref: PluginRef) -> Description:
    """Import a component and collect what it says of itself. Raises what `load` raises."""
    if ref.kind == "hook":
        from vssl_core.hooks import check_hook

        hook = import_target(ref)
        return Description(
            ref, _own_text(hook), {"events": list(check_hook(ref, hook))}, source=_source(hook)
        )
    cls: Any = load(ref)
    facts = {name: _plain(getattr(cls, name)) for name in _FACTS if getattr(cls, name, None)}
    return Description(ref, _own_text(cls), facts, describe_options(cls.Options), _source(cls))


def _own_text(component: Any) -> str:
    return inspect.cleandoc(component.__doc__ or "")


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(part) for key, part in value.items()}
    return sorted(value) if isinstance(value, frozenset) else value


def _source(component: Any) -> str:
    try:
        file = inspect.getsourcefile(component)
        return f"{file}:{inspect.getsourcelines(component)[1]}" if file else ""
    except (OSError, TypeError):
        return ""


def _fact_text(value: Any) -> str:
    if isinstance(value, Mapping):
        sign = ": " if any(isinstance(part, Mapping) for part in value.values()) else "="
        return "; ".join(f"{key}{sign}{_fact_text(part)}" for key, part in value.items())
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def markdown(described: Description) -> str:
    """For a page of documentation: no path and no version, so that it changes with the component alone."""
    lines = [f"### `{described.ref.name}`", "", described.text, ""]
    facts = [f"- {name}: {_fact_text(value)}" for name, value in described.facts.items()]
    lines += [*facts, ""] if facts else []
    if described.options:
        lines += ["| option | takes | default | |", "| --- | --- | --- | --- |"]
        for option in described.options:
            cells = (f"`{option.name}`", option.type, f"`{option.default}`", option.description)
            lines.append(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |")
    return "\n".join(lines).rstrip()


def show(described: Description) -> None:
    """Print to the terminal."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False, soft_wrap=False)
    ref = described.ref
    console.print(Text(f"{ref.kind} {ref.name}", style="bold"))
    if described.text:
        console.print(Text(described.text))
        console.print()
    facts = Table.grid(padding=(0, 2))
    origin = f"{ref.dist} {ref.version} ({ref.origin})" if ref.dist else ref.origin
    shown = {**described.facts, "from": origin, "target": ref.target, "source": described.source}
    for name, value in shown.items():
        if value:
            facts.add_row(Text(name, style="dim"), Text(_fact_text(value), overflow="fold"))
    console.print(facts)
    if described.options:
        table = Table("option", "takes", "default", "", box=None, padding=(0, 2, 0, 0), title_justify="left")
        for option in described.options:
            table.add_row(*map(Text, (option.name, option.type, option.default, option.description)))
        console.print()
        console.print(table)
