"""A class that exists in this process alone is run here, and fails as it would in a process of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from small_bench import TINY

import vssl_core
from vssl_plugins.tasks.rotnet import RotNet


class FirstFails(RotNet):
    """A task that cannot be made the first time."""

    made = 0

    def __init__(self, make_backbone: Any, options: Any, context: Any) -> None:
        super().__init__(make_backbone, options, context)
        FirstFails.made += 1
        if FirstFails.made == 1:
            raise RuntimeError("the first one fails")


def test_a_failure_of_any_kind_does_not_stop_the_other_cells(tmp_path: Path) -> None:
    result = vssl_core.bench(
        FirstFails, protocol="smoke", pretrain=TINY, targets=[TINY], evaluators=["retrieval"], seeds=(0, 1),
        runs=tmp_path, controls=False,
    )  # fmt: skip
    assert list(result.failures.values()) == ["RuntimeError: the first one fails"]
    assert {row.seed for row in result.rows} == {1}
    assert result.report.exists()
