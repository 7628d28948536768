"""What is said to a text encoder about a class: words for the names of datasets, and sentences around them.

Datasets name their classes in several spellings, which encoders were never shown:

- `CamelCase` (UCF101): words, in small letters: `ApplyEyeMakeup` is "apply eye makeup".
- `under_scores` (HMDB51, shapes): spaces: `brush_hair` is "brush hair".
- `[brackets]` (Something-Something's templates): left out, the first letter small.
- Diving48's codes: spelt out: `Back 15som 05Twis FREE` is "back dive with one and a half somersaults and
  half a twist in free position".
- Kinetics and everything else: as they are.

A set of prompts is a dataset's rule and its templates. `ucf101` and `kinetics400` have the published
templates of CLIP (Radford and others, arXiv 2103.00020; the authors' list of prompts), 48 and 28 of them; the
others have one each, which are vssl's own.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Literal

from vssl_core.errors import OptionError, did_you_mean
from vssl_core.files import read_json

__all__ = ["PROMPT_SETS", "PromptSet", "SetName", "class_words", "make_prompts", "prompt_set"]

SetName = Literal[
    "plain", "ucf101", "hmdb51", "kinetics400", "ssv2", "diving48", "shapes_motion", "shapes_appearance"
]


def class_words(name: str) -> str:
    """A class name in words, by its spelling."""
    words = re.sub(r"\[([^\]]*)\]", r"\1", name)
    if "_" in words and " " not in words:
        words = words.replace("_", " ")
    if re.fullmatch(r"[A-Z][a-z]+(?:[A-Z][a-z]*)*", words):
        words = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", words).lower()
    return " ".join(words.split())


# --------------------------------------------------------------------------------------------- Diving48

_NUMBERS = {"0": "", "1": "one", "2": "two", "3": "three", "4": "four", "5": "five"}
_POSITIONS = {"FREE": "free", "PIKE": "pike", "TUCK": "tuck", "STR": "straight"}
_DIVE = re.compile(
    r"(?P<group>[A-Z][a-z]+) (?P<turns>Dive|\d{1,2}som) (?P<twists>\d{1,2}Twis|NoTwis) (?P<position>[A-Z]+)"
)


def _dive_words(name: str) -> str:
    """Take-off, somersaults, twists and position of a code of Diving48's vocabulary, spelt out."""
    found = _DIVE.fullmatch(name)
    if found is None:
        return class_words(name)
    parts = [
        _turns(found["turns"].removesuffix("som"), "somersault") if found["turns"] != "Dive" else "",
        _turns(found["twists"].removesuffix("Twis"), "twist") if found["twists"] != "NoTwis" else "",
    ]
    turns = " and ".join(filter(None, parts))
    position = _POSITIONS.get(found["position"], found["position"].lower())
    return f"{found['group'].lower()} dive{f' with {turns}' if turns else ''} in {position} position"


def _turns(digits: str, noun: str) -> str:
    """`15` is one and a half, `05` a half, `2` two."""
    whole, half = (digits[:-1], True) if len(digits) > 1 and digits.endswith("5") else (digits, False)
    number = _NUMBERS.get(whole, whole)
    if not number:
        return f"half a {noun}"
    return f"{number}{' and a half' if half else ''} {noun}{'' if (whole, half) == ('1', False) else 's'}"


# ----------------------------------------------------------------------------------------------- shapes

_SHAPES = {
    "circle_clockwise": "a shape circling clockwise",
    "circle_counterclockwise": "a shape circling counterclockwise",
    "grow": "a shape that grows",
    "shrink": "a shape that shrinks",
    "slide_down": "a shape sliding down",
    "slide_left": "a shape sliding to the left",
    "slide_right": "a shape sliding to the right",
    "slide_up": "a shape sliding up",
    "checks": "checked",
    "halves": "two-coloured",
    "plain": "plain",
    "stripes": "striped",
}


def _shape_words(name: str) -> str:
    """A movement in words; `OUTLINE_TEXTURE` as "a striped disc"."""
    if name in _SHAPES:
        return _SHAPES[name]
    outline, mark, texture = name.partition("_")
    return f"a {_SHAPES[texture]} {outline}" if mark and texture in _SHAPES else class_words(name)


# ------------------------------------------------------------------------------------------------- sets


@dataclass(frozen=True, slots=True)
class PromptSet:
    """A dataset's way to say its classes.

    Args:
        templates: Sentences with `{}` for the words of a class.
        words: Class name → words.
    """

    templates: tuple[str, ...]
    words: Callable[[str], str] = class_words


def _lowered(name: str) -> str:
    words = class_words(name)
    return words[:1].lower() + words[1:]


_MEDIA = ("photo", "video", "example", "demonstration")
_VERBS = ("", "using ", "doing ", "during ", "performing ", "practicing ")
_CLIP_UCF101 = tuple(
    f"a {medium} of {article} person {verb}{{}}."
    for verb, article, medium in product(_VERBS, ("a", "the"), _MEDIA)
)
_CLIP_KINETICS = tuple(
    f"a {medium} of {who}{{}}."
    for medium, who in product(_MEDIA, ("", *(f"a person {verb}" for verb in _VERBS)))
)

PROMPT_SETS: Mapping[str, PromptSet] = {
    "plain": PromptSet(("a video of {}.",)),
    "ucf101": PromptSet(_CLIP_UCF101),
    "hmdb51": PromptSet(("a video of a person doing the action {}.",)),
    "kinetics400": PromptSet(_CLIP_KINETICS),
    "ssv2": PromptSet(("a video of a person {}.",), _lowered),
    "diving48": PromptSet(("a video of a {}.",), _dive_words),
    "shapes_motion": PromptSet(("a video of {}.",), _shape_words),
    "shapes_appearance": PromptSet(("a video of {}.",), _shape_words),
}


def prompt_set(wanted: str, dataset: str) -> str:
    """The set of this name; for `auto` the dataset's own, `plain` where it has none."""
    if wanted != "auto":
        return wanted
    return dataset if dataset in PROMPT_SETS else "plain"


def make_prompts(
    classes: Sequence[str], *, name: str, templates: Sequence[str] = (), names_file: str = ""
) -> list[list[str]]:
    """The sentences of every class: one for each template.

    Args:
        classes: Class names by label.
        name: Of the set of prompts.
        templates: Instead of those of the set.
        names_file: JSON file, class name → words, for the classes that it names.

    Raises:
        OptionError: The file is no such table, or names a class that there is not.
    """
    chosen = PROMPT_SETS[name]
    given = _given_words(Path(names_file), classes) if names_file else {}
    words = [given.get(one) or chosen.words(one) for one in classes]
    return [[template.replace("{}", one) for template in (templates or chosen.templates)] for one in words]


def _given_words(path: Path, classes: Sequence[str]) -> Mapping[str, str]:
    table = read_json(path)
    is_table = isinstance(table, dict) and all(isinstance(words, str) and words for words in table.values())
    if not is_table:
        raise OptionError(
            f'{str(path)!r} must hold class names and their words, {{"YoYo": "yo-yo"}}; got something else.'
        )
    if strange := sorted(table.keys() - set(classes)):
        raise OptionError(
            f"{str(path)!r} has words for {strange[0]!r}, which is no class of the target."
            f"{did_you_mean(strange[0], classes)}"
        )
    return table
