"""Distributions with entry points, written as pip would leave them, without pip."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from vssl_core.registry import discovery


def install(
    folder: Path,
    name: str,
    entry_points: str,
    *,
    version: str = "1.0",
    modules: Mapping[str, str] | None = None,
) -> None:
    """Put a distribution and its modules (path → source) into a folder that is on the import path."""
    info = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n\nLong text.\n")
    (info / "entry_points.txt").write_text(entry_points)
    for path, source in (modules or {}).items():
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(source)


EVALUATOR = """
from vssl_core import EvaluationResult, Evaluator, Metric, Options


class {name}(Evaluator):
    {body}

    def __init__(self, options):
        self.options = options

    def evaluate(self, backbone, data, context):
        return EvaluationResult({{"constant": Metric(1.0)}})
"""


def evaluator(name: str = "Score", body: str = "api_version = 1") -> str:
    """Source of a module with a whole evaluator, the smallest kind of component."""
    return EVALUATOR.format(name=name, body=body)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder on the import path; what is imported from it and registered is forgotten afterwards."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    before = set(sys.modules)
    discovery._installed.cache_clear()
    registered = dict(discovery._registered)
    yield folder
    discovery._installed.cache_clear()
    discovery._registered.clear()
    discovery._registered.update(registered)
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(tmp_path)):
            del sys.modules[name]
