"""`vssl plugins new`: what it writes installs, passes its own tests and lint, keeps the contract and runs."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest
from command_line import vssl

from vssl_core import cli
from vssl_core.cli import scaffold
from vssl_core.registry import KINDS

ROOT = Path(__file__).resolve().parents[2]
LONGEST = "a" * 28


@dataclass(frozen=True)
class Generated:
    """A generated project and the folder that it was installed into."""

    kind: str
    project: Path
    site: Path

    def run(self, *arguments: str, path: str = "") -> subprocess.CompletedProcess[str]:
        """Run a module of Python in the project; one thread, since its tensors are small."""
        path = path or str(self.site)
        environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-m", *arguments]
        return subprocess.run(
            command, cwd=self.project, env=environment, capture_output=True, text=True, check=False
        )

    @property
    def options(self) -> list[str]:
        """What its check needs: for a dataset the folder of the videos that its own script makes."""
        if self.kind != "dataset":
            return []
        folder = self.project / "little_videos"
        if not folder.exists():
            script = self.project / "tests" / "little_videos.py"
            subprocess.run([sys.executable, str(script), str(folder)], check=True)
        return ["-o", f"root={folder}"]


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Generated]:
    """Kind → a project of that kind, `new_KIND`, written by the command and installed by pip."""

    @cache
    def make(kind: str) -> Generated:
        folder = tmp_path_factory.mktemp(kind)
        made = Generated(kind, folder / "project", folder / "site")
        written = vssl("plugins", "new", f"new_{kind}", "--kind", kind, "--folder", str(made.project))
        assert written.returncode == 0, written.stderr
        assert written.stdout == f"{made.project}\n"
        install = ["--quiet", "--no-deps", "--no-index", "--no-build-isolation", "--target", str(made.site)]
        installed = made.run("pip", "install", *install, ".")
        assert installed.returncode == 0, installed.stderr
        return made

    return make


# --------------------------------------------------------------------------------------- what is written


@pytest.mark.parametrize("kind", KINDS)
def test_it_passes_its_own_tests(generated: Callable[[str], Generated], kind: str) -> None:
    result = generated(kind).run("pytest", "-p", "no:cacheprovider")
    assert result.returncode == 0, result.stdout


@pytest.mark.parametrize("kind", KINDS)
def test_it_keeps_the_contract_as_a_project(generated: Callable[[str], Generated], kind: str) -> None:
    made = generated(kind)
    only = ("--only", "check_options_survive_json")  # its own tests have run all of them
    result = vssl("plugins", "check", str(made.project), *made.options, *only, "--json")
    assert result.returncode == 0, result.stdout
    _, component = json.loads(result.stdout)["components"]
    assert (component["kind"], component["name"]) == (kind, f"new_{kind}")
    assert component["origin"] == "installed"


@pytest.mark.parametrize("name", ["a1", "ab", LONGEST])
@pytest.mark.parametrize("kind", KINDS)
def test_it_is_clean_whatever_the_length_of_its_name(tmp_path: Path, kind: str, name: str) -> None:
    scaffold.check_name(kind, name)
    scaffold.write_project(tmp_path / "p", scaffold.project_files(kind, name))
    for lint in (["check", "--no-cache"], ["format", "--check", "--no-cache"]):
        command = [sys.executable, "-m", "ruff", *lint, "."]
        result = subprocess.run(command, cwd=tmp_path / "p", capture_output=True, text=True, check=False)
        assert result.returncode == 0, result.stdout


@pytest.mark.parametrize("kind", KINDS)
def test_its_files_say_what_it_is(tmp_path: Path, kind: str) -> None:
    folder = tmp_path / "p"
    scaffold.write_project(folder, scaffold.project_files(kind, "clip_speed"))
    project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    assert project["name"] == "vssl-plugin-clip-speed"
    assert project["dependencies"] == [scaffold.requirement()]
    ((group, entries),) = project["entry-points"].items()
    assert group == f"vssl.{kind}s"
    target = "clip_speed" if kind == "hook" else "ClipSpeed"
    assert entries == {"clip_speed": f"vssl_plugin_clip_speed:{target}"}
    for path in (".gitignore", ".github/workflows/ci.yml", "LICENSE", "tests/test_contract.py"):
        assert (folder / path).is_file()
    assert os.access(folder / ".ci" / "run", os.X_OK)
    readme = (folder / "README.md").read_text()
    assert "## Fill in" in readme
    assert "src/vssl_plugin_clip_speed/__init__.py" in readme
    assert ("api_version = 1" in readme) == (kind != "hook")
    assert "$" not in readme


def test_the_bound_on_vssl_is_up_to_the_next_major_version(monkeypatch: pytest.MonkeyPatch) -> None:
    for version, bound in (("0.1.0", "vssl>=0.1,<1"), ("2.13.1rc1", "vssl>=2.13,<3")):
        monkeypatch.setattr(scaffold.metadata, "version", lambda name, version=version: version)
        assert scaffold.requirement() == bound


def test_every_template_is_packaged() -> None:
    document = tomllib.loads((ROOT / "pyproject.toml").read_text())
    patterns = document["tool"]["setuptools"]["package-data"]["vssl_core"]
    packaged = {file for pattern in patterns for file in (ROOT / "vssl_core").glob(pattern)}
    templates = {file for file in (ROOT / "vssl_core/cli/templates").rglob("*") if file.is_file()}
    assert templates
    assert templates <= packaged


# -------------------------------------------------------------------------------------------- all of them


def test_a_bench_runs_with_one_of_each_kind(generated: Callable[[str], Generated], tmp_path: Path) -> None:
    made = {kind: generated(kind) for kind in KINDS}
    runs, root = tmp_path / "runs", made["dataset"].options[1]
    kinds = [f"--{option}=new_{kind}" for option, kind in (
        ("task", "task"), ("backbone", "backbone"), ("pretrain", "dataset"), ("target", "dataset"),
        ("eval", "evaluator"), ("executor", "executor"),
    )]  # fmt: skip
    options = ["-o", f"pretrain.{root}", "-o", f"target.{root}"]
    options += ["--eval", "noise", "-o", 'eval/noise.corruptions=["new_corruption"]']
    path = os.pathsep.join(str(project.site) for project in made.values())
    result = vssl(
        "bench", "--protocol", "smoke", "--no-controls", "--runs", str(runs), *kinds, *options,
        OMP_NUM_THREADS="1", PYTHONPATH=path,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert "few_shot" in result.stdout
    (cell,) = (runs / "cells").iterdir()
    (noise,) = (cell / "evaluations").glob("noise-*")
    assert "scores_new_corruption_s1" in "".join(path.name for path in noise.rglob("*.npy"))
    log = (runs / "logs" / f"{cell.name}.log").read_text()
    assert "pretraining" in log
    with (cell / "steps.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {"loss", "accuracy"} <= {row["metric"] for row in rows}

    shown = vssl(
        "plugins", "show", "task", "new_task", "--backbone", "new_backbone", "--protocol", "smoke",
        "--format", "json", PYTHONPATH=path,
    )  # fmt: skip
    spent = json.loads((cell / "pretrain" / "result.json").read_text())["training_gflops_per_video"]
    assert json.loads(shown.stdout)["cost"]["step_gflops_per_video"] == pytest.approx(spent, rel=1e-3)


@pytest.mark.slow
def test_its_own_ci_passes(tmp_path: Path) -> None:
    """In a new virtual environment, which finds what vssl needs where this one does."""
    folder = tmp_path / "p"
    scaffold.write_project(folder, scaffold.project_files("evaluator", "scored"))
    for name in ("vssl_core", "plugins"):  # a copy, because building leaves files in a checkout
        shutil.copytree(ROOT / name, tmp_path / "vssl" / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tmp_path / "vssl")
    installed = os.pathsep.join(entry for entry in sys.path if entry.endswith("-packages"))
    environment = {
        **os.environ, "VSSL": str(tmp_path / "vssl"), "PYTHON": sys.executable, "PYTHONPATH": installed,
        "PIP_NO_BUILD_ISOLATION": "0", "PIP_NO_INDEX": "1", "OMP_NUM_THREADS": "1",
    }  # fmt: skip
    result = subprocess.run(
        [folder / ".ci" / "run"], env=environment, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert "evaluator scored: " in result.stdout


# ------------------------------------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["Pace", "--kind", "task"], "lower-case"),
        (["2fast", "--kind", "task"], "begins with a letter"),
        (["clip-speed", "--kind", "task"], "underscores"),
        (["a" * 29, "--kind", "task"], "at most 28"),
        (["vssl-plugin-pace", "--kind", "task"], "such as 'pace'"),
        (["vcop", "--kind", "task"], "built-in task called 'vcop'"),
        (["tensor", "--kind", "task"], "would hide 'Tensor'"),
        (["exception", "--kind", "dataset"], "would hide 'Exception'"),
        (["csv", "--kind", "hooks"], "would hide 'csv'"),
        (["tiny_backbone", "--kind", "task"], "would hide 'TinyBackbone'"),
        (["validation_error", "--kind", "task"], "would hide 'ValidationError'"),
        (["part", "--kind", "evaluator"], "would hide 'Part'"),
        (["none", "--kind", "backbone"], "would hide 'None'"),
        (["pace"], "--kind"),
        (["pace", "--kind", "tsk"], "tsk"),
    ],
)
def test_a_name_that_cannot_be(
    arguments: list[str], part: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    assert cli.main(["plugins", "new", *arguments]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert part in captured.err
    assert list(tmp_path.iterdir()) == []


def test_the_name_of_a_built_in_of_another_kind_is_free(tmp_path: Path) -> None:
    assert cli.main(["plugins", "new", "vcop", "--kind", "backbone", "--folder", str(tmp_path / "p")]) == 0


def test_hooks_and_hook_are_the_same_and_the_folder_is_named_after_the_distribution(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main(["plugins", "new", "step_log", "--kind", "hooks"]) == 0
    assert capsys.readouterr().out == "vssl-plugin-step-log\n"
    assert '"vssl.hooks"' in (tmp_path / "vssl-plugin-step-log" / "pyproject.toml").read_text()


def test_an_existing_folder_is_left_as_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    assert cli.main(["plugins", "new", "pace", "--kind", "task", "--folder", str(tmp_path)]) == 2
    assert "exists already" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_nothing_is_left_where_writing_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(self: Path, target: Path) -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "rename", full)
    assert cli.main(["plugins", "new", "pace", "--kind", "task", "--folder", str(tmp_path / "p")]) == 1
    assert "No space left" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_it_imports_neither_torch_nor_any_plugin(tmp_path: Path) -> None:
    code = (
        "import sys; from vssl_core.cli import main; code = main(sys.argv[1:]); "
        "print([m for m in ('torch', 'numpy', 'pydantic', 'vssl_plugins') if m in sys.modules])"
    )
    arguments = ["plugins", "new", "pace", "--kind", "task", "--folder", str(tmp_path / "p")]
    command = [sys.executable, "-c", code, *arguments]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert result.stdout.splitlines()[-1] == "[]"
