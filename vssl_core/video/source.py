"""One open video file: its container, its video stream and its decoder, on one thread."""

from __future__ import annotations

import errno
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
from av.stream import Disposition

from vssl_core.errors import VideoError

__all__ = ["Source", "Stamp", "frames", "opened", "stamp", "unreadable"]

# Containers by which FFmpeg plays things that are no video file: text as a terminal's screen, single
# pictures, lists of other files.
_NO_VIDEO = {"tty", "bin", "xbin", "adf", "idf", "image2", "hls", "dash", "concat", "ffmetadata", "lavfi"}

# Errors of the system, which say nothing of a file's content. FFmpeg gives the same numbers for some
# damage; `vssl_core.video.second_try` tells the two apart.
_PASSING = {errno.EAGAIN, errno.EIO, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ESTALE, errno.ETIMEDOUT}
_LASTING = {errno.EACCES, errno.ELOOP, errno.ENAMETOOLONG, errno.ENOENT, errno.ENOTDIR, errno.EPERM}


@dataclass(frozen=True, slots=True)
class Stamp:
    """What tells without reading that a file is still the one that was looked at."""

    path: str
    size: int
    mtime_ns: int


def stamp(path: str) -> Stamp:
    """The stamp of a file that might be a video.

    Raises:
        VideoError: There is no such file, it is a folder or a device, or it is empty.
    """
    try:
        found = Path(path).stat()
    except OSError as error:
        raise VideoError(path, _said(error), passing=error.errno not in _LASTING) from error
    if stat.S_ISDIR(found.st_mode):
        raise VideoError(path, "expected a video file, but this is a folder")
    if not stat.S_ISREG(found.st_mode):
        raise VideoError(path, "expected a video file, but this is a device or a pipe")
    if found.st_size == 0:
        raise VideoError(path, "expected a video file, but it has 0 bytes")
    return Stamp(str(Path(path).absolute()), found.st_size, found.st_mtime_ns)


@dataclass(frozen=True, slots=True)
class Source:
    """An open file. Used by one thread; decoding itself uses one thread (clips run in parallel)."""

    path: str
    container: Any
    stream: Any
    decoder: Any

    @property
    def format(self) -> str:
        """FFmpeg's name of the container."""
        return str(self.container.format.name)

    @property
    def codec(self) -> str:
        """FFmpeg's name of the codec, whichever decoder serves it."""
        return str(self.decoder.codec.canonical_name)

    def packets(self) -> Iterator[Any]:
        """The stream's packets from here on in decoding order, those without data left out."""
        return (packet for packet in self.container.demux(self.stream) if packet.size)

    def seek(self, time: int) -> None:
        """Go to the key packet at or before `time` (in the stream's time base) and forget all frames."""
        self.container.seek(time, stream=self.stream, backward=True)


def frames(decoder: Any, packets: Iterator[Any]) -> Iterator[Any]:
    """All frames that decoding the packets gives, in the order in which they come out.

    What stands before the first key packet (of a stream that was cut anywhere) may be undecodable.
    """
    begun = False
    for packet in packets:
        begun = begun or packet.is_keyframe
        try:
            yield from decoder.decode(packet)
        except av.FFmpegError as error:
            if begun or error.errno in _PASSING:
                raise
    yield from decoder.decode(None)


@contextmanager
def opened(path: str) -> Iterator[Source]:
    """Open a file for decoding; every FFmpeg error inside the block becomes a VideoError.

    Raises:
        VideoError: The file is no video, has no video stream, or no decoder knows its codec; or the system
            fails, which may pass.
    """
    try:
        # "file:" keeps names with a colon from being taken for a protocol, the white list keeps
        # playlists from reaching out; tags in other encodings are not worth an error.
        container = av.open(f"file:{path}", metadata_errors="ignore", options={"protocol_whitelist": "file"})
    except (av.FFmpegError, OSError, ValueError) as error:
        reason = f"FFmpeg cannot open it as a video ({_said(error)}); it is damaged or no video"
        raise _refused(path, error, reason) from error
    try:
        with container:
            yield _source(path, container)
    except av.FFmpegError as error:
        reason = f"the data is damaged ({_said(error)}); get the file again or leave it out"
        raise _refused(path, error, reason) from error


def unreadable(path: str, error: OSError) -> VideoError:
    """What to say of a file that the system does not let us read."""
    return VideoError(path, f"it cannot be read: {_said(error)}", passing=error.errno not in _LASTING)


def _refused(path: str, error: Exception, reason: str) -> VideoError:
    number = getattr(error, "errno", None)
    if number in _PASSING:
        return VideoError(path, f"it cannot be read: {_said(error)}", passing=True)
    return VideoError(path, f"it cannot be read: {_said(error)}" if number == errno.EACCES else reason)


def _said(error: BaseException) -> str:
    return str(getattr(error, "strerror", None) or error)


def _source(path: str, container: Any) -> Source:
    name = container.format.name
    if name in _NO_VIDEO or name.endswith("_pipe"):
        raise VideoError(path, f"expected a video file, but its content is of the kind {name!r}")
    # an attached picture is the cover of a song
    streams = [s for s in container.streams.video if Disposition.attached_pic not in s.disposition]
    if not streams:
        raise VideoError(path, f"expected a video stream, but the {name} file has none")
    stream = streams[0]
    decoder = stream.codec_context
    if decoder is None:
        raise VideoError(path, "FFmpeg has no decoder for its video stream, or its header is damaged")
    decoder.thread_type = "NONE"
    decoder.thread_count = 1
    return Source(path, container, stream, decoder)
