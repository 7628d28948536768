"""Options as a cell keeps them: JSON that is the same in every process and gives equal options back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel
from pydantic_core import PydanticSerializationError

from vssl_core.errors import OptionError
from vssl_core.options import Options, build_options

__all__ = ["options_document", "refuse_lossy"]


def options_document(options: Options) -> dict[str, Any]:
    """Options as JSON has them, the same in every process."""
    document: dict[str, Any] = _ordered(options, options.model_dump(mode="json", round_trip=True))
    return document


def _ordered(value: Any, dumped: Any) -> Any:
    """What was dumped of a value, with the members of sets in an order that no process changes."""
    if isinstance(value, BaseModel) and isinstance(dumped, dict):
        return {name: _ordered(getattr(value, name, None), inner) for name, inner in dumped.items()}
    if isinstance(value, Mapping) and isinstance(dumped, dict) and len(value) == len(dumped):
        pairs = zip(dumped.items(), value.values(), strict=True)
        return {key: _ordered(inner, entry) for (key, entry), inner in pairs}
    if not isinstance(value, list | tuple | set | frozenset) or not isinstance(dumped, list):
        return dumped
    if len(value) != len(dumped):
        return dumped
    items = [_ordered(inner, entry) for inner, entry in zip(value, dumped, strict=True)]
    if isinstance(value, set | frozenset):
        return sorted(items, key=lambda item: json.dumps(item, sort_keys=True))
    return items


def refuse_lossy(options: Options, *, owner: str) -> None:
    """Refuse options that JSON does not give back, before a cell is run with others than were given.

    Raises:
        OptionError: Names the option.
    """
    why = "cannot be kept: as JSON it does not come back as it was given"
    way = "Use numbers, texts, lists, sets or models of them, without `exclude`, and not a secret."
    try:
        again = build_options(type(options), options_document(options), owner=owner)
    except PydanticSerializationError as error:
        raise OptionError(f"{owner}: an option cannot be kept as JSON ({error}). {way}") from error
    except OptionError as error:
        raise OptionError(f"an option of {owner} {why} ({error}) {way}") from error
    for name in type(options).model_fields:
        if getattr(again, name) != getattr(options, name):
            given, back = getattr(options, name), getattr(again, name)
            raise OptionError(f"{owner}.{name} {why}: got {given!r}, read back {back!r}. {way}")
