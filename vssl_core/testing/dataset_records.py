"""Checks of what a dataset says: records, classes, labels, ids, groups, and what they may depend on."""

from __future__ import annotations

import hashlib
import math
import pickle
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vssl_core.data import build_index
from vssl_core.protocol import Data
from vssl_core.testing.dataset_elsewhere import seen_elsewhere
from vssl_core.testing.dataset_worlds import SPLITS, DatasetSubject, Seen, look
from vssl_core.testing.outcome import CheckFailed
from vssl_core.testing.process_state import disturbed
from vssl_core.types import Split, VideoRecord

__all__ = ["RECORD_CHECKS"]


def check_every_split_is_answered(subject: DatasetSubject) -> None:
    """`records` gives a sequence of `VideoRecord` for every split, empty where there is no such split."""
    seen = subject.seen
    for split, problem in seen.problems.items():
        raise CheckFailed(
            f"expected records({split!r}) to give an empty sequence where there is no such split; it raised "
            f"{type(problem).__name__}: {problem}"
        )
    for split in SPLITS:
        given = seen.parts[split]
        if not isinstance(given, Sequence) or isinstance(given, str):
            raise CheckFailed(f"expected records({split!r}) to give a list or tuple; got {given!r}.")
        seen.records(split)
    if not seen.records("train"):
        raise CheckFailed("expected videos to train on, but records('train') is empty.")


def check_classes_are_distinct_names(subject: DatasetSubject) -> None:
    """`classes` is a sequence of distinct names; empty for unlabelled videos."""
    classes = subject.seen.classes
    if not isinstance(classes, Sequence) or isinstance(classes, str):
        raise CheckFailed(f"expected classes to be a sequence of names; got {classes!r}.")
    if strange := [name for name in classes if not isinstance(name, str) or not name.strip()]:
        raise CheckFailed(f"expected every class to have a name; got {strange[0]!r}.")
    if twice := _twice(classes):
        raise CheckFailed(f"expected distinct classes; {twice!r} stands there more than once.")


def check_records_are_well_formed(subject: DatasetSubject) -> None:
    """Every field has the type that the contract says, so that an index can be written as JSON."""
    for split, record in subject.seen.all_records():
        where = f"video {record.video_id!r} of {split!r}"
        if not isinstance(record.path, str) or not record.path:
            raise CheckFailed(f"expected the path of {where} to be text; got {record.path!r}.")
        if record.label is not None and type(record.label) is not int:
            raise CheckFailed(
                f"expected the label of {where} to be an int or None; got {record.label!r} "
                f"({type(record.label).__name__})."
            )
        if record.group is not None and (not isinstance(record.group, str) or not record.group):
            raise CheckFailed(f"expected the group of {where} to be a name or None; got {record.group!r}.")
        if record.span_seconds is not None and not _is_span(record.span_seconds):
            raise CheckFailed(
                f"expected the span of {where} to be (start, end) in seconds with 0 <= start < end; got "
                f"{record.span_seconds!r}."
            )


def check_labels_index_the_classes(subject: DatasetSubject) -> None:
    """Labels are indices of `classes`; videos of a set without classes have none."""
    seen = subject.seen
    labels = []
    for split, record in seen.all_records():
        labels.append(record.label)
        if record.label is not None and not 0 <= record.label < len(seen.classes):
            raise CheckFailed(
                f"expected labels 0 … {len(seen.classes) - 1} for {len(seen.classes)} classes, or None; "
                f"video {record.video_id!r} of {split!r} has {record.label}."
            )
    if len(seen.classes) and all(label is None for label in labels):
        raise CheckFailed(
            f"expected labels, or no classes: there are {len(seen.classes)} classes, no video has a label."
        )


def check_ids_are_names(subject: DatasetSubject) -> None:
    """Ids are distinct names in a split, and say nothing of where files are stored; groups neither."""
    for split in SPLITS:
        records = subject.seen.records(split)
        for record in records:
            if not isinstance(record.video_id, str) or not record.video_id or not _encodes(record.video_id):
                raise CheckFailed(
                    f"expected an id that UTF-8 can write; a video of {split!r} has {record.video_id!r}."
                )
            for what, name in (("id", record.video_id), ("group", record.group)):
                if name is not None and _names_a_place(name, record):
                    raise CheckFailed(
                        f"expected the {what} of a video to be the same wherever its file is stored; got "
                        f"{name!r} for {record.path!r}. Use the path below the folder of the dataset."
                    )
        if twice := _twice([record.video_id for record in records]):
            raise CheckFailed(f"expected distinct ids; {twice!r} stands more than once in {split!r}.")


def check_a_split_lists_no_video_twice(subject: DatasetSubject) -> None:
    """No file, or the same span of one, stands in a split under two ids: it would count twice."""
    for split in SPLITS:
        records = subject.seen.records(split)
        if twice := _twice([(str(Path(r.path).resolve()), r.span_seconds) for r in records]):
            ids = [r.video_id for r in records if (str(Path(r.path).resolve()), r.span_seconds) == twice]
            raise CheckFailed(
                f"expected every video once, but in {split!r} the ids {' and '.join(map(repr, ids[:2]))} "
                f"are the same span of the file {twice[0]!r}; it would count {len(ids)} times."
            )


def check_splits_share_no_video(subject: DatasetSubject) -> None:
    """No id, no file and no content of a file stands in two splits."""
    records = subject.seen.all_records()
    for what, shared in (
        ("id", _in_two_splits([(split, record.video_id) for split, record in records])),
        ("file", _in_two_splits([(split, str(Path(record.path).resolve())) for split, record in records])),
    ):
        if shared is not None:
            raise CheckFailed(
                f"expected splits that share no video, but {' and '.join(shared[1])} both have the {what} "
                f"{shared[0]!r}; a source belongs into one split."
            )
    contents = _contents(records)
    if len({digest for _, digest in contents.values()}) == 1 and len(contents) > 2:
        return  # placeholders: equal files all over say nothing about splits
    shared = _in_two_splits([(split, digest) for splits, digest in contents.values() for split in splits])
    if shared is not None:
        paths = [path for path, (_, digest) in contents.items() if digest == shared[0]]
        raise CheckFailed(
            f"expected splits that share no video, but {' and '.join(shared[1])} hold copies of one file: "
            f"{' and '.join(repr(path) for path in paths[:2])}."
        )


def check_splits_share_no_group(subject: DatasetSubject) -> None:
    """Videos of one source never stand on both sides of a split."""
    records = [(split, r.group) for split, r in subject.seen.all_records() if r.group is not None]
    if (shared := _in_two_splits(records)) is not None:
        raise CheckFailed(
            f"expected splits that share no group, but {' and '.join(shared[1])} both have videos of "
            f"the group {shared[0]!r}; split by group, not by video."
        )


def check_the_core_takes_the_index(subject: DatasetSubject) -> None:
    """Records can be pickled, and the core makes an index with a digest of them."""
    seen = subject.seen
    try:
        again = pickle.loads(pickle.dumps(seen.all_records()))
    except Exception as error:
        raise CheckFailed(
            f"expected records that can be pickled; {error}. Give plain VideoRecords."
        ) from error
    if again != seen.all_records():
        raise CheckFailed("expected records to survive pickling; what came back differs.")
    index = build_index(subject.ref.name, subject.build("first"), Data())
    if not index.digest:
        raise CheckFailed("expected an index with a digest; got none.")


def check_records_repeat(subject: DatasetSubject) -> None:
    """Every call and every instance gives the same records in the same order; nothing is drawn anew."""
    expected, advice = subject.seen, "keep what was drawn, and draw with a seed of your own"
    with disturbed(3):
        dataset = subject.build("first")
        dataset.prepare()
        _compare(expected, look(dataset), "from another instance", advice)
    with disturbed(4):
        _compare(expected, look(dataset), "at another call", advice)


def check_records_do_not_depend_on_the_cache_folder(subject: DatasetSubject) -> None:
    """In another cache folder every video has the same id, class, group and span."""
    first, second = subject.seen.facts(), subject.second.facts()
    if names := sorted(first.keys() ^ second.keys()):
        raise CheckFailed(
            f"expected the same videos in every cache folder, but {names[0][1]!r} of {names[0][0]!r} is in "
            "one alone; an id says nothing of where files are stored."
        )
    for name, fact in first.items():
        if second[name] != fact:
            raise CheckFailed(
                f"expected the same class, group and span in every cache folder, but video {name[1]!r} of "
                f"{name[0]!r} has {fact} in one and {second[name]} in another."
            )


def check_order_does_not_depend_on_the_file_system(subject: DatasetSubject) -> None:
    """Records and classes keep their order where folders list, or files were written, in another one."""
    how = "where folders list their entries backwards"
    _compare(subject.seen, subject.second, how, "sort what a folder lists, by name")
    _compare(subject.seen, subject.aged, "where files have other times", "sort by name, never by time")


def check_order_does_not_depend_on_the_process(subject: DatasetSubject) -> None:
    """Another process, in which text has other hashes, gives the same records in the same order."""
    advice = "sort what comes out of a set or a folder; never use hash()"
    _compare(subject.seen, seen_elsewhere(subject), "in another process", advice)


def _compare(expected: Seen, found: Seen, how: str, advice: str) -> None:
    """Raise CheckFailed where order, class, group or span differ."""
    found_order = found.order()
    for part, names in expected.order().items():
        if found_order[part] == names:
            continue
        if sorted(found_order[part]) != sorted(names):
            odd = sorted({*names} ^ {*found_order[part]})
            raise CheckFailed(
                f"expected the same {part} everywhere, but {how} {odd[:3]} are added or missing; {advice}."
            )
        place = next(
            i for i, pair in enumerate(zip(names, found_order[part], strict=True)) if pair[0] != pair[1]
        )
        raise CheckFailed(
            f"expected the same order everywhere, but {how} number {place} of {part} is "
            f"{found_order[part][place]!r} instead of {names[place]!r}; {advice}."
        )
    for name, fact in expected.facts().items():
        if found.facts()[name] != fact:
            raise CheckFailed(
                f"expected the same records everywhere, but {how} video {name[1]!r} has "
                f"{found.facts()[name]} instead of {fact}; {advice}."
            )


def _in_two_splits(pairs: Sequence[tuple[Split, Any]]) -> tuple[Any, tuple[Split, Split]] | None:
    """The first value that two splits have, and which."""
    owner: dict[Any, Split] = {}
    for split, value in pairs:
        first = owner.setdefault(value, split)
        if first != split:
            return value, (first, split)
    return None


def _contents(
    records: Sequence[tuple[Split, VideoRecord]],
) -> Mapping[str, tuple[set[Split], tuple[int, str]]]:
    """File → its splits, its size and, where another file has the same size, a digest of its content."""
    splits: dict[str, set[Split]] = {}
    for split, record in records:
        if Path(record.path).is_file():
            splits.setdefault(record.path, set()).add(split)
    sizes = {path: Path(path).stat().st_size for path in splits}
    count = {size: list(sizes.values()).count(size) for size in set(sizes.values())}
    return {
        path: (owners, (sizes[path], _digest(path) if count[sizes[path]] > 1 else path))
        for path, owners in splits.items()
    }


def _digest(path: str) -> str:
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "blake2b").hexdigest()


def _is_span(span: Any) -> bool:
    if not isinstance(span, tuple) or len(span) != 2:
        return False
    numbers = all(isinstance(value, int | float) and math.isfinite(value) for value in span)
    return numbers and 0 <= span[0] < span[1]


def _encodes(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _names_a_place(name: str, record: VideoRecord) -> bool:
    folder = str(Path(record.path).absolute().parent)
    return Path(name).is_absolute() or (len(folder) > 1 and folder in name)


def _twice(names: Sequence[Any]) -> Any:
    seen: set[Any] = set()
    for name in names:
        if name in seen:
            return name
        seen.add(name)
    return None


RECORD_CHECKS = (
    check_every_split_is_answered,
    check_classes_are_distinct_names,
    check_records_are_well_formed,
    check_labels_index_the_classes,
    check_ids_are_names,
    check_a_split_lists_no_video_twice,
    check_splits_share_no_video,
    check_splits_share_no_group,
    check_the_core_takes_the_index,
    check_records_repeat,
    check_records_do_not_depend_on_the_cache_folder,
    check_order_does_not_depend_on_the_file_system,
    check_order_does_not_depend_on_the_process,
)
