"""The decode ledger: what decoding each video once has shown, kept in the user's cache.

An entry holds for a file of one size and time under one version of the decoder. Where that has changed, there
is no entry. Damaged videos are entries like others, so that every cell leaves out the same ones.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from vssl_core.errors import StoreError, VideoError
from vssl_core.lease import hold
from vssl_core.progress import Progress
from vssl_core.types import VideoInfo, VideoRecord
from vssl_core.video import FrameReader
from vssl_core.video.file_journal import FileJournal
from vssl_core.video.source import Stamp, stamp
from vssl_core.video.worker_pool import LIMIT_SECONDS, look_into

__all__ = ["DecodeLedger", "Decoded", "gather"]


@dataclass(frozen=True, slots=True)
class Decoded:
    """What decoding a whole file has shown: `info`, or the `error` that it ended with."""

    info: VideoInfo | None
    error: str = ""


class DecodeLedger:
    """What is known about videos, and how to know the rest.

    Args:
        cache: The user's cache; the ledger is a folder in it.
    """

    def __init__(self, cache: Path) -> None:
        after = {"colour", "short_side", "resize"}  # what happens to frames that are decoded
        decoder = {name: v for name, v in FrameReader().decode_parameters.items() if name not in after}
        by = ", ".join(f"{name} {version}" for name, version in decoder.items())
        self._journal = FileJournal(cache / "ledger", by=by)

    def look_up(self, record: VideoRecord) -> Decoded | None:
        """What is known of the record's file as it is now; None where it has to be decoded first."""
        try:
            found = self._journal.found(stamp(record.path))
        except VideoError as error:
            return Decoded(None, error.reason)
        return _decoded(found) if found is not None and _is_whole(found) else None

    def complete(
        self,
        records: Sequence[VideoRecord],
        *,
        progress: Progress,
        processes: int,
        retry: bool = False,
        limit_seconds: float = LIMIT_SECONDS,
    ) -> Mapping[str, Decoded]:
        """Decode what is not known yet; path → what is known of every record's file.

        Args:
            records: The videos.
            progress: Progress bars.
            processes: How many decode at once.
            retry: Decode those again that failed before.
            limit_seconds: A file that takes longer counts as one that cannot be read, this time.

        Raises:
            StoreError: The ledger cannot be written.
            KeyboardInterrupt: Interrupted; what is decoded is in the ledger.
        """
        found = gather(
            self._journal, "decode", records,
            title="decoding videos", progress=progress, processes=processes,
            known=lambda facts: _is_whole(facts) and not (retry and "error" in facts),
            limit_seconds=limit_seconds,
        )  # fmt: skip
        return {path: _decoded(facts) for path, facts in found.items()}


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

    One process at a time does it for the same folders; others wait and find it done.
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
            for path, answer in look_into(job, list(todo), processes=processes, limit_seconds=limit_seconds):
                found[path] = answer
                if not answer.get("passing") and _unchanged(path, todo[path]):
                    journal.note(todo[path], answer)
                bar.advance()
    return found


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
            found[path] = {"error": error.reason}
            continue
        facts = journal.found(file)
        if facts is not None and known(facts):
            found[path] = facts
        else:
            todo[path] = file
    return found, todo


def _unchanged(path: str, before: Stamp) -> bool:
    """Whether what was found is true of the file as it was before."""
    try:
        return stamp(path) == before
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
        return Decoded(None, str(facts["error"]))
    return Decoded(VideoInfo(**{**facts, "fps": Fraction(facts["fps"])}))
