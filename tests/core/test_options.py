"""From `-o` to checked options, and what a wrong one is answered with."""

from __future__ import annotations

import json
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field, field_validator, model_validator

from vssl_core.errors import OptionError
from vssl_core.options import Options, build_options, describe_options, parse_options


class Head(BaseModel):
    width: int = 128


class Some(Options):
    num_clips: int = Field(3, ge=2, le=4)
    """Clips of a video that are put in
    order."""
    temperature: float = Field(0.1, gt=0)
    """Of the softmax."""
    head: Literal["mlp", "linear"] = "mlp"
    """What stands on the backbone."""
    flag: bool = False
    label: str = "x"
    speeds: tuple[int, ...] = (1, 2)
    area: tuple[float, float] = (0.3, 1.0)
    limit: int | None = None
    inner: Head = Head()
    odd: int = 1

    @field_validator("odd")
    @classmethod
    def _is_odd(cls, value: int) -> int:
        if value % 2 == 0:
            raise ValueError("must be odd")
        return value

    @model_validator(mode="after")
    def _fits(self) -> Some:
        if self.limit is not None and self.limit < self.num_clips:
            raise ValueError("limit must be at least num_clips")
        return self


def refused(values: dict[str, Any], owner: str = "task", **extra: Any) -> str:
    with pytest.raises(OptionError) as caught:
        build_options(Some, values, owner=owner, **extra)
    return str(caught.value)


# --------------------------------------------------------------------------------------------- parsing


@pytest.mark.parametrize(
    ("item", "owner", "key", "value"),
    [
        ("task.num_clips=4", "task", "num_clips", 4),
        ("task.head=mlp", "task", "head", "mlp"),
        ("target.root=/data/a=b", "target", "root", "/data/a=b"),
        ("backbone.speeds=[1,2]", "backbone", "speeds", [1, 2]),
        ('pretrain.label="4"', "pretrain", "label", "4"),
        ("executor.flag=true", "executor", "flag", True),
        ("executor.limit=null", "executor", "limit", None),
        ("task.label=", "task", "label", ""),
        ("task.label=01", "task", "label", "01"),
        ("eval/linear.epochs=3", "eval/linear", "epochs", 3),
        ("eval/./my.probe.py:Probe.epochs=3", "eval/./my.probe.py:Probe", "epochs", 3),
        ("eval/some-dist:probe.epochs=3", "eval/some-dist:probe", "epochs", 3),
        ("corruption/./my.fog.py:Fog.depth=2", "corruption/./my.fog.py:Fog", "depth", 2),
        ("protocol.pretrain.budget.amount=5", "protocol", "pretrain.budget.amount", 5),
    ],
)
def test_an_option_is_read(item: str, owner: str, key: str, value: object) -> None:
    assert parse_options([item]) == {owner: {key: value}}


@pytest.mark.parametrize(
    "item", ["", "task", "task.num_clips", "num_clips=4", "=4", ".a=4", "task.=4", "task.a b=4", "task.a.b=4"]
)
def test_what_is_no_option_is_refused_with_the_form(item: str) -> None:
    with pytest.raises(OptionError, match=r"OWNER\.OPTION=VALUE"):
        parse_options([item])


def test_an_unknown_owner_is_refused() -> None:
    with pytest.raises(OptionError, match="Did you mean 'task'"):
        parse_options(["tsk.num_clips=4"])
    with pytest.raises(OptionError, match="eval/NAME"):
        parse_options(["eval/.epochs=4"])
    with pytest.raises(OptionError, match="corruption/NAME"):
        parse_options(["corruption/.rate=4"])


def test_the_last_of_two_equal_options_holds() -> None:
    assert parse_options(["task.a=1", "task.b=2", "task.a=3"]) == {"task": {"a": 3, "b": 2}}


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@given(JSON_VALUES)
def test_every_json_value_survives_the_command_line(value: Any) -> None:
    assert parse_options([f"task.key={json.dumps(value)}"]) == {"task": {"key": value}}


# -------------------------------------------------------------------------------------------- checking


def test_good_values_are_taken_and_the_rest_is_default() -> None:
    options = build_options(Some, {"num_clips": 4, "speeds": [1, 2, 8]}, owner="task")
    assert (options.num_clips, options.speeds, options.head) == (4, (1, 2, 8), "mlp")
    assert type(options)(**json.loads(options.model_dump_json())) == options


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"num_clips": 9}, "task.num_clips: expected an integer from 2 to 4; got 9."),
        ({"num_clips": "four"}, "task.num_clips: expected an integer from 2 to 4; got 'four'."),
        ({"temperature": 0}, "task.temperature: expected a number > 0; got 0."),
        ({"head": "mpl"}, "task.head: expected one of 'mlp', 'linear'; got 'mpl'."),
        ({"flag": "maybe"}, "task.flag: expected true or false; got 'maybe'."),
        (
            {"limit": "None"},
            "task.limit: expected an integer or null; got 'None'. Values are JSON: write null.",
        ),
        ({"odd": 4}, "task.odd: must be odd; got 4."),
        ({"num_clips": 4, "limit": 3}, "task: limit must be at least num_clips."),
    ],
)
def test_a_wrong_value_is_named_with_what_is_allowed(values: dict[str, Any], message: str) -> None:
    assert refused(values) == message


def test_hints_for_text_and_lists() -> None:
    assert """write -o 'task.label="4"'.""" in refused({"label": 4})
    message = refused({"speeds": "1,2,8"})
    assert "expected a list, each an integer" in message
    assert "write -o 'task.speeds=[1,2,8]'" in message
    assert "expected a list [a number, a number]" in refused({"area": [1]})


def test_a_value_inside_another_is_located() -> None:
    assert "(at speeds.1: " in refused({"speeds": [1, "x"]})
    assert "(at inner.width: " in refused({"inner": {"width": "x"}})


def test_an_unknown_option_gets_a_suggestion_and_every_fault_is_told() -> None:
    message = refused({"num_clip": 4, "temperature": -1}, owner="eval/linear")
    assert "there is no option eval/linear.num_clip. Did you mean 'num_clips'?" in message
    assert "eval/linear.temperature: expected a number > 0; got -1." in message
    with pytest.raises(OptionError, match="It takes no options"):
        build_options(Options, {"a": 1}, owner="task")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "NaN", "Infinity"])
def test_numbers_are_finite(value: object) -> None:
    assert "task.temperature: expected a number > 0" in refused({"temperature": value})


# ---------------------------------------------------------------------------------------------- levels

LEVELS = {1: {"num_clips": 2}, 2: {"num_clips": 3, "temperature": 0.5}}


def test_a_level_sets_options_and_explicit_ones_win() -> None:
    built = build_options(Some, {"level": 2}, owner="task", levels=LEVELS)
    assert (built.num_clips, built.temperature) == (3, 0.5)
    built = build_options(Some, {"level": 2, "num_clips": 4}, owner="task", levels=LEVELS)
    assert (built.num_clips, built.temperature) == (4, 0.5)
    assert build_options(Some, {}, owner="task", levels=LEVELS) == Some()


def test_a_level_that_does_not_exist() -> None:
    assert refused({"level": 3}, levels=LEVELS) == "task.level: expected one of 1, 2; got 3."
    assert refused({"level": True}, levels=LEVELS) == "task.level: expected one of 1, 2; got True."
    assert "no complexity levels" in refused({"level": 1})


def test_an_option_that_is_called_level_is_an_option() -> None:
    class Own(Options):
        level: int = 0

    assert build_options(Own, {"level": 7}, owner="target").level == 7


# ----------------------------------------------------------------------------------------- description


def test_options_are_described_in_words() -> None:
    rows = {row.name: row for row in describe_options(Some)}
    assert list(rows) == list(Some.model_fields)
    assert rows["num_clips"].type == "an integer from 2 to 4"
    assert rows["num_clips"].default == "3"
    assert rows["num_clips"].description == "Clips of a video that are put in order."
    assert rows["head"].type == "one of 'mlp', 'linear'"
    assert rows["head"].default == '"mlp"'
    assert rows["limit"].type == "an integer or null"
    assert rows["speeds"].type == "a list, each an integer"
    assert rows["area"].type == "a list [a number, a number]"
    assert rows["inner"].type == "an object"


def test_a_field_that_json_cannot_describe_is_still_listed() -> None:
    class Odd(Options):
        call: Any = len
        ranged: list[int] = Field(default_factory=list, min_length=1, max_length=3)
        needed: int

    assert [(row.name, row.type, row.default) for row in describe_options(Odd)] == [
        ("call", "any value", '"<built-in function len>"'),
        ("ranged", "a list of 1 to 3 items, each an integer", "[]"),
        ("needed", "an integer", "required"),
    ]
