"""A task that needs more of its backbone than a map is refused before anything runs, with what would do."""

from __future__ import annotations

from pathlib import Path

import pytest
from fake_distributions import install

import vssl_core
from vssl_core import PretextTask, UsageError

BACKBONE = """
from torch import nn

from vssl_core import Backbone


class Tokens(Backbone):
    api_version = 1
    provides = frozenset({"feature_map", "masked_tokens"})

    def __init__(self, options, clip):
        super().__init__(options, clip)
        self.embed_dim = 3

    def forward_features(self, video_BCTHW):
        return video_BCTHW

    def stages(self):
        return {"all": nn.Identity()}
"""
BOTH = "[vssl.backbones]\ntokens = foreign_tokens:Tokens\nbroken = foreign_tokens:Missing\n"


class Masked(PretextTask):
    """A task of another family; it is never built here."""

    requires = frozenset({"masked_tokens"})

    @classmethod
    def sampler(cls, options, clip):
        raise AssertionError

    @classmethod
    def augmentation(cls, options, clip):
        raise AssertionError

    def __init__(self, make_backbone, options, context):
        raise AssertionError

    def forward(self, views, info):
        raise AssertionError


class Alien(Masked):
    """A task that nothing fits."""

    requires = frozenset({"feature_map", "optical_flow"})


def refusal(task: type[PretextTask], runs: Path) -> str:
    with pytest.raises(UsageError) as error:
        vssl_core.bench(task, backbone="r2plus1d", protocol="smoke", runs=runs)
    assert not list(runs.glob("cells/*"))
    return str(error.value)


def test_backbones_that_fit_are_named_and_broken_ones_are_not(site: Path, tmp_path: Path) -> None:
    install(site, "foreign-tokens", BOTH, modules={"foreign_tokens.py": BACKBONE})
    said = refusal(Masked, tmp_path / "runs")
    assert "task 'Masked' requires masked_tokens; backbone 'r2plus1d' provides feature_map." in said
    choices = said.partition("--backbone ")[2].rstrip(".").split(" or ")
    assert "tokens" in choices
    assert not {"r2plus1d", "shufflenet", "broken"} & set(choices)


def test_a_backbone_whose_name_is_taken_is_named_with_its_distribution(site: Path, tmp_path: Path) -> None:
    entry = BOTH.replace("tokens =", "shufflenet =")
    install(site, "foreign-tokens", entry, modules={"foreign_tokens.py": BACKBONE})
    assert "foreign-tokens:shufflenet" in refusal(Masked, tmp_path / "runs")


def test_where_nothing_fits_that_is_said(tmp_path: Path) -> None:
    said = refusal(Alien, tmp_path / "runs")
    assert "requires optical_flow;" in said
    assert "No installed backbone does" in said
