"""From a dataset to the videos of a protocol: contract checks, carving, subsets, digests, order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tiny_dataset import drifting, write_video

from vssl_core.data import (
    Index,
    Ledger,
    audit,
    build_index,
    held_out,
    num_missing,
    subset,
    target_subset,
)
from vssl_core.errors import ContractError, DatasetError, ProtocolError, VideoError
from vssl_core.interfaces import VideoDataset
from vssl_core.ledger import DecodeLedger
from vssl_core.progress import quiet_progress
from vssl_core.protocol import Data, load_protocol
from vssl_core.types import Inventory, InventoryList, Split, VideoInfo, VideoRecord
from vssl_core.video import FrameReader, worker_pool
from vssl_core.views import epoch_order


class Listed(VideoDataset):
    """A dataset that says what it is told to say."""

    def __init__(
        self, parts: dict[Split, Sequence[VideoRecord]], classes: Sequence[str] = ("a", "b")
    ) -> None:
        self._parts, self._classes = parts, classes

    @property
    def classes(self) -> Sequence[str]:
        return self._classes

    def records(self, split: Split) -> Sequence[VideoRecord]:
        return self._parts.get(split, ())


def _videos(count: int, *, start: int = 0, per_group: int = 2) -> list[VideoRecord]:
    return [
        VideoRecord(f"v{i:03d}", f"/nowhere/{i}.mp4", i % 2, f"g{i // per_group}")
        for i in range(start, start + count)
    ]


def test_validation_is_carved_by_group_and_keeps_every_class_in_training() -> None:
    index = build_index("x", Listed({"train": _videos(40), "test": _videos(4, start=40)}), Data())
    train, validation = index.parts["train"], index.parts["validation"]
    assert len(train) + len(validation) == 40
    assert 4 <= len(validation) <= 8
    assert not {r.group for r in train} & {r.group for r in validation}
    assert {r.label for r in train} == {0, 1}
    again = build_index("x", Listed({"train": _videos(40), "test": _videos(4, start=40)}), Data())
    assert again.digest == index.digest


def test_one_group_cannot_be_split() -> None:
    index = build_index("x", Listed({"train": _videos(6, per_group=6)}), Data())
    assert len(index.parts["train"]) == 6
    assert index.parts["validation"] == ()


@pytest.mark.parametrize(
    ("parts", "match"),
    [
        ({"train": [*_videos(2), *_videos(1)]}, "stands twice"),
        ({"train": _videos(4), "test": [replace(_videos(1)[0], group="other")]}, "'v000' is in"),
        ({"train": _videos(4), "test": [replace(_videos(1)[0], video_id="new")]}, "group 'g0' is in"),
        ({"train": [replace(_videos(1)[0], label=2)]}, "label 2.*0 … 1"),
    ],
)
def test_broken_contracts_are_named(parts: dict[Split, list[VideoRecord]], match: str) -> None:
    with pytest.raises(ContractError, match=match):
        build_index("x", Listed(parts), Data())


def test_no_training_video() -> None:
    with pytest.raises(DatasetError, match="no training videos"):
        build_index("x", Listed({}), Data())


def test_pins() -> None:
    dataset = Listed({"train": _videos(8)})
    digest = build_index("x", dataset, Data()).digest
    build_index("x", dataset, Data(pins={"x": digest}))
    with pytest.raises(ProtocolError, match="pins"):
        build_index("x", dataset, Data(pins={"x": "0" * 64}))


def test_digest_sees_labels_and_the_unlabelled_one_does_not() -> None:
    one = build_index("x", Listed({"train": _videos(8)}), Data())
    flipped = {s: tuple(replace(r, label=1 - (r.label or 0)) for r in p) for s, p in one.parts.items()}
    other = Index("x", one.classes, flipped)
    assert one.digest != other.digest
    assert one.unlabelled_digest == other.unlabelled_digest


def test_subsets_are_nested_unlabelled_and_independent_of_order() -> None:
    videos = _videos(30)
    small, large = subset(videos, Data(num_videos=5)), subset(videos, Data(num_videos=12))
    assert {r.video_id for r in small} < {r.video_id for r in large}
    assert all(r.label is None for r in large)
    backwards = subset(videos[::-1], Data(num_videos=5))
    assert {r.video_id for r in backwards} == {r.video_id for r in small}
    assert {r.video_id for r in subset(videos, Data(num_videos=5, subset_seed=1))} != {
        r.video_id for r in small
    }


def test_held_out_videos_are_of_all_classes_and_not_those_with_the_first_names() -> None:
    videos = [VideoRecord(f"{label:03d}/{i}", "/nowhere", label) for label in range(101) for i in range(15)]
    few = held_out(videos, Data(held_out_videos=64))
    assert len(few) == 64
    labels = [int(record.video_id[:3]) for record in few]
    assert len(set(labels)) > 32
    assert max(labels) > 90
    assert all(record.label is None for record in few)
    more = held_out(videos[::-1], Data(held_out_videos=100, num_videos=10))
    assert {record.video_id for record in few} < {record.video_id for record in more}
    assert held_out(few[:5], Data()) == few[:5]


def test_a_target_subset_keeps_labels_order_and_small_parts_whole() -> None:
    parts = {"train": _videos(40), "validation": _videos(3, start=40), "test": _videos(20, start=60)}
    index = Index("target", ("a", "b"), {split: tuple(records) for split, records in parts.items()})
    assert target_subset(index, load_protocol("laptop")) == index
    limited = target_subset(index, load_protocol("laptop", {"evaluation.num_videos": 8}))
    assert [len(limited.parts[split]) for split in parts] == [8, 3, 8]
    for split, records in limited.parts.items():
        assert [r for r in index.parts[split] if r in records] == list(records)


def test_leaving_a_video_out_keeps_the_order_of_the_others() -> None:
    videos = _videos(20)
    whole = [r.video_id for r in epoch_order(videos, seed=3, epoch=2)]
    less = [r.video_id for r in epoch_order(videos[:7] + videos[8:], seed=3, epoch=2)]
    assert [name for name in whole if name != videos[7].video_id] == less
    assert whole != [r.video_id for r in epoch_order(videos, seed=3, epoch=3)]
    assert whole != [r.video_id for r in epoch_order(videos, seed=4, epoch=2)]
    first = np.array([epoch_order(videos, seed=s, epoch=0)[0].video_id for s in range(200)])
    assert len(set(first)) > 15


def test_unreadable_videos_stop_or_are_recorded(tmp_path: Path) -> None:
    (tmp_path / "bad.mp4").write_bytes(b"not a video")
    videos = [VideoRecord("bad", str(tmp_path / "bad.mp4")), VideoRecord("gone", str(tmp_path / "gone.mp4"))]
    around = {"ledger": DecodeLedger(tmp_path / "cache"), "progress": quiet_progress()}
    with pytest.raises(VideoError, match=r"bad\.mp4.*`vssl data audit`.*unreadable=lenient"):
        audit(videos, FrameReader(), data=Data(), **around)
    with pytest.raises(VideoError, match=r"gone\.mp4.*No such file.*unreadable=lenient"):
        audit(videos[1:], FrameReader(), data=Data(), **around)
    with pytest.raises(DatasetError, match="none of 2 videos"):
        audit(videos, FrameReader(), data=Data(unreadable="lenient"), **around)


def test_what_the_ledger_knows_is_not_opened_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    good, bad, new = (tmp_path / f"{name}.mp4" for name in ("good", "bad", "new"))
    write_video(good, drifting(seed=0, step=1))
    new.write_bytes(good.read_bytes())
    bad.write_bytes(b"not a video")
    videos = [VideoRecord(path.stem, str(path)) for path in (good, bad)]
    ledger, lenient = DecodeLedger(tmp_path / "cache"), Data(unreadable="lenient")
    usable, left_out = audit(videos, FrameReader(), ledger=ledger, data=lenient, progress=quiet_progress())
    assert [record.video_id for record in usable] == ["good"]
    assert (left_out.used, left_out.listed, list(left_out.unreadable)) == (1, 2, ["bad"])

    class Closed(FrameReader):
        def info(self, record: VideoRecord) -> VideoInfo:
            raise AssertionError(f"{record.path} was opened")

    monkeypatch.setattr("vssl_core.ledger.look_into", None)
    ledger = DecodeLedger(tmp_path / "cache")
    again, _ = audit(videos, Closed(), ledger=ledger, data=lenient, progress=quiet_progress())
    assert again == usable
    audit(videos[:1], Closed(), ledger=ledger, data=Data(), progress=quiet_progress())
    with pytest.raises(VideoError, match=r"bad\.mp4.*no video"):
        audit(videos, Closed(), ledger=ledger, data=Data(), progress=quiet_progress())
    with pytest.raises(AssertionError, match=r"new\.mp4 was opened"):
        audit([VideoRecord("new", str(new))], Closed(), ledger=ledger, data=Data(), progress=quiet_progress())


def test_no_video_is_left_out_by_chance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that is killed from outside costs a second try; what fails again stops the cell."""
    paths = [tmp_path / f"{name}.mp4" for name in ("a", "b", "c")]
    write_video(paths[0], drifting(seed=0, step=1))
    for path in paths[1:]:
        path.write_bytes(paths[0].read_bytes())
    videos, kills = [VideoRecord(path.stem, str(path)) for path in paths], [0]
    real = worker_pool._Worker.give

    def give(self: worker_pool._Worker, path: str | None) -> bool:
        begun = real(self, path)
        if path == str(paths[1]) and kills[0]:
            kills[0] -= 1
            self._process.kill()
        return begun

    monkeypatch.setattr(worker_pool._Worker, "give", give)
    around = {"data": Data(unreadable="lenient"), "progress": quiet_progress()}
    kills[0] = 2
    with pytest.raises(VideoError, match=r"b\.mp4.*SIGKILL.*not left out") as caught:
        audit(videos, FrameReader(), ledger=DecodeLedger(tmp_path / "cache"), **around)
    assert caught.value.passing
    kills[0] = 1
    usable, found = audit(videos, FrameReader(), ledger=DecodeLedger(tmp_path / "cache"), **around)
    assert list(usable) == videos
    assert not found.unreadable


def test_a_part_that_cannot_be_read_by_chance_is_not_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.mp4"
    write_video(path, drifting(seed=0, step=1))
    part = VideoRecord("a", str(path), span_seconds=(0.0, 0.5))

    class Failing(FrameReader):
        def info(self, record: VideoRecord) -> VideoInfo:
            raise VideoError(record.path, "Stale file handle", passing=True)

    monkeypatch.setattr("vssl_core.video.second_try._ask_the_system", lambda path: Failing().info(part))
    ledger, lenient = DecodeLedger(tmp_path / "cache"), Data(unreadable="lenient")
    with pytest.raises(VideoError, match=r"Stale.*not left out"):
        audit([part], Failing(), ledger=ledger, data=lenient, progress=quiet_progress())


def test_a_ledger_counts_what_is_used_and_what_is_listed() -> None:
    ledger = Ledger(4, {"v1": "broken"}, missing=2)
    assert (ledger.used, ledger.listed) == (3, 6)
    rows = [{"video_id": "v1", "reason": "broken"}]
    assert ledger.document() == {"videos": 4, "missing": 2, "unreadable": rows}


def test_missing_videos_are_counted_as_far_as_they_were_wanted() -> None:
    class Partly(Listed):
        def inventory(self) -> Inventory:
            lists = (
                InventoryList("train", "train", (), ("x", "y")),
                InventoryList("extra", None, (), ("z",)),
                InventoryList("test", "test", (), ("w",)),
            )
            return Inventory(lists)

    index = build_index("x", Partly({"train": _videos(40), "test": _videos(4, start=40)}), Data())
    assert index.missing == {"train": 2, "validation": 0, "test": 1}
    assert num_missing(index, ("train", "test"), bound=None) == 3
    assert num_missing(index, ("train", "test"), bound=5) == 1
    assert num_missing(index, ("train", "test"), bound=4) == 0
    assert target_subset(index, load_protocol("laptop")).missing == index.missing
    whole = build_index("x", Listed({"train": _videos(40), "test": _videos(4, start=40)}), Data())
    assert whole.digest == index.digest


def test_a_validation_part_that_is_listed_and_not_here_takes_no_training_video() -> None:
    class Partly(Listed):
        lists: tuple[InventoryList, ...] = ()

        def inventory(self) -> Inventory:
            return Inventory(self.lists)

    dataset = Partly({"train": _videos(40), "test": _videos(4, start=40)})
    assert build_index("x", dataset, Data()).parts["validation"]
    for missing in (("x", "y"), ()):  # gone from this disk; or a subset that leaves none
        dataset.lists = (InventoryList("val", "validation", (), missing),)
        index = build_index("x", dataset, Data())
        assert (len(index.parts["train"]), index.parts["validation"]) == (40, ())
        assert index.missing["validation"] == len(missing)


def test_every_class_with_several_sources_has_videos_in_the_carved_part() -> None:
    videos = [
        VideoRecord(f"{label}-{group}-{i}", "/nowhere", label, f"{label}/{group}")
        for label in range(40)
        for group in range(1 if label == 39 else 18)
        for i in range(3 + group % 4)
    ]
    index = build_index("x", Listed({"train": videos}, [str(i) for i in range(40)]), Data())
    train, validation = index.parts["train"], index.parts["validation"]
    assert {r.label for r in validation} == set(range(39))
    assert {r.label for r in train} == set(range(40))
    assert not {r.group for r in train} & {r.group for r in validation}
    assert 0.15 <= len(validation) / len(videos) < 0.2


def test_a_dataset_counts_and_checks_itself_without_any_code_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "here.mp4").touch()
    here, gone = (
        VideoRecord("a", str(tmp_path / "here.mp4"), 0),
        VideoRecord("b", str(tmp_path / "gone.mp4"), 1),
    )
    dataset = Listed({"train": [here], "test": [gone]})
    found = dataset.inventory()
    assert [(one.name, one.part, one.found, one.missing) for one in found.lists] == [
        ("train", "train", ("a",), ()),
        ("test", "test", ("b",), ()),
    ]
    assert found.classes == 2
    assert dataset.verify() == [f"b: there is no file {str(tmp_path / 'gone.mp4')!r}."]
    assert dataset.mirrored == {}


def test_mirrored_classes_stay_with_the_index() -> None:
    class Sided(Listed):
        mirrored = {"a": "b", "b": "a"}  # noqa: RUF012

    parts: dict[Split, Sequence[VideoRecord]] = {"train": _videos(8)}
    index = build_index("x", Sided(parts), Data())
    assert index.mirrored == {"a": "b", "b": "a"}
    assert (
        target_subset(index, load_protocol("laptop", {"evaluation.num_videos": 4})).mirrored == index.mirrored
    )
    assert index.digest == build_index("x", Listed(parts), Data()).digest
