"""Few-shot probing: which videos are drawn, what the mean and its spread are, and too few videos."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from pydantic import ValidationError

from vssl_core.errors import ContractError, DatasetError, DivergedError
from vssl_plugins.evaluators.few_shot import FewShot, FewShotOptions
from vssl_plugins.evaluators.linear import Linear, LinearOptions


def few_shot(**options: object) -> FewShot:
    return FewShot(FewShotOptions(**{"draws": 4, **options}))


def shots(context) -> dict[int, list[list[str]]]:
    written = json.loads((context.folder / "shots.json").read_text())
    return {int(k): draws for k, draws in written["shots"].items()}


def test_what_comes_back_fits_together(make_data, backbone, context) -> None:
    data = make_data(signal=0.7)
    result = few_shot().evaluate(backbone, data, context)
    assert list(result.metrics) == ["1_shot_top1", "1_shot_sd", "5_shot_top1", "5_shot_sd"]
    test = data.test()
    assert list(result.video_ids) == [record.video_id for record in test.records]
    for k in (1, 5):
        predicted = result.arrays[f"predicted_{k}_shot"]
        assert predicted.shape == (15, 4)
        hit = 100.0 * (predicted == test.labels[:, None])
        metric = result.metrics[f"{k}_shot_top1"]
        np.testing.assert_allclose(metric.per_video, hit.mean(axis=1))
        assert metric.value == pytest.approx(hit.mean())
        assert metric.chance == pytest.approx(100 / 3)
        spread = result.metrics[f"{k}_shot_sd"]
        assert spread.value == pytest.approx(np.std(hit.mean(axis=0), ddof=1))
        assert (spread.unit, spread.higher_is_better) == ("points", False)
    assert data.parts["train"].asked == [("features", 1)]
    assert data.parts["validation"].asked == []
    assert data.parts["test"].asked == [("features", context.num_test_clips)]


def test_more_labelled_videos_tell_more_and_noise_tells_nothing(make_data, backbone, context) -> None:
    labels = [0, 1, 2] * 40
    told = few_shot(ks=(1, 8, 40)).evaluate(
        backbone, make_data(signal=0.7, train=labels, test=labels), context
    )
    one, some, all_of_them = (told.metrics[f"{k}_shot_top1"].value for k in (1, 8, 40))
    assert 100 / 3 < one < some <= all_of_them
    noise = few_shot(draws=8).evaluate(backbone, make_data(signal=0.0, test=labels), context)
    assert 22 < noise.metrics["5_shot_top1"].value < 45


def test_draws_are_balanced_nested_and_differ(make_data, backbone, context) -> None:
    data = make_data(train=[0, 1, 2, 2] * 8)
    label_of = {r.video_id: r.label for r in data.train.records}
    few_shot(ks=(1, 3, 5)).evaluate(backbone, data, context)
    drawn = shots(context)
    for k, draws in drawn.items():
        for ids in draws:
            assert np.bincount([label_of[name] for name in ids]).tolist() == [k] * 3
            assert len(set(ids)) == len(ids)
    for smaller, larger in ((1, 3), (3, 5)):
        for one, other in zip(drawn[smaller], drawn[larger], strict=True):
            assert set(one) < set(other)
    assert len({tuple(sorted(ids)) for ids in drawn[3]}) == 4


def test_what_is_drawn_depends_on_seed_draw_and_video_alone(make_data, backbone, context, tmp_path) -> None:
    """Not on which other videos there are, on their order, on the number of draws or on the backbone."""

    def drawn(data, *, seed: int = 0, **options) -> dict[int, list[list[str]]]:
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        folder.mkdir()
        given = replace(context, folder=folder, seed=seed)
        few_shot(ks=(3,), **options).evaluate(backbone, data, given)
        return shots(given)

    usual = drawn(make_data())[3]
    assert drawn(make_data(), draws=2)[3] == usual[:2]
    assert drawn(make_data(), seed=1)[3] != usual
    reverse = make_data()
    part = reverse.parts["train"]
    part.records, part.labels, part.clips = part.records[::-1], part.labels[::-1].copy(), part.clips.flip(0)
    assert drawn(reverse)[3] == usual
    fewer = make_data(train=[0, 1, 2] * 7)  # the last of each class are not there
    gone = {f"train/{row:03d}" for row in range(21, 24)}
    for one, other in zip(usual, drawn(fewer)[3], strict=True):
        assert set(one) - gone <= set(other)


def test_with_all_videos_it_is_the_linear_probe_without_a_choice(make_data, backbone, context) -> None:
    data = make_data(signal=0.7, train=[0, 1, 2] * 6, validation=[])
    probe = Linear(LinearOptions(l2=(1e-2,))).evaluate(backbone, data, context)
    data = make_data(signal=0.7, train=[0, 1, 2] * 6, validation=[])
    result = few_shot(ks=(6,), draws=2).evaluate(backbone, data, context)
    for column in result.arrays["predicted_6_shot"].T:
        np.testing.assert_array_equal(column, probe.arrays["scores"].argmax(axis=1))
    assert result.metrics["6_shot_sd"].value == 0


def test_classes_with_fewer_videos_give_all_and_are_named(make_data, backbone, context, said) -> None:
    data = make_data(train=[0] * 8 + [1] * 2 + [2] * 6)
    few_shot(ks=(1, 5)).evaluate(backbone, data, context)
    assert said.lines == [
        "few_shot: classes with fewer than 5 training videos give all that they have: class 1 (2)."
    ]
    assert all(len(ids) == 5 + 2 + 5 for ids in shots(context)[5])


def test_a_k_that_no_class_has_is_left_out_and_said(make_data, backbone, context, said) -> None:
    result = few_shot(ks=(1, 9)).evaluate(backbone, make_data(), context)
    assert list(result.metrics) == ["1_shot_top1", "1_shot_sd"]
    assert said.lines == ["few_shot: k = 9 is left out, no class has more than 8 training videos."]
    assert json.loads((context.folder / "shots.json").read_text())["left_out"] == [9]
    with pytest.raises(DatasetError, match=r"no class has 9 training videos.*eval/few_shot\.ks"):
        few_shot(ks=(9, 20)).evaluate(backbone, make_data(), context)


def test_every_clip_of_a_labelled_video_is_a_sample(make_data, backbone, context) -> None:
    data = make_data()
    result = few_shot(ks=(1,), num_train_clips=4).evaluate(backbone, data, context)
    assert data.parts["train"].asked == [("features", 4)]
    assert result.metrics["1_shot_top1"].value > 80


def test_a_test_class_that_nothing_shows_is_said_and_missed(make_data, backbone, context, said) -> None:
    result = few_shot().evaluate(backbone, make_data(train=[0, 1] * 8, test=[0, 1, 2]), context)
    assert result.metrics["5_shot_top1"].per_video[2] == 0
    assert said.lines == ["few_shot: no training video has the test classes class 2."]


def test_a_fit_that_was_cut_short_says_so(make_data, backbone, context, said) -> None:
    few_shot(ks=(5,), max_iterations=1).evaluate(backbone, make_data(signal=0.5), context)
    assert any("stopped after 1 iterations" in line for line in said.lines)


@pytest.mark.parametrize(
    ("parts", "says"),
    [
        ({"train": [0, None]}, "every train video; 1 of 2 have none"),
        ({"train": []}, "the train part .* holds no video"),
        ({"test": []}, "the test part .* holds no video"),
        ({"train": [1, 1, 1]}, "at least two classes; all 3 are 'class 1'"),
    ],
)
def test_data_that_cannot_be_probed(make_data, backbone, context, parts, says) -> None:
    with pytest.raises(DatasetError, match=says):
        few_shot().evaluate(backbone, make_data(**parts), context)


def test_diverged_weights_are_named_and_the_test_part_closes_the_others(make_data, backbone, context) -> None:
    data = make_data()
    few_shot().evaluate(backbone, data, context)
    with pytest.raises(ContractError, match="closed"):
        _ = data.train
    backbone.last[0].bias.data.fill_(float("nan"))
    with pytest.raises(DivergedError, match="24 of 24 train videos"):
        few_shot().evaluate(backbone, make_data(), context)


@pytest.mark.parametrize("options", [{"ks": ()}, {"ks": (0,)}, {"draws": 1}, {"l2": 0}])
def test_options_that_cannot_be_meant(options: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        FewShotOptions(**options)
