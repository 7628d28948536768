"""Units say whether a metric is a score, a cost, or a cost that no two runs share."""

from __future__ import annotations

import pytest

from vssl_core.units import is_cost, is_measured


@pytest.mark.parametrize("unit", ["ms", "s", "clips/s", "GFLOP/s", "frames per second", " MiB ", "GB", "fps"])
def test_times_rates_and_sizes_are_measured(unit: str) -> None:
    assert is_measured(unit)
    assert is_cost(unit)


@pytest.mark.parametrize("unit", ["GFLOPs", "M", "parameters"])
def test_counts_are_costs_that_equal_runs_share(unit: str) -> None:
    assert not is_measured(unit)
    assert is_cost(unit)


@pytest.mark.parametrize("unit", ["%", "points", "nats", "bits", ""])
def test_scores_are_no_costs(unit: str) -> None:
    assert not is_measured(unit)
    assert not is_cost(unit)
