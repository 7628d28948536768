"""What `import vssl_core` offers is a list, and costs nothing."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import vssl_core

WHOLE = ("classifier", "corruption", "errors", "interfaces", "options", "seeding", "types")
OTHERS = {"augmentation", "bench", "evaluate_backbone", "load", "register", "resolve", "scan", "verify"}
OTHERS |= {"EvenClips", "UniformClip", "average_clips", "back_and_forth", "classification_metrics"}


def test_the_list_is_everything_public_of_the_contracts_and_the_functions_of_a_caller() -> None:
    expected = {name for module in WHOLE for name in importlib.import_module(f"vssl_core.{module}").__all__}
    assert set(vssl_core.__all__) == expected | OTHERS
    assert len(vssl_core.__all__) == len(set(vssl_core.__all__))


@pytest.mark.parametrize("name", sorted(vssl_core.__all__))
def test_every_name_is_there(name: str) -> None:
    assert name in dir(vssl_core)
    assert getattr(vssl_core, name) is not None


def test_a_type_checker_sees_the_same_names() -> None:
    tree = ast.parse(Path(vssl_core.__file__).read_text(encoding="utf-8"))
    checked = next(node for node in tree.body if isinstance(node, ast.If))
    names = {alias.name for node in checked.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert names == set(vssl_core.__all__)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no_such_name"):
        vssl_core.no_such_name  # noqa: B018


def test_importing_it_imports_nothing_heavy() -> None:
    heavy = ("torch", "numpy", "pydantic", "click", "rich", "av", "cv2", "vssl_plugins")
    code = f"import sys, vssl_core; print([m for m in {heavy} if m in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout == "[]\n"


def test_bench_is_the_function_also_after_its_module_was_imported() -> None:
    module = importlib.import_module("vssl_core.bench")
    vssl_core.bench = module  # what the import system does each time that it imports the module first
    assert vssl_core.bench is module.bench
