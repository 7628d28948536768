"""`vssl data pack`: every video of a dataset once through the decoder and into a packed file.

Parallel, since decoding and encoding release the interpreter's lock. Resumable: each file appears whole, then
its line in the journal; what has a line is not made again while its source and its file are as the line says.
"""

from __future__ import annotations

import errno
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, get_args

import av
import numpy as np

from vssl_core.cells import Component
from vssl_core.data import loader_threads
from vssl_core.errors import DatasetError, StoreError, UsageError, VideoError
from vssl_core.files import atomic_path, canonical_json, file_sha256
from vssl_core.interfaces import VideoDataset
from vssl_core.lease import hold
from vssl_core.packing.encoding import PackSettings, encode
from vssl_core.packing.manifest import (
    JOURNAL,
    MANIFEST,
    Manifest,
    PackedRecord,
    PackedSource,
    PackedVideo,
    read_journal,
    read_manifest,
)
from vssl_core.progress import Progress
from vssl_core.types import Split, VideoRecord
from vssl_core.video import FrameReader, ordered_map
from vssl_core.video.source import stamp

__all__ = ["Packed", "pack_dataset"]

_AT_ONCE = 128  # frames of one video in memory
_COMPARED = 8  # frames of a packed file that are held against the source's
_WORST_DB = 15.0  # two different frames of a video seldom resemble each other so much


@dataclass(frozen=True, slots=True)
class Packed:
    """What packing did. `made` files are new, `kept` were there already; bytes are of all of them."""

    folder: Path
    made: int
    kept: int
    source_bytes: int
    packed_bytes: int
    worst_psnr_db: float | None
    mean_psnr_db: float | None
    unreadable: Mapping[str, str]


def pack_dataset(
    dataset: VideoDataset,
    component: Component,
    folder: Path,
    *,
    settings: PackSettings,
    progress: Progress,
    lenient: bool = False,
    threads: int | None = None,
) -> Packed:
    """Pack a prepared dataset into a folder; go on there if it was begun with the same settings.

    Args:
        lenient: A video that cannot be read is left out by id and recorded; otherwise it ends the work.
        threads: Videos at once; None: one a core.

    Raises:
        UsageError: The folder holds something else, or a copy with other settings.
        VideoError: Strict, and a video cannot be read.
        StoreError: The folder cannot be written.
        BusyError: Another process packs into it.
    """
    _check_folder(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"cannot make {str(folder)!r}: {error.strerror or error}.") from error
    with hold(
        folder / "lease.json", waiting=lambda who: progress.say(f"waiting for {who}, which packs here")
    ):
        return _Packing(dataset, component, folder, settings, progress).run(
            lenient=lenient, threads=threads or loader_threads()
        )


def _check_folder(folder: Path) -> None:
    there = [path for path in folder.iterdir() if "lease.json" not in path.name] if folder.is_dir() else []
    if there and not (folder / JOURNAL).exists():
        if (folder / MANIFEST).exists():
            return
        raise UsageError(
            f"expected an empty folder, or one of an earlier `vssl data pack`; {str(folder)!r} holds other "
            "files. Name another with --to."
        )


class _Packing:
    """One run."""

    def __init__(
        self,
        dataset: VideoDataset,
        component: Component,
        folder: Path,
        settings: PackSettings,
        progress: Progress,
    ) -> None:
        self._dataset, self._component, self._folder = dataset, component, folder
        self._settings, self._progress = settings, progress
        self._reader = FrameReader(short_side=settings.short_side, decoder=settings.decoder)
        self._check = FrameReader()
        self._parts: dict[Split, Sequence[VideoRecord]] = {
            split: dataset.records(split) for split in get_args(Split)
        }

    def run(self, *, lenient: bool, threads: int) -> Packed:
        records = {record.video_id: record for part in self._parts.values() for record in part}
        if not records:
            raise DatasetError(f"dataset {self._component.name!r} has no videos to pack; check its options.")
        known = self._known()
        done = {
            name: video
            for name, video in known.items()
            if name in records and self._holds(video, records[name])
        }
        todo = [record for name, record in records.items() if name not in done]
        unreadable: dict[str, str] = {}
        with self._progress.track("packing videos", len(todo), "videos") as bar, self._journal() as journal:
            for record, made in zip(
                todo, ordered_map(self._attempt, todo, threads=threads, prefetch=2 * threads), strict=True
            ):
                if isinstance(made, VideoError):
                    if not lenient:
                        raise made
                    unreadable[record.video_id] = made.reason
                else:
                    done[record.video_id] = made
                    journal.write(made.model_dump_json().encode() + b"\n")
                bar.advance()
        if not done:
            raise DatasetError(
                f"none of {len(records)} videos can be read; the first: {next(iter(unreadable.items()))}"
            )
        self._manifest(done, unreadable).write(self._folder)
        (self._folder / JOURNAL).unlink()
        return _summary(self._folder, done, made=len(todo) - len(unreadable), unreadable=unreadable)

    def _document(self) -> dict[str, Any]:
        """What must be equal for two runs to be one."""
        return {
            "dataset": self._what(self._component.model_dump(mode="json")),
            "settings": self._settings.model_dump(mode="json"),
            "decoder": self._reader.decode_parameters,
            "encoder": self._settings.encoder(),
        }

    def _what(self, dataset: Mapping[str, Any]) -> dict[str, Any]:
        """Which videos a dataset stands for, wherever they lie."""
        places = type(self._dataset).Options.places
        options = {name: value for name, value in dataset["options"].items() if name not in places}
        return {"name": dataset["name"], "origin": dataset["origin"], "options": options}

    def _known(self) -> dict[str, PackedVideo]:
        """What earlier runs have made, by id."""
        now = self._document()
        videos: list[PackedVideo] = []
        if (self._folder / MANIFEST).exists():
            manifest = read_manifest(self._folder)
            before = {name: getattr(manifest, name) for name in now}
            self._compare({**before, "dataset": self._what(manifest.dataset)}, now)
            videos += manifest.videos
        for place, line in enumerate(read_journal(self._folder / JOURNAL)):
            if place == 0:
                self._compare(line, now)
            elif "video_id" in line:
                videos.append(PackedVideo.model_validate(line))
        return {video.video_id: video for video in videos}

    def _compare(self, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
        for name, value in now.items():
            if canonical_json(before.get(name)) != canonical_json(value):
                raise UsageError(
                    f"{str(self._folder)!r} holds a copy that was made otherwise: its {name} was "
                    f"{canonical_json(before.get(name))}, now it is {canonical_json(value)}. Name another "
                    "folder with --to, or remove this one."
                )

    def _journal(self) -> Any:
        """The journal, open to append whole lines; its first says how the copy is made."""
        path = self._folder / JOURNAL
        torn = path.is_file() and not path.read_bytes().endswith(b"\n")
        new = not path.is_file() or path.stat().st_size == 0
        try:
            file = path.open("ab", buffering=0)
        except OSError as error:
            raise StoreError(f"cannot write {str(path)!r}: {error.strerror or error}.") from error
        if torn:
            file.write(b"\n")
        if new:
            file.write(json.dumps(self._document()).encode() + b"\n")
        return file

    def _holds(self, video: PackedVideo, record: VideoRecord) -> bool:
        """Whether a packed file is still what would be made now."""
        try:
            source, packed = stamp(record.path), (self._folder / video.file).stat()
        except (VideoError, OSError):
            return False
        was = video.source
        same = (source.size, source.mtime_ns, record.span_seconds) == (
            was.size,
            was.mtime_ns,
            was.span_seconds,
        )
        return same and packed.st_size == video.size

    def _attempt(self, record: VideoRecord) -> PackedVideo | VideoError:
        try:
            return self._pack(record)
        except VideoError as error:
            return error

    def _pack(self, record: VideoRecord) -> PackedVideo:
        before = stamp(record.path)
        pts, time_base = self._reader.stamps(record)
        file = packed_file(record.video_id, self._settings.suffix)
        path = self._folder / file
        compared = np.unique(np.linspace(0, len(pts) - 1, _COMPARED).round().astype(int))
        kept: dict[int, np.ndarray] = {}
        with atomic_path(path) as out:
            try:
                frames = self._frames(record, len(pts), set(compared.tolist()), kept)
                encode(out, frames, pts=pts, time_base=time_base, settings=self._settings)
            except av.FFmpegError as error:
                if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EIO):
                    raise OSError(error.errno, error.strerror) from error
                raise VideoError(record.path, f"its frames cannot be encoded ({error})") from error
            psnr = self._checked(out, record, len(pts), kept)
            size, digest = out.stat().st_size, file_sha256(out)
        source = PackedSource(
            path=str(Path(record.path).absolute()),
            size=before.size,
            mtime_ns=before.mtime_ns,
            sha256=file_sha256(Path(record.path)),
            span_seconds=record.span_seconds,
        )
        if stamp(record.path) != before:
            raise VideoError(record.path, "the file changed while it was packed; run the same command again")
        return PackedVideo(
            video_id=record.video_id,
            file=file,
            frames=len(pts),
            size=size,
            sha256=digest,
            psnr_db=psnr,
            source=source,
        )

    def _frames(
        self, record: VideoRecord, count: int, compared: set[int], kept: dict[int, np.ndarray]
    ) -> Iterator[np.ndarray]:
        """All frames of the source; copies of those that are compared later go to `kept`."""
        for start in range(0, count, _AT_ONCE):
            numbers = range(start, min(start + _AT_ONCE, count))
            for number, frame in zip(numbers, self._reader.read(record, numbers), strict=True):
                if number in compared:
                    kept[number] = frame.copy()
                yield frame

    def _checked(
        self, path: Path, record: VideoRecord, count: int, kept: Mapping[int, np.ndarray]
    ) -> float | None:
        """Read the packed file back: every frame must come, and sampled ones resemble the source's."""
        packed = VideoRecord(record.video_id, str(path))
        found = self._check.info(packed).num_frames
        if found != count:
            raise VideoError(
                record.path, f"expected {count} packed frames, got {found}; another --format may do"
            )
        for start in range(0, count, _AT_ONCE):
            self._check.read(packed, range(start, min(start + _AT_ONCE, count)))
        back = self._check.read(packed, list(kept))
        error = [
            np.square(one.astype(np.float64) - other).mean()
            for one, other in zip(back, kept.values(), strict=True)
        ]
        worst = max(error)
        psnr = 10 * float(np.log10(255**2 / worst)) if worst else None
        if psnr is not None and (self._settings.lossless or psnr < _WORST_DB):
            raise VideoError(
                record.path,
                f"its packed frames do not resemble it (PSNR {psnr:.1f} dB); another --format may do",
            )
        return psnr if psnr is None else round(psnr, 2)

    def _manifest(self, done: Mapping[str, PackedVideo], unreadable: Mapping[str, str]) -> Manifest:
        missing = {
            one.part: list(one.missing) for one in self._dataset.inventory().lists if one.part and one.missing
        }
        names = ("name", "origin", "dist", "digest", "options")
        order = [record.video_id for part in self._parts.values() for record in part]
        return Manifest(
            vssl=version("vssl"),
            **{**self._document(), "dataset": {name: getattr(self._component, name) for name in names}},
            classes=list(self._dataset.classes),
            mirrored=dict(self._dataset.mirrored),
            parts={
                split: [PackedRecord(video_id=r.video_id, label=r.label, group=r.group) for r in part]
                for split, part in self._parts.items()
            },
            videos=[done[name] for name in dict.fromkeys(order) if name in done],
            unreadable=dict(unreadable),
            missing=missing,
        )


def packed_file(video_id: str, suffix: str) -> str:
    """The file of a video: an id may hold anything, a hash of it is a safe name."""
    name = hashlib.sha256(video_id.encode(errors="surrogateescape")).hexdigest()[:24]
    return f"videos/{name[:2]}/{name}{suffix}"


def _summary(
    folder: Path, done: Mapping[str, PackedVideo], *, made: int, unreadable: Mapping[str, str]
) -> Packed:
    quality = [video.psnr_db for video in done.values() if video.psnr_db is not None]
    return Packed(
        folder=folder,
        made=made,
        kept=len(done) - made,
        source_bytes=sum(video.source.size for video in done.values()),
        packed_bytes=sum(video.size for video in done.values()),
        worst_psnr_db=min(quality, default=None),
        mean_psnr_db=sum(quality) / len(quality) if quality else None,
        unreadable=unreadable,
    )
