"""Groups by a pattern in the id, for datasets whose sources are known from their names alone."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator

from vssl_core.errors import DatasetError

__all__ = ["GroupPattern", "group_of"]


def _compiles(pattern: str | None) -> str | None:
    try:
        re.compile(pattern or "")
    except re.error as error:
        raise ValueError(f"not a regular expression: {error}") from error
    return pattern


GroupPattern = Annotated[str | None, AfterValidator(_compiles)]
"""A regular expression, or None where every video is a source of its own."""


def group_of(video_id: str, pattern: str | None) -> str | None:
    """What the pattern finds in the id: its first group, if it has one.

    Raises:
        DatasetError: It finds nothing.
    """
    if pattern is None:
        return None
    match = re.search(pattern, video_id)
    if match is None or not (name := match[1] if match.re.groups else match[0]):
        raise DatasetError(
            f"group_pattern {pattern!r} must match every video; it does not match {video_id!r}."
        )
    return name
