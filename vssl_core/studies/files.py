"""Studies by name or by path: found, read, checked; a mistake is told by file and field."""

from __future__ import annotations

from pydantic import ValidationError

from vssl_core.documents import DocumentKind, explain_fields
from vssl_core.errors import UsageError
from vssl_core.studies.schema import STUDY_SCHEMA, Study

__all__ = ["included", "load_study", "study_names"]


_STUDY = DocumentKind(
    folder=("studies", "builtin"),
    packaged="study",
    file="study file",
    unknown="no study or file {name!r}.",
    fields="a study's fields",
    schema=STUDY_SCHEMA,
    error=UsageError,
)


def study_names() -> list[str]:
    """The studies that ship with vssl."""
    return _STUDY.names()


def load_study(name_or_file: str) -> Study:
    """Read a study.

    Raises:
        UnknownNameError: Neither a built-in study nor a file.
        UsageError: The document is not valid; the message names file and field.
    """
    document, where = _STUDY.load(name_or_file)
    try:
        return Study.model_validate(document)
    except ValidationError as error:
        known = ("extra_forbidden", "missing", "value_error")
        fields = explain_fields(Study, error, without_input=known)
        raise UsageError(f"{where} is not a valid study:\n{fields}") from error


def included(study: Study) -> list[Study]:
    """The studies that a study is made of: itself, or all that it includes.

    Raises:
        UsageError: An included study includes others in turn.
    """
    if not study.includes:
        return [study]
    parts = [load_study(name) for name in study.includes]
    for part in parts:
        if part.includes:
            raise UsageError(
                f"study {study.name!r} includes {part.name!r}, which includes others itself; "
                "name those instead."
            )
    return parts
