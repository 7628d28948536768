"""`vssl run-cell`: what an executor starts for one cell. Not for people."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path

import click

__all__ = ["run_cell"]

_WATCH_SECONDS = 1.0


@click.command(hidden=True)
@click.argument("cell_id")
@click.option("--runs", type=click.Path(path_type=Path), required=True)
@click.option("--checkpoint-seconds", type=float, default=20.0)
@click.option("--cache-gib", type=float, default=8.0)
@click.option("--no-plugin", "no_plugins", multiple=True)
@click.option("--evaluations", help="Their ids, with commas; every one that was asked for by default.")
def run_cell(
    cell_id: str,
    runs: Path,
    checkpoint_seconds: float,
    cache_gib: float,
    no_plugins: tuple[str, ...],
    evaluations: str | None,
) -> None:
    """Do what is missing of one cell of a run folder."""
    from vssl_core.progress import terminal_progress
    from vssl_core.run_cell import Settings
    from vssl_core.run_cell import run_cell as run

    _stop_with_parent()
    wanted = None if evaluations is None else tuple(filter(None, evaluations.split(",")))
    settings = Settings(checkpoint_seconds, cache_gib, no_plugins, evaluations=wanted)
    run(runs, cell_id, settings=settings, progress=terminal_progress())


def _stop_with_parent() -> None:
    """End like at Ctrl-C, with a checkpoint, when the process that waits for this cell is gone."""
    parent = int(os.environ.get("VSSL_PARENT", "0"))
    if not parent:
        return

    def watch() -> None:
        while _exists(parent):
            time.sleep(_WATCH_SECONDS)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
