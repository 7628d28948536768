"""A failure that may pass is tried once more before it is believed, and told from damage.

FFmpeg says "Input/output error" and "Cannot allocate memory" also of damaged files, and of a sound one where
the disk or the memory fails for a moment. In between the system itself is asked for both.
"""

from __future__ import annotations

import mmap
from collections.abc import Callable
from typing import TypeVar

from vssl_core.errors import VideoError
from vssl_core.video.source import unreadable

__all__ = ["with_second_try"]

_READ_BYTES = 1 << 20
_ROOM_BYTES = 1 << 30  # more than FFmpeg takes for a video of usual size

_Found = TypeVar("_Found")


def with_second_try(path: str, look: Callable[[], _Found]) -> _Found:
    """What `look` finds in the file, the second time where the first one failed for a reason that may pass.

    Raises:
        VideoError: It fails for good; `passing` where the system refuses to read the file or to give memory,
            and not where it gives both and FFmpeg fails again.
    """
    try:
        return look()
    except VideoError as error:
        if not error.passing:
            raise
    _ask_the_system(path)
    try:
        return look()
    except VideoError as error:
        if not error.passing:
            raise
        reason = f"{error.reason}, again, though all of it can be read and there is memory: it is damaged"
        raise VideoError(path, reason) from error


def _ask_the_system(path: str) -> None:
    try:
        with open(path, "rb", buffering=0) as file:  # noqa: PTH123
            while file.read(_READ_BYTES):
                pass
    except OSError as error:
        raise unreadable(path, error) from error
    try:
        mmap.mmap(-1, _ROOM_BYTES).close()
    except OSError as error:
        raise VideoError(path, "reading it takes more memory than there is", passing=True) from error
