"""The evaluator of corruptions: metrics by hand from stored scores, paths, options, third parties."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import vssl_core
from vssl_core import EvaluationResult, Metric, OptionError
from vssl_core.evaluate import FeatureStore, TargetData, run_evaluator
from vssl_core.testing import check_plugin
from vssl_core.testing.evaluator_target import ColourBackbone, target
from vssl_plugins.corruptions.noise import Gaussian
from vssl_plugins.corruptions.noise import NoiseOptions as ConstantsOptions
from vssl_plugins.corruptions.reencoded import CODINGS, Reencoded
from vssl_plugins.evaluators.noise import NoiseOptions, NoiseRobustness, robustness

ROOT = Path(__file__).resolve().parents[3]
FOUR = ("gaussian", "impulse", "shot", "speckle")


def made(kind: Any, name: str, **options: Any) -> Any:
    cls: Any = vssl_core.load(vssl_core.resolve(kind, name))
    return cls(cls.Options(**options))


def evaluate(tmp_path: Path, *, classifier: str = "linear", **options: Any) -> EvaluationResult:
    """On the kit's colours, whose classes a linear probe tells apart a little."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        backbone = ColourBackbone(None, target().around.protocol.clip.spec())
    evaluator = NoiseRobustness(NoiseOptions(classifier=classifier, **options))
    parts = {
        "classifier": (made("evaluator", classifier),),
        "corruptions": tuple(made("corruption", name) for name in evaluator.options.corruptions),
    }
    data = TargetData(target().index, around=target().around, store=FeatureStore())
    return run_evaluator(evaluator, backbone, data, around=target().around, folder=tmp_path, parts=parts)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> EvaluationResult:
    return evaluate(tmp_path_factory.mktemp("noise"), severities=(1, 3))


def hits(result: EvaluationResult, name: str) -> float:
    return 100 * float((result.arrays[name].argmax(axis=1) == result.arrays["labels"]).mean())


def test_every_metric_follows_from_the_stored_scores(plain: EvaluationResult) -> None:
    values = {name: metric.value for name, metric in plain.metrics.items()}
    clean = hits(plain, "scores_clean")
    assert clean > 40
    by_noise = {}
    for name in FOUR:
        each = [hits(plain, f"scores_{name}_s{severity}") for severity in (1, 3)]
        assert [values[f"accuracy_{name}_s1"], values[f"accuracy_{name}_s3"]] == pytest.approx(each)
        by_noise[name] = sum(each) / 2
        assert values[f"accuracy_{name}"] == pytest.approx(by_noise[name])
        assert values[f"drop_{name}"] == pytest.approx(100 * (clean - by_noise[name]) / clean)
        assert values[f"gamma_r_{name}"] == pytest.approx(by_noise[name] / clean)
        assert values[f"gamma_a_{name}"] == pytest.approx(1 - (clean - by_noise[name]) / 100)
    noisy = sum(by_noise.values()) / 4
    assert values["clean"] == pytest.approx(clean)
    assert values["noisy"] == pytest.approx(noisy)
    assert values["relative_drop"] == pytest.approx(100 * (clean - noisy) / clean)
    assert values["gamma_r"] == pytest.approx(np.mean([values[f"gamma_r_{name}"] for name in FOUR]))
    assert values["gamma_a"] == pytest.approx(np.mean([values[f"gamma_a_{name}"] for name in FOUR]))
    assert set(values) == {
        "relative_drop", "clean", "noisy", "gamma_r", "gamma_a",
        *(f"{word}_{name}" for word in ("accuracy", "drop", "gamma_r", "gamma_a") for name in FOUR),
        *(f"accuracy_{name}_s{severity}" for severity in (1, 3) for name in FOUR),
    }  # fmt: skip


def test_the_drop_comes_first_and_accuracies_have_values_per_video(plain: EvaluationResult) -> None:
    first, *_ = plain.metrics
    assert first == "relative_drop"
    assert not plain.metrics[first].higher_is_better
    for name, metric in plain.metrics.items():
        accuracy = name in ("clean", "noisy") or name.startswith("accuracy")
        assert (metric.per_video is not None) == accuracy, name
        assert metric.chance == (pytest.approx(100 / 6) if accuracy else None)


def test_the_printed_drops_of_the_paper_follow_from_its_accuracies() -> None:
    """Main paper, Table 7: RotNet on R(2+1)D has 41.2 % clean and 36.8 % on average under noise: 10.7 %."""
    clean, noisy = (Metric(value, per_video=np.full(4, value)) for value in (41.2, 36.8))
    found = robustness(clean, {"gaussian": {1: noisy}}, {"gaussian": "noise"})
    assert found["relative_drop"].value == pytest.approx(10.7, abs=0.05)


def test_where_nothing_is_clean_no_robustness_comes_first() -> None:
    nothing = Metric(0.0, per_video=np.zeros(4))
    assert list(robustness(nothing, {"gaussian": {1: nothing}}, {"gaussian": "noise"})) == [
        "clean", "noisy", "gamma_a", "accuracy_gaussian", "gamma_a_gaussian",
    ]  # fmt: skip


def test_clean_videos_take_the_same_path(tmp_path: Path, plain: EvaluationResult) -> None:
    linear = made("evaluator", "linear")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        backbone = ColourBackbone(None, target().around.protocol.clip.spec())
    data = TargetData(target().index, around=target().around, store=FeatureStore())
    alone = run_evaluator(linear, backbone, data, around=target().around, folder=tmp_path)
    np.testing.assert_array_equal(alone.arrays["scores"], plain.arrays["scores_clean"])
    assert alone.metrics["top1"].value == plain.metrics["clean"].value


def test_options_decide_and_families_have_means_of_their_own(tmp_path: Path, plain: EvaluationResult) -> None:
    some = ("shot", "reverse", "freeze")
    found = evaluate(
        tmp_path, corruptions=some, severities=(1, 3), constants="imagenet_c", order="post_resize"
    )
    assert not np.array_equal(found.arrays["scores_shot_s1"], plain.arrays["scores_shot_s1"])
    assert "scores_reverse_s3" not in found.arrays
    values = {name: metric.value for name, metric in found.metrics.items()}
    temporal = (values["accuracy_reverse"] + values["accuracy_freeze"]) / 2
    assert values["accuracy_family_temporal"] == pytest.approx(temporal)
    assert values["accuracy_family_noise"] == pytest.approx(values["accuracy_shot"])
    assert values["drop_family_temporal"] == pytest.approx(
        100 * (values["clean"] - temporal) / values["clean"]
    )
    other = evaluate(tmp_path, corruptions=("gaussian",), severities=(3,), seed=1)
    assert not np.array_equal(other.arrays["scores_gaussian_s3"], plain.arrays["scores_gaussian_s3"])


def test_a_round_trip_after_the_noise_is_made_by_clean_videos_too(
    tmp_path: Path, plain: EvaluationResult
) -> None:
    found = evaluate(tmp_path, corruptions=("gaussian",), severities=(3,), reencode="mp4v")
    for name in ("scores_clean", "scores_gaussian_s3"):
        assert not np.array_equal(found.arrays[name], plain.arrays[name])
    assert Reencoded(Gaussian(ConstantsOptions()), CODINGS["mp4v"]).draws_as == "Gaussian"


def test_what_cannot_be_meant_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"fits a classifier, such as 'finetune'.*Retrieval does not"):
        evaluate(tmp_path, classifier="retrieval")
    with pytest.raises(OptionError, match="'reverse' has 1; got 2, 3"):
        evaluate(tmp_path, corruptions=("reverse",), severities=(3, 2))
    for options in ({"corruptions": ()}, {"corruptions": ("shot", "x:shot")}, {"severities": (0,)}):
        with pytest.raises(ValueError, match="expected one or more"):
            NoiseOptions(**options)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["noise", "controls"])
def test_it_keeps_the_contract_of_evaluators(name: str) -> None:
    report = check_plugin("evaluator", name, options={"classifier": "linear"})
    assert report.ok, report.text()


def test_a_bench_with_a_corruption_in_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    from vssl_core.cli import main
    from vssl_core.store import all_cells

    shutil.copy(ROOT / "examples" / "my_corruption.py", tmp_path / "fog.py")
    shutil.copy(ROOT / "tests" / "tiny_dataset.py", tmp_path)
    monkeypatch.chdir(tmp_path)
    code = main(
        [
            *("bench", "--task", "rotnet", "--protocol", "smoke", "--no-controls", "--eval", "noise"),
            *("--pretrain", "./tiny_dataset.py:Tiny", "--target", "./tiny_dataset.py:Tiny"),
            *(
                "-o",
                'eval/noise.corruptions=["gaussian","./fog.py:Fog"]',
                "-o",
                "eval/noise.severities=[1,2]",
            ),
            *("-o", "corruption/./fog.py:Fog.light=0.5", "-o", "eval/finetune.epochs=2"),
        ]
    )
    captured = capfd.readouterr()
    assert code == 0, captured.err
    (cell,) = all_cells(tmp_path / "runs")
    rows = {row.metric: row for row in cell.rows()}
    assert {"relative_drop", "accuracy_Fog_s2", "drop_family_weather", "drop_family_noise"} <= set(rows)
    assert "with finetune(epochs=2), Fog(light=0.5)" in rows["clean"].evaluator_label
    ((spec, *_),) = cell.evaluations()
    fog = spec.key()["parts"]["corruptions"][1]
    assert (fog["name"], fog["options"]) == ("Fog", {"light": 0.5})
    assert json.loads(json.dumps(spec.key()))["evaluator"]["options"]["order"] == "native"


def test_an_option_of_what_nothing_names_is_refused(tmp_path: Path) -> None:
    for owner, near in (("eval/finetun", "eval/finetune"), ("corruption/sot", "corruption/shot")):
        with pytest.raises(OptionError, match=f"nothing called '{owner}'.*Did you mean '{near}'"):
            vssl_core.bench(
                "rotnet",
                protocol="smoke",
                evaluators=["noise"],
                options={owner: {"epochs": 1}},
                runs=tmp_path,
            )
