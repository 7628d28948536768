"""`vssl plugins check`: every planted fault is caught and named, whatever it does to its process."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from command_line import vssl
from fake_distributions import evaluator, install

JSON_CHECK = "check_options_survive_json"
AFTER = "check_unknown_options_are_refused"
ONLY = ("--only", JSON_CHECK)  # of the contract: the rest of it has tests of its own

# ---------------------------------------------------------------------------------------- planted faults

FAULTS = {
    "raises": (
        "raise RuntimeError('on purpose')\n",
        "check_import",
        "RuntimeError: on purpose. It was raised at",
    ),
    "hangs": ("import time\ntime.sleep(600)\n", "check_import", "did not end within 2 s; it was at"),
    "spins": ("while True:\n    pass\n", "check_import", "did not end within 2 s; it was at"),
    "leaves": ("import sys\nsys.exit(3)\n", "check_import", "SystemExit: 3"),
    "exits": ("import os\nprint('last words')\nos._exit(4)\n", "check_import", "exit code 4"),
    "kills": (
        "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)\n",
        "check_import",
        "killed by SIGKILL",
    ),
    "misses": ("import no_such_module_at_all\n", "check_import", "No module named 'no_such_module_at_all'"),
    "mistypes": ("class Score(:\n", "check_import", "SyntaxError"),
    "no_class": ("", "check_import", "has no 'Score'"),
    "another": ("class Score:\n    pass\n", "check_base_class", "expected a subclass of vssl_core.Evaluator"),
    "a_function": ("def Score(): ...\n", "check_base_class", "got a function"),
    "abstract": (
        "from vssl_core import Evaluator\nclass Score(Evaluator):\n    api_version = 1\n"
        "    def __init__(self, options): ...\n",
        "check_complete",
        "does not define evaluate",
    ),
    "newer": (
        evaluator(body="api_version = 2"),
        "check_api_version",
        "made for api_version 2, this vssl has 1",
    ),
    "unstated": (evaluator(body="pass"), "check_api_version", "does not state its api_version"),
    "plain_options": (
        evaluator(body="api_version = 1\n    class Options:\n        k = 1"),
        "check_options_class",
        "must be a subclass of vssl_core.Options",
    ),
}


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """One distribution with every fault, checked at once: name → what was found."""
    folder = tmp_path_factory.mktemp("planted")
    entries = [f"{name} = planted_{name}:Score" for name in FAULTS]
    entries += [
        "nowhere = no_such_planted_module:Score",
        "linear = planted_good:Score",
        "Two-Words = planted_good:Score",
    ]
    install(
        folder,
        "vssl-plugin-planted",
        "[vssl.evaluators]\n" + "\n".join([*entries, "good = planted_good:Score"]) + "\n",
        modules={
            "planted_good.py": evaluator(),
            **{f"planted_{name}.py": source for name, (source, _, _) in FAULTS.items()},
        },
    )
    arguments = ("plugins", "check", "vssl-plugin-planted", "--timeout", "2", "--json", *ONLY)
    result = vssl(*arguments, path=folder)
    assert result.returncode == 1, result.stderr
    document = json.loads(result.stdout)
    assert document["ok"] is False
    return {entry["name"]: entry for entry in document["components"]}


def failed(entry: dict[str, Any]) -> dict[str, str]:
    return {r["name"]: r["message"] for r in entry["results"] if r["status"] == "failed"}


@pytest.mark.parametrize("name", FAULTS)
def test_a_planted_fault_is_caught_and_named(planted: dict[str, dict[str, Any]], name: str) -> None:
    _, check, part = FAULTS[name]
    found = failed(planted[name])
    assert list(found) == [check]
    assert part in found[check]
    if part.endswith(" at"):
        assert f"planted_{name}.py" in found[check].partition(part)[2]
    ran = [result["name"] for result in planted[name]["results"]]
    assert JSON_CHECK not in ran


def test_what_a_process_said_last_is_shown(planted: dict[str, dict[str, Any]]) -> None:
    assert failed(planted["exits"])["check_import"].endswith("Its last line was: last words")


def test_an_entry_point_to_no_module(planted: dict[str, dict[str, Any]]) -> None:
    assert "No module named 'no_such_planted_module'" in failed(planted["nowhere"])["check_import"]


def test_names(planted: dict[str, dict[str, Any]]) -> None:
    assert "a built-in has this name" in failed(planted["linear"])["check_name"]
    assert "of the form" in failed(planted["Two-Words"])["check_name"]


def test_what_is_well_beside_them_is_checked_to_its_end(planted: dict[str, dict[str, Any]]) -> None:
    good = planted["good"]
    assert good["ok"]
    assert {"check_import", "check_api_version", JSON_CHECK} <= {
        result["name"] for result in good["results"] if result["status"] == "passed"
    }


def test_several_faults_of_one_class_are_all_named(tmp_path: Path) -> None:
    body = "api_version = 7\n    class Options: ..."
    modules = {"twice.py": evaluator(body=body)}
    install(tmp_path, "vssl-plugin-twice", "[vssl.evaluators]\ntwice = twice:Score\n", modules=modules)
    result = vssl("plugins", "check", "twice", "--json", path=tmp_path)
    (entry,) = json.loads(result.stdout)["components"]
    assert list(failed(entry)) == ["check_options_class", "check_api_version"]


# ------------------------------------------------------------------------------------------- a lost check

LOST = """
import os, time
from vssl_core import Options

class {name}Options(Options):
    a: int = 1
    '''An option.'''

    def model_dump_json(self, **arguments):
        {body}

"""


def lost(name: str, body: str) -> str:
    return LOST.format(name=name, body=body) + evaluator(
        name, f"api_version = 1\n    Options = {name}Options"
    )


def test_a_check_that_is_lost_is_reported_and_the_others_go_on(tmp_path: Path) -> None:
    (tmp_path / "lost.py").write_text(lost("Exits", "os._exit(5)") + lost("Hangs", "time.sleep(600)"))
    result = vssl(
        "plugins",
        "check",
        f"{tmp_path}/lost.py",
        "--check-timeout",
        "2",
        "--json",
        "--only",
        JSON_CHECK,
        "--only",
        AFTER,
    )
    assert result.returncode == 1
    exits, hangs = json.loads(result.stdout)["components"]
    assert "ended the process with exit code 5" in failed(exits)[JSON_CHECK]
    assert "did not end within 2 s; it was at" in failed(hangs)[JSON_CHECK]
    assert "in model_dump_json" in failed(hangs)[JSON_CHECK]
    for entry in (exits, hangs):
        names = [r["name"] for r in entry["results"]]
        assert len(names) == len(set(names))
        assert names.index(JSON_CHECK) < names.index(AFTER)


def test_a_check_that_was_expected_to_be_lost(tmp_path: Path) -> None:
    (tmp_path / "lost.py").write_text(lost("Exits", "os._exit(5)"))
    expect = ("--expect", f"{JSON_CHECK}=it is ill", *ONLY)
    result = vssl("plugins", "check", f"{tmp_path}/lost.py", *expect)
    assert result.returncode == 0, result.stdout
    line = next(line for line in result.stdout.splitlines() if JSON_CHECK in line)
    assert line.startswith("  expected  ")
    assert line.endswith("(it is ill)")


# ------------------------------------------------------------------------------------------------ targets

WITH_OPTION = '''
from vssl_core import Options

class ScoreOptions(Options):
    width: int
    """How wide."""
'''


def test_a_file_is_checked_for_all_that_it_defines(tmp_path: Path) -> None:
    source = "from vssl_core import Evaluator\nclass Base(Evaluator):\n    '''Abstract.'''\n"
    source += evaluator("First").replace("(Evaluator)", "(Base)") + evaluator("Second")
    source += "\nfrom vssl_core.hooks import hookimpl\n@hookimpl\ndef vssl_run_start(run): ...\n"
    (tmp_path / "several.py").write_text(source)
    result = vssl("plugins", "check", f"{tmp_path}/several.py", *ONLY)
    assert result.returncode == 0, result.stdout
    headings = [line.split(" (")[0] for line in result.stdout.splitlines() if line.endswith(")")]
    assert headings == ["evaluator First", "evaluator Second", "hook several"]
    assert "evaluator First: " in result.stdout.splitlines()[-3]


def test_a_class_that_others_build_on_is_checked_where_it_is_complete(tmp_path: Path) -> None:
    source = evaluator("First", body="api_version = 9")
    source += "class Second(First):\n    '''Another.'''\n    api_version = 1\n"
    (tmp_path / "family.py").write_text(source)
    result = vssl("plugins", "check", f"{tmp_path}/family.py", *ONLY)
    assert result.returncode == 1, result.stdout
    assert "evaluator First" in result.stdout
    assert "made for api_version 9" in result.stdout


def test_a_task_that_requires_no_set_of_words_fails_by_the_check_of_it(tmp_path: Path) -> None:
    example = (Path(__file__).resolve().parents[2] / "examples" / "my_task.py").read_text()
    source = example.replace("(PretextTask):\n", "(PretextTask):\n    requires = 5\n")
    (tmp_path / "numbered.py").write_text(source)
    name = "check_requires_is_a_set_of_words"
    result = vssl("plugins", "check", f"{tmp_path}/numbered.py", "--only", name)
    assert result.returncode == 1, result.stdout
    assert f"failed  {name}: expected requires to be a set of words" in result.stdout


def test_a_module_and_a_class_in_it(tmp_path: Path) -> None:
    (tmp_path / "inside.py").write_text(
        evaluator("First", body="pass") + evaluator("Second", body="api_version = 9")
    )
    one = vssl("plugins", "check", "inside:First", "--kind", "evaluator", *ONLY, path=tmp_path)
    assert one.returncode == 0
    assert "Second" not in one.stdout
    result = vssl("plugins", "check", "inside", *ONLY, path=tmp_path)
    assert result.returncode == 1
    assert "evaluator Second: " in result.stdout
    assert "made for api_version 9" in result.stdout


def test_a_file_that_cannot_be_imported(tmp_path: Path) -> None:
    (tmp_path / "failing.py").write_text("raise ValueError('oh')\n")
    result = vssl("plugins", "check", f"{tmp_path}/failing.py")
    assert result.returncode == 1
    assert "failed  check_import: ValueError: oh. It was raised at" in result.stdout


def test_options_reach_the_component(tmp_path: Path) -> None:
    source = WITH_OPTION + evaluator(body="api_version = 1\n    Options = ScoreOptions")
    (tmp_path / "needing.py").write_text(source)
    target = f"{tmp_path}/needing.py:Score"
    assert "there is no option" in vssl("plugins", "check", target, "-o", "widht=3").stderr
    assert vssl("plugins", "check", target, "-o", "Score.width=3", *ONLY).returncode == 0
    assert vssl("plugins", "check", target, "-o", "Other.width=3").returncode == 2


def project(folder: Path, groups: str, source: str) -> Path:
    (folder / "src").mkdir(parents=True)
    (folder / "src" / "project_plugin.py").write_text(source)
    (folder / "pyproject.toml").write_text(f'[project]\nname = "Vssl.Plugin_P"\nversion = "0.3"\n{groups}')
    return folder


@pytest.mark.parametrize(
    ("layout", "place"),
    [
        ('[tool.setuptools]\npackage-dir = {"" = "lib"}\npackages = ["inner"]\n', "lib/inner"),
        ('[tool.setuptools.packages.find]\nwhere = ["code"]\n', "code/inner"),
        ('[tool.hatch.build.targets.wheel]\npackages = ["python/inner"]\n', "python/inner"),
        ('[tool.hatch.build]\nsources = ["below"]\n', "below/inner"),
        ("", "src/inner"),
        ("", "inner"),
    ],
)
def test_a_project_of_any_usual_layout_is_found(tmp_path: Path, layout: str, place: str) -> None:
    package = tmp_path / "p" / place
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(evaluator())
    table = '[project]\nname = "inner"\n[project.entry-points."vssl.evaluators"]\nscore = "inner:Score"\n'
    (tmp_path / "p" / "pyproject.toml").write_text(table + layout)
    result = vssl("plugins", "check", str(tmp_path / "p"), *ONLY)
    assert result.returncode == 0, result.stdout


def test_a_project_is_checked_as_if_it_were_installed(tmp_path: Path) -> None:
    table = '[project.entry-points."vssl.evaluators"]\nscore = "project_plugin:Score"\n'
    folder = project(tmp_path / "p", table, evaluator(body="pass"))
    result = vssl("plugins", "check", str(folder))
    assert result.returncode == 1
    assert "evaluator score of vssl-plugin-p 0.3 (project_plugin:Score)" in result.stdout
    assert "does not state its api_version" in result.stdout
    (folder / "src" / "project_plugin.py").write_text(evaluator())
    assert vssl("plugins", "check", str(folder), *ONLY).returncode == 0
    assert sorted(path.name for path in folder.rglob("*") if path.is_file() and path.suffix != ".pyc") == [
        "project_plugin.py",
        "pyproject.toml",
    ]


def test_a_project_with_an_unknown_group(tmp_path: Path) -> None:
    table = '[project.entry-points."vssl.evaluator"]\nscore = "project_plugin:Score"\n'
    result = vssl("plugins", "check", str(project(tmp_path / "p", table, evaluator())))
    assert result.returncode == 1
    assert (
        "there is no group 'vssl.evaluator' of entry points. Did you mean 'vssl.evaluators'" in result.stdout
    )


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["no_such_thing"], "nothing is called 'no_such_thing'"),
        (["vcpo"], "Did you mean 'vcop'"),
        (["./missing.py"], "there is no file"),
        (["no-dist:thing"], "no distribution 'no-dist'"),
        (["vcop", "--only", "check_nothing"], "there is no check 'check_nothing'"),
        (["vcop", "--expect", "check_import"], "CHECK=REASON"),
        (["vcop", "-o", "num_clips"], "OPTION=VALUE"),
        (["vcop", "--kind", "backbone"], "nothing is called 'vcop'"),
    ],
)
def test_wrong_usage(arguments: list[str], part: str) -> None:
    result = vssl("plugins", "check", *arguments)
    assert result.returncode == 2
    assert result.stderr.startswith("error: ")
    assert part in result.stderr


def test_a_folder_without_a_project_or_component(tmp_path: Path) -> None:
    assert "pyproject.toml" in vssl("plugins", "check", str(tmp_path)).stderr
    (tmp_path / "pyproject.toml").write_text("[project]\nname = 'x'\n")
    result = vssl("plugins", "check", str(tmp_path))
    assert (result.returncode, result.stdout) == (2, "")
    assert "declares no component" in result.stderr
    (tmp_path / "empty.py").write_text("")
    result = vssl("plugins", "check", f"{tmp_path}/empty.py")
    assert result.returncode == 2
    assert "holds no component" in result.stderr


def test_only_some_checks() -> None:
    result = vssl("plugins", "check", "vcop", "--only", "check_options_have_defaults", "--json")
    (entry,) = json.loads(result.stdout)["components"]
    names = [r["name"] for r in entry["results"]]
    assert names[-1] == "check_options_have_defaults"
    assert JSON_CHECK not in names


def test_what_a_check_measured_is_shown() -> None:
    task = f"{Path(__file__).resolve().parents[2]}/examples/my_task.py:MyTask"
    result = vssl("plugins", "check", task, "--only", "check_cpu_time_is_told", "--json")
    assert result.returncode == 0, result.stderr
    (entry,) = json.loads(result.stdout)["components"]
    (told,) = [r for r in entry["results"] if r["name"] == "check_cpu_time_is_told"]
    assert (told["status"], told["message"]) == ("passed", "")
    assert "ms of processor time to load a clip" in told["note"]


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="no terminals here")
def test_in_a_terminal_nothing_is_cut_off(tmp_path: Path) -> None:
    import subprocess
    import sys

    (tmp_path / "failing.py").write_text("raise ValueError('a long story ' * 20 + 'END')\n")
    reader, writer = os.openpty()
    command = [sys.executable, "-m", "vssl_core.cli", "plugins", "check", f"{tmp_path}/failing.py"]
    environment = {**os.environ, "COLUMNS": "60", "TERM": "xterm"}
    process = subprocess.Popen(command, stdout=writer, env=environment)
    os.close(writer)
    shown = b""
    while True:
        try:
            part = os.read(reader, 4096)
        except OSError:
            break
        if not part:
            break
        shown += part
    assert process.wait(60) == 1
    os.close(reader)
    text = shown.decode()
    assert "END" in text
    assert "\x1b[" in text
    assert text.count("story") == 20
