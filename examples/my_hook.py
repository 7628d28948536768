"""A hook: a module whose functions watch a run. This one writes a line per result beside the cell.

Hooks are found by entry point alone, because no command names them; in the pyproject.toml of a package:

    [project.entry-points."vssl.hooks"]
    my_hook = "my_hook"
"""

import json
from collections.abc import Mapping

from vssl_core.distributed import rank
from vssl_core.hooks import RunInfo, hookimpl
from vssl_core.rows import Row


@hookimpl
def vssl_step_end(run: RunInfo, step: int, metrics: Mapping[str, float]) -> None:
    if rank() == 0 and step % 100 == 0:  # steps are announced in every process of the cell
        note(run, {"step": step, "loss": metrics["loss"]})


@hookimpl
def vssl_result(run: RunInfo, row: Row) -> None:  # an event's arguments are taken by name, those one needs
    note(run, {"target": row.target, "evaluator": row.evaluator_label, row.metric: row.value})


def note(run: RunInfo, document: Mapping[str, object]) -> None:
    with (run.folder / "my_hook.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps({"task": run.task, "seed": run.seed, **document}) + "\n")
