"""What a component's digest covers, and what it does not."""

from __future__ import annotations

import importlib
import shutil
import sys
from pathlib import Path

import pytest
from fake_distributions import evaluator, install

from vssl_core import registry
from vssl_core.errors import PluginLoadError


def test_a_built_in_digest_covers_the_modules_that_it_imports(site: Path, tmp_path: Path) -> None:
    modules = {
        "parts/__init__.py": "",
        "parts/tasks/__init__.py": "",
        "parts/tasks/one.py": "def late():\n    from ..heads import mlp\n",
        "parts/tasks/two.py": "",
        "parts/heads/__init__.py": "",
        "parts/heads/mlp.py": "import parts.norms\n",
        "parts/norms.py": "",
    }
    install(site, "x", "", modules=modules)
    ref = registry.PluginRef("task", "one", "parts.tasks.one:T", "vssl", "1", "built-in")
    before = registry.plugin_digest(ref)
    (site / "parts/tasks/two.py").write_text("changed = 1\n")
    assert registry.plugin_digest(ref) == before
    for path in ("parts/tasks/one.py", "parts/heads/mlp.py", "parts/norms.py", "parts/tasks/__init__.py"):
        (site / path).write_text((site / path).read_text() + "changed = 1\n")
        after = registry.plugin_digest(ref)
        assert after != before, path
        before = after
    assert "parts" not in sys.modules


def test_an_installed_digest_covers_the_package_and_no_caches(site: Path) -> None:
    modules = {"plugin_a/__init__.py": "", "plugin_a/deep/part.py": "", "plugin_b.py": ""}
    install(site, "vssl-plugin-a", "[vssl.tasks]\nxyz = plugin_a:T\n", modules=modules)
    ref = registry.resolve("task", "xyz")
    before = registry.plugin_digest(ref)
    (site / "plugin_b.py").write_text("changed = 1\n")
    (site / "plugin_a/__pycache__").mkdir()
    (site / "plugin_a/__pycache__/x.py").write_text("changed = 1\n")
    assert registry.plugin_digest(ref) == before
    (site / "plugin_a/deep/part.py").write_text("changed = 1\n")
    assert registry.plugin_digest(ref) != before


def test_a_namespace_package_is_not_hashed_whole(site: Path) -> None:
    modules = {"company/plugin_a/__init__.py": "", "company/plugin_b/__init__.py": ""}
    install(site, "vssl-plugin-a", "[vssl.tasks]\nxyz = company.plugin_a:T\n", modules=modules)
    before = registry.plugin_digest(registry.resolve("task", "xyz"))
    (site / "company/plugin_b/__init__.py").write_text("changed = 1\n")
    assert registry.plugin_digest(registry.resolve("task", "xyz")) == before
    (site / "company/plugin_a/__init__.py").write_text("changed = 1\n")
    assert registry.plugin_digest(registry.resolve("task", "xyz")) != before


def test_a_package_without_source_has_no_digest(site: Path) -> None:
    install(site, "vssl-plugin-a", "[vssl.tasks]\nxyz = not_there:T\n")
    with pytest.raises(PluginLoadError, match="cannot be found"):
        registry.plugin_digest(registry.resolve("task", "xyz"))


def file_digest(folder: Path) -> str:
    return registry.plugin_digest(registry.resolve("evaluator", f"{folder}/score.py:Score"))


def test_a_file_digest_covers_its_siblings_and_not_its_place(tmp_path: Path) -> None:
    digests = []
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "score.py").write_text("import helper\n" + evaluator())
        (tmp_path / folder / "helper.py").write_text("")
        (tmp_path / folder / "unrelated.py").write_text(folder)
        digests.append(
            registry.plugin_digest(registry.resolve("evaluator", f"{tmp_path}/{folder}/score.py:Score"))
        )
    assert digests[0] == digests[1]
    (tmp_path / "two" / "helper.py").write_text("changed = 1\n")
    assert (
        registry.plugin_digest(registry.resolve("evaluator", f"{tmp_path}/two/score.py:Score")) != digests[1]
    )


def in_code_digest(folder: Path, source: str, helper: str = "") -> str:
    """Digest of a class of a script, as a fresh program would see it."""
    for name in ("in_code_script", "in_code_helper"):
        sys.modules.pop(name, None)
        (folder / f"{name}.py").write_text(source if name.endswith("script") else helper)
    shutil.rmtree(folder / "__pycache__", ignore_errors=True)
    importlib.invalidate_caches()
    module = importlib.import_module("in_code_script")
    return registry.plugin_digest(registry.resolve("evaluator", module.Score))


SCRIPT = """
from in_code_helper import helped
SCALE = 2.0
UNUSED = 1
def double(x):
    return x * SCALE
def unused():
    return 1
""" + evaluator(body="def score(self):\n        return helped(double(1))")


def made_by(number: int, words: frozenset[str]) -> type:
    """A class of a factory, as people write them for a sweep."""

    class Made:
        def scale(self, factor: int = number * 2) -> object:
            return number, words, factor

    return Made


def test_an_in_code_digest_covers_the_values_of_closures() -> None:
    def of(number: int, *words: str) -> str:
        return registry.plugin_digest(registry.resolve("task", made_by(number, frozenset(words))))

    assert of(1) == of(1)
    assert of(1) != of(2)
    assert of(1, "a", "b") == of(1, "b", "a")
    assert of(1, "a", "b") != of(1, "a", "c")


def test_an_in_code_digest_covers_what_the_class_reaches(site: Path) -> None:
    helper = "def helped(x):\n    return x\n"
    base = in_code_digest(site, SCRIPT, helper)
    assert in_code_digest(site, SCRIPT, helper) == base
    assert in_code_digest(site, SCRIPT.replace("UNUSED = 1", "UNUSED = 2"), helper) == base
    assert in_code_digest(site, SCRIPT + "\nprint('the rest of the script')\n", helper) == base
    for old, new in (
        ("SCALE = 2.0", "SCALE = 3.0"),
        ("x * SCALE", "SCALE * x"),
        ("Metric(1.0)", "Metric(2.0)"),
    ):
        assert in_code_digest(site, SCRIPT.replace(old, new), helper) != base, old
    assert in_code_digest(site, SCRIPT, helper.replace("return x", "return -x")) != base


def test_a_class_without_source_is_refused_with_the_way_out() -> None:
    scope: dict[str, object] = {"__name__": "typed_at_a_prompt"}
    exec(evaluator(), scope)
    with pytest.raises(PluginLoadError, match=r"\./FILE\.py:CLASS"):
        registry.plugin_digest(registry.resolve("evaluator", scope["Score"]))  # type: ignore[arg-type]
