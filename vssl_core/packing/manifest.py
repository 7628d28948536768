"""What stands beside packed videos: which video each file is, where it is from, and how it was made.

FOLDER/pack.json      the whole copy: written last, so that a copy without it is not finished
FOLDER/journal.jsonl  a line for every video that is done, while it is not finished
FOLDER/videos/ab/…    the files, named by a hash of their id
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from vssl_core.errors import DatasetError
from vssl_core.files import read_json, write_json
from vssl_core.types import Split

__all__ = ["JOURNAL", "MANIFEST", "MANIFEST_SCHEMA", "Manifest", "PackedVideo", "is_packed", "read_manifest"]

MANIFEST, JOURNAL = "pack.json", "journal.jsonl"
MANIFEST_SCHEMA = 1


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class PackedSource(_Strict):
    """The file that a packed one was made from, as it was then."""

    path: str
    size: int
    mtime_ns: int
    sha256: str
    span_seconds: tuple[float, float] | None = None


class PackedVideo(_Strict):
    """One packed file.

    Args:
        video_id: As in the source.
        file: Below the folder, with forward slashes.
        frames: As many as the source's.
        size: Bytes.
        sha256: Of the file.
        psnr_db: Of sampled frames against the source's, resized alike; None where they are equal.
        source: Where it is from.
    """

    video_id: str
    file: str = Field(pattern=r"^videos/[0-9a-f]{2}/[0-9a-f]{24}\.(mp4|mov)$")
    frames: int
    size: int
    sha256: str
    psnr_db: float | None
    source: PackedSource


class PackedRecord(_Strict):
    """A video of a part, as the source's index has it."""

    video_id: str
    label: int | None
    group: str | None


class Manifest(_Strict):
    """The whole copy.

    Args:
        dataset: Name, origin, distribution, digest and options of the dataset that was packed.
        settings: `PackSettings`, as values.
        decoder: What decoded the sources, and how frames became RGB.
        encoder: What encoded.
        parts: Part → its videos in canonical order, those that were left out included.
        videos: What is here.
        unreadable: Id → why it was left out.
        missing: Part → ids that the source lacked already.
    """

    manifest_schema: int = MANIFEST_SCHEMA
    vssl: str
    dataset: Mapping[str, Any]
    settings: Mapping[str, Any]
    decoder: Mapping[str, Any]
    encoder: Mapping[str, Any]
    classes: Sequence[str]
    mirrored: Mapping[str, str] = {}
    parts: Mapping[Split, Sequence[PackedRecord]]
    videos: Sequence[PackedVideo]
    unreadable: Mapping[str, str] = {}
    missing: Mapping[Split, Sequence[str]] = {}

    @model_validator(mode="after")
    def _says_what_it_is(self) -> Manifest:
        for place, name in ((self.dataset, "name"), (self.encoder, "codec")):
            if not isinstance(place.get(name), str):
                raise ValueError(f"expected a text as {name!r}, got {place.get(name)!r}")
        if not isinstance(self.dataset.get("options"), Mapping):
            raise ValueError(f"expected 'options' of the dataset, got {self.dataset.get('options')!r}")
        return self

    def write(self, folder: Path) -> None:
        """Whole or not at all."""
        document = self.model_dump(mode="json")
        write_json(folder / MANIFEST, {"schema": document.pop("manifest_schema"), **document})


def is_packed(folder: Path) -> bool:
    """Whether this folder is a packed copy, finished or not."""
    return any((folder / name).is_file() for name in (MANIFEST, JOURNAL))


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a finished copy.

    Raises:
        DatasetError: The folder is none, is not finished, or its manifest is malformed.
        SchemaError: A newer vssl wrote it.
    """
    path = folder / MANIFEST
    if not path.is_file():
        if (folder / JOURNAL).is_file():
            raise DatasetError(
                f"the packed copy in {str(folder)!r} is not finished; run the same `vssl data pack` again, "
                "it goes on where it was."
            )
        raise DatasetError(f"expected a packed copy in {str(folder)!r}; there is no {MANIFEST} in it.")
    document = dict(read_json(path, schema=MANIFEST_SCHEMA))
    try:
        return Manifest(manifest_schema=document.pop("schema"), **document)
    except (ValidationError, TypeError) as error:
        raise DatasetError(
            f"{str(path)!r} is not as `vssl data pack` writes it ({error}); pack the dataset again."
        ) from error


def read_journal(path: Path) -> Iterator[dict[str, Any]]:
    """Its whole lines; a last one that a kill cut short is none."""
    if not path.is_file():
        return
    with path.open("rb") as lines:
        for line in lines:
            try:
                value = json.loads(line)
            except ValueError:
                continue
            if isinstance(value, dict):
                yield value
