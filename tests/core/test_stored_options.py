"""Options come back from a cell as they were given, or are refused by name before it is planned."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Annotated, Any

import pytest
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, computed_field

from vssl_core.errors import OptionError
from vssl_core.options import Options, build_options, describe_options
from vssl_core.stored_options import options_document, refuse_lossy

WORDS = ["alpha", "beta", "gamma", "delta", "epsilon", "zeta"]


class Inner(BaseModel):
    names: frozenset[str] = frozenset()


class Kept(Options):
    words: frozenset[str] = frozenset(WORDS)
    inner: Inner = Inner()
    by_name: dict[str, frozenset[str]] = {}  # noqa: RUF012
    sets: frozenset[frozenset[str]] = frozenset()
    place: Path = Path("here")
    size: int = Field(3, alias="width")

    @computed_field
    def double(self) -> int:
        return 2 * self.size


class Doubled(Options):
    k: Annotated[int, AfterValidator(lambda value: 2 * value)] = 0


class Hidden(Options):
    k: int = Field(3, exclude=True)


class Secret(Options):
    k: SecretStr = SecretStr("")


class Odd(Options):
    model_config = ConfigDict(arbitrary_types_allowed=True)
    k: Any = None


def test_what_is_kept_comes_back() -> None:
    given = {"words": ["b", "a"], "inner": {"names": ["d", "c"]}, "by_name": {"x": ["f", "e"]}, "size": 5}
    options = build_options(Kept, {**given, "sets": [["b", "a"], ["c"]], "place": "there"}, owner="task")
    refuse_lossy(options, owner="task")
    document = options_document(options)
    assert document == {
        "words": ["a", "b"],
        "inner": {"names": ["c", "d"]},
        "by_name": {"x": ["e", "f"]},
        "sets": [["a", "b"], ["c"]],
        "place": "there",
        "size": 5,
    }
    assert build_options(Kept, document, owner="task") == options


def test_an_alias_is_taken_and_the_name_is_shown() -> None:
    assert build_options(Kept, {"width": 7}, owner="task").size == 7
    assert [row.name for row in describe_options(Kept)] == list(Kept.model_fields)


@pytest.mark.parametrize("seed", ["1", "2", "3"])
def test_sets_have_one_order_in_every_process(seed: str) -> None:
    code = (
        "from vssl_core.options import Options\n"
        "from vssl_core.stored_options import options_document\n"
        f"class Kept(Options):\n    words: frozenset[str] = frozenset({WORDS})\n"
        "print(options_document(Kept())['words'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env={"PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == str(sorted(WORDS))


@pytest.mark.parametrize(
    ("cls", "value", "match"),
    [
        (Hidden, 7, r"task\.k cannot be kept.*got 7, read back 3"),
        (Doubled, 1, r"task\.k cannot be kept.*got 2, read back 4"),
        (Secret, "abc", r"task\.k cannot be kept"),
        (Odd, object(), "an option cannot be kept as JSON"),
    ],
)
def test_what_json_does_not_give_back_is_refused(cls: type[Options], value: Any, match: str) -> None:
    with pytest.raises(OptionError, match=match):
        refuse_lossy(build_options(cls, {"k": value}, owner="task"), owner="task")


@pytest.mark.parametrize("cls", [Hidden, Doubled, Secret, Odd])
def test_their_defaults_do_no_harm(cls: type[Options]) -> None:
    refuse_lossy(build_options(cls, {}, owner="task"), owner="task")
