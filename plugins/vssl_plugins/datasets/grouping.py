"""Groups by a pattern in the id, for datasets whose sources are known from their names alone.

The clips of UCF101 say their source in their names, whatever dataset they are given as: clips of one source
are a few seconds of one film apart, so a split that parts them measures memory.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Annotated

from pydantic import AfterValidator

from vssl_core.errors import DatasetError
from vssl_core.types import Split, VideoRecord
from vssl_plugins.datasets.video_files import stem

__all__ = ["GroupPattern", "group_of", "refuse_parted_sources"]

_UCF101 = re.compile(r"v_([A-Za-z]+_g[0-9]{2})_c[0-9]{2}")


def _compiles(pattern: str | None) -> str | None:
    try:
        re.compile(pattern or "")
    except re.error as error:
        raise ValueError(f"not a regular expression: {error}") from error
    return pattern


GroupPattern = Annotated[str | None, AfterValidator(_compiles)]
"""A regular expression, or None where every video is a source of its own."""


def group_of(video_id: str, pattern: str | None) -> str | None:
    """What the pattern finds in the id: its first group, if it has one. Without one, the source it names.

    Raises:
        DatasetError: It finds nothing.
    """
    if pattern is None:
        return _source(video_id)
    match = re.search(pattern, video_id)
    if match is None or not (name := match[1] if match.re.groups else match[0]):
        raise DatasetError(
            f"group_pattern {pattern!r} must match every video; it does not match {video_id!r}."
        )
    return name


def _source(video_id: str) -> str | None:
    """`v_Archery_g01_c05` is of source `Archery_g01`; None for a name that tells none."""
    match = _UCF101.fullmatch(stem(video_id))
    return match[1] if match else None


def refuse_parted_sources(name: str, parts: Mapping[Split, Sequence[VideoRecord]]) -> None:
    """Raises DatasetError where clips of one source of UCF101 are in several parts."""
    first: dict[str, tuple[Split, VideoRecord]] = {}
    for split, records in parts.items():
        for record in records:
            source = _source(record.video_id)
            if source is None:
                continue
            part, other = first.setdefault(source.casefold(), (split, record))
            if part != split:
                raise DatasetError(
                    f"dataset {name!r}: {other.video_id!r} is in {part!r} and {record.video_id!r} in "
                    f"{split!r}, and both are cut from source {source!r} of UCF101. A split that parts the "
                    "clips of a source measures memory: take an official one (dataset ucf101), or keep each "
                    "gNN of a class on one side."
                )
