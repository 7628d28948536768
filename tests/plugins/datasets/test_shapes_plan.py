"""Which videos the embedded data set has: labels, scenes and parts, before anything is rendered."""

from __future__ import annotations

from collections import Counter, defaultdict

import numpy as np
import pytest
from pydantic import ValidationError
from scipy import stats

from vssl_core.seeding import generator
from vssl_plugins.datasets.shapes_render.motion import MOTIONS, REACH, SIZE_RANGE, Track, draw_track
from vssl_plugins.datasets.shapes_render.options import ShapesOptions
from vssl_plugins.datasets.shapes_render.plan import PlannedVideo, plan_videos
from vssl_plugins.datasets.shapes_render.sprite import APPEARANCES

SPLITS = ("train", "validation", "test")


def table(videos: list[PlannedVideo]) -> np.ndarray:
    counts = np.zeros((len(APPEARANCES), len(MOTIONS)), int)
    for video in videos:
        counts[video.appearance, video.motion] += 1
    return counts


def test_there_are_at_least_eight_classes_of_each_kind_in_sorted_order() -> None:
    for classes in (APPEARANCES, MOTIONS):
        assert len(classes) >= 8
        assert list(classes) == sorted(classes)


def test_by_default_every_pair_of_classes_comes_equally_often_in_each_part() -> None:
    videos = plan_videos(ShapesOptions())
    for split in SPLITS:
        counts = table([video for video in videos if video.split == split])
        assert counts.min() == counts.max() > 0


@pytest.mark.parametrize("count", [63, 100, 333])
def test_odd_numbers_of_videos_keep_labels_balanced_and_independent(count: int) -> None:
    videos = plan_videos(ShapesOptions(train_videos=count, validation_videos=0, test_videos=count))
    for split in ("train", "test"):
        counts = table([video for video in videos if video.split == split])
        assert counts.sum() == count
        assert np.ptp(counts) <= 1
        assert np.ptp(counts.sum(axis=0)) <= 1
        assert np.ptp(counts.sum(axis=1)) <= 1
        assert stats.chi2_contingency(counts).pvalue > 0.5


def test_neither_scene_nor_number_says_anything_about_a_label() -> None:
    videos = plan_videos(ShapesOptions(train_videos=3072, validation_videos=0, test_videos=8))[:3072]
    for label in ("appearance", "motion"):
        for place in (
            [video.scene % 16 for video in videos],
            [video.number % 4 for video in videos],
            [video.number // 192 for video in videos],
        ):
            counts = np.zeros((max(place) + 1, 8), int)
            np.add.at(counts, (place, [getattr(video, label) for video in videos]), 1)
            assert stats.chi2_contingency(counts).pvalue > 1e-3


def test_scenes_never_straddle_two_parts_and_have_the_size_asked_for() -> None:
    videos = plan_videos(
        ShapesOptions(train_videos=30, validation_videos=10, test_videos=12, videos_per_scene=4)
    )
    split_of = defaultdict(set)
    for video in videos:
        split_of[video.group].add(video.split)
    assert all(len(splits) == 1 for splits in split_of.values())
    sizes = Counter(video.group for video in videos)
    assert sorted(sizes.values(), reverse=True) == [4] * 12 + [2, 2]


def test_the_plan_is_a_function_of_the_options_and_ids_tell_no_class() -> None:
    options = ShapesOptions(train_videos=40)
    videos = plan_videos(options)
    assert videos == plan_videos(options)
    assert [video.video_id for video in videos] == [f"shapes-{i:06d}" for i in range(len(videos))]
    other = plan_videos(ShapesOptions(train_videos=40, seed=1))
    assert [v.motion for v in videos] != [v.motion for v in other]


def test_folders_are_kept_apart_by_every_option() -> None:
    digests = {ShapesOptions().digest}
    for name in ShapesOptions.model_fields:
        digests.add(ShapesOptions(**{name: {"size": 64, "noise": 1.5}.get(name, 3)}).digest)
    assert len(digests) == 1 + len(ShapesOptions.model_fields)


@pytest.mark.parametrize("wrong", [{"size": 63}, {"train_videos": 0}, {"noise": -1.0}, {"nosie": 1.0}])
def test_options_out_of_range_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        ShapesOptions(**wrong)


# ---------------------------------------------------------------- the law of single frames

TRACKS = 2500
FRAMES = 64


def tracks(motion: str) -> list[Track]:
    number = MOTIONS.index(motion)
    return [draw_track(number, num_frames=FRAMES, rng=generator("law", motion, i)) for i in range(TRACKS)]


def single_frames(seen: list[Track], t: int) -> dict[str, np.ndarray]:
    x, y, diameter = (np.array([getattr(track, a)[t] for track in seen]) for a in ("x", "y", "diameter"))
    return {
        "x": x,
        "y": y,
        "x + y": x + y,
        "distance": np.hypot(x - 0.5, y - 0.5),
        "diameter": diameter,
        "diameter near the middle": diameter[np.hypot(x - 0.5, y - 0.5) < REACH / 2],
        "diameter on the right": diameter[x > 0.5],
        "angle": np.array([track.angle for track in seen]),
    }


def test_at_any_time_a_single_frame_has_the_same_law_in_every_motion_class() -> None:
    seen = {motion: tracks(motion) for motion in MOTIONS}
    for t in (0, 9, 30, FRAMES - 1):
        first = single_frames(seen[MOTIONS[0]], t)
        for motion in MOTIONS[1:]:
            for what, values in single_frames(seen[motion], t).items():
                p = stats.ks_2samp(first[what], values).pvalue
                assert p > 1e-5, f"{motion}, frame {t}: {what} is not as in {MOTIONS[0]} (p = {p:.1e})"


def test_single_frames_fill_the_disc_and_the_range_of_sizes_evenly() -> None:
    found = single_frames(tracks("circle_clockwise"), 20)
    smallest, largest = SIZE_RANGE
    assert stats.kstest((found["distance"] / REACH) ** 2, "uniform").pvalue > 1e-4
    size = np.log(found["diameter"] / smallest) / np.log(largest / smallest)
    assert stats.kstest(size, "uniform").pvalue > 1e-4


@pytest.mark.parametrize(
    ("motion", "direction"),
    [
        ("slide_right", lambda t: np.diff(t.x)),
        ("slide_left", lambda t: -np.diff(t.x)),
        ("slide_down", lambda t: np.diff(t.y)),
        ("slide_up", lambda t: -np.diff(t.y)),
        ("grow", lambda t: np.diff(t.diameter)),
        ("shrink", lambda t: -np.diff(t.diameter)),
        ("circle_clockwise", lambda t: np.diff(np.unwrap(np.arctan2(t.y - 0.5, t.x - 0.5)))),
        ("circle_counterclockwise", lambda t: -np.diff(np.unwrap(np.arctan2(t.y - 0.5, t.x - 0.5)))),
    ],
)
def test_every_motion_goes_its_way_but_for_the_few_frames_that_start_again(
    motion: str, direction: object
) -> None:
    for track in tracks(motion)[:50]:
        assert (direction(track) > 0).mean() > 0.9  # type: ignore[operator]


def test_every_object_slows_down_whatever_its_class() -> None:
    for motion in MOTIONS:
        early, late = [], []
        for track in tracks(motion)[:200]:
            step = np.hypot(np.diff(track.x), np.diff(track.y)) + abs(np.diff(np.log(track.diameter)))
            early.append(np.median(step[:16]))
            late.append(np.median(step[-16:]))
        assert 3 < np.mean(early) / np.mean(late) < 6
