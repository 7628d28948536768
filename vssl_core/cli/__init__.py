"""The command `vssl`: results on stdout, progress and messages on stderr; 0 done, 1 failed, 2 wrong usage.

A command's module is imported when the command runs, so that `vssl --help` costs nothing.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Sequence
from importlib import metadata

import click

from vssl_core.cli.lazy import LazyCommand, debug_option, is_debugging
from vssl_core.errors import VsslError

__all__ = ["main", "vssl"]

INTERRUPTED = 130


def _show_version(context: click.Context, parameter: click.Parameter, wanted: bool) -> None:
    del parameter
    if wanted and not context.resilient_parsing:
        click.echo(f"vssl {metadata.version('vssl')}")
        context.exit()


_COMMANDS = (
    LazyCommand(
        "bench", "vssl_core.cli.bench:bench", help="Pretrain a task and evaluate it beside its controls."
    ),
    LazyCommand("data", "vssl_core.cli.data:data", help="Find and check the videos of a dataset."),
    LazyCommand(
        "export", "vssl_core.cli.export:export", help="Write a pretrained backbone for use elsewhere."
    ),
    LazyCommand("plan", "vssl_core.cli.plan:plan", help="Say what a study would cost before it starts."),
    LazyCommand("plugins", "vssl_core.cli.plugins:plugins", help="See which components there are."),
    LazyCommand("report", "vssl_core.cli.report:report", help="Show the results of a run folder."),
    LazyCommand("run-cell", "vssl_core.cli.run_cell:run_cell", help="Run one cell.", hidden=True),
    LazyCommand("study", "vssl_core.cli.study:study", help="Run a grid that answers one question."),
    LazyCommand("verify", "vssl_core.cli.verify:verify", help="Prove a result, or find what was altered."),
    LazyCommand("why", "vssl_core.cli.why:why", help="Explain why a cell is reused or computed."),
)


@click.group(
    commands={command.name: command for command in _COMMANDS},
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_show_version,
    help="Show the version.",
)
@debug_option
def vssl() -> None:
    """Self-supervised video representation learning: train and score methods under equal conditions."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and give its exit code; every expected failure is one line on stderr."""
    state: dict[str, bool] = {}
    try:
        code = vssl.main(arguments, prog_name="vssl", standalone_mode=False, obj=state)
        sys.stdout.flush()
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        return INTERRUPTED
    except click.ClickException as error:
        _explain_usage(error)
        return error.exit_code
    except BrokenPipeError:
        _forget_stdout()
        return 1
    except VsslError as error:
        _explain(error, debugging=is_debugging(state))
        return error.exit_code
    except Exception as error:  # noqa: BLE001  the last line of defence: a message, not a traceback
        _explain(error, debugging=is_debugging(state), expected=False)
        return 1
    return code if isinstance(code, int) else 0


def _explain_usage(error: click.ClickException) -> None:
    context, text = getattr(error, "ctx", None), error.format_message()
    if context is None or text.startswith("Usage:"):
        error.show()  # a group without a command shows its help
    else:
        click.echo(f"error: {text} See `{context.command_path} --help`.", err=True)


def _explain(error: Exception, *, debugging: bool, expected: bool = True) -> None:
    if debugging:
        traceback.print_exception(error)
    if expected:
        click.echo(f"error: {error}", err=True)
        return
    hint = "" if debugging else " (unexpected; --debug shows where it happened)"
    click.echo(f"error: {type(error).__name__}: {error}{hint}", err=True)


def _forget_stdout() -> None:
    """The reader has left: what is still buffered must not raise again when Python ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
