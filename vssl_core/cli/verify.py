"""`vssl verify`: prove a result, or find what was altered."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING

import click

from vssl_core import terminal

if TYPE_CHECKING:
    from rich.console import RenderableType

    from vssl_core.verification import Altered, VerifyResult

__all__ = ["verify"]

_MOST_SHOWN = 40  # findings of a cell, or of the run folder
_NOT_RECOMPUTED = (
    "Losses of the curve, times, memory and arrays that no metric follows from are known by digests alone."
)


@click.command()
@click.argument("bundle")
@click.option(
    "--runs", type=click.Path(path_type=Path), default=Path("runs"), show_default=True,
    help="Where to look for a cell that is named by its id.",
)  # fmt: skip
@click.option(
    "--evaluator", "evaluators", multiple=True,
    help="Run this evaluator's code although it is no plugin, as ./FILE.py:CLASS; repeatable.",
)  # fmt: skip
@click.option("--expect", metavar="DIGEST", help="The digest that was published with the result.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def verify(bundle: str, runs: Path, evaluators: tuple[str, ...], expect: str | None, as_json: bool) -> None:
    """Recompute the numbers of BUNDLE; exit code 1 where something was altered.

    BUNDLE is a run folder, the folder of a cell, or a cell's id (or how it begins or ends). Files are
    compared with their digests, and numbers with the predictions, labels, keys and ledgers that they follow
    from.
    Nothing is written. No file that the bundle names is run.
    """
    from vssl_core.store import find_cell
    from vssl_core.verification import verify as check

    if expect is not None and not re.fullmatch(r"[0-9a-fA-F]{16,64}", expect):
        raise click.BadParameter(
            f"expected 16 to 64 digits of a digest; got {expect!r}.", param_hint="--expect"
        )
    path = Path(bundle)
    result = check(path if path.exists() else find_cell(runs, bundle).path, evaluators=evaluators)
    as_expected = expect is None or result.digest.startswith(expect.lower())
    if as_json:
        click.echo(json.dumps({**result.document(), "as_expected": as_expected}, indent=2))
    else:
        click.echo(_shown(result), nl=False)
        if not as_expected:
            click.echo(f"not as expected: the digest that was published is {expect}")
    if not result.ok or not as_expected:
        raise click.exceptions.Exit(1)


def _shown(result: VerifyResult) -> str:
    from rich.console import Console

    out = StringIO()
    width = terminal.columns()
    console = Console(file=out, width=width, color_system=None, highlight=False)
    for part in _parts(result):
        console.print(part)
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines()) + "\n"


def _parts(result: VerifyResult) -> Iterator[RenderableType]:
    from rich.padding import Padding
    from rich.text import Text

    yield _summary(result)
    for cell in result.cells:
        if cell.altered:
            yield Text(f"altered in {cell.cell_id}")
            yield _findings(cell.altered)
        if cell.unchecked:
            yield Text(f"not checked in {cell.cell_id}")
            for one in cell.unchecked:
                yield Padding(Text(f"{one.file}: {one.why}." if one.file else f"{one.why}."), (0, 0, 0, 2))
    if result.altered:
        yield Text("altered in the run folder")
        yield _findings(result.altered)
    if result.unchecked:
        yield Text("not checked in the run folder")
        for one in result.unchecked:
            yield Padding(Text(f"{one.file}: {one.why}."), (0, 0, 0, 2))
    yield Text(_NOT_RECOMPUTED)
    altered = len(result.altered) + sum(len(cell.altered) for cell in result.cells)
    yield Text("nothing is altered" if result.ok else f"{altered} alterations")
    if result.digest:
        yield Text(f"digest: {result.digest}")


def _summary(result: VerifyResult) -> RenderableType:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    grid = Table(box=SIMPLE_HEAD, pad_edge=False)
    grid.add_column("cell", overflow="fold")
    for name in ("files", "values", "metrics recomputed", "altered", "not checked"):
        grid.add_column(name, justify="right")
    for cell in result.cells:
        counts = (cell.files, cell.values, len(cell.metrics), len(cell.altered), len(cell.unchecked))
        grid.add_row(Text(cell.cell_id), *(str(count) for count in counts))
    return grid


def _findings(found: Sequence[Altered]) -> RenderableType:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    grid = Table(box=SIMPLE_HEAD, pad_edge=False)
    for name in ("file", "field", "stored", "should be", "by"):
        grid.add_column(name, overflow="fold")
    for one in found[:_MOST_SHOWN]:
        words = (one.file, one.field, one.stored, one.expected, one.by)
        grid.add_row(*(Text(_printable(word)) for word in words))
    if len(found) > _MOST_SHOWN:
        grid.add_row(Text(f"and {len(found) - _MOST_SHOWN} more; --json has all"))
    return grid


def _printable(text: str) -> str:
    """No control characters of a stranger's file reach the terminal."""
    return "".join(c if c.isprintable() else "\ufffd" for c in text)
