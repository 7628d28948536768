"""Declarations that cannot be meant are refused with the op, the field and the value."""

from __future__ import annotations

import pytest

from vssl_core.augmentation import ops
from vssl_core.errors import ContractError


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: ops.RotationJitter(degrees=-1), r"RotationJitter\.degrees .* 0 to 180; got -1"),
        (lambda: ops.RotationJitter(degrees=float("nan")), r"RotationJitter\.degrees .* got nan"),
        (lambda: ops.ResizedCrop(area=(0.0, 1.0)), r"ResizedCrop\.area .* got \(0\.0, 1\.0\)"),
        (lambda: ops.ResizedCrop(area=(0.5, 1.1)), r"ResizedCrop\.area"),
        (lambda: ops.ResizedCrop(area=(1.0, 0.5)), r"ResizedCrop\.area .* smaller one first"),
        (lambda: ops.ResizedCrop(area=0.5), r"ResizedCrop\.area must be a tuple"),
        (lambda: ops.ResizedCrop(aspect=[0.5, 2.0]), r"ResizedCrop\.aspect must be a tuple"),
        (lambda: ops.RandomCrop(scale=0.9), r"RandomCrop\.scale .* of at least 1; got 0\.9"),
        (lambda: ops.CenterCrop(scale="1"), r"CenterCrop\.scale .* got '1'"),
        (lambda: ops.HorizontalFlip(p=1.5), r"HorizontalFlip\.p"),
        (lambda: ops.QuarterTurn(turns=0.5), r"QuarterTurn\.turns must be an int; got 0\.5"),
        (lambda: ops.ColorJitter(brightness=1.2), r"ColorJitter\.brightness"),
        (lambda: ops.ColorJitter(contrast=-0.1), r"ColorJitter\.contrast"),
        (lambda: ops.ColorJitter(saturation=float("inf")), r"ColorJitter\.saturation"),
        (lambda: ops.ColorJitter(hue=0.6), r"ColorJitter\.hue .* 0 to 0\.5"),
        (lambda: ops.ColorJitter(p=-1), r"ColorJitter\.p"),
        (lambda: ops.Grayscale(p=2), r"Grayscale\.p"),
        (lambda: ops.Gamma(gamma=(0.0, 1.0)), r"Gamma\.gamma"),
        (lambda: ops.GaussianBlur(sigma=(0.0, 1.0)), r"GaussianBlur\.sigma"),
        (lambda: ops.GaussianBlur(kernel=1.1), r"GaussianBlur\.kernel"),
        (lambda: ops.Solarize(threshold=256), r"Solarize\.threshold"),
        (lambda: ops.Solarize(threshold=127.5), r"Solarize\.threshold must be an int"),
        (lambda: ops.TemporalMix(alpha=1.5), r"TemporalMix\.alpha"),
        (lambda: ops.ViewAugmentation(()), "exactly one of .* got nothing"),
        (
            lambda: ops.ViewAugmentation((ops.HorizontalFlip(), ops.CenterCrop())),
            "got HorizontalFlip, CenterCrop",
        ),
        (lambda: ops.ViewAugmentation((ops.CenterCrop(), ops.RandomCrop())), "exactly one of"),
        (
            lambda: ops.ViewAugmentation((ops.RotationJitter(), ops.RotationJitter(), ops.CenterCrop())),
            "at most one RotationJitter; got several",
        ),
    ],
)
def test_a_declaration_out_of_range_is_refused(make, said):
    with pytest.raises(ContractError, match=said):
        make()


def test_defaults_and_limits_are_valid():
    for kind in ops.Op.__args__:
        assert kind() == kind()
    ops.ColorJitter(brightness=1, contrast=1, saturation=1, hue=0.5, p=1)
    ops.ResizedCrop(area=(1, 1), aspect=(1, 1))
    ops.GaussianBlur(sigma=(0.001, 50), kernel=1)
