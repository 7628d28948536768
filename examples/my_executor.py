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
    retries: int = Field(1, ge=0, description="How often a cell that was killed is started again.")


class MyExecutor(Executor):
    Options = MyExecutorOptions

    def __init__(self, options: MyExecutorOptions) -> None:
        self.logs = Path(options.log_folder)
        self.retries = options.retries

    def run(self, cells: Sequence[CellHandle], progress: Progress) -> Mapping[str, str]:
        self.logs.mkdir(parents=True, exist_ok=True)
        failures = {}
        for cell in cells:
            log = self.logs / f"{cell.cell_id}.log"
            progress.say(f"{cell.cell_id}, see {log}")
            code = self.run_cell(cell, log)
            for _ in range(self.retries):
                if code < 0:  # killed from outside, so lost: it goes on from its checkpoint
                    code = self.run_cell(cell, log)
            if code != 0:
                failures[cell.cell_id] = f"its process ended with exit code {code}, see {log}"
        return failures

    def run_cell(self, cell: CellHandle, log: Path) -> int:
        environment = {**cell.environment, **os.environ}  # what the user has set wins
        with log.open("a") as file:
            done = subprocess.run(cell.command, env=environment, stdout=file, stderr=file, check=False)
        return done.returncode
