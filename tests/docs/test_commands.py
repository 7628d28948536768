"""Every command on a page is one that exists, with options, components and values that exist."""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Iterator, Mapping
from importlib import metadata
from inspect import signature
from itertools import pairwise
from pathlib import Path
from typing import Any

import click
import pytest
import yaml
from packaging.requirements import Requirement
from pages import DOCS, EVERY, ROOT, commands, fences

import vssl_core
from vssl_core.cli import vssl
from vssl_core.cli.lazy import LazyCommand
from vssl_core.cli.plugins import plugins
from vssl_core.options import build_options, parse_options
from vssl_core.protocol import Protocol, load_protocol, preset_names
from vssl_core.registry import KINDS, load, resolve

COMING = {"new", "check"}  # of `vssl plugins`, described before they are merged
PLACEHOLDERS = {"KIND": "task", "NAME": "vcop", "TARGET": "vcop"}
SHOWN = [(page, words) for page in EVERY for words in commands(page)]
OF_VSSL = [
    pytest.param(page, words, id=f"{page.stem}: {' '.join(words)}")
    for page, words in SHOWN
    if words[0] == "vssl"
]


def parse(words: list[str]) -> click.Context | None:
    """What the command line makes of the words, nothing run; None where they only name a command."""
    command, arguments = vssl, [PLACEHOLDERS.get(word, word) for word in words[1:]]
    while isinstance(command, click.Group) and arguments and not arguments[0].startswith("-"):
        name = arguments.pop(0)
        assert name in command.commands, f"there is no `{' '.join(words)}`"
        inner = command.commands[name]
        command = inner.real() if isinstance(inner, LazyCommand) else inner
    if isinstance(command, click.Group) or not arguments:
        return None
    return command.make_context(command.name, arguments, parent=click.Context(vssl, **vssl.context_settings))


@pytest.mark.parametrize(("page", "words"), OF_VSSL)
def test_a_command_is_understood(page: Path, words: list[str]) -> None:
    if words[1] == "plugins" and words[2] in COMING - plugins.commands.keys():
        pytest.skip(f"this checkout has no `vssl plugins {words[2]}` yet")
    context = parse(words)
    if context is not None and context.command.name == "bench":
        check_bench(page, **context.params)


def test_a_command_that_there_is_not_is_noticed() -> None:
    for line in (
        "vssl benhc --task vcop",
        "vssl bench --task vcop --seed 0",
        "vssl plugins show nothing vcop",
    ):
        with pytest.raises((AssertionError, click.UsageError)):
            parse(line.split())
    page = ROOT / "README.md"
    for option in ("task.num_clip=4", "task.num_clips=99", "protocol.pretrain.budget.amuont=1"):
        context = parse(["vssl", "bench", "--task", "vcop", "-o", option])
        with pytest.raises(vssl_core.UsageError):
            check_bench(page, **context.params)


def test_the_pages_show_commands() -> None:
    assert len(OF_VSSL) > 40
    shown = {words[1] for _, words in SHOWN if words[0] == "vssl" and len(words) > 1}
    assert {"bench", "plugins", "report", "why"} <= shown


@pytest.mark.parametrize(("page", "words"), [(p, w) for p, w in SHOWN if w[0] not in ("vssl",)])
def test_other_commands_start_what_is_there(page: Path, words: list[str]) -> None:
    assert words[0] in ("python", "pip", "pytest", "ruff", "mypy"), f"{page.name}: who knows {words[0]}?"
    files = [word for word in words if word.endswith(".py") or word.startswith("./")]
    files += [value for option, value in pairwise(words) if option == "-c"]
    assert [file for file in files if not (ROOT / file).exists()] == []


# ---------------------------------------------------------------------------------------------- values


def check_bench(
    page: Path, *, task: str, protocol: str = "laptop", options: tuple[str, ...] = (), **named: Any
) -> None:
    """Resolve everything that a bench names, as far as it exists here, and check the options given."""
    given = parse_options(options)
    document = read_protocol(page, protocol, given.get("protocol", {}))
    check_component("task", task, given.get("task", {}), page)
    check_component("backbone", named["backbone"] or document.backbone, given.get("backbone", {}), page)
    check_component("executor", named["executor"], given.get("executor", {}), page)
    datasets = {"pretrain": [named["pretrain"] or document.pretrain_dataset]}
    datasets["target"] = list(named["targets"] or document.target_datasets)
    for owner, specs in datasets.items():
        for spec in specs:
            check_component("dataset", spec, given.get(owner, {}), page, owner=owner)
    for spec in named["evaluators"] or document.evaluation.evaluators:
        check_component("evaluator", spec, given.get(f"eval/{spec}", {}), page)


def read_protocol(page: Path, name: str, changes: Mapping[str, Any]) -> Protocol:
    if name in preset_names():
        return load_protocol(name, changes)
    own = {document["name"]: document for document in yaml_blocks(page)}
    assert Path(name).stem in own, f"{page.name} shows no protocol {name}"
    return Protocol.model_validate(own[Path(name).stem])


def yaml_blocks(page: Path) -> Iterator[dict[str, Any]]:
    for fence in fences(page, "yaml"):
        yield yaml.safe_load(fence.text)


def check_component(
    kind: Any, spec: str, values: Mapping[str, Any], page: Path, *, owner: str | None = None
) -> None:
    file, _, name = spec.rpartition(":")
    if kind == "dataset" and spec.startswith(("~", "/")):  # a folder of the reader's
        spec = "folder"
    elif file.endswith(".py"):
        spec = f"{ROOT / 'examples' / Path(file).name}:{name}"
    elif spec in declared(page):
        return
    cls: Any = load(resolve(kind, spec))
    if kind == "backbone":  # the core's option of every backbone
        values = {key: value for key, value in values.items() if key != "weights"}
    build_options(cls.Options, values, owner=owner or kind, levels=getattr(cls, "levels", None))


def declared(page: Path) -> set[str]:
    """Components that the page itself packages, or a package among the examples does."""
    texts = [fence.text for fence in fences(page, "toml")]
    texts += [file.read_text(encoding="utf-8") for file in (ROOT / "examples").glob("*/pyproject.toml")]
    documents = [tomllib.loads(text) for text in texts]
    groups = [document.get("project", {}).get("entry-points", {}) for document in documents]
    assert {group for found in groups for group in found} <= {f"vssl.{kind}s" for kind in KINDS}
    return {name for found in groups for group in found.values() for name in group}


def test_metadata_and_protocols_on_pages_are_valid() -> None:
    publish = DOCS / "publish-a-plugin.md"
    assert "arrow" in declared(publish)
    (project,) = [tomllib.loads(fence.text)["project"] for fence in fences(publish, "toml")]
    (needed,) = map(Requirement, project["dependencies"])
    assert needed.name == "vssl"
    assert metadata.version("vssl") in needed.specifier
    assert f"api_version = {vssl_core.API_VERSION}\n" in publish.read_text(encoding="utf-8")
    documents = list(yaml_blocks(DOCS / "protocol.md"))
    assert documents
    for document in documents:
        assert Protocol.model_validate(document).name == document["name"]


# ---------------------------------------------------------------------------------------------- Python


@pytest.mark.parametrize(
    "page", [DOCS / "getting-started.md", ROOT / "README.md"], ids=lambda page: page.stem
)
def test_a_bench_from_python_takes_these_arguments(page: Path) -> None:
    calls = [
        node
        for fence in fences(page, "python")
        for node in ast.walk(ast.parse(fence.text))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "vssl_core.bench"
    ]
    assert calls
    for call in calls:
        arguments = [ast.literal_eval(value) for value in call.args]
        named = {str(word.arg): ast.literal_eval(word.value) for word in call.keywords}
        bound = signature(vssl_core.bench).bind(*arguments, **named)
        options = [
            f"{owner}.{key}={value}"
            for owner, values in bound.arguments.get("options", {}).items()
            for key, value in values.items()
        ]
        parsed = parse(["vssl", "bench", "--task", bound.arguments["task"]])
        check_bench(page, **{**parsed.params, "options": tuple(options)})
