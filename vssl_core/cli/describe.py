"""One component as `vssl plugins show` presents it: to a person, to a page of documentation, to a program."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from vssl_core.options import OptionRow, describe_options
from vssl_core.registry import PluginRef, import_target, load

__all__ = ["Description", "describe", "markdown", "show", "with_backbones", "with_cost"]

_FACTS = ("paper", "citation", "licence", "requires", "provides", "levels")
_WEIGHTS = OptionRow(
    name="weights",
    type="a file",
    default="null",
    description="Published or exported weights to start from: safetensors, or a PyTorch file of tensors.",
)
"""The option that the core gives every backbone."""


@dataclass(frozen=True, slots=True)
class Description:
    """What a component says of itself.

    Args:
        ref: Which it is.
        text: Its docstring.
        facts: Paper, licence and the like, those that it states.
        options: Its options.
        source: File and line, where known.
        backbones: Of a task: `compatible` ones, and `unknown` ones that cannot be loaded.
        cost: Of a task or a backbone, where it was counted; `protocol` is the name of that.
    """

    ref: PluginRef
    text: str
    facts: Mapping[str, Any]
    options: tuple[OptionRow, ...] = ()
    source: str = ""
    backbones: Mapping[str, Sequence[str]] = field(default_factory=dict)
    cost: Mapping[str, Any] = field(default_factory=dict)

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
            **({"backbones": dict(self.backbones)} if self.backbones else {}),
            **({"cost": dict(self.cost)} if self.cost else {}),
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
    options = describe_options(cls.Options)
    if ref.kind == "backbone":
        facts["loads"] = [key_map.name for key_map in cls.key_maps]
        options += () if "weights" in cls.Options.model_fields else (_WEIGHTS,)
    return Description(ref, _own_text(cls), {k: v for k, v in facts.items() if v}, options, _source(cls))


def with_cost(described: Description, *, protocol: str, backbone: str | None) -> Description:
    """The same with what it costs under a protocol.

    Raises:
        UsageError: There is no such protocol or backbone, or the backbone lacks what the task requires.
    """
    from vssl_core.cli.relations import cost
    from vssl_core.protocol import load_protocol

    counted = cost(described.ref, load_protocol(protocol), backbone=backbone)
    return replace(described, cost={"protocol": protocol, **counted} if counted else {})


def with_backbones(described: Description, *, others: bool) -> Description:
    """The same, for a task, with the backbones that it can use; `others`: third-party ones, too."""
    from vssl_core.cli.relations import compatible_backbones

    requires = frozenset(described.facts.get("requires", ()))
    return replace(described, backbones=compatible_backbones(requires, others=others))


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


def _facts(described: Description) -> dict[str, str]:
    """Everything that is said in a line each."""
    lines = {name: _fact_text(value) for name, value in described.facts.items() if name != "levels"}
    for name, backbones in described.backbones.items():
        if backbones:
            lines[f"{name} backbones"] = _fact_text(list(backbones))
    return lines


def _levels(described: Description) -> list[tuple[str, str]]:
    """Complexity level, and the options that it sets."""
    levels = described.facts.get("levels", {})
    return [(level, _fact_text(changes) or "the defaults") for level, changes in levels.items()]


def _costs(described: Description) -> list[tuple[str, str]]:
    """What is counted, in words, and how much it is."""
    words = {name: name.replace("_", " ").replace("gflops", "GFLOPs") for name in described.cost}
    return [(words[name], _cost_text(value)) for name, value in described.cost.items()]


def _cost_text(value: Any) -> str:
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:g}" if isinstance(value, float) else _fact_text(value)


def markdown(described: Description) -> str:
    """For a page of documentation: no path and no version, so that it changes with the component alone."""
    lines = [f"### `{described.ref.name}`", "", described.text, ""]
    facts = [f"- {name}: {value}" for name, value in _facts(described).items()]
    lines += [*facts, ""] if facts else []
    lines += _markdown_table(("level", "options"), [(n, f"`{o}`") for n, o in _levels(described)])
    lines += _markdown_table(("cost", ""), _costs(described))
    rows = [(f"`{o.name}`", o.type, f"`{o.default}`", o.description) for o in described.options]
    lines += _markdown_table(("option", "takes", "default", ""), rows)
    return "\n".join(lines).rstrip()


def _markdown_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    if not rows:
        return []
    escaped = [[cell.replace("|", r"\|") for cell in row] for row in rows]
    cells = [head, ["---"] * len(head), *escaped]
    return [*(f"| {' | '.join(row)} |".replace("|  |", "| |") for row in cells), ""]


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
    shown = {**_facts(described), "from": origin, "target": ref.target, "source": described.source}
    for name, value in shown.items():
        if value:
            facts.add_row(Text(name, style="dim"), Text(value, overflow="fold"))
    console.print(facts)
    options = [(o.name, o.type, o.default, o.description) for o in described.options]
    for head, rows in (
        (("level", "options"), _levels(described)),
        (("cost", ""), _costs(described)),
        (("option", "takes", "default", ""), options),
    ):
        if rows:
            table = Table(*head, box=None, padding=(0, 2, 0, 0), title_justify="left")
            for row in rows:
                table.add_row(*map(Text, row))
            console.print()
            console.print(table)
