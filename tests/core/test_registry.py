"""Finding and naming components."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from fake_distributions import evaluator, install

from vssl_core import registry
from vssl_core.errors import PluginLoadError, UnknownNameError, UsageError
from vssl_core.interfaces import EvaluationResult, Evaluator


def names(kind: str) -> list[str]:
    return [ref.name for ref in registry.scan() if ref.kind == kind]


class InTest(Evaluator):
    """A class of the running program."""

    def __init__(self, options: object) -> None:
        self.options = options

    def evaluate(self, backbone: object, data: object, context: object) -> EvaluationResult:
        return EvaluationResult({})


# ------------------------------------------------------------------------------------------ discovery


def test_scan_names_the_built_ins() -> None:
    assert {"vcop", "cvrl"} <= set(names("task"))
    ref = registry.resolve("task", "vcop")
    assert (ref.origin, ref.dist, ref.spec) == ("built-in", "vssl", "vcop")
    assert registry.resolve("task", "vssl:vcop") == ref
    assert registry.resolve("task", "vssl_plugins.tasks.vcop:VCOP") == ref


def test_scan_imports_nothing(site: Path) -> None:
    install(
        site,
        "vssl-plugin-a",
        "[vssl.tasks]\nloud = loud_module:Task\n",
        modules={"loud_module.py": "raise 1"},
    )
    assert "loud" in names("task")
    assert "loud_module" not in sys.modules


def test_scan_survives_metadata_of_every_broken_kind(site: Path) -> None:
    install(site, "vssl-plugin-good", "[vssl.tasks]\ngood = m:T\n")
    install(site, "vssl-plugin-no-equals", "[vssl.tasks]\nthis is no entry point\n")
    install(site, "vssl-plugin-bytes", "")
    (site / "vssl_plugin_bytes-1.0.dist-info" / "entry_points.txt").write_bytes(
        b"[vssl.tasks]\n\xff\xfe = m:T\n"
    )
    install(site, "vssl-plugin-nameless", "[vssl.tasks]\nnameless = m:T\n")
    (site / "vssl_plugin_nameless-1.0.dist-info" / "METADATA").write_text("Version: 1.0\n\n")
    install(site, "vssl-plugin-target", "[vssl.tasks]\nodd = not a target!\n")
    assert "good" in names("task")
    assert "nameless" not in names("task")
    assert len(registry.scan_problems()) == 3
    with pytest.raises(PluginLoadError, match="vssl-plugin-target"):
        registry.load(registry.resolve("task", "odd"))


def test_a_distribution_twice_on_the_path_counts_once(
    site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    second = tmp_path / "lib64"
    install(site, "vssl-plugin-a", "[vssl.tasks]\nxyz = first:T\n", version="2.0")
    install(second, "VSSL_Plugin.A", "[vssl.tasks]\nxyz = second:T\n", version="1.0")
    monkeypatch.setattr(sys, "path", [str(site), str(site), str(second), *sys.path])
    found = [ref for ref in registry.scan() if ref.name == "xyz"]
    assert [(ref.target, ref.version) for ref in found] == [("first:T", "2.0")]


def test_extras_and_spaces_are_no_part_of_a_target(site: Path) -> None:
    install(site, "vssl-plugin-a", "[vssl.tasks]\nxyz = some.module : Class [gpu]\n")
    assert registry.resolve("task", "xyz").target == "some.module:Class"


# ------------------------------------------------------------------------------------------ conflicts


def test_a_built_in_keeps_its_name(site: Path) -> None:
    install(site, "vssl-plugin-a", "[vssl.tasks]\nvcop = other:T\n")
    assert registry.resolve("task", "vcop").origin == "built-in"
    other = registry.resolve("task", "vssl-plugin-a:vcop")
    assert other.target == "other:T"
    assert "vssl-plugin-a:vcop" in registry.conflicts(registry.scan())[other]
    assert registry.resolve("task", "vcop") not in registry.conflicts(registry.scan())


def test_two_third_parties_clash_only_when_the_bare_name_is_used(site: Path) -> None:
    install(site, "vssl-plugin-a", "[vssl.tasks]\nxyz = a:T\n")
    install(site, "vssl-plugin-b", "[vssl.tasks]\nxyz = b:T\n")
    assert registry.resolve("task", "vssl_plugin_b:xyz").target == "b:T"
    with pytest.raises(UsageError, match="vssl-plugin-a:xyz or vssl-plugin-b:xyz"):
        registry.resolve("task", "xyz")


def test_one_distribution_that_declares_a_name_twice(site: Path) -> None:
    install(site, "vssl-plugin-a", "[vssl.tasks]\nxyz = a:T\nxyz = b:T\n")
    for spec in ("xyz", "vssl-plugin-a:xyz"):
        with pytest.raises(UsageError, match="a:T or b:T"):
            registry.resolve("task", spec)


@pytest.mark.parametrize("name", ["Xyz", "x-y", "1x", "x__y", "x_"])
def test_a_malformed_name_is_flagged_and_not_usable(site: Path, name: str) -> None:
    install(site, "vssl-plugin-a", f"[vssl.tasks]\n{name} = a:T\n")
    ref = next(ref for ref in registry.scan() if ref.name == name)
    assert "not of the form" in registry.conflicts(registry.scan())[ref]
    with pytest.raises(UsageError, match="names match"):
        registry.resolve("task", name)


def test_unknown_names_get_a_suggestion() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'vcop'"):
        registry.resolve("task", "vcopp")
    with pytest.raises(UnknownNameError, match="Did you mean 'vssl:vcop'"):
        registry.resolve("task", "vsl:vcop")
    with pytest.raises(UnknownNameError, match="Did you mean 'task'"):
        registry.resolve("tasks", "vcop")  # type: ignore[arg-type]


# -------------------------------------------------------------------------------- modules and classes


def test_a_class_by_its_module(site: Path) -> None:
    (site / "loose").mkdir()
    (site / "loose" / "score.py").write_text(evaluator(body="pass"))
    ref = registry.resolve("evaluator", "loose.score:Score")
    assert "loose.score" not in sys.modules
    assert (ref.origin, ref.name, ref.spec) == ("module", "Score", "loose.score:Score")
    assert registry.load(ref).__module__ == "loose.score"


def test_a_module_knows_its_distribution(site: Path) -> None:
    install(
        site, "vssl-plugin-a", "", modules={"plugin_a/__init__.py": evaluator(), "plugin_a/x.py": evaluator()}
    )
    (site / "vssl_plugin_a-1.0.dist-info" / "top_level.txt").write_text("plugin_a\n")
    ref = registry.resolve("evaluator", "plugin_a.x:Score")
    assert (ref.dist, ref.version) == ("vssl-plugin-a", "1.0")


@pytest.mark.parametrize("spec", ["no_such_package_xyz.mod:Class", "vssl_core.no_such:Class"])
def test_an_unknown_module_is_wrong_usage(spec: str) -> None:
    with pytest.raises(UnknownNameError):
        registry.load(registry.resolve("task", spec))


def test_an_unknown_class_of_a_module_names_the_near_one(site: Path) -> None:
    (site / "loose_module.py").write_text(evaluator())
    with pytest.raises(UnknownNameError, match="Did you mean 'Score'"):
        registry.load(registry.resolve("evaluator", "loose_module:Scor"))


def test_a_class_of_the_program() -> None:
    ref = registry.resolve("evaluator", InTest)
    assert (ref.origin, ref.name, ref.spec) == ("in-code", "InTest", None)
    assert registry.load(ref) is InTest


def test_a_class_that_is_packaged_is_that_component(site: Path) -> None:
    modules = {"plugin_a.py": evaluator()}
    install(site, "vssl-plugin-a", "[vssl.evaluators]\nscore = plugin_a:Score\n", modules=modules)
    ref = registry.resolve("evaluator", "score")
    assert registry.resolve("evaluator", registry.load(ref)) == ref


def test_register_names_a_class_in_this_process(site: Path) -> None:
    del site
    ref = registry.register("evaluator", "in_test", InTest)
    assert registry.resolve("evaluator", "in_test") == ref == registry.resolve("evaluator", InTest)
    assert ref in registry.scan()
    with pytest.raises(UsageError, match="has this name"):
        registry.register("evaluator", "linear", InTest)
    with pytest.raises(UsageError, match="matches"):
        registry.register("evaluator", "InTest", InTest)
