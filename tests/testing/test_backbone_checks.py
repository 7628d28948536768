"""Every planted bug of a backbone is caught by the check named for it; correct backbones trip none."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from planted_backbones import PLANTED as PLANTED_BACKBONES
from planted_backbones import Attending, EmptyWeights, Masking, Parameterless, Small
from planted_weights import PLANTED as PLANTED_WEIGHTS
from planted_weights import StartsFromAPattern

from vssl_core.testing import check_plugin, checks_of

PLANTED = {**PLANTED_BACKBONES, **PLANTED_WEIGHTS}
BUILT_IN = ["c3d", "mobilenetv2", "r2plus1d", "r3d", "shufflenet", "squeezenet"]


@pytest.mark.parametrize(
    "backbone", [Small, Attending, Masking, Parameterless, StartsFromAPattern, *BUILT_IN]
)
def test_a_correct_backbone_passes_every_check(backbone: str | type) -> None:
    report = check_plugin("backbone", backbone)
    assert report.ok, report.text()
    assert len(report.results) == len(checks_of("backbone"))


@pytest.mark.parametrize(
    ("cls", "check"), PLANTED.items(), ids=lambda value: getattr(value, "__name__", value)
)
def test_a_planted_bug_is_caught_by_the_check_named_for_it(cls: type, check: str) -> None:
    random.seed(0)
    np.random.seed(0)
    threads = torch.get_num_threads()
    report = check_plugin("backbone", cls, only=[check])
    assert [result.name for result in report.bad] == [check], report.text()
    assert report.bad[0].message.startswith("expected "), report.text()
    assert torch.get_num_threads() == threads


def test_weights_that_nobody_set_show_whatever_a_training_before_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Memory may hold the same twice; a process that has trained may not fill new memory with NaN."""
    monkeypatch.setattr(torch.utils.deterministic, "fill_uninitialized_memory", False)
    report = check_plugin("backbone", EmptyWeights, only=["check_seed_decides_the_weights"])
    assert len(report.bad) == 1, report.text()
    assert not torch.utils.deterministic.fill_uninitialized_memory


def test_every_check_of_backbones_has_a_planted_bug() -> None:
    """Those of options have theirs in the tests of options."""
    own = {name for name in checks_of("backbone") if not name.startswith(("check_options", "check_unknown"))}
    assert own <= set(PLANTED.values())
