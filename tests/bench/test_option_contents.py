"""Options that name a file or folder: what it holds is part of the key, and where it lies is not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from small_bench import TINY

from vssl_core.bench import bench
from vssl_core.cells import Component, EvaluationSpec, differences
from vssl_core.errors import OptionError
from vssl_core.instantiate import component_options
from vssl_core.interfaces import Evaluator
from vssl_core.options import Options
from vssl_core.planning import component
from vssl_core.store import CellFolder


class MineOptions(Options):
    """A folder, a file and a number."""

    contents = frozenset({"model", "names"})

    model: str = ""
    """A folder."""
    names: str | None = None
    """A file."""
    k: int = 1
    """A number."""


class Mine(Evaluator):
    Options = MineOptions

    def __init__(self, options: Any) -> None:
        if options.k > 9:
            raise OptionError("mine takes k up to 9.")

    def evaluate(self, *given: Any) -> Any:
        raise AssertionError("nothing is evaluated here")


@pytest.fixture
def model(tmp_path: Path) -> Path:
    (tmp_path / "model" / "part").mkdir(parents=True)
    (tmp_path / "model" / "a.json").write_text("{}")
    (tmp_path / "model" / "part" / "b").write_bytes(b"weights")
    return tmp_path / "model"


def made(**values: Any) -> Component:
    return component("evaluator", Mine, values, owner="eval/Mine")[0]


def changed(one: Component, other: Component) -> list[str]:
    return [line.split(":")[0] for line in differences(one.key(), other.key())]


def test_a_folder_counts_by_its_content(model: Path) -> None:
    before = made(model=str(model))
    moved = model.rename(model.with_name("elsewhere"))
    assert changed(before, made(model=str(moved))) == []
    (moved / ".cache").mkdir()
    (moved / ".cache" / "lock").touch()
    assert changed(before, made(model=str(moved))) == []
    (moved / "part" / "b").write_bytes(b"others")
    assert changed(before, made(model=str(moved))) == ["options.model"]
    (moved / "part" / "b").write_bytes(b"weights")
    (moved / "part" / "b").rename(moved / "b")
    assert changed(before, made(model=str(moved))) == ["options.model"]


def test_a_file_counts_by_its_content_and_paths_are_absolute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "names.json").write_text("{}")
    monkeypatch.chdir(tmp_path)
    one = made(names="names.json")
    assert one.options["names"] == str(tmp_path / "names.json")
    assert one.label == "Mine(names=names.json)"
    (tmp_path / "copy.json").write_text("{}")
    assert changed(one, made(names="copy.json")) == []
    assert changed(one, made()) == ["options.names"]
    assert changed(one, made(names="copy.json", k=2)) == ["options.k"]


def test_what_names_no_file_stands_in_the_key_as_it_is() -> None:
    one = made(model="someone/network")
    assert one.contents == {}
    assert one.key()["options"] == {"model": "someone/network", "names": None, "k": 1}


def test_content_that_changed_since_planning_is_refused(model: Path) -> None:
    planned = made(model=str(model))
    assert component_options(Mine, planned, "eval/Mine").model == str(model)
    (model / "a.json").write_text("{ }")
    with pytest.raises(OptionError, match=r"eval/Mine.model: .*has changed since this was planned .digest"):
        component_options(Mine, planned, "eval/Mine")
    for path in sorted(model.rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    model.rmdir()
    with pytest.raises(OptionError, match="digest nothing there, planned with"):
        component_options(Mine, planned, "eval/Mine")


def test_a_component_of_an_older_version_reads_back(model: Path) -> None:
    document = made(model=str(model)).model_dump(mode="json")
    assert Component.model_validate(document).key() == made(model=str(model)).key()
    del document["contents"]
    assert Component.model_validate(document).key()["options"]["model"] == str(model)


def test_an_evaluation_that_is_not_done_follows_its_files(model: Path, tmp_path: Path) -> None:
    def asked(path: Path) -> EvaluationSpec:
        data = component("dataset", "shapes_motion", {}, owner="target")[0]
        mine = made(model=str(path))
        return EvaluationSpec(evaluator=mine, label="m", target=data, target_digest="t", protocol_hash="h")

    cell = CellFolder(tmp_path, "cell")
    assert cell.request(asked(model))
    moved = model.rename(model.with_name("elsewhere"))
    assert cell.request(asked(moved))
    ((found, folder, done),) = cell.evaluations()
    assert (found.evaluator.options["model"], done) == (str(moved), False)
    (folder / "result.json").write_text("{}")
    assert not cell.request(asked(moved.rename(model)))
    assert next(cell.evaluations())[0].evaluator.options["model"] == str(moved)


def test_an_evaluator_that_cannot_be_made_starts_nothing(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="mine takes k up to 9"):
        bench(
            "rotnet", protocol="smoke", pretrain=TINY, targets=[TINY], evaluators=[Mine], controls=False,
            options={"eval/Mine": {"k": 10}}, runs=tmp_path / "runs",
        )  # fmt: skip
    assert not list((tmp_path / "runs").glob("cells/*/pretrain/*"))
