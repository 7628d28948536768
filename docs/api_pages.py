"""The API reference: a page for each public module, with the directives that autodoc fills in."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Sequence
from importlib import import_module
from types import ModuleType
from typing import Any

from docstrings import first_paragraph, table

import vssl_core

__all__ = ["api_pages"]

FOR_AUTHORS = ("augmentation", "momentum", "distributed", "progress", "hooks", "testing")
FOR_READERS = ("protocol", "rows", "report", "run_cell", "paper", "findings")


def api_pages() -> dict[str, str]:
    """Path below docs/ → content."""
    modules = _modules()
    made = {f"api/{module.__name__}.md": _page(module) for module in modules}
    return made | {"api/index.md": _index(modules)}


def _modules() -> list[ModuleType]:
    """Where the names of `vssl_core` come from, and what else authors and readers of results need."""
    names = {vssl_core._MODULE_OF[name] for name in vssl_core.__all__ if name in vssl_core._MODULE_OF}
    names |= {f"vssl_core.{name}" for name in (*FOR_AUTHORS, *FOR_READERS)}
    return [import_module(name) for name in sorted(names)]


def _page(module: ModuleType) -> str:
    lines = [f"# `{module.__name__}`", "", "```{eval-rst}", f".. automodule:: {module.__name__}", ""]
    lines += [f".. currentmodule:: {module.__name__}"]
    for name in _in_source_order(module):
        lines += ["", *_directive(name, getattr(module, name))]
    return "\n".join([*lines, "```"])


def _in_source_order(module: ModuleType) -> list[str]:
    places: dict[str, int] = {}
    for node in ast.parse(inspect.getsource(module)).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            places[node.name] = node.lineno
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            places |= {target.id: node.lineno for target in targets if isinstance(target, ast.Name)}
    return sorted(module.__all__, key=lambda name: places.get(name, 0))


def _directive(name: str, thing: Any) -> list[str]:
    if inspect.isclass(thing) and issubclass(thing, BaseException):
        return [f".. autoexception:: {name}"]
    if inspect.isclass(thing):
        flags = ("undoc-members:", "special-members: __init__", "exclude-members: Options")
        whole = [f"   :{flag}" for flag in flags] if _is_contract(thing) else []
        return [f".. autoclass:: {name}", "   :members:", *whole]
    return [f".. autofunction:: {name}" if inspect.isroutine(thing) else f".. autodata:: {name}"]


def _is_contract(cls: type) -> bool:
    """Whether authors derive from it, so that its attributes without a text matter, too."""
    return bool(getattr(cls, "__abstractmethods__", None))


def _index(modules: Sequence[ModuleType]) -> str:
    rows = [(f"[`{m.__name__}`]({m.__name__}.md)", first_paragraph(m)) for m in modules]
    return "\n".join(
        [
            "# API reference",
            "",
            "Everything in `vssl_core.__all__` is imported from `vssl_core` itself; the rest from its "
            "module. Names that begin with an underscore, and modules that are not listed here, may change "
            "at any time.",
            "",
            *[table(("module", ""), rows), ""],
            *["```{toctree}", ":hidden:", "", *(module.__name__ for module in modules), "```"],
        ]
    )
