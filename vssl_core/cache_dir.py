"""Where vssl keeps what can be made again: rendered videos and decoded frames."""

from __future__ import annotations

import os
from pathlib import Path

from vssl_core.errors import StoreError

__all__ = ["user_cache"]


def user_cache() -> Path:
    """`$VSSL_CACHE`, else `$XDG_CACHE_HOME/vssl`, else `~/.cache/vssl`; made on demand.

    Raises:
        StoreError: The folder cannot be made or written.
    """
    chosen = os.environ.get("VSSL_CACHE")
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    path = Path(chosen) if chosen else Path(base) / "vssl"
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(
            f"the cache folder {str(path)!r} cannot be made ({error.strerror or error}); "
            "set VSSL_CACHE to a folder that you can write."
        ) from error
    if not os.access(path, os.W_OK | os.X_OK):
        raise StoreError(
            f"the cache folder {str(path)!r} cannot be written; set VSSL_CACHE to one that you can write."
        )
    return path.absolute()
