"""Does each pretext task learn, and does what it learns help?

    python benchmarks/tasks.py [--tasks vcop,cvrl] [--seeds 0,1,2] [--runs FOLDER]

Every task is pretrained on the embedded data at the default protocol and evaluated on both of its label
sets. Printed are the held-out pretext metrics beside what guessing gives, and the result table with the gain
of every evaluator over random initialisation and its interval. Finished cells of the run folder are reused.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

import vssl_core
from vssl_core.report import load_report, render
from vssl_core.statistics import seed_interval
from vssl_core.store import all_cells

TASKS = ("rotnet", "vcop", "prp", "cvrl", "tdl", "rspnet")
TARGETS = ("shapes_motion", "shapes_appearance")


def held_out_table(runs: Path, tasks: Sequence[str]) -> Table:
    """Mean and interval over seeds of every held-out metric that has a chance level."""
    table = Table(title="held-out pretext metrics", title_justify="left")
    for head in ("task", "metric", "chance", "mean", "seeds", "clips/s"):
        table.add_column(head, justify="left" if head in ("task", "metric") else "right")
    results: dict[str, list[dict]] = {}
    for cell in all_cells(runs):
        results.setdefault(cell.spec().task.name, []).append(cell.pretrain_result() or {})
    for task in tasks:
        found = [result for result in results.get(task, []) if result.get("held_out")]
        for metric, chance in found[0]["chance"].items() if found else ():
            values = [result["held_out"][metric] for result in found]
            interval = seed_interval(values)
            spread = f" ± {interval.half_width:.3f}" if interval else ""
            rate = sum(result["cost"]["pretrain_clips_per_second"] for result in found) / len(found)
            mean = sum(values) / len(values)
            table.add_row(
                task, metric, f"{chance:.3f}", f"{mean:.3f}{spread}", str(len(found)), f"{rate:.1f}"
            )
    return table


def main() -> None:
    """Run what is missing and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tasks", default=",".join(TASKS))
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--runs", type=Path, default=Path("runs-tasks"))
    arguments = parser.parse_args()
    tasks = arguments.tasks.split(",")
    failures = {}
    for task in tasks:
        seeds = [int(seed) for seed in arguments.seeds.split(",")]
        failures |= vssl_core.bench(task, targets=TARGETS, seeds=seeds, runs=arguments.runs).failures
    console = Console(width=140)
    console.print(held_out_table(arguments.runs, tasks))
    print(render(load_report(arguments.runs), "rich"))
    if failures:
        raise SystemExit(json.dumps(failures, indent=2))


if __name__ == "__main__":
    main()
