"""Augmentation: declared as data (`ops`), drawn per sample, applied alike on a CPU and on a GPU."""

from vssl_core.augmentation.batched import apply_pixels_batched, normalize
from vssl_core.augmentation.draw import draw_view
from vssl_core.augmentation.drawn import DrawnView
from vssl_core.augmentation.geometry import apply_geometry
from vssl_core.augmentation.pixels import apply_pixels

__all__ = [
    "DrawnView",
    "apply_geometry",
    "apply_pixels",
    "apply_pixels_batched",
    "draw_view",
    "normalize",
]
