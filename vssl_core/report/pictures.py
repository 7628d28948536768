"""Pictures of the page: each once, however often it is shown, and no more than fit the bound."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

__all__ = ["MAX_BYTES", "Picture", "Pictures"]

MAX_BYTES = 12 * 2**20
"""Of all pictures of a page together, as they stand in it."""

_MAX_FILE = 4 * 2**20  # a file beyond it is no picture of ours
_QUALITY = 80


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture of the page: `id` for `<use>`, its size in pixels and its data URI."""

    id: str
    width: int
    height: int
    uri: str


class Pictures:
    """Collects pictures as JPEG; the same file twice stands on the page once.

    Args:
        max_bytes: Bound of all of them together; what comes beyond it is left out and counted.
    """

    def __init__(self, *, max_bytes: int = MAX_BYTES) -> None:
        self._max_bytes = max_bytes
        self._kept: dict[str, Picture] = {}
        self._left_out: set[str] = set()
        self.bytes = 0

    @property
    def all(self) -> tuple[Picture, ...]:
        """In the order in which they came."""
        return tuple(self._kept.values())

    @property
    def left_out(self) -> int:
        """Pictures for which there was no room."""
        return len(self._left_out)

    def add(self, path: Path, *, within: Path) -> Picture | None:
        """The picture of a file below `within`; None where there is no such picture, or no room for it."""
        try:
            if not path.resolve().is_relative_to(within.resolve()) or path.stat().st_size > _MAX_FILE:
                return None
            content = path.read_bytes()
        except OSError:
            return None
        digest = hashlib.sha256(content).hexdigest()[:16]
        if digest not in self._kept and digest not in self._left_out:
            self._take(digest, content)
        return self._kept.get(digest)

    def _take(self, digest: str, content: bytes) -> None:
        pixels = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR) if content else None
        if pixels is None:
            return
        if not content.startswith(b"\xff\xd8"):  # strips of views are stored without loss
            content = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])[1].tobytes()
        uri = f"data:image/jpeg;base64,{base64.b64encode(content).decode()}"
        if self.bytes + len(uri) > self._max_bytes:
            self._left_out.add(digest)
            return
        self.bytes += len(uri)
        height, width = pixels.shape[:2]
        self._kept[digest] = Picture(f"picture-{len(self._kept)}", width, height, uri)
