"""`vssl plugins check`: does a component keep its contract?"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vssl_core.errors import OptionError, UsageError
from vssl_core.registry import KINDS, Kind, PluginRef

if TYPE_CHECKING:
    from vssl_core.cli.check_targets import Target
    from vssl_core.cli.isolated import Finding, Limits

__all__ = ["check"]


@click.command()
@click.argument("target")
@click.option("--kind", type=click.Choice(KINDS), help="Which, where several are called TARGET.")
@click.option(
    "-o",
    "--option",
    "options",
    multiple=True,
    metavar="[NAME.]OPTION=VALUE",
    help="Set an option of the component, such as root=/data; may be repeated.",
)
@click.option(
    "--expect",
    "expected",
    multiple=True,
    metavar="CHECK=REASON",
    help="A check that fails, and why; it is then an error when it passes. May be repeated.",
)
@click.option("--only", multiple=True, metavar="CHECK", help="Run this check of the contract; repeatable.")
@click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True),
    default=60.0,
    show_default=True,
    help="Seconds for the import.",
)
@click.option(
    "--check-timeout",
    type=click.FloatRange(min=0, min_open=True),
    default=300.0,
    show_default=True,
    help="Seconds for each check.",
)
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def check(
    target: str,
    kind: Kind | None,
    options: tuple[str, ...],
    expected: tuple[str, ...],
    only: tuple[str, ...],
    timeout: float,
    check_timeout: float,
    as_json: bool,
) -> None:
    """Check TARGET against its contract.

    TARGET is a name, DISTRIBUTION:NAME, a distribution, PACKAGE.MODULE, PACKAGE.MODULE:CLASS, ./FILE.py,
    ./FILE.py:CLASS, or the folder of a project with its pyproject.toml. It is imported and checked in a
    process of its own. Exit code 0: all is well; 1: something failed; 2: wrong usage.
    """
    from vssl_core.cli import check_show
    from vssl_core.cli.check_targets import find_target
    from vssl_core.cli.isolated import Limits

    limits = Limits(import_seconds=timeout, check_seconds=check_timeout)
    values, reasons = (
        _pairs(options, "-o takes OPTION=VALUE"),
        _pairs(expected, "--expect takes CHECK=REASON"),
    )
    show = check_show.Shown(as_json=as_json)
    with tempfile.TemporaryDirectory(prefix="vssl-check-") as folder:
        found = find_target(target, kind=kind, folder=Path(folder))
        show.project(target, found.results)
        for finding in _findings(target, found, kind, limits, values, reasons, only):
            show.finding(finding)
    click.echo(show.end(), nl=False)
    if not show.ok:
        raise click.exceptions.Exit(1)


def _findings(
    name: str,
    target: Target,
    kind: Kind | None,
    limits: Limits,
    values: Mapping[str, str],
    reasons: Mapping[str, str],
    only: Sequence[str],
) -> Iterator[Finding]:
    from vssl_core.cli.isolated import Job, inspect

    refs = target.refs
    if target.survey is not None:
        (survey,) = inspect([Job(target.survey, survey=True)], limits=limits, paths=target.paths)
        if not survey.report.ok:
            yield survey
            return
        refs = tuple(_components(name, survey, kind))
    owned = _owned(values, [ref.name for ref in refs])
    jobs = [
        Job(ref, contract=True, options=owned[ref.name], expected_failures=reasons, only=tuple(only))
        for ref in refs
    ]
    yield from inspect(jobs, limits=limits, paths=target.paths)


def _components(name: str, survey: Finding, kind: Kind | None) -> Iterator[PluginRef]:
    """The components that a survey found, as references like that to what was surveyed."""
    found = [entry for entry in survey.facts["components"] if kind in (None, entry[0])]
    if not found:
        raise UsageError(
            f"{name!r} holds no {kind or 'component'}: expected a class derived from a class of "
            "vssl_core.interfaces, or functions marked @hookimpl."
        )
    for its_kind, its_name, its_target in found:
        yield replace(survey.job.ref, kind=its_kind, name=its_name, target=its_target)


def _pairs(items: Sequence[str], form: str) -> dict[str, str]:
    pairs = {}
    for item in items:
        left, equals, right = item.partition("=")
        if not equals or not left.strip() or not right.strip():
            raise UsageError(f"{form}; got {item!r}.")
        pairs[left.strip()] = right
    return pairs


def _owned(values: Mapping[str, str], names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Component → option → value. An option without a component's name before it is for all of them."""
    owned: dict[str, dict[str, Any]] = {name: {} for name in names}
    for key, text in values.items():
        owner, dot, option = key.rpartition(".")
        if dot and owner not in owned:
            raise OptionError(f"-o {key}: expected one of {', '.join(names)} before the dot.")
        for name in [owner] if dot else names:
            owned[name][option] = _value(text)
    return owned


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text
