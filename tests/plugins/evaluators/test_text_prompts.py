"""Class names become words by their spelling, words become sentences, and a file has the last word."""

from __future__ import annotations

import json
from pathlib import Path
from typing import get_args

import pytest

from vssl_core.errors import OptionError
from vssl_plugins.datasets.shapes_render.motion import MOTIONS
from vssl_plugins.datasets.shapes_render.sprite import APPEARANCES
from vssl_plugins.evaluators.text_prompts import (
    PROMPT_SETS,
    SetName,
    class_words,
    make_prompts,
    prompt_set,
)

ANNOTATIONS = Path(__file__).resolve().parents[4] / "shared" / "data" / "annotations"
needs_annotations = pytest.mark.skipif(not ANNOTATIONS.is_dir(), reason="needs ../shared/data/annotations")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("ApplyEyeMakeup", "apply eye makeup"),
        ("CleanAndJerk", "clean and jerk"),
        ("YoYo", "yo yo"),
        ("Archery", "archery"),
        ("brush_hair", "brush hair"),
        ("air drumming", "air drumming"),
        ("passing American football (in game)", "passing American football (in game)"),
        ("Putting [something] on a surface", "Putting something on a surface"),
        ("BMX riding", "BMX riding"),
        ("USA", "USA"),
        ("class 30", "class 30"),
    ],
)
def test_spellings_of_datasets_become_words(name: str, words: str) -> None:
    assert class_words(name) == words


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (
            "Back 15som 05Twis FREE",
            "back dive with one and a half somersaults and half a twist in free position",
        ),
        ("Reverse Dive NoTwis TUCK", "reverse dive in tuck position"),
        ("Forward 1som NoTwis PIKE", "forward dive with one somersault in pike position"),
        (
            "Forward 25som 3Twis PIKE",
            "forward dive with two and a half somersaults and three twists in pike position",
        ),
        (
            "Back 2som 15Twis FREE",
            "back dive with two somersaults and one and a half twists in free position",
        ),
        (
            "Forward 15som 1Twis FREE",
            "forward dive with one and a half somersaults and one twist in free position",
        ),
        ("Forward Dive NoTwis STR", "forward dive in straight position"),
        ("class 30", "class 30"),
    ],
)
def test_codes_of_diving48_are_spelt_out(code: str, words: str) -> None:
    assert PROMPT_SETS["diving48"].words(code) == words


@needs_annotations
def test_every_official_class_has_words_of_its_own_without_marks() -> None:
    official = {
        "ucf101": [
            line.split()[1]
            for line in (ANNOTATIONS / "ucfTrainTestlist" / "classInd.txt").read_text().splitlines()
            if line.strip()
        ],
        "hmdb51": sorted(
            {path.name.partition("_test_split")[0] for path in (ANNOTATIONS / "hmdb51_splits").glob("*.txt")}
        ),
        "ssv2": list(json.loads((ANNOTATIONS / "ssv2" / "something-something-v2-labels.json").read_text())),
        "diving48": [
            " ".join(parts)
            for parts in json.loads((ANNOTATIONS / "diving48" / "Diving48_vocab.json").read_text())
        ],
    }
    assert {name: len(classes) for name, classes in official.items()} == {
        "ucf101": 101,
        "hmdb51": 51,
        "ssv2": 174,
        "diving48": 48,
    }
    for name, classes in official.items():
        words = [PROMPT_SETS[name].words(one) for one in classes]
        assert len(set(words)) == len(classes)
        assert all(one[0].islower() and not set("_[]0123456789") & set(one) for one in words), name
        assert not [one for one in words if name == "diving48" and "dive" not in one]


def test_shapes_are_described() -> None:
    motions = [PROMPT_SETS["shapes_motion"].words(name) for name in MOTIONS]
    assert all(words.startswith("a shape ") for words in motions)
    assert len(set(motions)) == 8
    appearances = [PROMPT_SETS["shapes_appearance"].words(name) for name in APPEARANCES]
    assert "a striped disc" in appearances
    assert len(set(appearances)) == 8
    assert not [words for words in appearances if "_" in words]


def test_templates_of_clip_are_those_that_were_published() -> None:
    ucf101, kinetics = PROMPT_SETS["ucf101"].templates, PROMPT_SETS["kinetics400"].templates
    assert (len(set(ucf101)), len(set(kinetics))) == (48, 28)
    assert ucf101[:2] == ("a photo of a person {}.", "a video of a person {}.")
    assert {"a example of the person using {}.", "a demonstration of the person practicing {}."} <= set(
        ucf101
    )
    assert {"a photo of {}.", "a demonstration of a person during {}."} <= set(kinetics)


def test_every_set_can_be_chosen_and_auto_takes_the_targets_own() -> None:
    assert PROMPT_SETS.keys() == set(get_args(SetName))
    assert all("{}" in template for one in PROMPT_SETS.values() for template in one.templates)
    assert prompt_set("auto", "ucf101") == "ucf101"
    assert prompt_set("auto", "packed") == "plain"
    assert prompt_set("ssv2", "packed") == "ssv2"


def test_every_class_is_said_in_every_template() -> None:
    assert make_prompts(["PullUps", "run"], name="plain", templates=("{}!", "do {}.")) == [
        ["pull ups!", "do pull ups."],
        ["run!", "do run."],
    ]
    assert make_prompts(["Pushing [something]"], name="ssv2") == [["a video of a person pushing something."]]


def test_a_file_replaces_the_words_of_the_classes_that_it_names(tmp_path: Path) -> None:
    file = tmp_path / "words.json"
    file.write_text(json.dumps({"YoYo": "yo-yo"}))
    assert make_prompts(["YoYo", "PullUps"], name="plain", names_file=str(file)) == [
        ["a video of yo-yo."],
        ["a video of pull ups."],
    ]


@pytest.mark.parametrize(
    ("table", "match"),
    [
        ({"YoYoo": "yo-yo"}, r"words for 'YoYoo', which is no class of the target. Did you mean 'YoYo'"),
        (["YoYo"], "must hold class names and their words"),
        ({"YoYo": ["yo-yo"]}, "must hold class names and their words"),
        ({"YoYo": ""}, "must hold class names and their words"),
    ],
)
def test_a_file_that_is_no_table_of_classes_is_refused(tmp_path: Path, table: object, match: str) -> None:
    file = tmp_path / "words.json"
    file.write_text(json.dumps(table))
    with pytest.raises(OptionError, match=match):
        make_prompts(["YoYo", "PullUps"], name="plain", names_file=str(file))
