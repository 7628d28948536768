"""Do decoders agree on these files? Each is asked in its own way, and for the same frames through vssl.

What a library says by itself (how many frames, of which size, when) may differ from file to file even where
the frames that vssl takes from it are the same, since vssl chooses them by its own table.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from vssl_core.data import loader_threads
from vssl_core.errors import OptionError, VideoError
from vssl_core.progress import Progress
from vssl_core.types import VideoRecord
from vssl_core.video import FrameReader, ordered_map
from vssl_core.video.decoder import Look
from vssl_core.video.decoders import find_decoder

__all__ = ["Comparison", "Seen", "compare_decoders"]

_FRAMES = 16  # of each video, evenly spaced


@dataclass(frozen=True, slots=True)
class Seen:
    """What one decoder makes of a file.

    Args:
        look: What its library says, or None where it cannot read the file.
        error: Why it cannot, or why vssl gets no frames from it.
        seconds: Largest difference of a frame's time from the first decoder's; None where counts differ.
        largest: Largest difference of a pixel from the first decoder's, in grey levels.
        mean: Mean difference.
    """

    look: Look | None = None
    error: str = ""
    seconds: float | None = None
    largest: int | None = None
    mean: float | None = None


@dataclass(frozen=True, slots=True)
class Comparison:
    """One file under all decoders; the first is what the others are held against."""

    video_id: str
    seen: dict[str, Seen]

    def differences(self, *, tolerance: float) -> tuple[str, ...]:
        """In what they differ: `frames`, `size`, `rotation`, `times`, `pixels`, `readable`.

        Args:
            tolerance: Mean difference of pixels, in grey levels, that still counts as equal.
        """
        one, *others = self.seen.values()
        found: list[str] = []
        for other in others:
            found += [name for name in _compared(one, other, tolerance) if name not in found]
        return tuple(found)


def _compared(one: Seen, other: Seen, tolerance: float) -> Iterator[str]:
    if bool(one.error) != bool(other.error):
        yield "readable"
    if one.look and other.look:
        if one.look.num_frames != other.look.num_frames:
            yield "frames"
        if (one.look.width, one.look.height) != (other.look.width, other.look.height):
            yield "size"
        if one.look.rotation != other.look.rotation:
            yield "rotation"
    if other.seconds is not None and other.seconds > 1e-3:
        yield "times"
    if other.mean is not None and other.mean > tolerance:
        yield "pixels"


def compare_decoders(
    records: Sequence[VideoRecord],
    names: Sequence[str],
    *,
    progress: Progress,
    frames: int = _FRAMES,
    threads: int | None = None,
) -> Iterator[Comparison]:
    """Compare decoders on videos, in their order.

    Args:
        frames: So many evenly spaced frames of each video are compared, at their full size.

    Raises:
        OptionError: Fewer than two decoders, or one that cannot be used.
    """
    if len(names) < 2:
        raise OptionError(
            f"comparing takes two decoders, but only {', '.join(names) or 'none'} can be used here: "
            "`pip install 'torchcodec>=0.17'` in a version for your torch, and FFmpeg's libraries (4 to 9) "
            "from your system or conda."
        )
    readers = {name: FrameReader(decoder=name) for name in names}

    def compare(record: VideoRecord) -> Comparison:
        return Comparison(record.video_id, _seen(record, readers, frames))

    count = threads or loader_threads()
    with progress.track("comparing decoders", len(records), "videos") as bar:
        for found in ordered_map(compare, records, threads=count, prefetch=2 * count):
            bar.advance()
            yield found


def _seen(record: VideoRecord, readers: dict[str, FrameReader], frames: int) -> dict[str, Seen]:
    found: dict[str, Seen] = {}
    first: tuple[Look, np.ndarray] | None = None
    for name, reader in readers.items():
        look, error, pictures = None, "", None
        try:
            look = find_decoder(name).look(record.path)
            count = reader.info(record).num_frames
            chosen = np.unique(np.linspace(0, count - 1, min(frames, count)).round().astype(int))
            pictures = reader.read(record, chosen)
        except VideoError as raised:
            error = raised.reason
        if look is None or pictures is None or first is None:
            found[name] = Seen(look, error)
            if look is not None and pictures is not None and not found.keys() - {name}:
                first = look, pictures
            continue
        found[name] = _against(first, look, pictures)
    return found


def _against(first: tuple[Look, np.ndarray], look: Look, pictures: np.ndarray) -> Seen:
    """One decoder held against the first."""
    other_look, other_pictures = first
    seconds = None
    if len(look.seconds) == len(other_look.seconds):
        seconds = float(np.abs(look.seconds - other_look.seconds).max(initial=0.0))
    if pictures.shape != other_pictures.shape:
        return Seen(look, seconds=seconds)
    largest, total = 0, 0.0
    for one, other in zip(pictures, other_pictures, strict=True):
        difference = np.abs(one.astype(np.int16) - other)
        largest, total = max(largest, int(difference.max())), total + float(difference.mean())
    return Seen(look, seconds=seconds, largest=largest, mean=total / max(1, len(pictures)))
