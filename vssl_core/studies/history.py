"""What finished cells of a run folder took on this machine: the best estimate for others like them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from vssl_core.cells import CellSpec, EvaluationSpec, digest
from vssl_core.errors import StoreError
from vssl_core.precision import machine
from vssl_core.store import all_cells

__all__ = ["History", "read_history"]


@dataclass(frozen=True)
class History:
    """Seconds and memory of what was done here.

    Args:
        pretraining: Cell without its seed → seconds of each.
        memory: The same → peak MiB of each.
        evaluations: Evaluation and backbone → seconds of each.
    """

    pretraining: Mapping[str, list[float]]
    memory: Mapping[str, list[float]]
    evaluations: Mapping[tuple[str, str], list[float]]

    def pretrain_seconds(self, spec: CellSpec) -> float | None:
        """Mean over the other seeds of this cell."""
        found = self.pretraining.get(_without_seed(spec))
        return fmean(found) if found else None

    def peak_mib(self, spec: CellSpec) -> float | None:
        """Largest over the other seeds of this cell."""
        return max(self.memory.get(_without_seed(spec), ()), default=None)

    def evaluation_seconds(self, spec: CellSpec, evaluation: EvaluationSpec) -> float | None:
        """Mean over all cells of this backbone: the task that it was pretrained by changes no step."""
        found = self.evaluations.get(_evaluation(spec, evaluation))
        return fmean(found) if found else None


def read_history(runs: Path) -> History:
    """Everything that a run folder says of this machine; a cell that cannot be read says nothing."""
    pretraining: dict[str, list[float]] = {}
    memory: dict[str, list[float]] = {}
    evaluations: dict[tuple[str, str], list[float]] = {}
    for cell in all_cells(runs) if runs.is_dir() else ():
        try:
            spec, result = cell.spec(), cell.pretrain_result()
            if result is None or cell.read_note("environment").get("machine") != machine():
                continue
            pretraining.setdefault(_without_seed(spec), []).append(float(result.get("seconds", 0.0)))
            memory.setdefault(_without_seed(spec), []).append(result["cost"]["peak_memory_mib"])
            for evaluation, _, _ in cell.evaluations():
                if (seconds := cell.evaluation_seconds(evaluation)) is not None:
                    evaluations.setdefault(_evaluation(spec, evaluation), []).append(seconds)
        except (StoreError, KeyError):
            continue
    return History(pretraining, memory, evaluations)


def _without_seed(spec: CellSpec) -> str:
    return digest({name: value for name, value in spec.key().items() if name != "seed"})


def _evaluation(spec: CellSpec, evaluation: EvaluationSpec) -> tuple[str, str]:
    key = {name: value for name, value in evaluation.key().items() if name != "at"}
    return digest(key), digest(spec.backbone.key())
