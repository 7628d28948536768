"""What names a dataset on the command line, and the dataset that it names."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click

from vssl_core.cli.completion import complete_name
from vssl_core.cli.lazy import debug_option
from vssl_core.errors import UsageError

if TYPE_CHECKING:
    from vssl_core.interfaces import VideoDataset
    from vssl_core.progress import Progress
    from vssl_core.types import Split, VideoRecord

__all__ = ["all_records", "dataset_options", "opened", "opened_with", "option_values"]

AnyCommand = TypeVar("AnyCommand", bound=Callable[..., Any])


def dataset_options(command: AnyCommand) -> AnyCommand:
    """Argument NAME and the options that go with it."""
    for decorate in (
        debug_option,
        click.option("-o", "options", multiple=True, metavar="OPTION=VALUE", help="Set an option."),
        click.option("--annotations", help="Folder of its annotation files.  [default: looked for in root]"),
        click.option("--root", help="Folder of your copy."),
        click.argument("name", shell_complete=complete_name("dataset")),
    ):
        command = decorate(command)
    return command


def opened(
    name: str,
    root: str | None,
    annotations: str | None,
    options: Sequence[str],
    *,
    refresh: bool = False,
) -> VideoDataset:
    """The dataset that `dataset_options` name, not prepared yet."""
    values = option_values(options)
    values |= {key: value for key, value in (("root", root), ("annotations", annotations)) if value}
    return opened_with(name, values, refresh=refresh)


def opened_with(
    name: str, values: Mapping[str, Any], *, refresh: bool = False, progress: Progress | None = None
) -> VideoDataset:
    """A dataset with these options, not prepared yet."""
    from vssl_core.opening import make_dataset
    from vssl_core.planning import dataset_component
    from vssl_core.progress import terminal_progress

    component = dataset_component(name, values)
    return make_dataset(component, progress=progress or terminal_progress(), classes={}, refresh=refresh)


def option_values(options: Sequence[str]) -> dict[str, Any]:
    """`-o` words as values.

    Raises:
        UsageError: A word that is no OPTION=VALUE.
    """
    from vssl_core.options import parse_options

    for option in options:
        key, equals, _ = option.partition("=")
        if not equals or not key.isidentifier():
            raise UsageError(f"-o takes OPTION=VALUE here, for instance -o split=2; got {option!r}.")
    return parse_options(f"target.{option}" for option in options).get("target", {})


def all_records(dataset: VideoDataset) -> dict[Split, list[VideoRecord]]:
    """Every video of a prepared dataset by part, with absolute paths."""
    from dataclasses import replace
    from pathlib import Path
    from typing import get_args

    from vssl_core.types import Split

    return {
        split: [replace(r, path=str(Path(r.path).absolute())) for r in dataset.records(split)]
        for split in get_args(Split)
    }
