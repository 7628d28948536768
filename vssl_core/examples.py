"""Notes of an evaluation on its target: names of classes and videos, and examples with pictures.

Read by the report; needs neither torch nor any plugin. `store` writes the names, `showcase` the examples.
"""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from vssl_core.errors import SchemaError
from vssl_core.files import read_json, write_json
from vssl_core.rows import ROW_SCHEMA

__all__ = [
    "EXAMPLES_SCHEMA",
    "Examples",
    "NamedVideo",
    "Query",
    "ScoredVideo",
    "TargetNames",
    "read_examples",
    "read_names",
    "write_examples",
]

EXAMPLES_SCHEMA = 1


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ScoredVideo(BaseModel):
    """A scored test video; no label where the target does not have the video."""

    model_config = ConfigDict(frozen=True)

    video_id: str
    label: int | None


class TargetNames(BaseModel):
    """`target.json`, as far as the report needs it: classes, and the scored videos in the arrays' order."""

    model_config = ConfigDict(frozen=True)

    classes: tuple[str, ...]
    videos: tuple[ScoredVideo, ...]


class NamedVideo(_Part):
    """A video and its class."""

    video_id: str
    label: int


class Query(NamedVideo):
    """A test video with the training videos nearest to it, the nearest first."""

    neighbours: tuple[NamedVideo, ...]


class Examples(_Part):
    """`examples.json`.

    Args:
        queries: Drawn test videos with their nearest training videos.
        hardest: Ids of the test videos whose own class scored lowest, the worst first.
        pictures: Video id → JPEG, relative to the evaluation's folder.
        unreadable: Video id → why there is no picture.
    """

    schema_: int = Field(EXAMPLES_SCHEMA, alias="schema")
    queries: tuple[Query, ...] = ()
    hardest: tuple[str, ...] = ()
    pictures: dict[str, str] = {}
    unreadable: dict[str, str] = {}


AnyNote = TypeVar("AnyNote", TargetNames, Examples)


def write_examples(folder: Path, examples: Examples) -> None:
    """Write an evaluation's `examples.json`. Raises StoreError."""
    write_json(folder / "examples.json", examples.model_dump(mode="json", by_alias=True))


def read_names(folder: Path) -> TargetNames | None:
    """An evaluation's `target.json`; None where there is none. Raises StoreError."""
    return _read(TargetNames, folder / "target.json", schema=ROW_SCHEMA)


def read_examples(folder: Path) -> Examples | None:
    """An evaluation's `examples.json`; None where there is none. Raises StoreError."""
    return _read(Examples, folder / "examples.json", schema=EXAMPLES_SCHEMA)


def _read(model: type[AnyNote], path: Path, *, schema: int) -> AnyNote | None:
    if not path.exists():
        return None
    try:
        return model.model_validate(read_json(path, schema=schema))
    except ValidationError as error:
        fields = ", ".join(sorted({".".join(map(str, item["loc"])) or "fields" for item in error.errors()}))
        raise SchemaError(f"{str(path)!r} is not what this version writes ({fields}).") from error
