"""The supplement's Table 1: ours are the references' counts, and every cell that differs is explained."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))

from supplement_table import Cell, Compared, compared, table

MEASURED = {  # with 101 classes: parameters, GMACs; GFLOPs with norms, and with norms, biases and ReLU
    "ShuffleNet": (3_800_309, 0.5135, 1.054, 1.060),
    "MobileNet": (2_483_429, 0.5184, 1.094, 1.106),
    "SqueezeNet": (1_889_573, 0.8985, 1.819, 1.836),
    "C3D": (27_713_253, 38.497, 77.087, 77.157),
    "R3D": (14_413_605, 19.887, 39.826, 39.838),
    "R(2+1)D": (14_417_116, 21.362, 42.878, 42.915),
}


@pytest.fixture(scope="module")
def rows() -> dict[str, Compared]:
    return {row.printed.network: row for row in compared()}


@pytest.mark.parametrize("network", list(MEASURED))
def test_counts_are_those_measured_on_the_references(rows, network: str) -> None:
    row = rows[network]
    parameters, macs, norms, everything = MEASURED[network]
    assert row.with_head == parameters
    assert row.macs == pytest.approx(macs, abs=1e-4 if macs < 1 else 1e-3)
    ours, with_norms, with_all = row.gflops.readings.values()
    assert ours == pytest.approx(2 * row.macs)
    assert with_norms == pytest.approx(norms, abs=1e-3)
    assert with_all == pytest.approx(everything, abs=1e-3)


def test_exactly_the_cells_that_differ_are_explained(rows) -> None:
    explained = {
        (network, what): getattr(row, what).explanation
        for network, row in rows.items()
        for what in ("parameters", "gflops")
        if not getattr(row, what).equal
    }
    assert explained == {
        ("ShuffleNet", "parameters"): "4.6 is 512 wide, then 101 classes (4.64)",
        ("ShuffleNet", "gflops"): "1.1 is with norms (1.05) or with norms, biases and ReLU (1.06)",
        ("MobileNet", "parameters"): "3.1 is 600 classes (3.12) or 512 wide, then 101 classes (3.06)",
        ("MobileNet", "gflops"): "1.1 is with norms (1.09) or with norms, biases and ReLU (1.11)",
        ("C3D", "gflops"): "77.2 is with norms, biases and ReLU (77.16)",
        ("R(2+1)D", "gflops"): "42.9 is with norms (42.88) or with norms, biases and ReLU (42.91)",
    }
    assert table(list(rows.values())).row_count == len(rows)


def test_a_cell_that_no_reading_fits_says_so() -> None:
    assert Cell("9.9", {"ours": 1.0, "other": 2.0}).explanation == "no reading fits"
    assert Cell("1.0", {"ours": 1.04, "other": 1.0}).explanation == ""
