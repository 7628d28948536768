"""YAML documents that ship by name or lie in a file of the user's: found, read, and their mistakes told."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import BaseModel, ValidationError

from vssl_core.errors import UnknownNameError, VsslError, did_you_mean

__all__ = ["DocumentKind", "explain_fields"]


@dataclass(frozen=True, slots=True)
class DocumentKind:
    """One kind of document.

    Args:
        folder: Of those that ship, below the package.
        packaged: What one that ships is called.
        file: What a file of the user's is called.
        unknown: The message about a name that is nothing, `{name!r}` for the name.
        fields: What the document maps, in words.
        schema: The newest one that this version reads.
        error: Raised where the document cannot be read.
    """

    folder: tuple[str, ...]
    packaged: str
    file: str
    unknown: str
    fields: str
    schema: int
    error: type[VsslError]

    def names(self) -> list[str]:
        """Those that ship with vssl."""
        entries = resources.files("vssl_core").joinpath(*self.folder).iterdir()
        return sorted(entry.name.removesuffix(".yaml") for entry in entries if entry.name.endswith(".yaml"))

    def load(self, name_or_file: str) -> tuple[dict[str, Any], str]:
        """The document, and what messages call it.

        Raises:
            UnknownNameError: Neither the name of one that ships nor a file.
            VsslError: The kind's `error`: no readable file, no YAML, no mapping, or of a newer schema.
        """
        text, where = self._text(name_or_file)
        try:
            document = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise self.error(f"{where} is not valid YAML: {error}") from error
        if not isinstance(document, dict):
            raise self.error(f"{where} must be a mapping of {self.fields}; got {type(document).__name__}.")
        found = document.get("schema", self.schema)
        if not isinstance(found, int) or found > self.schema:
            raise self.error(f"{where} has schema {found!r}; this vssl understands up to {self.schema}.")
        return document, where

    def _text(self, name_or_file: str) -> tuple[str, str]:
        names = self.names()
        if name_or_file in names:
            entry = resources.files("vssl_core").joinpath(*self.folder, f"{name_or_file}.yaml")
            return entry.read_text(encoding="utf-8"), f"{self.packaged} {name_or_file!r}"
        path = Path(name_or_file)
        try:
            return path.read_text(encoding="utf-8"), f"{self.file} {name_or_file!r}"
        except (OSError, UnicodeDecodeError) as error:
            if path.exists():
                raise self.error(f"cannot read {self.file} {name_or_file!r}: {error}") from error
            message = self.unknown.format(name=name_or_file)
            raise UnknownNameError(f"{message}{did_you_mean(name_or_file, names)}") from error


def explain_fields(model: type[BaseModel], error: ValidationError, *, without_input: Collection[str]) -> str:
    """A line for every field that is wrong: where it stands, why, and what came.

    Args:
        model: Of the whole document.
        error: What pydantic found.
        without_input: Kinds of mistakes whose message says what came, or needs it not.
    """
    lines = []
    for item in error.errors(include_url=False):
        location = [str(part) for part in item["loc"]]
        message = item["msg"].removeprefix("Value error, ")
        if item["type"] == "extra_forbidden":
            message = f"no such field.{did_you_mean(location[-1], _fields(model, location[:-1]))}"
        got = "" if item["type"] in without_input else f" (got {item['input']!r})"
        lines.append(f"  {'.'.join(location) or 'document'}: {message}{got}")
    return "\n".join(dict.fromkeys(lines))


def _fields(model: Any, location: list[str]) -> list[str]:
    """Names of the fields at a place of the document."""
    for part in location:
        if isinstance(model, type) and issubclass(model, BaseModel):
            by_name = {f.alias or n: f.annotation for n, f in model.model_fields.items()}
            model = by_name.get(part)
        else:  # a mapping or a tuple: what it holds
            model = (get_args(model) or (None,))[-1 if not part.isdigit() else 0]
    if not (isinstance(model, type) and issubclass(model, BaseModel)):
        return []
    return [f.alias or n for n, f in model.model_fields.items()]
