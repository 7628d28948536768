"""Pages that are read from the code: built-ins, command, protocol, checks, the paper's numbers, API and more.

    python docs/generate.py

writes them below docs/, where they are committed, so that they can be read without building the site. A test
fails when they are not what the code gives.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from importlib import import_module
from itertools import groupby
from pathlib import Path
from typing import Any, get_args

import click
from api_pages import api_pages
from click.testing import CliRunner
from docstrings import first_paragraph, table, to_markdown
from paper_page import paper_page
from pydantic import BaseModel, create_model

from vssl_core import errors, testing
from vssl_core.augmentation import ops
from vssl_core.cli import vssl
from vssl_core.cli.lazy import LazyCommand
from vssl_core.files import canonical_json
from vssl_core.options import OptionRow, Options, describe_options
from vssl_core.protocol import Protocol, load_protocol, preset_names
from vssl_core.registry import KINDS, Kind, PluginRef, scan

__all__ = ["pages", "write"]

DOCS = Path(__file__).parent
NOTE = "<!-- Made by docs/generate.py from the code; do not edit. -->\n\n"

PLURALS: Mapping[Kind, str] = {
    "task": "Pretext tasks",
    "backbone": "Backbones",
    "dataset": "Datasets",
    "evaluator": "Evaluators",
    "corruption": "Corruptions",
    "executor": "Executors",
    "hook": "Hooks",
}


def pages() -> dict[str, str]:
    """Path below docs/ → content, for every page that is made."""
    kinds = {kind: _built_in(kind) for kind in KINDS}
    made = {f"builtins/{kind}s.md": _kind_page(kind, refs) for kind, refs in kinds.items() if refs}
    made["builtins/index.md"] = _builtins_index([kind for kind in KINDS if kinds[kind]])
    made["reference/commands.md"] = _commands_page()
    made["reference/protocol-fields.md"] = _protocol_page()
    made["reference/augmentation.md"] = _augmentation_page()
    made["reference/checks.md"] = _checks_page()
    made["reference/errors.md"] = _errors_page()
    made["reference/paper-tables.md"] = paper_page()
    made |= api_pages()
    return {path: NOTE + text.rstrip() + "\n" for path, text in made.items()}


def write() -> list[str]:
    """Bring the files on disk up to date; gives the paths of those that changed."""
    changed = []
    made = pages()
    for folder in ("builtins", "api"):
        for path in (DOCS / folder).glob("*.md"):
            if f"{folder}/{path.name}" not in made:
                path.unlink()
                changed.append(f"{folder}/{path.name}")
    for name, text in made.items():
        path = DOCS / name
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
            changed.append(name)
    return changed


# ------------------------------------------------------------------------------------------- built-ins


def _built_in(kind: Kind) -> list[PluginRef]:
    return [ref for ref in scan() if ref.kind == kind and ref.origin == "built-in"]


def _kind_page(kind: Kind, refs: Sequence[PluginRef]) -> str:
    parts = [
        f"# {PLURALS[kind]}",
        f"The same is shown by `vssl plugins show {kind} NAME`. "
        f"Options are set with `-o {_owner(kind)}.OPTION=VALUE`.",
    ]
    for module, same in groupby(sorted(refs, key=_module), key=_module):
        together = list(same)
        parts += [_component(ref) for ref in together]
        if text := inspect.cleandoc(import_module(module).__doc__ or ""):
            names = " and ".join(f"`{ref.name}`" for ref in together)
            parts += [f"### How {names} work{'s' if len(together) == 1 else ''}", to_markdown(text)]
    return "\n\n".join(parts)


def _module(ref: PluginRef) -> str:
    return ref.target.partition(":")[0]


def _owner(kind: Kind) -> str:
    return {"dataset": "target", "evaluator": "eval/NAME", "corruption": "corruption/NAME"}.get(kind, kind)


def _component(ref: PluginRef) -> str:
    """What `vssl plugins show --format md` prints, one heading higher, addresses as links."""
    shown = _printed("plugins", "show", ref.kind, ref.name, "--format", "md")
    heading, _, rest = shown.partition("\n")
    lines = [_linked(line) for line in rest.splitlines()]
    return "\n".join([f"({ref.kind}-{ref.name})=", heading.removeprefix("#"), *lines])


def _linked(line: str) -> str:
    words = [f"<{word}>" if word.startswith("https://") else word for word in line.split(" ")]
    return " ".join(words)


def _builtins_index(kinds: Sequence[Kind]) -> str:
    rows = [f"| [{PLURALS[kind]}]({kind}s.md) | {_names(kind)} |" for kind in kinds]
    return "\n".join(
        [
            "# Built-ins",
            "",
            "Components that ship with vssl. They are plugins like anybody's: they are found by the entry "
            "points of the distribution `vssl`, and pass the same checks.",
            "",
            *["| kind | names |", "| --- | --- |", *rows, ""],
            *["```{toctree}", ":hidden:", "", *(f"{kind}s" for kind in kinds), "```"],
        ]
    )


def _names(kind: Kind) -> str:
    return ", ".join(f"[`{ref.name}`]({kind}s.md#{kind}-{ref.name})" for ref in _built_in(kind))


# --------------------------------------------------------------------------------------------- command


def _commands_page() -> str:
    parts = [
        "# The command",
        "Results go to standard output, progress and messages to standard error. The exit code is 0 when "
        "all is done, 1 when something failed, 2 when the request cannot be meant.",
    ]
    for words in _commands(vssl, ()):
        parts += [f"## `{' '.join(('vssl', *words))}`", f"```text\n{_printed(*words, '--help')}\n```"]
    return "\n\n".join(parts)


def _commands(command: click.Command, words: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    yield words
    if isinstance(command, click.Group):
        for name, inner in sorted(command.commands.items()):
            if not inner.hidden:
                real = inner.real() if isinstance(inner, LazyCommand) else inner
                yield from _commands(real, (*words, name))


def _printed(*words: str) -> str:
    """What the command prints to a terminal of 100 columns."""
    done = CliRunner().invoke(
        vssl, words, prog_name="vssl", terminal_width=100, max_content_width=100, catch_exceptions=False
    )
    return done.stdout.strip()


# -------------------------------------------------------------------------------------------- protocol


def _protocol_page() -> str:
    described = dict(_protocol_fields(Protocol, ""))
    presets = {name: load_protocol(name) for name in preset_names()}
    values = {name: _flat(preset) for name, preset in presets.items()}
    rows = []
    for field, row in described.items():
        own = [canonical_json(values[name][field]) for name in presets]
        if field not in ("name", "description") and set(own) != {row.default}:
            rows.append([f"`{field}`", *(f"`{value}`" for value in own)])
    hashes = ["hash", *(f"`{preset.hash}`" for preset in presets.values())]
    return "\n\n".join(
        [
            "# Protocol fields and presets",
            "A protocol file has these fields; every one may be left out but `name`. "
            "One field is changed with `-o protocol.FIELD=VALUE`.",
            table(("field", "takes", "default", ""), (_option(f, row) for f, row in described.items())),
            "## Presets",
            "Where a preset differs from the defaults. A changed hash means another protocol.",
            table(("field", *presets), [hashes, *rows]),
            *(f"- `{name}`: {preset.description}" for name, preset in presets.items()),
        ]
    )


def _protocol_fields(model: type[BaseModel], prefix: str) -> Iterator[tuple[str, OptionRow]]:
    plain = {}
    for name, field in model.model_fields.items():
        if not _is_part(field.annotation) and name != "protocol_schema":
            plain[name] = (field.annotation, field)
    described = {row.name: row for row in describe_options(create_model("Plain", __base__=Options, **plain))}
    for name, field in model.model_fields.items():
        if _is_part(field.annotation):
            yield from _protocol_fields(field.annotation, f"{prefix}{name}.")
        elif name in described:
            yield prefix + name, described[name]


def _option(name: str, row: OptionRow) -> tuple[str, ...]:
    return f"`{name}`", row.type, f"`{row.default}`", row.description


def _is_part(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def _flat(model: BaseModel, prefix: str = "") -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name in type(model).model_fields:
        value = getattr(model, name)
        is_part = isinstance(value, BaseModel)
        values |= _flat(value, f"{prefix}{name}.") if is_part else {f"{prefix}{name}": value}
    return values


# ---------------------------------------------------------------------------------------- augmentation


def _augmentation_page() -> str:
    parts = [
        "# Augmentation ops",
        "From `vssl_core.augmentation`. They are plain values; in what order they stand is said in "
        "[Add a task](../add-a-task.md).",
    ]
    for op in get_args(ops.Op):
        values = ", ".join(f"{field.name}={field.default!r}" for field in fields(op))
        parts += [f"## `{op.__name__}({values})`", to_markdown(inspect.cleandoc(op.__doc__))]
    view = inspect.cleandoc(ops.ViewAugmentation.__doc__ or "")
    text, _, arguments = view.partition("\n\nArgs:\n")
    arguments, _, _ = arguments.partition("\n\n")
    parts += ["## `ViewAugmentation(ops, frames=None, draw=None, normalize=True)`", text]
    parts += ["\n".join(_arguments(arguments))]
    return "\n\n".join(parts)


def _arguments(text: str) -> Iterator[str]:
    for line in inspect.cleandoc(text).splitlines():
        name, colon, rest = line.partition(": ")
        yield f"- `{name}`: {rest}" if colon and name.isidentifier() else f"  {line.strip()}"


# ---------------------------------------------------------------------------------------------- checks


def _checks_page() -> str:
    parts = [
        "# Checks of the conformance kit",
        "What `vssl_core.testing.check_plugin` runs on a component, by kind and in this order. Built-ins "
        "pass the same checks.",
    ]
    for kind in KINDS:
        checks = testing._module(kind).CHECKS
        rows = [(f"`{check.__name__}`", first_paragraph(check)) for check in checks]
        parts += [f"## {PLURALS[kind]}", table(("check", "holds when"), rows)]
    return "\n\n".join(parts)


# ---------------------------------------------------------------------------------------------- errors


def _errors_page() -> str:
    classes = [getattr(errors, name) for name in errors.__all__ if name.endswith("Error")]
    rows = [
        (f"`{cls.__name__}`", first_paragraph(cls), f"`{cls.__base__.__name__}`", str(cls.exit_code))
        for cls in sorted(classes, key=lambda cls: (len(cls.__mro__), cls.__name__))
    ]
    tree = (errors.__doc__ or "").partition("\n\n")[2]
    return "\n\n".join(
        [
            "# Errors",
            "Every failure that vssl raises on purpose. In Python catch `vssl_core.VsslError`, or a branch.",
            to_markdown(tree),
            table(("class", "means", "belongs to", "exit code"), rows),
        ]
    )


if __name__ == "__main__":
    for path in write():
        print(path)
