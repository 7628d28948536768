"""Augmentation: declared as data (`ops`), drawn per sample, applied alike on a CPU and on a GPU."""

from vssl_core.augmentation.batched import apply_pixels_batched, normalize
from vssl_core.augmentation.draw import draw_view
from vssl_core.augmentation.drawn import DrawnView
from vssl_core.augmentation.geometry import apply_geometry
from vssl_core.augmentation.ops import (
    Augmentation,
    CenterCrop,
    ColorJitter,
    Crop,
    Gamma,
    GaussianBlur,
    Grayscale,
    HorizontalFlip,
    Op,
    QuarterTurn,
    RandomCrop,
    ResizedCrop,
    RotationJitter,
    Solarize,
    TemporalMix,
    ViewAugmentation,
)
from vssl_core.augmentation.pixels import apply_pixels

__all__ = [
    "Augmentation",
    "CenterCrop",
    "ColorJitter",
    "Crop",
    "DrawnView",
    "Gamma",
    "GaussianBlur",
    "Grayscale",
    "HorizontalFlip",
    "Op",
    "QuarterTurn",
    "RandomCrop",
    "ResizedCrop",
    "RotationJitter",
    "Solarize",
    "TemporalMix",
    "ViewAugmentation",
    "apply_geometry",
    "apply_pixels",
    "apply_pixels_batched",
    "draw_view",
    "normalize",
]
