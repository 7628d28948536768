"""From a dataset plugin to the videos that a protocol uses: splits, subset, digest, ledger."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, get_args

from vssl_core.cells import digest
from vssl_core.errors import ContractError, DatasetError, ProtocolError, VideoError
from vssl_core.interfaces import VideoDataset
from vssl_core.ledger import DecodeLedger
from vssl_core.progress import Progress
from vssl_core.protocol import Data, Protocol
from vssl_core.seeding import key_digest
from vssl_core.types import InventoryList, Split, VideoRecord
from vssl_core.video import FrameReader
from vssl_core.video.loader import ordered_map
from vssl_core.video.second_try import with_second_try

__all__ = [
    "Index",
    "Ledger",
    "audit",
    "build_index",
    "held_out",
    "loader_threads",
    "num_missing",
    "readable",
    "subset",
    "target_subset",
]


@dataclass(frozen=True, slots=True)
class Index:
    """The videos of a dataset under a protocol: three parts that share no video and no group.

    `missing`: how many videos of each part the dataset lists and does not have. They decide about
    coverage and about nothing else.
    """

    name: str
    classes: tuple[str, ...]
    parts: Mapping[Split, tuple[VideoRecord, ...]]
    mirrored: Mapping[str, str] = field(default_factory=dict)
    missing: Mapping[Split, int] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        """Over what decides about numbers: ids, labels, groups, spans, sizes and the classes."""
        rows = {split: [_fingerprint(record) for record in part] for split, part in self.parts.items()}
        return digest({"classes": list(self.classes), "parts": rows})

    @property
    def unlabelled_digest(self) -> str:
        """The same without labels and test part, which pretraining never sees."""
        rows = {
            split: [_fingerprint(record)[:1] + _fingerprint(record)[2:] for record in self.parts[split]]
            for split in ("train", "validation")
        }
        return digest(rows)


def _fingerprint(record: VideoRecord) -> list[Any]:
    try:
        size = os.stat(record.path).st_size  # noqa: PTH116
    except OSError:
        size = -1
    return [record.video_id, record.label, record.group, record.span_seconds, size]


@dataclass(frozen=True, slots=True)
class Ledger:
    """Which videos were asked for, and which of them could not be used.

    Args:
        videos: In the index.
        unreadable: Id → why it could not be read.
        missing: Listed by the dataset's authors, and not in the index.
    """

    videos: int
    unreadable: Mapping[str, str]
    missing: int = 0

    @property
    def used(self) -> int:
        """Videos that could be read."""
        return self.videos - len(self.unreadable)

    @property
    def listed(self) -> int:
        """Videos that should be there."""
        return self.videos + self.missing

    def document(self) -> dict[str, Any]:
        """For the bundle."""
        rows = [{"video_id": name, "reason": why} for name, why in sorted(self.unreadable.items())]
        return {"videos": self.videos, "missing": self.missing, "unreadable": rows}


def loader_threads() -> int:
    """Threads that decode: one for each core that this process may use."""
    return max(1, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)


def build_index(name: str, dataset: VideoDataset, data: Data) -> Index:
    """Read the splits, check them, and carve a validation part where the dataset lists none.

    One that is listed and not here is missing: training videos that were asked for do not take its place.

    Raises:
        ContractError: The dataset breaks its contract (ids, labels, groups, splits).
        DatasetError: It has no video to train on.
        ProtocolError: The protocol pins another digest.
    """
    parts: dict[Split, tuple[VideoRecord, ...]] = {}
    classes = tuple(dataset.classes)
    for split in get_args(Split):
        parts[split] = _absolute(dataset.records(split))
        _check_records(name, split, parts[split], classes)
    if not parts["train"]:
        raise DatasetError(f"dataset {name!r} has no training videos; check its options.")
    lists = dataset.inventory().lists
    if not parts["validation"] and all(one.part != "validation" for one in lists):
        parts["train"], parts["validation"] = _carve(parts["train"], data.validation_fraction)
    _check_disjoint(name, parts)
    index = Index(name, classes, parts, dataset.mirrored, _missing(lists))
    pinned = data.pins.get(name)
    if pinned is not None and pinned != index.digest:
        raise ProtocolError(
            f"dataset {name!r} has digest {index.digest}; the protocol pins {pinned}. "
            "These are not the videos that the protocol was written for."
        )
    return index


def _missing(lists: Iterable[InventoryList]) -> dict[Split, int]:
    missing: dict[Split, int] = dict.fromkeys(get_args(Split), 0)
    for one in lists:
        if one.part is not None:
            missing[one.part] += len(one.missing)
    return missing


def num_missing(index: Index, splits: Iterable[Split], *, bound: int | None) -> int:
    """Videos that parts lack of what they list, where of each part at most `bound` are used."""
    missing = 0
    for split in splits:
        here, gone = len(index.parts[split]), index.missing.get(split, 0)
        wanted = here + gone if bound is None else min(bound, here + gone)
        missing += max(0, wanted - here)
    return missing


def _absolute(records: Sequence[VideoRecord]) -> tuple[VideoRecord, ...]:
    """Paths that stay right when the working folder changes (cells run in processes of their own)."""
    return tuple(
        VideoRecord(r.video_id, str(Path(r.path).absolute()), r.label, r.group, r.span_seconds)
        for r in records
    )


def _check_records(name: str, split: str, records: Sequence[VideoRecord], classes: Sequence[str]) -> None:
    seen: set[str] = set()
    for record in records:
        if record.video_id in seen:
            raise ContractError(f"dataset {name!r}: video_id {record.video_id!r} stands twice in {split!r}.")
        seen.add(record.video_id)
        if record.label is not None and not 0 <= record.label < len(classes):
            raise ContractError(
                f"dataset {name!r}: {record.video_id!r} has label {record.label}; "
                f"expected 0 … {len(classes) - 1} for its {len(classes)} classes, or None."
            )


def _check_disjoint(name: str, parts: Mapping[Split, Sequence[VideoRecord]]) -> None:
    owner_of_id: dict[str, str] = {}
    owner_of_group: dict[str, str] = {}
    for split, records in parts.items():
        for record in records:
            first = owner_of_id.setdefault(record.video_id, split)
            if first != split:
                raise ContractError(
                    f"dataset {name!r}: video {record.video_id!r} is in {first!r} and in {split!r}; "
                    "splits must share no video."
                )
            if record.group is None:
                continue
            first = owner_of_group.setdefault(record.group, split)
            if first != split:
                raise ContractError(
                    f"dataset {name!r}: group {record.group!r} is in {first!r} and in {split!r}; "
                    "videos of one source must stay on one side of a split. "
                    "Take its official split, or lists that keep groups whole."
                )


def _carve(
    train: Sequence[VideoRecord], fraction: float
) -> tuple[tuple[VideoRecord, ...], tuple[VideoRecord, ...]]:
    """Give whole groups to validation, in the order of a hash of their names.

    A group goes over while some class of its videos has not yet given its share (once the share of all is
    met, only while none of its classes has), and only if every class keeps a training video elsewhere.
    """
    groups: dict[str, list[VideoRecord]] = {}
    for record in train:
        groups.setdefault(record.group or f"video:{record.video_id}", []).append(record)
    total = Counter(record.label for record in train)
    given: Counter[int | None] = Counter()
    taken: set[str] = set()
    for name in sorted(groups, key=lambda group: key_digest("validation", group)):
        needed = Counter(record.label for record in groups[name])
        enough = [given[label] >= fraction * total[label] for label in needed]
        if all(enough) or (len(taken) >= fraction * len(train) and any(enough)):
            continue
        if any(given[label] + count >= total[label] for label, count in needed.items()):
            continue
        given += needed
        taken |= {record.video_id for record in groups[name]}
    return (
        tuple(record for record in train if record.video_id not in taken),
        tuple(record for record in train if record.video_id in taken),
    )


def readable(index: Index, missing: Iterable[str]) -> Index:
    """The index without the videos of these ids, which cannot be read."""
    gone = frozenset(missing)
    parts = {
        split: tuple(record for record in records if record.video_id not in gone)
        for split, records in index.parts.items()
    }
    return replace(index, parts=parts)


def subset(records: Sequence[VideoRecord], data: Data) -> tuple[VideoRecord, ...]:
    """The protocol's pretraining subset, without labels: the first by hash of (subset_seed, video_id)."""
    return _unlabelled(_first(records, data.num_videos, data.subset_seed))


def held_out(records: Sequence[VideoRecord], data: Data) -> tuple[VideoRecord, ...]:
    """The validation videos of the held-out pretext metrics, without labels: the first by the same hash."""
    return _unlabelled(_first(records, data.held_out_videos, data.subset_seed))


def _unlabelled(records: Sequence[VideoRecord]) -> tuple[VideoRecord, ...]:
    return tuple(VideoRecord(r.video_id, r.path, None, r.group, r.span_seconds) for r in records)


def target_subset(index: Index, protocol: Protocol) -> Index:
    """The target as the protocol's evaluations use it: at most so many videos of each part."""
    count, seed = protocol.evaluation.num_videos, protocol.data.subset_seed
    parts = {split: _first(records, count, seed) for split, records in index.parts.items()}
    return replace(index, parts=parts)


def _first(records: Sequence[VideoRecord], count: int | None, seed: int) -> tuple[VideoRecord, ...]:
    if count is None:
        return tuple(records)
    ranked = sorted(records, key=lambda r: key_digest("subset", seed, r.video_id))
    chosen = {record.video_id for record in ranked[:count]}
    return tuple(record for record in records if record.video_id in chosen)


def audit(
    records: Sequence[VideoRecord],
    reader: FrameReader,
    *,
    ledger: DecodeLedger,
    data: Data,
    progress: Progress,
    missing: int = 0,
) -> tuple[tuple[VideoRecord, ...], Ledger]:
    """Look into every file before work starts; what the decode ledger knows is not opened again.

    Strict: its table of frames is read; the first video that cannot be read stops the cell and is
    named. Lenient: every video is decoded once, for the ledger, and those that fail are left out by id,
    the same ones in every cell; so one that fails by chance stops the cell. `missing` videos were listed
    and are not in the index.

    Raises:
        VideoError: A video cannot be read; lenient, for a reason that may pass.
        DatasetError: Nothing is left.
    """
    find = _strictly if data.unreadable == "strict" else _leniently
    failed = find(records, reader, ledger, progress)
    readable = tuple(record for record in records if record.video_id not in failed)
    if not readable:
        raise DatasetError(
            f"none of {len(records)} videos can be read; the first: {next(iter(failed.items()))}"
        )
    return readable, Ledger(len(records), failed, missing)


def _strictly(
    records: Sequence[VideoRecord], reader: FrameReader, ledger: DecodeLedger, progress: Progress
) -> dict[str, str]:
    decoder = reader.decoder_identity["decoder"]

    def look(record: VideoRecord) -> VideoError | None:
        known = ledger.look_up(record, decoder=decoder)
        return known.problem(record) if known and not record.span_seconds else _problem(reader, record)

    with progress.track("checking videos", len(records), "videos") as bar:
        problems = ordered_map(look, records, threads=loader_threads(), prefetch=64)
        for record, problem in zip(records, problems, strict=True):
            bar.advance()
            if problem is not None:
                raise VideoError(
                    record.path,
                    f"{problem.reason}. `vssl data audit` finds all such videos of a dataset. Put a sound "
                    "file in its place or take it out of the dataset; or leave out by id whatever cannot "
                    "be read, with -o protocol.data.unreadable=lenient",
                )
    return {}


def _leniently(
    records: Sequence[VideoRecord], reader: FrameReader, ledger: DecodeLedger, progress: Progress
) -> dict[str, str]:
    decoder = reader.decoder_identity["decoder"]
    decoded = ledger.complete(records, progress=progress, processes=loader_threads(), decoder=decoder)
    problems: dict[str, str] = {}
    for record in records:
        problem = decoded[record.path].problem(record)
        if problem is None and record.span_seconds:
            problem = _problem(reader, record)
        if problem is not None and problem.passing:
            raise VideoError(
                record.path,
                f"{problem.reason}. That says nothing of what is in it, so it is not left out, which would "
                "be by chance. Run the same command again when the machine is well; or take the video out of "
                "the dataset",
                passing=True,
            )
        if problem is not None:
            problems[record.video_id] = problem.reason
    return problems


def _problem(reader: FrameReader, record: VideoRecord) -> VideoError | None:
    try:
        with_second_try(record.path, lambda: reader.info(record))
    except VideoError as error:
        return error
    return None
