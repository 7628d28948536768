"""Find the video files below a folder, through links, each folder once."""

from __future__ import annotations

import unicodedata
from collections import deque
from pathlib import Path

from vssl_core.errors import DatasetError, UsageError
from vssl_core.progress import Progress, Task

__all__ = ["VIDEO_EXTENSIONS", "find_videos"]

VIDEO_EXTENSIONS = (".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".webm")


def find_videos(root: Path, progress: Progress) -> dict[str, Path]:
    """Id → file for every video below `root`.

    The id is the path below `root` with forward slashes, in Unicode's composed form, so it is the
    same on every file system. Names that begin with a dot are left out. A folder that can be reached in
    several ways counts once: under its own name, or else under the first of its links. A link that
    leads nowhere counts as a video that cannot be read.

    Raises:
        UsageError: `root` is not a folder.
        DatasetError: A folder cannot be read, or a video's name is not valid Unicode.
    """
    if not root.is_dir():
        what = "is a file" if root.exists() else "does not exist"
        raise UsageError(f"expected a folder with videos; {str(root)!r} {what}.")
    walk = _Walk()
    with progress.track("looking for videos", None, "videos") as bar:
        folders, links = deque([("", root)]), deque[tuple[str, Path]]()
        while folders or links:
            below, folder = folders.popleft() if folders else links.popleft()
            try:
                inner, linked = walk.read(below, folder, bar)
            except OSError as error:
                raise DatasetError(
                    f"the folder {str(folder)!r} cannot be read: {error.strerror or error}. "
                    "Give yourself access to it or move it away."
                ) from error
            folders.extend(inner)
            links.extend(linked)
    return walk.videos


class _Walk:
    """What a walk has seen."""

    def __init__(self) -> None:
        self.videos: dict[str, Path] = {}
        self._folders: set[tuple[int, int]] = set()

    def read(
        self, below: str, folder: Path, bar: Task
    ) -> tuple[list[tuple[str, Path]], list[tuple[str, Path]]]:
        """Note the folder's videos; its sub-folders and its links to folders, by name."""
        status = folder.stat()
        if (status.st_dev, status.st_ino) in self._folders:
            return [], []
        self._folders.add((status.st_dev, status.st_ino))
        folders, links = [], []
        for path in sorted(folder.iterdir()):
            if path.name.startswith("."):
                continue
            video_id = below + unicodedata.normalize("NFC", path.name)
            if path.is_dir():
                (links if path.is_symlink() else folders).append((f"{video_id}/", path))
            elif path.suffix.lower() in VIDEO_EXTENSIONS and (path.is_file() or not path.exists()):
                self._note(video_id, path)
                bar.advance()
        return folders, links

    def _note(self, video_id: str, path: Path) -> None:
        try:
            video_id.encode()
        except UnicodeEncodeError as error:
            readable = video_id.encode(errors="backslashreplace").decode()
            raise DatasetError(
                f"the name of the video {readable!r} is not valid Unicode, so no result could be written "
                "about it. Rename the file, for instance with convmv."
            ) from error
        if video_id in self.videos:
            raise DatasetError(
                f"two videos have names that differ only in how Unicode spells them: {video_id!r}. "
                f"Rename one of them in {str(path.parent)!r}."
            )
        self.videos[video_id] = path
