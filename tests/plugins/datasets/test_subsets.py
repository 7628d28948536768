"""The rule of class-balanced subsets: nested, balanced, the same everywhere, written as plain ids."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest
from copies import ids, listed, make, opened, write
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from vssl_core.data import build_index
from vssl_core.errors import DatasetError
from vssl_core.protocol import Data
from vssl_plugins.datasets.kinetics400 import Kinetics400
from vssl_plugins.datasets.official.subsets import SubsetOptions, balanced_order, choose, held_out

KINETICS = {f"k{label:03d}-{i:04d}": f"class {label}" for label in range(400) for i in range(250 + label)}
SIZES = {10_000: 25, 30_000: 75, 50_000: 125, 100_000: 250}


def chosen(labels: dict[str, str], **options: object) -> set[str]:
    found = choose(dict(labels), SubsetOptions(**options))  # type: ignore[arg-type]
    assert found is not None
    return found


def test_the_papers_kinetics_subsets_are_nested_and_exactly_balanced() -> None:
    order = balanced_order(dict(KINETICS), 0)
    subsets = {size: set(order[:size]) for size in SIZES}
    for size, per_class in SIZES.items():
        assert Counter(KINETICS[video_id] for video_id in subsets[size]) == dict.fromkeys(
            KINETICS.values(), per_class
        )
    assert all(small < large for small, large in pairwise(subsets.values()))
    assert chosen(KINETICS, num_videos=10_000) == chosen(KINETICS, videos_per_class=25) == subsets[10_000]


def test_30k_of_174_classes_are_172_rounds_and_72_of_the_next() -> None:
    labels = {f"{label}-{i}": f"template {label}" for label in range(174) for i in range(180)}
    counts = Counter(Counter(labels[one] for one in chosen(labels, num_videos=30_000)).values())
    assert counts == {172: 102, 173: 72}


def test_a_class_that_runs_out_leaves_its_places_to_the_others() -> None:
    labels = {f"s{i}": "small" for i in range(3)} | {f"{c}{i}": c for c in "abc" for i in range(50)}
    found = Counter(labels[one] for one in chosen(labels, num_videos=63))
    assert found == {"small": 3, "a": 20, "b": 20, "c": 20}
    assert Counter(labels[one] for one in chosen(labels, videos_per_class=5))["small"] == 3


def test_seeds_differ_and_neither_the_order_of_the_list_nor_the_process_matters() -> None:
    few = dict(list(KINETICS.items())[:3000])
    backwards = dict(reversed(few.items()))
    one = chosen(few, num_videos=100)
    assert one == chosen(backwards, num_videos=100)
    assert one != chosen(few, num_videos=100, subset_seed=1)
    code = (
        "from vssl_plugins.datasets.official.subsets import balanced_order;"
        "print(balanced_order({f'{c}{i}': c for c in 'abc' for i in range(9)}, 5))"
    )
    printed = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert printed == {f"{balanced_order({f'{c}{i}': c for c in 'abc' for i in range(9)}, 5)}\n"}


def test_the_rule_does_not_drift() -> None:
    """Published lists of ids must stay what they are."""
    order = balanced_order({f"{c}{i}": c for c in ("x", "y", "z") for i in range(40)}, 0)
    assert (
        hashlib.sha256("\n".join(order).encode()).hexdigest()
        == "60a4b5ba03d3ffb5428926e3b1aa517d7907e4816c06eacc5fb962835854d2da"
    )


@settings(max_examples=100, deadline=None)
@given(
    st.dictionaries(st.text(min_size=1, max_size=4), st.sampled_from("abcd"), min_size=1), st.integers(0, 3)
)
def test_every_prefix_is_as_balanced_as_can_be(labels: dict[str, str], seed: int) -> None:
    order = balanced_order(dict(labels), seed)
    assert sorted(order) == sorted(labels)
    sizes = Counter(labels.values())
    for count in range(len(order)):
        taken = Counter(labels[one] for one in order[:count])
        most = max((taken[name] for name in sizes), default=0)
        assert all(taken[name] >= min(most - 1, sizes[name]) for name in sizes)


def test_what_is_held_out_is_a_tenth_of_every_class_and_never_chosen() -> None:
    labels = {f"{c}{i}": c for c in "ab" for i in range(100)} | {f"s{i}": "small" for i in range(4)}
    for per_class in (2, 10, 95, 100):
        one = chosen(labels, videos_per_class=per_class)
        aside = held_out(dict(labels), one)
        assert not aside & one
        assert Counter(labels[video] for video in aside) == Counter(
            {c: min(10, 100 - per_class) for c in "ab" if per_class < 100}
            | ({"small": 1} if per_class == 2 else {})
        )
        assert held_out(dict(reversed(labels.items())), one) == aside


def test_options_that_cannot_be_meant() -> None:
    with pytest.raises(ValidationError, match="three ways to say it"):
        SubsetOptions(num_videos=3, videos_per_class=1)
    with pytest.raises(DatasetError, match="num_videos=5 is more than the training list has: 2"):
        choose({"a": "x", "b": "y"}, SubsetOptions(num_videos=5))
    with pytest.raises(DatasetError, match="needs a class for every training video; 'b' has none"):
        choose({"a": "x", "b": None}, SubsetOptions(num_videos=1))


# --------------------------------------------------------------------------------- with files, on a copy


def copy(tmp_path: Path, here: int) -> Path:
    """Sixty listed videos of two classes, of which the first few are here."""
    rows = [f"{'yoga' if i % 2 else 'zumba'},{i:011d},0,10,train" for i in range(60)]
    table = "\n".join(["label,youtube_id,time_start,time_end,split", *rows])
    return make(write(tmp_path, train__csv=table), [f"train/{i:011d}.mp4" for i in range(here)])


def test_a_missing_video_stays_in_the_subset_and_no_other_takes_its_place(tmp_path: Path) -> None:
    whole = opened(Kinetics400, copy(tmp_path / "whole", 60), videos_per_class=10)
    part = opened(Kinetics400, copy(tmp_path / "part", 40), videos_per_class=10)
    of_part = listed(part.inventory(), "train")
    assert set(of_part.found) | set(of_part.missing) == set(ids(whole, "train"))
    assert set(ids(part, "train")) == set(of_part.found) < set(ids(whole, "train"))
    assert len(of_part.found) + len(of_part.missing) == 20


@pytest.mark.parametrize("here", [60, 20])
def test_a_subset_is_trained_on_whole_whatever_else_is_here(tmp_path: Path, here: int) -> None:
    """Also where the subset alone is here, and where the videos for validation are not."""
    root = copy(tmp_path / "R", 60)
    subset = ids(opened(Kinetics400, root, videos_per_class=10), "train")
    for path in list(root.rglob("*.mp4"))[: 60 if here == 20 else 0]:
        if path.stem not in subset:
            path.unlink()
    index = build_index("k", opened(Kinetics400, root, videos_per_class=10, refresh=True), Data())
    assert [record.video_id for record in index.parts["train"]] == subset
    assert len(index.parts["validation"]) == (0 if here == 20 else 6)
    write(root, val__csv="label,youtube_id,time_start,time_end,split\nyoga,00000000077,0,10,val")
    index = build_index("k", opened(Kinetics400, root, videos_per_class=10, refresh=True), Data())
    assert [record.video_id for record in index.parts["train"]] == subset
    assert (index.parts["validation"], index.missing["validation"]) == ((), 1)


def test_a_list_of_ids_says_the_same_on_another_machine(tmp_path: Path) -> None:
    whole = opened(Kinetics400, copy(tmp_path / "whole", 60), num_videos=14, subset_seed=3)
    text = "\r\n".join(reversed(ids(whole, "train"))) + "\r\n\r\n"
    other = opened(
        Kinetics400, copy(tmp_path / "other", 60), subset_file=str(write(tmp_path, ids__txt=text) / "ids.txt")
    )
    assert ids(other, "train") == ids(whole, "train")
    assert ids(other, "validation") == ids(whole, "validation") != []
    assert not set(ids(other, "validation")) & set(ids(other, "train"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("00000000001\n00000000099\n", r"ids\.txt', line 2, has '00000000099', which is no id"),
        ("\n", "is empty"),
    ],
)
def test_a_list_of_ids_that_does_not_fit(tmp_path: Path, text: str, message: str) -> None:
    write(tmp_path, ids__txt=text)
    with pytest.raises(DatasetError, match=message):
        opened(Kinetics400, copy(tmp_path / "R", 5), subset_file=str(tmp_path / "ids.txt"))
