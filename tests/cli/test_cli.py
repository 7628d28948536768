"""The command: what it prints where, its exit codes, and what it does not import."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import click
import pytest
from command_line import vssl
from fake_distributions import install

from vssl_core import cli
from vssl_core.cli.lazy import LazyCommand
from vssl_core.errors import DataError, OptionError

# ------------------------------------------------------------------------------------------ start-up

WATCHED = (
    "torch",
    "numpy",
    "pydantic",
    "pluggy",
    "rich",
    "av",
    "cv2",
    "vssl_plugins",
    "good_plugin",
    "bad_plugin",
)


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["plugins", "--help"], ["plugins", "list"]])
def test_start_up_imports_nothing_heavy_and_no_plugin(crowded: Path, arguments: list[str]) -> None:
    code = (
        "import sys; from vssl_core.cli import main; code = main(sys.argv[1:]); "
        f"print('IMPORTED', [m for m in {WATCHED} if m in sys.modules]); sys.exit(code)"
    )
    result = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(crowded)},
        check=True,
    )
    assert result.stdout.splitlines()[-1] == "IMPORTED []"


def test_completion_of_names_imports_no_plugin(crowded: Path) -> None:
    words = "vssl plugins show evaluator s"
    result = vssl(path=crowded, _VSSL_COMPLETE="bash_complete", COMP_WORDS=words, COMP_CWORD="4")
    assert result.stdout.split() == ["plain,score"]
    result = vssl(_VSSL_COMPLETE="bash_complete", COMP_WORDS="vssl ", COMP_CWORD="1")
    assert {"plain,bench", "plain,plugins"} <= set(result.stdout.split())
    assert "plain,run-cell" not in result.stdout.split()


def test_help_names_every_command_but_the_hidden_one() -> None:
    shown = vssl("--help").stdout
    listed = re.findall(r"^  (\S+)  ", shown.partition("Commands:")[2], re.MULTILINE)
    assert listed == ["bench", "data", "export", "plan", "plugins", "report", "study", "verify", "why"]


@pytest.mark.parametrize("name", sorted(cli.vssl.commands))
def test_every_command_is_what_its_line_in_the_help_says(name: str) -> None:
    command = cli.vssl.commands[name]
    assert isinstance(command, LazyCommand)
    real = command.real()
    assert isinstance(real, click.Command)
    assert real.help
    assert real.hidden == command.hidden


def test_version() -> None:
    assert re.fullmatch(r"vssl \d+\.\d+\.\d+\S*\n", vssl("--version").stdout)


# ---------------------------------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["benhc"], "'benhc'"),
        (["--nope"], "--nope"),
        (["bench"], "--task"),
        (["plugins", "list", "--kind", "tsk"], "tsk"),
        (["plugins", "show", "task", "vcopp"], "Did you mean 'vcop'"),
        (["plugins", "show", "task", "./missing.py:Task"], "missing.py"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_code_2(arguments: list[str], part: str) -> None:
    result = vssl(*arguments)
    assert result.returncode == 2
    assert result.stdout == ""
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1
    assert part in result.stderr


def test_without_a_command_the_help_is_shown() -> None:
    result = vssl()
    assert result.returncode == 2
    assert result.stderr.startswith("Usage: vssl")


def test_a_broken_plugin_that_was_asked_for_fails_alone(crowded: Path) -> None:
    result = vssl("plugins", "show", "evaluator", "bad", path=crowded)
    assert (result.returncode, result.stdout, result.stderr.count("\n")) == (1, "", 1)
    for part in ("vssl-plugin-bad 1.0", "bad_plugin:Score", "RuntimeError: on purpose", "pip uninstall"):
        assert part in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("place", [0, 1, 4])
def test_debug_shows_the_traceback_wherever_it_stands(crowded: Path, place: int) -> None:
    arguments = ["plugins", "show", "evaluator", "bad"]
    arguments.insert(place, "--debug")
    result = vssl(*arguments, path=crowded)
    assert result.returncode == 1
    assert "Traceback" in result.stderr
    assert "bad_plugin.py" in result.stderr
    assert result.stderr.splitlines()[-1].startswith("error: ")


def command_that_raises(error: BaseException) -> LazyCommand:
    command = LazyCommand("fail", "nowhere:nothing", help="Fails.")

    @click.command()
    def fail() -> None:
        raise error

    command.real = lambda: fail  # type: ignore[method-assign]
    return command


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (DataError("no videos"), 1, "error: no videos\n"),
        (OptionError("task.x: no"), 2, "error: task.x: no\n"),
        (
            ZeroDivisionError("oh"),
            1,
            "error: ZeroDivisionError: oh (unexpected; --debug shows where it happened)\n",
        ),
        (OSError(28, "No space left on device"), 1, "error: OSError: [Errno 28] No space left on device"),
        (KeyboardInterrupt(), 130, "interrupted"),
    ],
)
def test_every_error_has_its_exit_code_and_one_message(
    error: BaseException,
    code: int,
    text: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setitem(cli.vssl.commands, "fail", command_that_raises(error))
    assert cli.main(["fail"]) == code
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.lstrip("\n").startswith(text)
    assert "Traceback" not in captured.err


def test_a_command_may_choose_its_exit_code(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(cli.vssl.commands, "fail", command_that_raises(click.exceptions.Exit(1)))
    assert cli.main(["fail"]) == 1


def test_interrupting_ends_with_130(tmp_path: Path) -> None:
    source = "import time\nprint('ready', flush=True)\ntime.sleep(60)\n"
    install(
        tmp_path,
        "vssl-plugin-slow",
        "[vssl.tasks]\nslow = slow_plugin:T\n",
        modules={"slow_plugin.py": source},
    )
    process = subprocess.Popen(
        [sys.executable, "-m", "vssl_core.cli", "plugins", "show", "task", "slow"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        text=True,
        # A shell ignores the signal for what it runs in the background, and children inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
    )
    assert process.stderr is not None
    assert process.stderr.readline() == "ready\n"  # what a plugin prints does not go to stdout
    time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert out == ""
    assert err.strip() == "interrupted"


@pytest.mark.skipif(os.name == "nt", reason="pipes end differently")
def test_a_reader_that_leaves_early_gets_no_traceback(tmp_path: Path) -> None:
    entries = "".join(f"name_{number} = m:T\n" for number in range(3000))
    install(tmp_path, "vssl-plugin-many", f"[vssl.tasks]\n{entries}")
    process = subprocess.Popen(
        [sys.executable, "-m", "vssl_core.cli", "plugins", "list"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={
            **os.environ,
            "PYTHONPATH": str(tmp_path),
            "PYTHONUNBUFFERED": "",
        },  # "1" drops what a pipe refuses
        text=True,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.readline()
    process.stdout.close()
    assert process.stderr.read() == ""
    assert process.wait(30) == 1
    process.stderr.close()


UNFLUSHED = """
import sys
from vssl_core import cli

@cli.vssl.command()
def unflushed():
    sys.stdout.write("a result")

sys.exit(cli.main(["unflushed"]))
"""


@pytest.mark.skipif(os.name == "nt", reason="pipes end differently")
def test_a_reader_that_left_before_the_first_line_gets_no_traceback() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    environment = {**os.environ, "PYTHONUNBUFFERED": ""}
    command = [sys.executable, "-c", UNFLUSHED]
    result = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, env=environment, check=False)
    os.close(writer)
    assert (result.returncode, result.stderr) == (1, b"")
