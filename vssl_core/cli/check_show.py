"""How the outcome of `vssl plugins check` is shown: a table, plain lines where no terminal is, or JSON."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from vssl_core.registry import PluginRef
from vssl_core.testing import CheckResult, PluginReport

if TYPE_CHECKING:
    from vssl_core.cli.isolated import Finding

__all__ = ["Shown"]

_STYLES = {
    "passed": "green",
    "failed": "bold red",
    "expected": "yellow",
    "unexpected pass": "bold red",
    "skipped": "dim",
}


class Shown:
    """Shows each component as soon as it was checked, and the sum at the end.

    Args:
        as_json: One document at the end, instead.
    """

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json
        self._reports: list[PluginReport] = []
        self._document: list[dict[str, Any]] = []

    @property
    def ok(self) -> bool:
        """Whether something was checked and nothing failed."""
        return bool(self._reports) and all(report.ok for report in self._reports)

    def project(self, name: str, results: Sequence[CheckResult]) -> None:
        """What a project's own file showed; nothing where no project was checked."""
        if results:
            self._add(f"project {name}", PluginReport("project", name, tuple(results)), {})

    def finding(self, finding: Finding) -> None:
        """A component."""
        ref = finding.job.ref
        kind = "import" if finding.job.survey else ref.kind
        report = PluginReport(kind, ref.name, finding.results)
        about = {"distribution": ref.dist, "version": ref.version, "origin": ref.origin, "target": ref.target}
        self._add(_heading(ref, kind), report, about)

    def end(self) -> str:
        """What is left to be printed."""
        if self._as_json:
            return json.dumps({"ok": self.ok, "components": self._document}, indent=2) + "\n"
        return "\n".join(report.summary() for report in self._reports) + "\n"

    def _add(self, heading: str, report: PluginReport, about: dict[str, str]) -> None:
        self._reports.append(report)
        results = [
            {"name": r.name, "status": r.status, "message": r.message, "note": r.note} for r in report.results
        ]
        entry = {"kind": report.kind, "name": report.name, **about, "ok": report.ok, "results": results}
        self._document.append(entry)
        if self._as_json:
            return
        if sys.stdout.isatty():
            _table(heading, report)
        else:
            click.echo("\n".join([heading, *map(_line, report.results), ""]))


def _heading(ref: PluginRef, kind: str) -> str:
    place = f" of {ref.dist} {ref.version}".rstrip() if ref.dist else ""
    return f"{kind} {ref.name}{place} ({ref.target})"


def _line(result: CheckResult) -> str:
    said = _said(result)
    return f"  {result.status}  {result.name}" + (f": {said}" if said else "")


def _said(result: CheckResult) -> str:
    """What failed, or what a check that passed has to say, on one line."""
    return " ".join((result.message or result.note).split())


def _table(heading: str, report: PluginReport) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False)
    console.print(Text(heading, style="bold"))
    table = Table.grid(padding=(0, 2))
    for result in report.results:
        status = Text(result.status, style=_STYLES[result.status])
        said = Text(_said(result), overflow="fold")
        table.add_row(status, Text(result.name, overflow="fold"), said)
    console.print(table)
    console.print()
