"""Options of every command that runs cells or reads videos as they would: how, not what."""

from __future__ import annotations

import click

__all__ = ["cache_option", "checkpoint_option", "executor_option", "hooks_option"]

executor_option = click.option("--executor", default="local", show_default=True, help="What runs the cells.")
cache_option = click.option(
    "--cache-gib",
    type=click.FloatRange(0),
    default=8.0,
    show_default=True,
    help="Size of the decoded-frame cache.",
)
checkpoint_option = click.option(
    "--checkpoint-seconds",
    type=click.FloatRange(0),
    default=20.0,
    show_default=True,
    help="Pause between checkpoints.",
)
hooks_option = click.option(
    "--no-plugin", "no_plugins", multiple=True, help="Hook to leave out; may be repeated."
)
