"""Importing components: from files, and from packages that are broken in every way."""

from __future__ import annotations

import pickle
import sys
from pathlib import Path

import pytest
from fake_distributions import evaluator, install

from vssl_core import registry
from vssl_core.errors import PluginLoadError, UnknownNameError, UsageError
from vssl_core.interfaces import API_VERSION, Evaluator

# ---------------------------------------------------------------------------------------------- files


def test_a_class_in_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_score.py").write_text(evaluator(body="pass"))
    monkeypatch.chdir(tmp_path)
    ref = registry.resolve("evaluator", "./my_score.py:Score")
    assert (ref.origin, ref.name) == ("file", "Score")
    assert ref.target == f"{tmp_path / 'my_score.py'}:Score"
    cls = registry.load(ref)
    assert registry.load(registry.resolve("evaluator", str(tmp_path / "my_score.py") + ":Score")) is cls
    assert type(pickle.loads(pickle.dumps(cls(None)))) is cls
    assert registry.resolve("evaluator", cls) == ref
    assert str(tmp_path) not in sys.path


def test_a_file_with_options_and_a_sibling(tmp_path: Path) -> None:
    source = "from sibling_of_file import BODY\n" + evaluator(
        body='class Options(Options):\n        width: int = 3\n        """Width."""\n    body = BODY'
    )
    (tmp_path / "with_sibling.py").write_text(source)
    (tmp_path / "sibling_of_file.py").write_text("BODY = 7\n")
    cls = registry.load(registry.resolve("evaluator", f"{tmp_path}/with_sibling.py:Score"))
    assert cls.body == 7
    assert cls.Options.model_fields["width"].description == "Width."


def test_two_folders_with_siblings_of_one_name_do_not_mix(tmp_path: Path) -> None:
    for folder, value in (("one", 1), ("two", 2)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "score.py").write_text("import shared_sibling\n" + evaluator())
        (tmp_path / folder / "shared_sibling.py").write_text(f"VALUE = {value}\n")
    registry.load(registry.resolve("evaluator", f"{tmp_path}/one/score.py:Score"))
    with pytest.raises(PluginLoadError, match="shared_sibling"):
        registry.load(registry.resolve("evaluator", f"{tmp_path}/two/score.py:Score"))


def test_a_file_that_changed_after_it_was_imported_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "changing.py"
    file.write_text(evaluator())
    ref = registry.resolve("evaluator", f"{file}:Score")
    registry.load(ref)
    file.write_text(evaluator() + "# changed\n")
    with pytest.raises(PluginLoadError, match="start Python again"):
        registry.load(ref)


def test_a_file_that_failed_is_tried_again(tmp_path: Path) -> None:
    file = tmp_path / "failing.py"
    file.write_text("raise RuntimeError('on purpose')\n")
    ref = registry.resolve("evaluator", f"{file}:Score")
    with pytest.raises(PluginLoadError, match=r"failing\.py.*RuntimeError: on purpose"):
        registry.load(ref)
    file.write_text(evaluator(body="corrected = True"))
    assert registry.load(ref).corrected


def test_what_is_no_usable_file(tmp_path: Path) -> None:
    (tmp_path / "empty.py").write_text("")
    with pytest.raises(UnknownNameError, match="there is no file"):
        registry.resolve("task", f"{tmp_path}/missing.py:Task")
    with pytest.raises(UsageError, match="name the class"):
        registry.resolve("task", f"{tmp_path}/empty.py")
    with pytest.raises(UnknownNameError, match="has no 'Task'"):
        registry.load(registry.resolve("task", f"{tmp_path}/empty.py:Task"))


# -------------------------------------------------------------------------------------- broken plugins


ABSTRACT = "from vssl_core import Evaluator\nclass Score(Evaluator): api_version = 1"


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("raise RuntimeError('on purpose')", "RuntimeError: on purpose"),
        ("import sys; sys.exit('goodbye')", "SystemExit: goodbye"),
        ("def f(:", "SyntaxError"),
        ("import no_such_module_xyz", "no_such_module_xyz"),
        ("", "has no 'Score'"),
        ("Score = 3", "expected a subclass of vssl_core.Evaluator, got a int"),
        ("class Score: api_version = 1", "got Score"),
        (ABSTRACT, "does not define __init__, evaluate"),
        (evaluator(body="pass"), "does not state its api_version"),
        (evaluator(body="api_version = 2"), "made for api_version 2, this vssl has 1: update vssl"),
        (evaluator(body="api_version = 0"), "update the plugin"),
        (evaluator(body="api_version = True"), "made for api_version True"),
        (evaluator(body="api_version = 1; Options = dict"), "must be a subclass of vssl_core.Options"),
    ],
)
def test_a_broken_plugin_says_who_and_why(site: Path, source: str, reason: str) -> None:
    modules = {"broken_plugin.py": source}
    entry = "[vssl.evaluators]\nbroken = broken_plugin:Score\n"
    install(site, "vssl-plugin-broken", entry, version="3.2", modules=modules)
    ref = registry.resolve("evaluator", "broken")
    with pytest.raises(PluginLoadError) as caught:
        registry.load(ref)
    for part in (
        "evaluator 'broken'",
        "vssl-plugin-broken 3.2",
        "broken_plugin:Score",
        reason,
        "pip uninstall",
    ):
        assert part in str(caught.value)


def test_api_version_may_stand_in_a_base_of_the_plugin(site: Path) -> None:
    source = evaluator("Above") + "\nclass Score(Above):\n    pass\n"
    install(
        site, "vssl-plugin-a", "[vssl.evaluators]\nscore = plugin_a:Score\n", modules={"plugin_a.py": source}
    )
    assert registry.load(registry.resolve("evaluator", "score")).api_version == API_VERSION


def test_a_host_default_does_not_count_as_stated(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    modules = {"plugin_a.py": evaluator(body="pass")}
    install(site, "vssl-plugin-a", "[vssl.evaluators]\nscore = plugin_a:Score\n", modules=modules)
    monkeypatch.setattr(Evaluator, "api_version", API_VERSION, raising=False)
    with pytest.raises(PluginLoadError, match="does not state"):
        registry.load(registry.resolve("evaluator", "score"))


def test_interrupting_an_import_is_no_broken_plugin(tmp_path: Path) -> None:
    file = tmp_path / "interrupted.py"
    file.write_text("raise KeyboardInterrupt\n")
    with pytest.raises(KeyboardInterrupt):
        registry.load(registry.resolve("evaluator", f"{file}:Score"))
    assert not [name for name in sys.modules if name.startswith("vssl_file_interrupted")]
