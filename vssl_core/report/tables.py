"""From what was read to tables: one for each protocol, with values per video where files hold them."""

from __future__ import annotations

from collections.abc import Callable

from vssl_core.errors import StoreError
from vssl_core.report.bundles import Report
from vssl_core.report.evidence import PerVideo, read_per_video
from vssl_core.report.table import Table, build_table, is_shown
from vssl_core.rows import Row

__all__ = ["build_tables"]


def build_tables(report: Report) -> tuple[list[Table], list[str]]:
    """The tables in the order of their protocols' names, and notes on files that could not be used."""
    notes: list[str] = []
    hashes = {
        row.protocol_hash: row.protocol_name for row in reversed(report.rows) if is_shown(row, report.metrics)
    }
    tables = [
        build_table(
            [row for row in report.rows if row.protocol_hash == found],
            per_video=_reader(report, notes),
            metrics=report.metrics,
        )
        for found in sorted(hashes, key=lambda found: (hashes[found], found))
    ]
    return tables, notes


def _reader(report: Report, notes: list[str]) -> Callable[[Row], PerVideo | None]:
    def read(row: Row) -> PerVideo | None:
        if report.runs is None:
            return None
        try:
            return read_per_video(report.runs, row)
        except StoreError as error:
            notes.append(f"{error} Its interval speaks of seeds alone.")
            return None

    return read
