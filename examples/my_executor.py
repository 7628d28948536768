"""An executor in one file, without packaging: cells one after another, each with a log file of its own.

vssl bench --task vcop --executor examples/my_executor.py:MyExecutor -o executor.log_folder=logs
"""

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from pydantic import Field

from vssl_core import CellHandle, Executor, Options
from vssl_core.progress import Progress


class MyExecutorOptions(Options):
    log_folder: str = Field("logs", description="Folder for one log file per cell.")


class MyExecutor(Executor):
    Options = MyExecutorOptions

    def __init__(self, options: MyExecutorOptions) -> None:
        self.logs = Path(options.log_folder)

    def run(self, cells: Sequence[CellHandle], progress: Progress) -> Mapping[str, str]:
        self.logs.mkdir(parents=True, exist_ok=True)
        failures = {}
        for cell in cells:
            log = self.logs / f"{cell.cell_id}.log"
            progress.say(f"{cell.cell_id}, see {log}")
            with log.open("w") as file:
                done = subprocess.run(
                    cell.command,
                    env={**cell.environment, **os.environ},  # what the user has set wins
                    stdout=file,
                    stderr=subprocess.STDOUT,
                    check=False,
                )
            if done.returncode != 0:
                failures[cell.cell_id] = f"its process ended with exit code {done.returncode}, see {log}"
        return failures
