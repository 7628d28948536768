"""Targets as evaluations saw them: keys that name one digest of videos and labels cannot differ."""

from __future__ import annotations

from typing import Any

from vssl_core.store import TARGET
from vssl_core.verification.findings import Book
from vssl_core.verification.scored import Scored

__all__ = ["Targets"]

_MOST_VIDEOS = 5  # that contradict each other, listed one by one


class Targets:
    """Digest of a target → what the first evaluation of it said: classes, and of each video group and label.

    That digest is made of these, and stands in the key of an evaluation. Which of two that contradict each
    other was altered cannot be known: it is found in the later one, which names the other.
    """

    def __init__(self) -> None:
        self._classes: dict[str, tuple[list[str], str]] = {}
        self._videos: dict[tuple[str, str], tuple[dict[str, Any], str]] = {}

    def check(self, cell: str, scored: Scored, book: Book) -> None:
        """Compare what an evaluation of a cell says with what was said before."""
        if scored.target is None:
            return
        key, name = scored.request.spec.target_digest, f"{scored.folder}/{TARGET}"
        here = f"{cell}: {name}"
        classes, by = self._classes.setdefault(key, (scored.target["classes"], here))
        book.same(name, "classes", scored.target["classes"], classes, by)
        wrong = 0
        for video in scored.target["videos"]:
            mine = {part: video[part] for part in ("group", "label")}
            theirs, by = self._videos.setdefault((key, video["video_id"]), (mine, here))
            book.values += 1
            wrong += mine != theirs
            if mine != theirs and wrong <= _MOST_VIDEOS:
                book.find(name, f"videos.{video['video_id']}", mine, theirs, by)
