"""Two executors that keep their contract, and broken ones, each by one bug."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from vssl_core import CellHandle, Executor
from vssl_core.progress import Progress


class OneByOne(Executor):
    """Cells in order; one that was killed is started a second time."""

    def __init__(self, options: Any) -> None:
        self.options = options

    def run(self, cells: Sequence[CellHandle], progress: Progress) -> Mapping[str, str]:
        failures = {}
        for cell in cells:
            code = self.start(cell)
            if code < 0:
                progress.say(f"{cell.cell_id} was killed; starting it again")
                code = self.start(cell)
            if code:
                failures[cell.cell_id] = f"exit code {code}"
        return failures

    def start(self, cell: CellHandle) -> int:
        environment = {**cell.environment, **os.environ}
        return subprocess.run(cell.command, env=environment, check=False).returncode


class Threads(OneByOne):
    """All cells at once."""

    def run(self, cells: Sequence[CellHandle], progress: Progress) -> Mapping[str, str]:
        one = super()
        with ThreadPoolExecutor(4) as pool:
            parts = list(pool.map(lambda cell: one.run([cell], progress), cells))
        return {name: reason for part in parts for name, reason in part.items()}


# ------------------------------------------------------------------------------------ ends and failures


class DoesNotWait(OneByOne):
    def start(self, cell: CellHandle) -> int:
        subprocess.Popen(cell.command, env={**cell.environment, **os.environ})
        return 0


class RunsTwice(OneByOne):
    def start(self, cell: CellHandle) -> int:
        super().start(cell)
        return super().start(cell)


class RunsTwiceAtOnce(Threads):
    def run(self, cells: Sequence[CellHandle], progress: Progress) -> Mapping[str, str]:
        return super().run([*cells, *cells], progress)


class LeavesOneOut(OneByOne):
    def run(self, cells: Sequence[CellHandle], progress: Progress) -> Mapping[str, str]:
        return super().run(cells[:-1], progress)


class NamesAll(OneByOne):
    def run(self, cells: Sequence[CellHandle], progress: Progress) -> Mapping[str, str]:
        failures = super().run(cells, progress)
        return {cell.cell_id: failures.get(cell.cell_id, "done") for cell in cells}


class GivesAList(OneByOne):
    def run(self, cells: Sequence[CellHandle], progress: Progress) -> Any:
        return list(super().run(cells, progress))


class NeverReturns(OneByOne):
    def run(self, cells: Sequence[CellHandle], progress: Progress) -> Mapping[str, str]:
        super().run(cells, progress)
        while True:
            time.sleep(0.05)


class Raises(OneByOne):
    def start(self, cell: CellHandle) -> int:
        return subprocess.run(cell.command, env={**cell.environment, **os.environ}, check=True).returncode


class ForgetsFailures(OneByOne):
    def run(self, cells: Sequence[CellHandle], progress: Progress) -> Mapping[str, str]:
        super().run(cells, progress)
        return {}


class StopsAtTheFirst(OneByOne):
    def run(self, cells: Sequence[CellHandle], progress: Progress) -> Mapping[str, str]:
        for cell in cells:
            if failures := super().run([cell], progress):
                return failures
        return {}


class GivesNoReason(OneByOne):
    def run(self, cells: Sequence[CellHandle], progress: Progress) -> Mapping[str, str]:
        return dict.fromkeys(super().run(cells, progress), "")


class NeedsACell(OneByOne):
    def run(self, cells: Sequence[CellHandle], progress: Progress) -> Mapping[str, str]:
        progress.say(f"the longest name is {max(len(cell.cell_id) for cell in cells)}")
        return super().run(cells, progress)


class NeverRetries(OneByOne):
    def run(self, cells: Sequence[CellHandle], progress: Progress) -> Mapping[str, str]:
        codes = {cell.cell_id: self.start(cell) for cell in cells}
        return {name: f"exit code {code}" for name, code in codes.items() if code}


class RetriesForEver(OneByOne):
    def start(self, cell: CellHandle) -> int:
        code = -1
        while code < 0:
            code = super().start(cell)
        return code


# ------------------------------------------------------------------------------------ command and environment


class UsesAShell(OneByOne):
    def start(self, cell: CellHandle) -> int:
        line = " ".join(f'"{word}"' for word in cell.command)
        return subprocess.run(
            line, shell=True, env={**cell.environment, **os.environ}, check=False
        ).returncode


class StripsWords(OneByOne):
    def start(self, cell: CellHandle) -> int:
        words = [word for word in cell.command if word.strip()]
        return subprocess.run(words, env={**cell.environment, **os.environ}, check=False).returncode


class CellWins(OneByOne):
    def start(self, cell: CellHandle) -> int:
        environment = {**os.environ, **cell.environment}
        return subprocess.run(cell.command, env=environment, check=False).returncode


class EmptyEnvironment(OneByOne):
    def start(self, cell: CellHandle) -> int:
        return subprocess.run(cell.command, env=dict(cell.environment), check=False).returncode


class ForgetsTheEnvironment(OneByOne):
    def start(self, cell: CellHandle) -> int:
        return subprocess.run(cell.command, check=False).returncode


class SharesEnvironments(OneByOne):
    """Sets a cell's variables for all that come after it."""

    def start(self, cell: CellHandle) -> int:
        for name, value in cell.environment.items():
            os.environ.setdefault(name, value)
        return subprocess.run(cell.command, check=False).returncode


class KeepsAPipeFull(OneByOne):
    def start(self, cell: CellHandle) -> int:
        environment = {**cell.environment, **os.environ}
        process = subprocess.Popen(cell.command, env=environment, stdout=subprocess.PIPE)
        code = process.wait()
        process.stdout.close()
        return code


# ------------------------------------------------------------------------------------ state


class RemembersWhatIsDone(OneByOne):
    def __init__(self, options: Any) -> None:
        super().__init__(options)
        self.done: set[str] = set()

    def start(self, cell: CellHandle) -> int:
        if cell.cell_id in self.done:
            return 0
        self.done.add(cell.cell_id)
        return super().start(cell)


class LocksTheFolder(OneByOne):
    def run(self, cells: Sequence[CellHandle], progress: Progress) -> Mapping[str, str]:
        lock = cells[0].runs / "executor.lock"
        lock.touch(exist_ok=False)
        try:
            return super().run(cells, progress)
        finally:
            lock.unlink()


class NotesWhatItStarted(OneByOne):
    """Never starts again what an earlier executor has begun."""

    def start(self, cell: CellHandle) -> int:
        note = cell.runs / f"{cell.cell_id}.begun"
        if note.exists():
            return 0
        note.touch()
        code = super().start(cell)
        note.unlink()
        return code


class ChangesTheFolder(OneByOne):
    def start(self, cell: CellHandle) -> int:
        os.chdir(cell.runs)
        return super().start(cell)


PLANTED = {
    DoesNotWait: "check_every_cell_runs_to_its_end",
    RunsTwice: "check_every_cell_runs_to_its_end",
    RunsTwiceAtOnce: "check_every_cell_runs_to_its_end",
    LeavesOneOut: "check_every_cell_runs_to_its_end",
    NamesAll: "check_every_cell_runs_to_its_end",
    GivesAList: "check_every_cell_runs_to_its_end",
    NeverReturns: "check_every_cell_runs_to_its_end",
    Raises: "check_failures_are_named_and_stay_alone",
    ForgetsFailures: "check_failures_are_named_and_stay_alone",
    StopsAtTheFirst: "check_failures_are_named_and_stay_alone",
    GivesNoReason: "check_failures_are_named_and_stay_alone",
    NeedsACell: "check_no_cells_are_no_failure",
    UsesAShell: "check_commands_reach_the_cell_as_they_are",
    StripsWords: "check_commands_reach_the_cell_as_they_are",
    CellWins: "check_environment_is_set_where_the_user_has_not",
    EmptyEnvironment: "check_environment_is_set_where_the_user_has_not",
    ForgetsTheEnvironment: "check_environment_is_set_where_the_user_has_not",
    SharesEnvironments: "check_environment_is_set_where_the_user_has_not",
    NeverRetries: "check_a_lost_cell_is_run_again",
    RetriesForEver: "check_a_cell_that_is_always_lost_is_given_up",
    KeepsAPipeFull: "check_a_loud_cell_does_not_block",
    RemembersWhatIsDone: "check_it_may_be_run_again",
    LocksTheFolder: "check_it_may_be_killed",
    NotesWhatItStarted: "check_it_may_be_killed",
    ChangesTheFolder: "check_this_process_is_left_alone",
}
