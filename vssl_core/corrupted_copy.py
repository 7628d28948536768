"""Test videos made worse and written to disk: files that others can score, and a manifest of what they are.

FOLDER/corrupted.json     what was done to which videos, with digests; written last
FOLDER/test.csv           a line for each video, `path number`: for the dataset `list` with labels=numbers
FOLDER/classes.txt        the names of the classes
FOLDER/videos/GROUP/ID    the files; GROUP and ID are hashes
FOLDER/train.csv, validation.csv, clean/…   the clean videos to fit on, as links to where they are
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal, get_args

import av
import numpy as np

from vssl_core.cells import Component
from vssl_core.corrupted import CorruptedReader
from vssl_core.corruption import Corruption
from vssl_core.data import loader_threads
from vssl_core.errors import DatasetError, UsageError, VideoError
from vssl_core.files import atomic_path, file_sha256, write_bytes, write_json
from vssl_core.interfaces import VideoDataset
from vssl_core.progress import Progress
from vssl_core.types import ClipSpec, Split, VideoRecord
from vssl_core.video import FrameReader
from vssl_core.video.loader import ordered_map
from vssl_core.video.rate import encoder_rate

__all__ = ["COPY_FORMATS", "COPY_MANIFEST", "CopySettings", "write_corrupted"]

COPY_MANIFEST = "corrupted.json"
_SCHEMA = 1


@dataclass(frozen=True)
class _Format:
    codec: str
    container: str
    suffix: str
    pix_fmt: str
    options: Mapping[str, str]
    lossless: bool = False


COPY_FORMATS = {
    "ffv1": _Format("ffv1", "matroska", ".mkv", "bgr0", {"level": "3", "slices": "4"}, lossless=True),
    "mp4": _Format(
        "mpeg4", "mp4", ".mp4", "yuv420p", {"qmin": "2", "qmax": "3", "b": "1G", "bf": "0", "g": "12"}
    ),
}
"""`ffv1`: the pixels as they were made. `mp4`: MPEG-4 part 2 at a high quality; it takes some noise away."""


@dataclass(frozen=True)
class CopySettings:
    """How the videos are made worse and written.

    Args:
        severity: One of the corruption's.
        seed: Of what is random.
        part: The part of the dataset that is made worse.
        format: One of `COPY_FORMATS`.
        decoder: What reads the originals.
        clean: Whether the other parts are linked, so that the folder is a whole dataset.
    """

    severity: int = 1
    seed: int = 0
    part: Split = "test"
    format: Literal["ffv1", "mp4"] = "ffv1"
    decoder: str = "pyav"
    clean: bool = True


def write_corrupted(
    dataset: VideoDataset,
    source: Component,
    corruption: Corruption,
    component: Component,
    folder: Path,
    *,
    settings: CopySettings,
    progress: Progress,
) -> Mapping[str, Any]:
    """Write a part of a prepared dataset made worse, as evaluators see it natively; gives the manifest.

    Args:
        dataset: Opened and prepared.
        source: What it is.
        corruption: What is done.
        component: What that is.
        folder: Must not hold a finished copy.
        settings: How.
        progress: Where progress is shown.

    Raises:
        UsageError: The folder holds a finished copy, or clean videos that are parts of files.
        DatasetError: The part holds no video, or one without a label.
        VideoError: A video cannot be read, or does not come back as it was written.
        StoreError: The folder cannot be written.
    """
    if (folder / COPY_MANIFEST).exists():
        raise UsageError(f"{str(folder)!r} holds a finished copy; name another folder with --to.")
    parts = {split: list(dataset.records(split)) for split in get_args(Split)}
    records = parts[settings.part]
    if not records or any(record.label is None for record in records):
        raise DatasetError(
            f"dataset {source.name!r} has {len(records)} videos in {settings.part!r}; expected "
            "some, all labelled."
        )
    reader = FrameReader(decoder=settings.decoder)
    worse = CorruptedReader(
        reader, corruption, severity=settings.severity, order="native", seed=settings.seed,
        clip=ClipSpec(1, 1, 16), crop_scale=1.0,
    )  # fmt: skip
    write = partial(_write, worse=worse, reader=reader, folder=folder, format_=COPY_FORMATS[settings.format])
    videos = []
    threads = loader_threads()
    with progress.track("making videos worse", len(records), "videos") as bar:
        for video in ordered_map(write, records, threads=threads, prefetch=2 * threads):
            videos.append(video)
            bar.advance()
    lists = {settings.part: [(video["file"], video["label"]) for video in videos]}
    if settings.clean:
        others = {split: some for split, some in parts.items() if some and split != settings.part}
        lists |= {split: _linked(some, folder) for split, some in others.items()}
    for split, rows in lists.items():
        write_bytes(folder / f"{split}.csv", "".join(f'"{file}" {label}\n' for file, label in rows).encode())
    write_bytes(folder / "classes.txt", "".join(f"{name}\n" for name in dataset.classes).encode())
    document = _manifest(source, component, settings, reader, videos)
    write_json(folder / COPY_MANIFEST, document)
    return document


def _write(
    record: VideoRecord, *, worse: CorruptedReader, reader: FrameReader, folder: Path, format_: _Format
) -> dict[str, Any]:
    """Write one video; gives its line of the manifest."""
    file = _place(record, "videos", format_.suffix)
    digest, count = hashlib.sha256(), 0
    with atomic_path(folder / file) as path:
        with _Writer(path, format_, encoder_rate(float(worse.info(record).fps), format_.codec)) as writer:
            for frames_NHWC in worse.read_video(record):
                count += len(frames_NHWC)
                digest.update(frames_NHWC.tobytes())
                writer.add(frames_NHWC)
        _check(
            VideoRecord(record.video_id, str(path)),
            reader,
            count,
            digest.hexdigest() if format_.lossless else "",
        )
        size, sha256 = path.stat().st_size, file_sha256(path)
    return {
        "video_id": record.video_id,
        "file": file,
        "label": record.label,
        "group": record.group,
        "frames": count,
        "pixels_sha256": digest.hexdigest(),
        "size": size,
        "sha256": sha256,
    }


def _check(written: VideoRecord, reader: FrameReader, count: int, digest: str) -> None:
    """Read a file back: every frame must come, and where it is lossless every pixel."""
    found = reader.info(written).num_frames
    if found != count:
        raise VideoError(written.path, f"expected {count} frames to come back, got {found}")
    if digest:
        back = hashlib.sha256()
        for start in range(0, count, 64):
            back.update(reader.read(written, range(start, min(start + 64, count))).tobytes())
        if back.hexdigest() != digest:
            raise VideoError(written.path, "its pixels do not come back as they were written")


def _place(record: VideoRecord, top: str, suffix: str) -> str:
    """Where a video lies below the folder: in one of its group."""
    group, name = (_hash(text) for text in (record.group or record.video_id, record.video_id))
    return f"{top}/{group}/{name}{suffix}"


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()[:16]


def _linked(records: Sequence[VideoRecord], folder: Path) -> list[tuple[str, int]]:
    """Links to clean videos; (file, label) of each, -1 for those without one."""
    rows = []
    for record in records:
        if record.span_seconds is not None:
            raise UsageError(
                f"{record.video_id!r} is a part of the file {record.path!r}, to which no link can lead; "
                "leave clean videos out with --no-clean."
            )
        file = _place(record, "clean", Path(record.path).suffix.lower())
        link = folder / file
        link.parent.mkdir(parents=True, exist_ok=True)
        link.unlink(missing_ok=True)
        link.symlink_to(Path(record.path).absolute())
        rows.append((file, -1 if record.label is None else record.label))
    return rows


def _manifest(
    source: Component,
    component: Component,
    settings: CopySettings,
    reader: FrameReader,
    videos: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
    names = ("name", "origin", "dist", "digest", "options")
    format_ = COPY_FORMATS[settings.format]
    libraries = {
        name: ".".join(map(str, av.library_versions[name])) for name in ("libavcodec", "libavformat")
    }
    return {
        "schema": _SCHEMA,
        "versions": {name: version(name) for name in ("vssl", "numpy", "scipy", "av")} | libraries,
        "dataset": {name: getattr(source, name) for name in names},
        "part": settings.part,
        "corruption": {name: getattr(component, name) for name in names},
        "severity": settings.severity,
        "seed": settings.seed,
        "order": "native",
        "decoder": reader.decode_parameters,
        "encoder": {"codec": format_.codec, "pix_fmt": format_.pix_fmt, "options": dict(format_.options)},
        "videos": list(videos),
    }


class _Writer:
    """A file of frames (N, H, W, 3) uint8 RGB at a constant rate; closed when the block ends."""

    def __init__(self, path: Path, format_: _Format, rate: Fraction) -> None:
        self._format, self._rate = format_, rate
        self._file: Any = av.open(str(path), "w", format=format_.container, options={"fflags": "+bitexact"})
        self._stream: Any = None
        self._count = 0

    def __enter__(self) -> _Writer:
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        if kind is None:
            self._file.mux(self._stream.encode(None))
        self._file.close()

    def add(self, frames_NHWC: np.ndarray) -> None:
        """Append frames."""
        if self._stream is None:
            options = {**self._format.options, "flags": "+bitexact"}
            self._stream = self._file.add_stream(self._format.codec, rate=self._rate, options=options)
            self._stream.height, self._stream.width = frames_NHWC.shape[1:3]
            self._stream.pix_fmt = self._format.pix_fmt
            self._stream.codec_context.thread_count = 1
        for frame in self._frames(frames_NHWC):
            self._file.mux(self._stream.encode(frame))

    def _frames(self, frames_NHWC: np.ndarray) -> Iterator[Any]:
        for frame_HWC in frames_NHWC:
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame_HWC), format="rgb24")
            frame.pts, frame.time_base = self._count, 1 / self._rate
            self._count += 1
            yield frame
