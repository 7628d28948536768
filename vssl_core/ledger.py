"""The decode ledger: what decoding each video once has shown, kept in the user's cache.

An entry holds for a file of one size and time under one decoder and its version. Where that has changed,
there is no entry. Damaged videos are entries like others, so that every cell leaves out the same ones.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from vssl_core.errors import StoreError, VideoError
from vssl_core.lease import hold
from vssl_core.progress import Progress
from vssl_core.types import VideoInfo, VideoRecord
from vssl_core.video.decoders import find_decoder
from vssl_core.video.file_journal import FileJournal
from vssl_core.video.source import Stamp, stamp
from vssl_core.video.worker import decode_job
from vssl_core.video.worker_pool import LIMIT_SECONDS, look_into

__all__ = ["DecodeLedger", "Decoded", "gather"]


@dataclass(frozen=True, slots=True)
class Decoded:
    """What decoding a whole file has shown: `info`, or the `error` that it ended with.

    `passing`: the error says nothing of the file's content, and may be gone the next time.
    """

    info: VideoInfo | None
    error: str = ""
    passing: bool = False

    def problem(self, record: VideoRecord) -> VideoError | None:
        """The error as one of the record's file; None where there is none."""
        return VideoError(record.path, self.error, passing=self.passing) if self.error else None


class DecodeLedger:
    """What is known about videos, and how to know the rest.

    Args:
        cache: The user's cache; the ledger is a folder in it.
    """

    def __init__(self, cache: Path) -> None:
        self._folder = cache / "ledger"
        self._journals: dict[str, FileJournal] = {}

    def look_up(self, record: VideoRecord, *, decoder: str = "pyav") -> Decoded | None:
        """What is known of the record's file as it is now; None where it has to be decoded first."""
        try:
            found = self._journal(decoder).found(stamp(record.path))
        except VideoError as error:
            return Decoded(None, error.reason, error.passing)
        return _decoded(found) if found is not None and _is_whole(found) else None

    def complete(
        self,
        records: Sequence[VideoRecord],
        *,
        progress: Progress,
        processes: int,
        decoder: str = "pyav",
        retry: bool = False,
        limit_seconds: float = LIMIT_SECONDS,
    ) -> Mapping[str, Decoded]:
        """Decode what is not known yet; path → what is known of every record's file.

        Args:
            records: The videos.
            progress: Progress bars.
            processes: How many decode at once.
            decoder: The name of the one that decodes.
            retry: Decode those again that failed before.
            limit_seconds: A file that takes longer, twice, counts as one that cannot be read this time.

        Raises:
            OptionError: There is no such decoder here.
            StoreError: The ledger cannot be written.
            KeyboardInterrupt: Interrupted; what is decoded is in the ledger.
        """
        found = gather(
            self._journal(decoder), decode_job(decoder), records,
            title="decoding videos", progress=progress, processes=processes,
            known=lambda facts: _is_whole(facts) and not (retry and "error" in facts),
            limit_seconds=limit_seconds,
        )  # fmt: skip
        return {path: _decoded(facts) for path, facts in found.items()}

    def _journal(self, decoder: str) -> FileJournal:
        if decoder not in self._journals:
            identity = find_decoder(decoder).identity()
            by = ", ".join(f"{name} {version}" for name, version in identity.items())
            self._journals[decoder] = FileJournal(self._folder, by=by)
        return self._journals[decoder]


def gather(
    journal: FileJournal,
    job: str,
    records: Iterable[VideoRecord],
    *,
    title: str,
    progress: Progress,
    processes: int,
    known: Callable[[Mapping[str, Any]], bool] = lambda facts: True,
    limit_seconds: float = LIMIT_SECONDS,
) -> dict[str, dict[str, Any]]:
    """Path → what a job finds in every record's file: from the journal, or by doing it now.

    One process at a time does it for the same folders; others wait and find it done. Where a file fails for
    a reason that may pass, it has a second try, alone.
    """
    paths = list(dict.fromkeys(record.path for record in records))
    found, todo = _from_journal(journal, paths, known)
    if not todo:
        return found

    def waiting(owner: str) -> None:
        progress.say(f"{title}: waiting for {owner}, which is at it")

    with hold(_lease(journal.folder, paths), waiting=waiting):
        journal.reread()
        found, todo = _from_journal(journal, paths, known)
        with progress.track(title, len(todo), "videos") as bar:
            for path, answer in _answers(job, list(todo), processes, limit_seconds):
                found[path] = answer
                if not answer.get("passing") and _unchanged(path, todo[path]):
                    journal.note(todo[path], answer)
                bar.advance()
    return found


def _answers(
    job: str, paths: Sequence[str], processes: int, limit_seconds: float
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every file's last answer. Memory and time that several processes lack at once, one of them may have."""
    again: list[str] = []
    for path, answer in look_into(job, paths, processes=processes, limit_seconds=limit_seconds):
        if answer.get("passing"):
            again.append(path)
        else:
            yield path, answer
    yield from look_into(job, again, processes=1, limit_seconds=limit_seconds)


def _from_journal(
    journal: FileJournal, paths: Sequence[str], known: Callable[[Mapping[str, Any]], bool]
) -> tuple[dict[str, dict[str, Any]], dict[str, Stamp]]:
    """What need not be done: known, or no file to look into; and the others."""
    found: dict[str, dict[str, Any]] = {}
    todo: dict[str, Stamp] = {}
    for path in paths:
        try:
            file = stamp(path)
        except VideoError as error:
            found[path] = {"error": error.reason, "passing": error.passing}
            continue
        facts = journal.found(file)
        if facts is not None and known(facts):
            found[path] = facts
        else:
            todo[path] = file
    return found, todo


def _unchanged(path: str, before: Stamp) -> bool:
    """Whether what was found is true of the file as it was before. Of one that is closed to us nothing is."""
    try:
        return stamp(path) == before and os.access(path, os.R_OK)
    except VideoError:
        return False


def _lease(folder: Path, paths: Sequence[str]) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(
            f"the folder {str(folder)!r} cannot be made: {error.strerror or error}. Set VSSL_CACHE to a "
            "folder that you can write."
        ) from error
    folders = "\n".join(sorted({path.rpartition("/")[0] for path in paths}))
    return folder / f"{hashlib.sha256(folders.encode(errors='surrogatepass')).hexdigest()[:24]}.lease"


def _is_whole(facts: Mapping[str, Any]) -> bool:
    """Whether a line of the journal says everything; else the file is decoded again."""
    try:
        _decoded(facts)
    except (KeyError, TypeError, ValueError):
        return False
    return True


def _decoded(facts: Mapping[str, Any]) -> Decoded:
    if "error" in facts:
        return Decoded(None, str(facts["error"]), facts.get("passing") is True)
    return Decoded(VideoInfo(**{**facts, "fps": Fraction(facts["fps"])}))
