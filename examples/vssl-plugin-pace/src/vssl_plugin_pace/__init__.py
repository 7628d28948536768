"""Pace prediction for vssl: `vssl bench --task pace`."""

from __future__ import annotations

from vssl_plugin_pace.sampling import PacedClips
from vssl_plugin_pace.task import Pace, PaceOptions

__all__ = ["Pace", "PaceOptions", "PacedClips"]
