"""What an evaluation shows of its target: small pictures of a few videos.

    evaluations/<id>/examples.json  queries with their nearest videos, the hardest videos, their pictures
                     examples/*.jpg three frames of a video side by side, a few kB each

So that a page about the results opens later and elsewhere, without the dataset. Written once the scoring is
over, from the arrays that `EvaluationResult` documents; no number depends on it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np

from vssl_core.data import Index
from vssl_core.errors import VideoError
from vssl_core.examples import Examples, NamedVideo, Query, write_examples
from vssl_core.files import write_bytes
from vssl_core.interfaces import EvaluationResult
from vssl_core.outcomes import are_neighbours, are_scores, hardest
from vssl_core.seeding import key_digest
from vssl_core.types import VideoRecord
from vssl_core.video import FrameReader

__all__ = ["NUM_HARDEST", "NUM_NEIGHBOURS", "NUM_QUERIES", "thumbnail", "write_showcase"]

NUM_QUERIES, NUM_NEIGHBOURS, NUM_HARDEST = 6, 5, 8

_SIDE = 64  # pixels of one frame
_PLACES = (1 / 6, 1 / 2, 5 / 6)  # of the video's length
_GAP = 2  # pixels between two frames
_QUALITY = 80


def write_showcase(folder: Path, result: EvaluationResult, *, index: Index, reader: FrameReader) -> None:
    """Write examples where the result has arrays to choose them by.

    The queries are drawn by their ids alone, so that every cell shows the same ones.

    Raises:
        StoreError: A file cannot be written.
    """
    records = {record.video_id: record for record in index.parts["test"]}
    scored = [records[video_id] for video_id in result.video_ids if video_id in records]
    if len(scored) != len(result.video_ids):
        return  # scores of something else than the target's test videos
    queries = _queries(result.arrays, scored, (*index.parts["train"], *index.parts["validation"]))
    hard = _hardest(result.arrays, scored, num_classes=len(index.classes))
    if queries or hard:
        shown = [*hard, *(record for query, found in queries for record in (query, *found))]
        pictures, unreadable = _write_pictures(folder, shown, reader)
        examples = Examples(
            queries=tuple(
                Query(video_id=query.video_id, label=_label(query), neighbours=tuple(_name(r) for r in found))
                for query, found in queries
            ),
            hardest=tuple(record.video_id for record in hard),
            pictures=pictures,
            unreadable=unreadable,
        )
        write_examples(folder, examples)


def _queries(
    arrays: Mapping[str, np.ndarray], scored: Sequence[VideoRecord], gallery: Sequence[VideoRecord]
) -> list[tuple[VideoRecord, list[VideoRecord]]]:
    """Drawn videos with their nearest training videos, where the result says which these are."""
    if not are_neighbours(arrays, num_videos=len(scored), num_gallery=len(gallery)):
        return []
    drawn = sorted(range(len(scored)), key=lambda row: key_digest("example", scored[row].video_id))
    nearest_VR = arrays["indices"][:, :NUM_NEIGHBOURS]
    return [(scored[row], [gallery[place] for place in nearest_VR[row]]) for row in drawn[:NUM_QUERIES]]


def _hardest(
    arrays: Mapping[str, np.ndarray], scored: Sequence[VideoRecord], *, num_classes: int
) -> list[VideoRecord]:
    if not are_scores(arrays, num_videos=len(scored), num_classes=num_classes):
        return []
    return [scored[row] for row in hardest(arrays["scores"], arrays["labels"], count=NUM_HARDEST)]


def _name(record: VideoRecord) -> NamedVideo:
    return NamedVideo(video_id=record.video_id, label=_label(record))


def _label(record: VideoRecord) -> int:
    assert record.label is not None, "an evaluation's target is labelled"
    return record.label


def _write_pictures(
    folder: Path, records: Iterable[VideoRecord], reader: FrameReader
) -> tuple[dict[str, str], dict[str, str]]:
    """Video id → picture below the folder, and id → why there is none."""
    pictures: dict[str, str] = {}
    unreadable: dict[str, str] = {}
    for video_id, record in {record.video_id: record for record in records}.items():
        try:
            jpeg = thumbnail(record, reader)
        except VideoError as error:  # the scores stand; only their picture is missing
            unreadable[video_id] = str(error)
            continue
        pictures[video_id] = f"examples/{len(pictures):02d}.jpg"
        write_bytes(folder / pictures[video_id], jpeg)
    return pictures, unreadable


def thumbnail(record: VideoRecord, reader: FrameReader) -> bytes:
    """A JPEG of three frames side by side, each the middle square of the frame.

    Raises:
        VideoError: The video cannot be read.
    """
    places = [int(place * reader.info(record).num_frames) for place in _PLACES]
    squares = [_square(frame_HWC) for frame_HWC in reader.read(record, places)]
    gap = np.full((_SIDE, _GAP, 3), 255, np.uint8)
    strip = np.concatenate([part for square in squares for part in (square, gap)][:-1], axis=1)
    options = [cv2.IMWRITE_JPEG_QUALITY, _QUALITY, cv2.IMWRITE_JPEG_OPTIMIZE, 1]
    _, jpeg = cv2.imencode(".jpg", cv2.cvtColor(strip, cv2.COLOR_RGB2BGR), options)
    return jpeg.tobytes()


def _square(frame_HWC: np.ndarray) -> np.ndarray:
    height, width = frame_HWC.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    middle = frame_HWC[top : top + side, left : left + side]
    square: np.ndarray = cv2.resize(middle, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)
    return square
