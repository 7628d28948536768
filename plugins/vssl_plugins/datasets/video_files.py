"""Video files by name: found below a folder, or told from the name alone."""

from __future__ import annotations

import unicodedata
from pathlib import Path

from vssl_core.errors import DatasetError, UsageError
from vssl_core.progress import Progress
from vssl_plugins.datasets.walk import VIDEO_EXTENSIONS, walk_videos

__all__ = ["check_folder", "find_videos", "stem"]


def check_folder(root: Path) -> None:
    """Raises UsageError where `root` is not a folder."""
    try:
        if root.is_dir():
            return
        what = "is a file" if root.exists() else "does not exist"
    except OSError as error:
        what = f"cannot be reached: {error.strerror or error}"
    raise UsageError(f"expected a folder with videos; {str(root)!r} {what}.")


def stem(path: str) -> str:
    """A video's name without folders and extension, in Unicode's composed form."""
    name = unicodedata.normalize("NFC", path.rpartition("/")[2])
    base, dot, extension = name.rpartition(".")
    return base if dot and f".{extension.lower()}" in VIDEO_EXTENSIONS else name


def find_videos(root: Path, progress: Progress) -> dict[str, Path]:
    """Id → file for every video below `root`.

    The id is the path below `root` with forward slashes, in Unicode's composed form, so it is the
    same on every file system. What is found is what `walk_videos` finds.

    Raises:
        UsageError: `root` is not a folder.
        DatasetError: A folder cannot be read, or a video's name is not valid Unicode.
    """
    check_folder(root)
    seen = walk_videos(root, progress)
    for folder, why in seen.unreadable.items():
        raise DatasetError(
            f"the folder {str(root / folder)!r} cannot be read: {why}. Give yourself access to it or move "
            "it away."
        )
    videos: dict[str, Path] = {}
    for path in seen.looks:
        video_id = unicodedata.normalize("NFC", path)
        _check_name(video_id)
        if video_id in videos:
            raise DatasetError(
                f"two videos have names that differ only in how Unicode spells them: {video_id!r}. "
                f"Rename one of them in {str((root / path).parent)!r}."
            )
        videos[video_id] = root / path
    return videos


def _check_name(video_id: str) -> None:
    try:
        video_id.encode()
    except UnicodeEncodeError as error:
        readable = video_id.encode(errors="backslashreplace").decode()
        raise DatasetError(
            f"the name of the video {readable!r} is not valid Unicode, so no result could be written "
            "about it. Rename the file, for instance with convmv."
        ) from error
