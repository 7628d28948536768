"""The protocol's guard: nothing that is pretrained on may show what a test video shows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from vssl_core.errors import DatasetError
from vssl_core.ledger import DecodeLedger
from vssl_core.overlap import Overlap, find_overlap
from vssl_core.progress import Progress
from vssl_core.protocol import Data
from vssl_core.types import VideoRecord

__all__ = ["refuse_overlap"]

_MOST_SHOWN = 5


def refuse_overlap(
    pretraining: Sequence[VideoRecord],
    test: Sequence[VideoRecord],
    *,
    names: tuple[str, str],
    data: Data,
    command: str,
    cache: Path,
    progress: Progress,
    processes: int,
) -> None:
    """Compare what is pretrained on with what is tested on.

    Args:
        pretraining: Every video that is pretrained on.
        test: Every video that is tested on.
        names: Of the two datasets.
        data: What the protocol says of videos that cannot be read.
        command: Shows all pairs.
        cache: The user's cache.
        progress: Progress bars.
        processes: How many read at once.

    Raises:
        DatasetError: Some videos show the same; the nearest pairs are named. Or some cannot be compared.
    """
    found = find_overlap(pretraining, test, cache=cache, progress=progress, processes=processes)
    if found.pairs:
        count = len(found.pairs)
        raise DatasetError(
            "the protocol forbids that a pretraining and a test video show the same (data.overlap), and "
            f"{count:,} {'pairs' if count > 1 else 'pair'} of {names[0]!r} and {names[1]!r} do: "
            f"{_shown(found)}. `{command}` shows them all. Take those videos out of what is pretrained on, "
            "or allow it with -o protocol.data.overlap=allow."
        )
    doubtful = {r.path: r for r in (*pretraining, *test) if r.path in found.unreadable}
    if data.unreadable == "lenient" and doubtful:
        ledger = DecodeLedger(cache)
        known = ledger.complete(
            [*doubtful.values()], progress=progress, processes=processes, decoder=data.decoder
        )
        doubtful = {path: r for path, r in doubtful.items() if known[path].info or known[path].passing}
    if doubtful:
        raise DatasetError(_uncompared([*doubtful.values()], found, names, command))


def _uncompared(videos: Sequence[VideoRecord], found: Overlap, names: tuple[str, str], command: str) -> str:
    shown = [f"{video.video_id!r}: {found.unreadable[video.path]}" for video in videos[:_MOST_SHOWN]]
    more = ", …" if len(videos) > _MOST_SHOWN else ""
    return (
        "the protocol forbids that a pretraining and a test video show the same (data.overlap), and "
        f"{len(videos):,} of {names[0]!r} and {names[1]!r} cannot be compared: {', '.join(shown)}{more}. "
        f"Run `{command}` again if the reason may have passed, take those videos out, or leave out whatever "
        "cannot be read with -o protocol.data.unreadable=lenient."
    )


def _shown(found: Overlap) -> str:
    pairs = [
        f"{pair.left.video_id!r} and {pair.right.video_id!r} ({pair.kind}, distance {pair.distance:.3f})"
        for pair in found.pairs[:_MOST_SHOWN]
    ]
    return ", ".join(pairs) + (", …" if len(found.pairs) > _MOST_SHOWN else "")
