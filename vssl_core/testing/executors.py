"""Checks of executors, on cells that take a tenth of a second."""

from __future__ import annotations

import os
from collections.abc import Mapping
from unittest import mock

from vssl_core.testing.component import OPTION_CHECKS, Component, component
from vssl_core.testing.executor_cells import (
    TOO_OFTEN,
    Cells,
    Kind,
    cells_in,
    killed_in_the_middle,
    run,
    silenced,
)
from vssl_core.testing.outcome import CheckFailed, CheckSkipped
from vssl_core.testing.process_state import isolated, unchanged

__all__ = ["CHECKS", "subject"]

subject = component

_ARGUMENTS = (
    "two words", "", "it's", '"quoted"', "$HOME", "`date`", "a;b", "a && b", "*", "back\\slash", "é",
    "--flag=1", "two\nlines", "%s {0}",
)  # fmt: skip


def check_every_cell_runs_to_its_end(subject: Component) -> None:
    """When `run` comes back every cell has been run to its end, once, and no failure is reported."""
    with cells_in() as cells:
        names = [f"cell-{number}" for number in range(7)]
        failures = run(subject, [cells.handle(name) for name in names])
        if failures:
            raise CheckFailed(
                f"expected no failure of cells that end with exit code 0; got {dict(failures)}."
            )
        _check_ran(cells, names, times=1)


def check_failures_are_named_and_stay_alone(subject: Component) -> None:
    """Cells that fail are named with a reason, and no other; the rest run to their end."""
    with cells_in() as cells:
        kinds: dict[str, Kind] = {"a": "ok", "b": "fails", "c": "ok", "d": "breaks off", "e": "ok"}
        failures = run(subject, [cells.handle(name, kind) for name, kind in kinds.items()])
        _check_ran(cells, ["a", "c", "e"], times=1)
        if set(failures) != {"b", "d"}:
            raise CheckFailed(
                f"expected the cells that end with another exit code than 0, b and d, and no other; got "
                f"{sorted(failures) or 'none'}."
            )


def check_no_cells_are_no_failure(subject: Component) -> None:
    """No cells give an empty mapping."""
    if failures := run(subject, []):
        raise CheckFailed(f"expected an empty mapping for no cells; got {dict(failures)}.")


def check_commands_reach_the_cell_as_they_are(subject: Component) -> None:
    """No shell reads a cell's command: arguments arrive letter by letter."""
    with cells_in() as cells:
        run(subject, [cells.handle("cell", "ok", *_ARGUMENTS)])
        _check_ran(cells, ["cell"], times=1)
        if (found := cells.seen("cell")["arguments"]) != list(_ARGUMENTS):
            raise CheckFailed(
                f"expected the command to reach the cell as it is, with {list(_ARGUMENTS)}; it got {found}. "
                "Give the words to the process as a list, without a shell."
            )


def check_environment_is_set_where_the_user_has_not(subject: Component) -> None:
    """A cell has the user's variables and its own, the user's winning; cells do not share theirs."""
    user = {"VSSL_CHECK_USER": "user", "VSSL_CHECK_ONLY_USER": "user"}
    with mock.patch.dict(os.environ, user), cells_in() as cells:
        of_cells: dict[str, Mapping[str, str]] = {
            "a": {"VSSL_CHECK_USER": "cell", "VSSL_CHECK_CELL": "a"},
            "b": {"VSSL_CHECK_CELL": "b"},
            "c": {},
        }
        run(subject, [cells.handle(name, environment=given) for name, given in of_cells.items()])
        _check_ran(cells, list(of_cells), times=1)
        for name, given in of_cells.items():
            expected, found = {**given, **user}, cells.seen(name)["environment"]
            if found != expected:
                raise CheckFailed(
                    f"expected cell {name!r} to see {expected} of the variables that user and cells set; it "
                    f"saw {found}. Start it with {{**cell.environment, **os.environ}}."
                )


def check_a_lost_cell_is_run_again(subject: Component) -> None:
    """A cell that was killed from outside is run again, and is no failure once it came to its end."""
    with cells_in() as cells:
        failures = run(subject, [cells.handle("lost", "lost once"), cells.handle("other")])
        if not cells.done("lost") or failures:
            raise CheckFailed(
                f"expected a cell that was killed to be started again; it was started {cells.starts('lost')} "
                f"times, and the failures are {dict(failures)}."
            )
        _check_ran(cells, ["other"], times=1)


def check_a_cell_that_is_always_lost_is_given_up(subject: Component) -> None:
    """A cell that is killed each time is a failure in the end, and the others run all the same."""
    with cells_in() as cells:
        failures = run(subject, [cells.handle("lost", "always lost"), cells.handle("other")])
        if cells.starts("lost") > TOO_OFTEN or "lost" not in failures:
            raise CheckFailed(
                f"expected a cell that is killed each time to be given up and named; it was started "
                f"{cells.starts('lost')} times, and the failures are {dict(failures)}."
            )
        _check_ran(cells, ["other"], times=1)


def check_a_loud_cell_does_not_block(subject: Component) -> None:
    """A cell may write much to its output."""
    with cells_in() as cells, silenced():
        failures = run(subject, [cells.handle("loud", "loud"), cells.handle("other")])
        if failures or not cells.done("loud"):
            raise CheckFailed(
                f"expected a cell that writes 300 kB to come to its end; the failures are {dict(failures)}. "
                "Send its output to a file or on to ours, or read the pipe while it runs."
            )
        _check_ran(cells, ["other"], times=1)


def check_it_may_be_run_again(subject: Component) -> None:
    """The same executor, and a new one, run the same cells again: the run folder alone knows what is done."""
    with cells_in() as cells:
        handles = [cells.handle("a"), cells.handle("b", "fails")]
        executor = subject.cls(subject.options)
        for number, again in enumerate((executor, executor, None), start=1):
            failures = run(subject, handles, again)
            if set(failures) != {"b"}:
                raise CheckFailed(
                    f"expected run number {number} to fail for b alone; got {dict(failures)}. Keep nothing "
                    "of an earlier run."
                )
            _check_ran(cells, ["a"], times=number)


def check_it_may_be_killed(subject: Component) -> None:
    """After an executor was killed in the middle, the same cells can be run."""
    if not hasattr(os, "fork"):
        raise CheckSkipped("this system cannot fork")
    with cells_in() as cells:
        handles = [cells.handle(name, "waits") for name in ("a", "b")]
        killed_in_the_middle(subject, handles, cells)
        failures = run(subject, handles)
        if failures or not all(cells.done(name) for name in ("a", "b")):
            raise CheckFailed(
                "expected cells to run after an executor was killed in the middle of them; the failures are "
                f"{dict(failures)}. Keep no lock and no list of what is done: the run folder is the truth."
            )


def check_this_process_is_left_alone(subject: Component) -> None:
    """Running cells changes neither the environment nor the settings of this process."""
    with (
        cells_in() as cells,
        unchanged("running cells", generators=("numpy.random", "torch"), environment=True),
    ):
        run(subject, [cells.handle("a", environment={"VSSL_CHECK_CELL": "a"}), cells.handle("b", "fails")])


def _check_ran(cells: Cells, names: list[str], *, times: int) -> None:
    for name in names:
        if not cells.done(name):
            raise CheckFailed(
                f"expected cell {name!r} to have come to its end when run came back; it was started "
                f"{cells.starts(name)} times. Wait for every cell, also after another has failed."
            )
        if cells.starts(name) != times or cells.overlapped(name):
            at_once = ", twice at once" if cells.overlapped(name) else ""
            raise CheckFailed(
                f"expected cell {name!r} to be run {times} times; it was started {cells.starts(name)} times"
                f"{at_once}. Only a lost cell is started again."
            )


CHECKS = isolated(
    (
        *OPTION_CHECKS,
        check_every_cell_runs_to_its_end,
        check_failures_are_named_and_stay_alone,
        check_no_cells_are_no_failure,
        check_commands_reach_the_cell_as_they_are,
        check_environment_is_set_where_the_user_has_not,
        check_a_lost_cell_is_run_again,
        check_a_cell_that_is_always_lost_is_given_up,
        check_a_loud_cell_does_not_block,
        check_it_may_be_run_again,
        check_it_may_be_killed,
        check_this_process_is_left_alone,
    )
)
