"""Do two sets of videos share content? By bytes, and by pictures, whatever their codec, size and name.

Every file is read once for its digest and the hashes of its frames, which are kept in the user's cache. Pairs
that may be alike (`buckets`) are looked at closely (`likeness`).
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from vssl_core.errors import VideoError
from vssl_core.ledger import gather
from vssl_core.overlap.buckets import candidates
from vssl_core.overlap.likeness import ALIKE, Alignment, Detail, align, look_closely
from vssl_core.progress import Progress
from vssl_core.types import VideoRecord
from vssl_core.video.file_journal import FileJournal
from vssl_core.video.fingerprint import METHOD
from vssl_core.video.loader import ordered_map
from vssl_core.video.pyav_decoder import pyav_versions

__all__ = ["ALIKE", "Overlap", "Pair", "find_overlap"]

_DETAIL_BYTES = 512 << 20  # of frames that are remembered; a short video has about 100 KiB


@dataclass(frozen=True, slots=True)
class Pair:
    """Two videos of one content.

    Args:
        kind: `same file`, `exact` (equal bytes) or `near` (equal pictures).
        left: Of the first set.
        right: Of the second.
        distance: 0 for equal pictures; `near` goes up to `ALIKE`.
        offset_seconds: Where in the right one the left one begins.
    """

    kind: Literal["same file", "exact", "near"]
    left: VideoRecord
    right: VideoRecord
    distance: float = 0.0
    offset_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Overlap:
    """What was found.

    Args:
        pairs: The nearest first.
        compared: Videos of the two sets.
        unreadable: Path → why its pictures could not be compared.
    """

    pairs: tuple[Pair, ...]
    compared: tuple[int, int]
    unreadable: Mapping[str, str]


def find_overlap(
    left: Sequence[VideoRecord],
    right: Sequence[VideoRecord] | None,
    *,
    cache: Path,
    progress: Progress,
    processes: int,
) -> Overlap:
    """Every pair of a left and a right video that show the same; without `right`, of two left ones.

    Whole files are compared, also where a record is a part of one.

    Raises:
        StoreError: The cache cannot be written.
        KeyboardInterrupt: Interrupted; what is hashed is kept.
    """
    others = left if right is None else right
    decoder = ", ".join(f"{name} {version}" for name, version in pyav_versions().items())
    journal = FileJournal(cache / "fingerprints", by=f"{METHOD}, {decoder}")
    found = gather(
        journal, "fingerprint", [*left, *others],
        title="hashing videos", progress=progress, processes=processes,
        known=lambda facts: isinstance(facts.get("hashes"), str) and "sha256" in facts,
    )  # fmt: skip
    reasons = {path: facts.get("error") or facts.get("undecodable") for path, facts in found.items()}
    unreadable = {path: str(reason) for path, reason in reasons.items() if reason}
    pairs = [*_equal_files(left, right, found)]
    pairs += _alike(left, right, found, progress, processes, unreadable)
    pairs.sort(key=lambda pair: (pair.distance, pair.left.video_id, pair.right.video_id))
    return Overlap(tuple(pairs), (len(left), len(others)), unreadable)


def _equal_files(
    left: Sequence[VideoRecord], right: Sequence[VideoRecord] | None, found: Mapping[str, Mapping[str, Any]]
) -> Iterator[Pair]:
    by_content: dict[str, list[VideoRecord]] = {}
    for record in left if right is None else right:
        if digest := found[record.path].get("sha256"):
            by_content.setdefault(digest, []).append(record)
    for one in left:
        for other in by_content.get(found[one.path].get("sha256", ""), ()):
            if one.path == other.path and right is not None:
                yield Pair("same file", one, other)
            elif one.path != other.path and (right is not None or one.path < other.path):
                yield Pair("exact", one, other)


def _alike(
    left: Sequence[VideoRecord],
    right: Sequence[VideoRecord] | None,
    found: Mapping[str, Mapping[str, Any]],
    progress: Progress,
    processes: int,
    unreadable: dict[str, str],
) -> Iterator[Pair]:
    records = [*left, *(right or ())]
    hashes = [_hashes(found[record.path]) for record in records]
    digests = [found[record.path].get("sha256") for record in records]
    pairs = [
        (one, other)
        for one, other in candidates(hashes, num_left=0 if right is None else len(left))
        if digests[one] != digests[other]
    ]
    details = _Details()

    def compare(pair: tuple[int, int]) -> Alignment | VideoError:
        try:
            return align(*(details.of(records[place].path) for place in pair))
        except VideoError as error:
            return error

    with progress.track("comparing videos", len(pairs), "pairs") as bar:
        alignments = ordered_map(compare, pairs, threads=processes, prefetch=4 * processes)
        for (one, other), how in zip(pairs, alignments, strict=True):
            bar.advance()
            if isinstance(how, VideoError):
                unreadable[how.path] = how.reason
            elif how.distance <= ALIKE:
                yield Pair("near", records[one], records[other], how.distance, how.offset_seconds)


class _Details:
    """All frames of the videos that were looked at last; threads share one."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, Detail] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def of(self, path: str) -> Detail:
        with self._lock:
            detail = self._kept.get(path)
        if detail is None:
            detail = look_closely(path)
        with self._lock:
            if path not in self._kept:
                self._kept[path] = detail
                self._bytes += detail.frames_TP.nbytes
            self._kept.move_to_end(path)
            while self._bytes > _DETAIL_BYTES:
                self._bytes -= self._kept.popitem(last=False)[1].frames_TP.nbytes
        return detail


def _hashes(facts: Mapping[str, Any]) -> np.ndarray:
    return np.frombuffer(bytes.fromhex(facts.get("hashes", "")), dtype="<u8")
