"""The four noises against their formulas: mean, spread and extremes at known grey levels, and their seeds."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from scipy.stats import norm, poisson

from vssl_core import CorruptionSource, generator
from vssl_plugins.corruptions.noise import Gaussian, Impulse, Noise, NoiseOptions, Shot, Speckle

NOISES = [Gaussian, Shot, Impulse, Speckle]
PUBLISHED = {  # Hendrycks' robustness repository; ActionRecognitionRobustnessEval
    "gaussian": ([0.08, 0.12, 0.18, 0.26, 0.38], [0.08, 0.12, 0.18, 0.26, 0.38]),
    "shot": ([60, 25, 12, 5, 3], [250, 100, 50, 30, 15]),
    "impulse": ([0.03, 0.06, 0.09, 0.17, 0.27], [0.03, 0.06, 0.09, 0.17, 0.27]),
    "speckle": ([0.15, 0.20, 0.35, 0.45, 0.60], [0.15, 0.20, 0.25, 0.30, 0.35]),
}
CONDITIONS = [(name, severity) for name in ("video", "imagenet_c") for severity in (1, 2, 3, 4, 5)]


def worse(
    cls: type[Noise], grey: int, severity: int, *, constants: str = "video", seed: int = 0, size: int = 200
) -> np.ndarray:
    """Two frames of one grey level, made worse, as floats in [0, 1]."""
    frames_NHWC = np.full((2, size, size, 3), grey, np.uint8)
    source = CorruptionSource(
        2,
        25.0,
        lambda numbers: frames_NHWC[numbers],
        lambda *key: generator(cls.__name__, seed, *map(int, key)),
    )
    noise = cls(NoiseOptions(constants=constants))
    return noise.pixels(np.arange(2), source, severity) / 255.0


def rounded(values: np.ndarray) -> np.ndarray:
    return np.rint(255 * np.clip(values, 0, 1)) / 255


@pytest.mark.parametrize(("constants", "severity"), CONDITIONS)
def test_the_constants_are_the_published_ones(constants: str, severity: int) -> None:
    for cls in NOISES:
        imagenet_c, video = PUBLISHED[cls.__name__.lower()]
        expected = (imagenet_c if constants == "imagenet_c" else video)[severity - 1]
        assert cls.levels_of[constants][severity - 1] == expected


@pytest.mark.parametrize(("constants", "severity"), CONDITIONS)
@pytest.mark.parametrize("grey", [64, 128, 230])
def test_gaussian_and_speckle_have_the_moments_of_a_clipped_normal(
    grey: int, constants: str, severity: int
) -> None:
    for cls, factor in ((Gaussian, 1.0), (Speckle, grey / 255)):
        sigma = factor * PUBLISHED[cls.__name__.lower()][constants == "video"][severity - 1]
        points = norm.ppf((np.arange(200_000) + 0.5) / 200_000, loc=grey / 255, scale=sigma)
        expected, found = rounded(points), worse(cls, grey, severity, constants=constants)
        assert found.mean() == pytest.approx(expected.mean(), abs=0.003)
        assert found.std() == pytest.approx(expected.std(), rel=0.01)


@pytest.mark.parametrize(("constants", "severity"), CONDITIONS)
@pytest.mark.parametrize("grey", [20, 128, 230])
def test_shot_has_the_distribution_of_counted_photons(grey: int, constants: str, severity: int) -> None:
    c = PUBLISHED["shot"][constants == "video"][severity - 1]
    counts = np.arange(1000)
    share = poisson.pmf(counts, grey / 255 * c)
    levels = rounded(counts / c)
    mean = (share * levels).sum()
    found = worse(Shot, grey, severity, constants=constants)
    assert found.mean() == pytest.approx(mean, abs=0.003)
    assert found.var() == pytest.approx((share * (levels - mean) ** 2).sum(), rel=0.02)
    assert set(np.unique(found)) <= set(levels)


@pytest.mark.parametrize("severity", [1, 2, 3, 4, 5])
def test_impulse_sets_half_of_its_share_to_black_and_half_to_white_by_channel_value(severity: int) -> None:
    share = PUBLISHED["impulse"][1][severity - 1]
    found = worse(Impulse, 100, severity)
    assert set(np.unique(found)) == {0.0, 100 / 255, 1.0}
    for extreme in (0.0, 1.0):
        assert (found == extreme).mean() == pytest.approx(share / 2, rel=0.05)
    hit = found != 100 / 255  # channels are hit apart: all three together as seldom as chance has it
    assert hit.all(axis=-1).mean() == pytest.approx(share**3, abs=0.002)


def test_frames_and_seeds_have_noise_of_their_own() -> None:
    for cls in NOISES:
        first, second = worse(cls, 128, 1)
        assert np.corrcoef(first.ravel(), second.ravel())[0, 1] == pytest.approx(0, abs=0.02)
        np.testing.assert_array_equal(worse(cls, 128, 1), worse(cls, 128, 1))
        assert not np.array_equal(worse(cls, 128, 1), worse(cls, 128, 1, seed=1))


def test_the_same_noise_with_other_constants() -> None:
    shot = Shot(NoiseOptions()).with_constants("imagenet_c")
    assert isinstance(shot, Shot)
    assert shot.options.constants == "imagenet_c"


FROZEN = {
    "Gaussian": "d2364aa6fa53",
    "Shot": "f02a3471314e",
    "Impulse": "687e7971724a",
    "Speckle": "3e769a738bdf",
}


@pytest.mark.parametrize("cls", NOISES, ids=lambda cls: cls.__name__)
def test_two_machines_make_the_same_noise(cls: type[Noise]) -> None:
    """Digests that were written down once; a change of NumPy's streams or of the formulas shows here."""
    ramp_HWC = np.add.outer(np.arange(40), np.arange(60))[:, :, None] + np.array([0, 50, 100])
    frames_NHWC = np.stack([ramp_HWC, ramp_HWC[::-1]]).astype(np.uint8)
    source = CorruptionSource(
        2, 25.0, lambda numbers: frames_NHWC[numbers], lambda *key: generator("frozen", *map(int, key))
    )
    found = b"".join(
        cls(NoiseOptions()).pixels(np.arange(2), source, severity).tobytes() for severity in (1, 3, 5)
    )
    assert hashlib.sha256(found).hexdigest()[:12] == FROZEN[cls.__name__]
