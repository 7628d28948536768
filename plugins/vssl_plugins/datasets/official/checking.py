"""Whether an index still tells the truth: its own digest, the annotation files', and every video."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from vssl_core.errors import StoreError
from vssl_core.interfaces import DatasetContext
from vssl_plugins.datasets.official.finding import about, discover, index_path
from vssl_plugins.datasets.official.index_file import Index, read_index
from vssl_plugins.datasets.official.source import Source
from vssl_plugins.datasets.video_files import check_folder
from vssl_plugins.datasets.walk import Look

__all__ = ["changes"]


def changes(source: Source, context: DatasetContext) -> Iterator[str]:
    """What is no longer as the index says, a sentence each. Writes nothing.

    Raises:
        UsageError: There is no such folder.
        DatasetError: An annotation file is lacking or malformed.
    """
    check_folder(source.root)
    path = index_path(source, context.cache_dir)
    if not path.exists():
        yield f"there is no index of {str(source.root)!r} yet; `vssl data prepare {source.name}` makes it."
        return
    try:
        index = read_index(path)
    except StoreError as error:
        yield str(error)
        return
    yield from _other_sources(index.about, about(source))
    yield from _other_files(source, index, context)


def _other_sources(then: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    """Annotation files that changed, came or went; folders of videos that did."""
    before, after = then["annotations"], now["annotations"]
    for file in sorted({*before, *after}):
        if before.get(file) != after.get(file):
            what = (
                "is new" if file not in before else "is not used any more" if file not in after else "changed"
            )
            yield f"annotation file {file!r} {what}."
    if then["tops"] != now["tops"]:
        yield f"videos were looked for in {then['tops']}; now they would be in {now['tops']}."


def _other_files(source: Source, index: Index, context: DatasetContext) -> Iterator[str]:
    then = index.seen()
    now = discover(source, source.read(source.annotation_files()), context.progress)
    for path in sorted({*then.looks, *now.looks}):
        if path not in now.looks:
            yield f"{path!r} is gone."
        elif path not in then.looks:
            yield f"{path!r} is new."
        elif then.looks[path] != now.looks[path]:
            yield f"{path!r} changed: {_difference(then.looks[path], now.looks[path])}."
    for folder in sorted(now.unreadable.keys() - then.unreadable.keys()):
        yield f"the folder {folder!r} cannot be read any more: {now.unreadable[folder]}."


def _difference(then: Look, now: Look) -> str:
    if then is None or now is None:
        return "it cannot be looked at any more" if now is None else "it can be looked at now"
    return (
        f"{then[0]} bytes then, {now[0]} now" if then[0] != now[0] else "it was written again, of equal size"
    )
