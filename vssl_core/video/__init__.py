"""From video files to frames: exact, each decoded at most once, kept on disk where wanted."""

from vssl_core.video.cache import FrameCache
from vssl_core.video.loader import ordered_map
from vssl_core.video.reader import FrameReader

__all__ = ["FrameCache", "FrameReader", "ordered_map"]
