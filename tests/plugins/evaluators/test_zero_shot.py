"""Zero-shot scores against a plain loop, the backbone that does not matter, keys, options and messages."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

pytest.importorskip("transformers")

from pydantic import ValidationError
from small_checkpoints import SIDE, save
from transformers import AutoModel, AutoTokenizer

from vssl_core.bench import bench
from vssl_core.cells import differences
from vssl_core.errors import OptionError, UsageError
from vssl_core.evaluate import FeatureStore, TargetData
from vssl_core.interfaces import EvaluationResult
from vssl_core.planning import component
from vssl_core.testing import check_plugin
from vssl_core.testing.evaluator_target import NUM_CLASSES, ColourBackbone, target
from vssl_core.types import ClipSpec
from vssl_plugins.evaluators import zero_shot
from vssl_plugins.evaluators.vision_language import load_vision_language
from vssl_plugins.evaluators.zero_shot import ZeroShot, ZeroShotOptions

TINY = f"{Path(__file__).resolve().parents[2] / 'tiny_dataset.py'}:Tiny"
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    home = tmp_path_factory.mktemp("checkpoints")
    return {kind: save(kind, home / kind) for kind in ("clip", "xclip")}


@pytest.fixture
def around(context, tmp_path: Path):
    """The context of an evaluation of the kit's target."""
    return replace(context, clip=target().around.protocol.clip.spec(), num_test_clips=2)


def data() -> TargetData:
    return TargetData(target().index, around=target().around, store=FeatureStore())


def evaluate(around, model: Path, **options: Any) -> EvaluationResult:
    torch.manual_seed(0)
    backbone = ColourBackbone(None, around.clip)
    return ZeroShot(ZeroShotOptions(model=str(model), **options)).evaluate(backbone, data(), around)


@pytest.mark.parametrize("kind", ["clip", "xclip"])
def test_scores_are_those_of_a_plain_loop(kind: str, folders, around) -> None:
    result = evaluate(around, folders[kind])
    num_frames = 4 if kind == "xclip" else around.clip.num_frames
    stride = around.clip.num_frames * around.clip.frame_stride // num_frames
    network = AutoModel.from_pretrained(folders[kind]).eval()
    texts = [f"a video of colour {number}." for number in range(NUM_CLASSES)]
    tokens = AutoTokenizer.from_pretrained(folders[kind])(texts, padding=True, return_tensors="pt")
    mean, std = ((0.4, 0.5, 0.6), (0.2, 0.3, 0.4))
    if kind == "clip":
        mean, std = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
    expected = []
    part = data().test()
    for video, _ in part.frames(ClipSpec(num_frames, stride, SIDE), batch_size=2, num_clips=2):
        pixels = (video.transpose(1, 2) / 255 - torch.tensor(mean)[:, None, None]) / torch.tensor(std)[
            :, None, None
        ]
        with torch.no_grad():
            if kind == "xclip":
                logits = network(pixel_values=pixels, **tokens).logits_per_video
            else:
                out = network(pixel_values=pixels.flatten(0, 1), **tokens)
                clips = out.image_embeds.unflatten(0, (2, num_frames)).mean(dim=1)
                logits = (
                    clips / clips.norm(dim=-1, keepdim=True) @ out.text_embeds.T * network.logit_scale.exp()
                )
        expected.append(logits.softmax(dim=1).mean(dim=0).numpy())
    assert np.allclose(result.arrays["scores"], np.stack(expected), atol=1e-4)
    hits = np.stack(expected).argmax(axis=1) == part.labels
    assert result.metrics["top1"].value == pytest.approx(100 * hits.mean())
    assert list(result.metrics) == ["top1", "top5", "mean_class_accuracy"]
    assert result.metrics["top1"].chance == pytest.approx(100 / NUM_CLASSES)
    assert result.arrays["labels"].tolist() == part.labels.tolist()
    assert result.arrays["scores"].std() > 0.01  # else agreement would say little


def test_the_backbone_is_not_looked_at_and_this_is_said(folders, around, said) -> None:
    first = evaluate(around, folders["clip"])
    other = ZeroShot(ZeroShotOptions(model=str(folders["clip"]))).evaluate(None, data(), around)
    assert np.array_equal(first.arrays["scores"], other.arrays["scores"])
    assert any("the cell's backbone is not looked at" in line for line in said.lines)
    document = json.loads((around.folder / "zero_shot.json").read_text())
    assert document["backbone"] == "not looked at"
    assert document["prompts"]["colour 3"] == ["a video of colour 3."]
    assert (document["kind"], document["prompt_set"]) == ("clip", "plain")
    assert document["clip"] == [around.clip.num_frames, around.clip.frame_stride, SIDE]


def test_only_test_videos_are_opened(folders, around) -> None:
    class TestAlone:
        classes, name = data().classes, ""
        test = data().test

    ZeroShot(ZeroShotOptions(model=str(folders["clip"]))).evaluate(None, TestAlone(), around)


def test_other_evaluators_may_build_on_it(folders, around) -> None:
    """Corrupted videos are scored in the model's own geometry; clips of the run's geometry are not taken."""
    classifier = ZeroShot(ZeroShotOptions(model=str(folders["clip"]))).fitted(None, data(), around)
    test = data().test()
    clean = classifier.scores(test, around, num_clips=2)
    assert np.allclose(clean, evaluate(around, folders["clip"]).arrays["scores"], atol=1e-6)
    assert np.allclose(clean, classifier.scores(test.corrupted(None), around, num_clips=2))
    with pytest.raises(UsageError, match="such as linear"):
        classifier.logits(torch.zeros(1, 3, 4, 16, 16))


def test_prompts_follow_the_options(folders, around, tmp_path: Path) -> None:
    words = tmp_path / "words.json"
    words.write_text(json.dumps({"colour 0": "dog"}))
    result = evaluate(around, folders["clip"], templates=("{}", "the {}."), class_names=str(words))
    document = json.loads((around.folder / "zero_shot.json").read_text())
    assert document["prompts"]["colour 0"] == ["dog", "the dog."]
    assert document["prompts"]["colour 1"] == ["colour 1", "the colour 1."]
    assert not np.allclose(
        result.arrays["scores"], evaluate(around, folders["clip"]).arrays["scores"], atol=1e-3
    )


def test_frames_of_a_clip_span_the_protocols_time(folders, around) -> None:
    evaluate(around, folders["clip"], num_frames=2)
    document = json.loads((around.folder / "zero_shot.json").read_text())
    frames, stride, _ = document["clip"]
    assert frames * stride == around.clip.num_frames * around.clip.frame_stride
    assert frames == 2
    with pytest.raises(OptionError, match=r"xclip takes 4 frames; got 3. Leave the option out"):
        evaluate(around, folders["xclip"], num_frames=3)


def test_without_a_model_the_message_says_how_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"-o eval/zero_shot.model=FOLDER; get one with `hf download NAME"):
        ZeroShot(ZeroShotOptions())
    with pytest.raises(ValidationError, match=r"there is no folder '.*gone'; get one with `hf download NAME"):
        ZeroShotOptions(model=str(tmp_path / "gone"))


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"model": "openai/clip", "download": True}, "on the hub needs a revision"),
        ({"model": "openai/clip", "download": True, "revision": "main"}, "pattern"),
        ({"templates": ("a video",)}, "must have {} where the words"),
        ({"class_names": "/nowhere/words.json"}, "class_names: there is no file '/nowhere/words.json'"),
        ({"prompts": "ucf102"}, "ucf101"),
    ],
)
def test_options_that_cannot_be_meant_are_refused(options: dict[str, Any], match: str) -> None:
    with pytest.raises(ValidationError, match=match):
        ZeroShotOptions(**options)


def test_transformers_that_is_missing_is_named_with_the_way_out(folders, around, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(OptionError, match=r"pip install 'vssl\[zero-shot\]'"):
        evaluate(around, folders["clip"])


def test_the_content_of_the_checkpoint_is_in_the_key_and_a_commit_of_the_hub_is(tmp_path: Path) -> None:
    def made(**values: Any):
        return component("evaluator", "zero_shot", values, owner="eval/zero_shot")[0]

    save("clip", tmp_path / "one")
    before = made(model=str(tmp_path / "one"))
    assert before.label == "zero_shot(model=one)"
    moved = (tmp_path / "one").rename(tmp_path / "two")
    assert differences(before.key(), made(model=str(moved)).key()) == []
    save("clip", moved, seed=1)
    (line,) = differences(before.key(), made(model=str(moved)).key())
    assert line.startswith("options.model: ")
    hub = made(model="openai/clip", download=True, revision=COMMIT)
    assert hub.contents == {}
    assert hub.key()["options"]["revision"] == COMMIT
    assert hub.key()["options"]["model"] == "openai/clip"


def test_the_example_of_the_page_runs(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    save("xclip", tmp_path / "xclip-base-patch32")
    video = torch.zeros(2, 3, 4, SIDE, SIDE, dtype=torch.uint8)
    names = {"load_vision_language": load_vision_language, "video_BCTHW": video}
    lines = [line for line in zero_shot.__doc__.splitlines() if line.startswith("    ")]
    exec("\n".join(line.removeprefix("    ") for line in lines), names)
    assert names["logits"].shape == (2, 2)


def test_a_bench_scores_once_and_again_only_when_the_checkpoint_changes(tmp_path: Path) -> None:
    def rows(folder: Path):
        result = bench(
            "rotnet", protocol="smoke", pretrain=TINY, targets=[TINY], evaluators=["zero_shot"],
            controls=False, seeds=(0,), options={"eval/zero_shot": {"model": str(folder)}},
            runs=tmp_path / "runs",
        )  # fmt: skip
        return {row.evaluation_id: row for row in result.rows if row.primary}

    (first,) = rows(save("clip", tmp_path / "small")).values()
    assert (first.evaluator_label, first.metric, first.chance) == ("zero_shot(model=small)", "top1", 50.0)
    moved = (tmp_path / "small").rename(tmp_path / "moved")
    assert rows(moved).keys() == {first.evaluation_id}
    save("clip", moved, seed=2)
    (other,) = rows(moved).keys() - {first.evaluation_id}
    assert other.startswith("zero_shot-Tiny-")
    assert len(list((tmp_path / "runs").glob("cells/*/evaluations/zero_shot-*"))) == 2
    with pytest.raises(OptionError, match="zero_shot needs a checkpoint"):
        bench(
            "rotnet", protocol="smoke", pretrain=TINY, targets=[TINY], evaluators=["zero_shot"],
            controls=False, runs=tmp_path / "nothing",
        )  # fmt: skip
    assert not (tmp_path / "nothing" / "cells").exists()


@pytest.mark.parametrize("kind", ["clip", "xclip"])
def test_it_keeps_the_contract_of_evaluators(kind: str, folders) -> None:
    report = check_plugin("evaluator", "zero_shot", options={"model": str(folders[kind])})
    assert report.ok, report.text()
    assert [result.name for result in report.results if result.status == "skipped"] == []
