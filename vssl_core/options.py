"""Options of components: described and checked by pydantic, written as `-o task.num_clips=4`.

The words before the dot say whose option it is: `task`, `backbone`, `pretrain`, `target`, `executor`,
`eval/NAME` for one evaluator, `corruption/NAME` for one corruption, or `protocol`, whose fields may lie
deeper (`protocol.pretrain.budget`).
The value is read as JSON, otherwise it is text.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.json_schema import GenerateJsonSchema
from pydantic_core import ErrorDetails, to_json

from vssl_core.errors import OptionError, did_you_mean

__all__ = [
    "OPTION_OWNERS",
    "OptionRow",
    "Options",
    "build_options",
    "describe_options",
    "parse_options",
]

OPTION_OWNERS = ("task", "backbone", "pretrain", "target", "executor", "protocol")
"""Whose options `-o` sets, beside those that have a name of their own: `eval/NAME`, `corruption/NAME`."""
_NAMED = ("eval/", "corruption/")

_PYTHON_WORDS = {"None": "null", "True": "true", "False": "false"}


class Options(BaseModel):
    """Base of every component's options: frozen, unknown keys refused, default and text per field.

    Numbers are finite: options are stored as JSON, which has no word for infinity. `places` names those
    that say where something is and not what it is: tables leave them out. `contents` names those that may
    name a file or folder of which only the content counts: its digest stands in the key, its path does not. A
    text that names none stands there itself; where it must name one, a validator says so.

    Cells keep options as JSON, and the process that runs one builds them from there: each must come back
    as it was given. Sets are kept in order.
    """

    places: ClassVar[frozenset[str]] = frozenset()
    contents: ClassVar[frozenset[str]] = frozenset()

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        use_attribute_docstrings=True,
        allow_inf_nan=False,
        populate_by_name=True,  # an option with an alias is called by its own name here
    )


AnyOptions = TypeVar("AnyOptions", bound=Options)


@dataclass(frozen=True, slots=True)
class OptionRow:
    """One option as a person reads it: `type` in words with its range, `default` as JSON."""

    name: str
    type: str
    default: str
    description: str


# ------------------------------------------------------------------------------- from the command line


def parse_options(items: Iterable[str]) -> dict[str, dict[str, Any]]:
    """`task.num_clips=4` and the like → owner → option → value. Of two equal options the last holds.

    Args:
        items: What stood behind each `-o`.

    Raises:
        OptionError: Not of the form OWNER.OPTION=VALUE, or an owner that does not exist.
    """
    parsed: dict[str, dict[str, Any]] = {}
    for item in items:
        left, equals, text = item.partition("=")
        found = split_option(left)
        if not equals or found is None:
            raise OptionError(f"-o takes OWNER.OPTION=VALUE, for instance -o task.num_clips=4; got {item!r}.")
        owner, key = found
        _check_owner(owner, key)
        parsed.setdefault(owner, {})[key] = _value(text)
    return parsed


def split_option(word: str) -> tuple[str, str] | None:
    """`OWNER.OPTION` as its two halves; None where it has another form."""
    # What is named may be a file, so it may have dots of its own.
    owner, dot, key = word.rpartition(".") if "/" in word else word.partition(".")
    words = key.split(".") if owner == "protocol" else [key]
    return (owner, key) if dot and owner and all(part.isidentifier() for part in words) else None


def _check_owner(owner: str, key: str) -> None:
    if owner in OPTION_OWNERS or (owner.startswith(_NAMED) and owner not in _NAMED):
        return
    known = [*OPTION_OWNERS, *(f"{word}NAME" for word in _NAMED)]
    raise OptionError(
        f"-o {owner}.{key}: nothing called {owner!r} has options here.{did_you_mean(owner, known)}"
    )


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


# ---------------------------------------------------------------------------------- to a checked object


def build_options(
    cls: type[AnyOptions],
    values: Mapping[str, Any],
    *,
    owner: str,
    levels: Mapping[int, Mapping[str, Any]] | None = None,
) -> AnyOptions:
    """The options of one component, with every value checked.

    Args:
        cls: The component's `Options`.
        values: Option → value. `level`, where the component has levels, picks a complexity level:
            the overrides of that level, under whatever else is given here.
        owner: What the user writes before the dot: `task`, `eval/linear`.
        levels: The component's `levels`.

    Raises:
        OptionError: An unknown option, level or value; names the option as the user wrote it.
    """
    chosen = _with_level(cls, values, owner=owner, levels=levels or {})
    try:
        return cls.model_validate(chosen)
    except ValidationError as error:
        raise OptionError(_explain(cls, error, owner)) from error


def _with_level(
    cls: type[Options], values: Mapping[str, Any], *, owner: str, levels: Mapping[int, Mapping[str, Any]]
) -> dict[str, Any]:
    if "level" not in values or "level" in cls.model_fields:
        return dict(values)
    level, explicit = values["level"], {key: value for key, value in values.items() if key != "level"}
    if not levels:
        raise OptionError(f"{owner}.level: this {owner} has no complexity levels; leave the option out.")
    if isinstance(level, bool) or not isinstance(level, int) or level not in levels:
        known = ", ".join(str(known) for known in sorted(levels))
        raise OptionError(f"{owner}.level: expected one of {known}; got {level!r}.")
    return {**levels[level], **explicit}


def _explain(cls: type[Options], error: ValidationError, owner: str) -> str:
    """One sentence per option that is wrong, in the order in which pydantic found them."""
    schema = _schema(cls)
    sentences: dict[str, str] = {}
    for detail in error.errors(include_url=False):
        path = [str(part) for part in detail["loc"]]
        name = path[0] if path else ""
        sentences.setdefault(name, _sentence(cls, schema, detail, owner=owner, name=name))
    return " ".join(sentences.values())


def _sentence(
    cls: type[Options], schema: dict[str, Any], detail: ErrorDetails, *, owner: str, name: str
) -> str:
    message = detail["msg"].removeprefix("Value error, ").removeprefix("Assertion failed, ").rstrip(".")
    if not name:
        return f"{owner}: {message}."
    if name not in cls.model_fields:
        known = did_you_mean(name, cls.model_fields) or " It takes no options."
        return f"there is no option {owner}.{name}.{known}"
    got, nested = detail["input"], len(detail["loc"]) > 1
    if detail["type"] in ("value_error", "assertion_error"):
        return f"{owner}.{name}: {message}; got {got!r}."
    allowed = _allowed(schema.get("properties", {}).get(name, {}), schema)
    where = f" (at {'.'.join(str(part) for part in detail['loc'])}: {message})" if nested else ""
    return (
        f"{owner}.{name}: expected {allowed or message}; got {got!r}{where}.{_hint(got, detail, owner, name)}"
    )


def _hint(got: object, detail: ErrorDetails, owner: str, name: str) -> str:
    if isinstance(got, str) and got in _PYTHON_WORDS:
        return f" Values are JSON: write {_PYTHON_WORDS[got]}."
    if detail["type"] == "string_type" and not isinstance(got, dict | list):
        return f""" To give it as text write -o '{owner}.{name}="{json.dumps(got)}"'."""
    if isinstance(got, str) and detail["type"] in ("tuple_type", "list_type", "set_type", "frozen_set_type"):
        return f" Lists are JSON: write -o '{owner}.{name}=[{got}]'."
    return ""


# ------------------------------------------------------------------------------------ for people to read


def describe_options(cls: type[Options]) -> tuple[OptionRow, ...]:
    """Every option of a component, in the order in which its author wrote them."""
    schema = _schema(cls)
    return tuple(
        OptionRow(
            name=name,
            type=_allowed(schema["properties"][name], schema) or "any value",
            default="required"
            if field.is_required()
            else _default_text(field.get_default(call_default_factory=True)),
            description=" ".join((field.description or "").split()),
        )
        for name, field in cls.model_fields.items()
    )


def _default_text(default: object) -> str:
    return to_json(default, fallback=repr).decode()


class _LenientSchema(GenerateJsonSchema):
    """A field that JSON cannot describe gets an empty schema, so the others are still described."""

    ignored_warning_kinds = frozenset({"skipped-choice", "non-serializable-default"})  # type: ignore[assignment]

    def handle_invalid_for_json_schema(self, schema: Any, error_info: str) -> dict[str, Any]:
        del schema, error_info
        return {}


def _schema(cls: type[Options]) -> dict[str, Any]:
    return cls.model_json_schema(by_alias=False, schema_generator=_LenientSchema)


_PLAIN = {"boolean": "true or false", "string": "text", "null": "null", "object": "an object"}


def _allowed(field: Mapping[str, Any], schema: Mapping[str, Any]) -> str:
    """What a field takes, in words: `an integer from 2 to 4`, `one of 'a', 'b'`; empty when unknown."""
    if "$ref" in field:
        field = schema["$defs"][field["$ref"].rpartition("/")[2]]
    if "anyOf" in field:
        return " or ".join(filter(None, dict.fromkeys(_allowed(part, schema) for part in field["anyOf"])))
    if "enum" in field:
        return f"one of {', '.join(repr(choice) for choice in field['enum'])}"
    kind = field.get("type", "") if "const" not in field else repr(field["const"])
    if kind in ("integer", "number"):
        return ("an integer" if kind == "integer" else "a number") + _range(field)
    if kind == "array":
        return _allowed_list(field, schema)
    return _PLAIN.get(kind, kind) + (f" matching {field['pattern']!r}" if "pattern" in field else "")


def _range(field: Mapping[str, Any]) -> str:
    low, high = field.get("minimum"), field.get("maximum")
    if low is not None and high is not None:
        return f" from {low} to {high}"
    signs = (("minimum", ">="), ("exclusiveMinimum", ">"), ("maximum", "<="), ("exclusiveMaximum", "<"))
    parts = [f"{sign} {field[name]}" for name, sign in signs if name in field]
    return f" {' and '.join(parts)}" if parts else ""


def _allowed_list(field: Mapping[str, Any], schema: Mapping[str, Any]) -> str:
    if "prefixItems" in field:
        return f"a list [{', '.join(_allowed(item, schema) or 'any value' for item in field['prefixItems'])}]"
    items = _allowed(field.get("items", {}), schema)
    low, high = field.get("minItems"), field.get("maxItems")
    length = f" of {low if low == high else f'{low or 0} to {high}'} items" if high is not None else ""
    length = f" of at least {low} items" if low and high is None else length
    return f"a list{length}" + (f", each {items}" if items else "")
