"""A protocol's hash follows every field that changes numbers, and mistakes are named."""

from __future__ import annotations

from pathlib import Path

import pytest

from vssl_core.errors import ProtocolError, UnknownNameError
from vssl_core.protocol import load_protocol, preset_names


def test_presets_load_and_have_different_hashes() -> None:
    assert preset_names() == ["laptop", "paper", "smoke"]
    assert len({load_protocol(name).hash for name in preset_names()}) == 3


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("clip.num_frames", 6),
        ("data.unreadable", "lenient"),
        ("data.decoder", "torchcodec"),
        ("data.mean", [0.5, 0.5, 0.5]),
        ("pretrain.budget.currency", "frames"),
        ("pretrain.optimizer.lr", 0.5),
        ("evaluation.options", {"linear": {"x": 1}}),
        ("evaluation.crop_scale", 1.0),
    ],
)
def test_every_change_changes_the_hash(field: str, value: object) -> None:
    changed = load_protocol("smoke", {field: value})
    assert changed.hash != load_protocol("smoke").hash
    assert changed.name == "smoke+changed"


def test_words_for_people_do_not() -> None:
    same = load_protocol("smoke", {"description": "other", "evaluation.evaluators": ["linear"]})
    assert same.hash == load_protocol("smoke").hash


def test_a_file_is_a_protocol(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("schema: 1\nname: mine\nclip: {num_frames: 6}\n")
    assert load_protocol(str(path)).clip.num_frames == 6


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("schema: 1\nname: x\npretrian: {}\n", "Did you mean 'pretrain'"),
        ("schema: 1\nname: x\nclip: {crop_size: 3}\n", "clip.crop_size.*got 3"),
        ("schema: 2\nname: x\n", "schema 2"),
        ("schema: 1\n", "name: Field required"),
        ("[1, 2]", "must be a mapping"),
        ("{", "not valid YAML"),
        ("schema: 1\nname: x\npretrain: {batch_size: 9, accumulation: 2}\n", "multiple of accumulation"),
        ("schema: 1\nname: x\npretrain: {optimizer: {lr: .nan}}\n", "lr"),
        ("schema: 1\nname: x\npretrain: {budget: {amount: .inf}}\n", "pretrain.budget.amount.*finite"),
        ("schema: 1\nname: x\npretrain: {optimizer: {clip_norm: .inf}}\n", "clip_norm.*finite"),
        ("schema: 1\nname: x\ndata: {mean: [0, .nan, 0]}\n", "data.mean.*finite"),
        ("schema: 1\nname: x\ndata: {std: [0, 1, 1]}\n", "data.std.*greater than 0"),
        ("schema: 1\nname: x\nevaluation: {options: {linear: {lr: .inf}}}\n", "evaluation.options.*JSON"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, text: str, match: str) -> None:
    path = tmp_path / "p.yaml"
    path.write_text(text)
    with pytest.raises(ProtocolError, match=match):
        load_protocol(str(path))


def test_unknown_name_and_field() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'laptop'"):
        load_protocol("labtop")
    with pytest.raises(ProtocolError, match="is a value"):
        load_protocol("smoke", {"clip.num_frames.x": 1})
