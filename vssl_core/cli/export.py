"""`vssl export`: write a pretrained backbone for use without vssl."""

from __future__ import annotations

from pathlib import Path

import click

__all__ = ["export"]


@click.command()
@click.argument("cell")
@click.option(
    "--to",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    help="The file; .safetensors, .pth and .pt hold tensors, .pt2 and .onnx the network for inference.",
)
@click.option(
    "--layout",
    default="vssl",
    show_default=True,
    help="Whose names the tensors get: vssl, or torchvision where it has the same network.",
)
@click.option("--runs", type=click.Path(path_type=Path), default=Path("runs"), show_default=True)
def export(cell: str, to: Path, layout: str, runs: Path) -> None:
    """Write the pretrained backbone of CELL (an id, or how it begins or ends) to a file.

    Its place goes to stdout, what it takes and gives to stderr.
    """
    from vssl_core.export import export as write
    from vssl_core.store import find_cell

    done = write(find_cell(runs, cell), to, layout=layout)
    click.echo("\n".join(f"{name}: {value}" for name, value in done.about.items()), err=True)
    click.echo(done.path)
