"""What prose names exists: options, files, modules, variables, ops, events, errors."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path
from typing import Any, get_args

import pytest
from pages import DOCS, EVERY, ROOT, fences, inline_code

import vssl_core
from vssl_core.augmentation import ops
from vssl_core.hooks import EVENTS
from vssl_core.options import parse_options
from vssl_core.protocol import Protocol, load_protocol
from vssl_core.registry import load, resolve

CODE = [(page, code) for page in EVERY for code in inline_code(page)]
SOURCES = [path for top in ("vssl_core", "plugins", "examples") for path in (ROOT / top).rglob("*.py")]


def test_files_exist() -> None:
    paths = [
        (page, code)
        for page, code in CODE
        if re.fullmatch(r"(examples|vssl_core|plugins|docs|tests|benchmarks|\.ci)/[\w./-]*", code)
    ]
    assert len(paths) > 5
    shown = {page: "".join(fence.text for fence in fences(page, "text")) for page in EVERY}  # of a reader
    missing = [(page, code) for page, code in paths if not (ROOT / code).exists()]
    assert [(page.name, code) for page, code in missing if code not in shown[page]] == []


def test_names_of_the_core_exist() -> None:
    dotted = {code for _, code in CODE if re.fullmatch(r"vssl_core(\.\w+)+", code)}
    assert len(dotted) > 8
    assert [name for name in sorted(dotted) if not exists(name)] == []


def exists(dotted: str) -> bool:
    try:
        import_module(dotted)
    except ImportError:
        module, _, name = dotted.rpartition(".")
        return hasattr(import_module(module), name)
    return True


def test_environment_variables_exist() -> None:
    source = "\n".join(path.read_text(encoding="utf-8") for path in SOURCES)
    named = {name for page in EVERY for name in re.findall(r"VSSL_[A-Z_]+", page.read_text(encoding="utf-8"))}
    assert {"VSSL_CACHE", "VSSL_DISABLE_PLUGINS"} <= named
    assert [name for name in sorted(named) if f'"{name}"' not in source] == []


def test_fields_of_the_protocol_exist() -> None:
    fields = re.compile(r"(clip|data|pretrain|evaluation)(\.\w+)+")
    pages = [page for page in EVERY if not page.name.startswith("add-")]  # there, `data` is an argument
    named = {code for page in pages for code in inline_code(page) if fields.fullmatch(code)}
    assert len(named) >= 4
    document = Protocol(name="x").model_dump()
    for field in named:
        found: Any = document
        for word in field.split("."):
            assert word in found, field
            found = found[word]


KIND_OF = {"task": "task", "backbone": "backbone", "executor": "executor"}
KIND_OF |= {"target": "dataset", "pretrain": "dataset"}


def test_options_exist() -> None:
    options: dict[str, set[str]] = {kind: set() for kind in KIND_OF.values()}
    for ref in vssl_core.scan():
        if ref.kind in options:
            made: Any = load(ref)
            options[ref.kind] |= set(made.Options.model_fields)
    known = {owner: set(options[kind]) for owner, kind in KIND_OF.items()}
    known["task"] |= {"level"}
    named = [(page, code) for page, code in CODE if re.fullmatch(r"-o [a-z_/]+\.[a-z_.]+=[^\sA-Z…]+", code)]
    assert len(named) > 8
    for page, code in named:
        (owner, values), *_ = parse_options([code.removeprefix("-o ")]).items()
        (option, value), *_ = values.items()
        if owner == "protocol":
            load_protocol("laptop", {option: value})
        elif owner.startswith("eval/"):
            cls: Any = load(resolve("evaluator", owner.removeprefix("eval/")))
            assert option in cls.Options.model_fields, f"{page.name}: {code}"
        else:
            shown = f"    {option}:" in page.read_text(encoding="utf-8")  # an option of the page's own
            assert option in known[owner] or shown, f"{page.name}: {code}"


def test_what_is_said_to_be_outside_the_hash_is() -> None:
    text = (DOCS / "protocol.md").read_text(encoding="utf-8")
    sentence = text[text.index("Not in it:") : text.index("because rows name")]
    changes: dict[str, Any] = {
        "name": "other",
        "description": "other",
        "backbone": "r2plus1d",
        "pretrain_dataset": "folder",
        "target_datasets": ["folder"],
        "evaluation.evaluators": ["linear"],
    }
    assert set(re.findall(r"`([\w.]+)`", sentence)) == set(changes)
    base = load_protocol("laptop").hash
    assert {load_protocol("laptop", {field: value}).hash for field, value in changes.items()} == {base}
    inside = {"clip.num_frames": 9, "pretrain.budget.amount": 7, "evaluation.num_test_clips": 3}
    assert base not in {load_protocol("laptop", {field: value}).hash for field, value in inside.items()}


def test_the_page_on_tasks_names_every_op_and_its_order() -> None:
    codes = set(inline_code(DOCS / "add-a-task.md"))
    assert {op.__name__ for op in get_args(ops.Op)} <= codes


def test_the_page_on_hooks_lists_every_event_with_its_arguments() -> None:
    from vssl_core.hooks import _Events

    listed = [code for code in inline_code(DOCS / "add-hooks.md") if code.startswith("vssl_")]
    declared = []
    for name in EVENTS:
        function = getattr(_Events, name).__code__
        declared.append(f"{name}({', '.join(function.co_varnames[1 : function.co_argcount])})")
    assert listed == declared


@pytest.mark.parametrize("page", EVERY, ids=lambda page: page.stem)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)", page.read_text(encoding="utf-8")):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{page.name} links to {target}"
