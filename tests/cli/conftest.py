"""Distributions for the tests of the command."""

from __future__ import annotations

from pathlib import Path

import pytest
from fake_distributions import evaluator, install, site

__all__ = ["crowded", "site"]


@pytest.fixture
def crowded(tmp_path: Path) -> Path:
    """Distributions of every kind of trouble."""
    install(
        tmp_path,
        "vssl-plugin-good",
        "[vssl.evaluators]\nscore = good_plugin:Score\nlinear = good_plugin:Score\n",
        modules={"good_plugin.py": "print('noise at import')\n" + evaluator()},
    )
    install(
        tmp_path,
        "vssl-plugin-bad",
        "[vssl.evaluators]\nbad = bad_plugin:Score\n[vssl.hooks]\nbad_hook = bad_plugin\n",
        modules={"bad_plugin.py": "raise RuntimeError('on purpose')"},
    )
    install(tmp_path, "vssl-plugin-clash", "[vssl.evaluators]\nscore = other:Score\n")
    return tmp_path
