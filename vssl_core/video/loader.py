"""Threads that keep all cores busy: decoding and augmenting release the interpreter's lock.

Worker processes would cost more than they give: seconds to start, 300 MiB each, a copy of every clip.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from vssl_core.errors import OptionError

__all__ = ["ordered_map"]

Item = TypeVar("Item")
Result = TypeVar("Result")


def ordered_map(
    fn: Callable[[Item], Result], items: Iterable[Item], *, threads: int, prefetch: int
) -> Generator[Result, None, None]:
    """`fn` of every item, in their order, computed ahead by threads.

    Items are drawn one by one, only as far ahead as needed. An exception, of `fn` or of `items`, is raised
    where its result would have come, after the results before it. A consumer that stops early closes
    the generator: what has not begun is dropped, what runs is waited for.

    Args:
        fn: Called in the threads, several at a time.
        items: Drawn in the consumer's thread.
        threads: 0 computes in the consumer's thread, when the result is asked for.
        prefetch: Most items that are drawn and not yet handed on.

    Raises:
        OptionError: A negative `threads`, or a `prefetch` under 1.
    """
    if threads < 0 or prefetch < 1:
        raise OptionError(f"expected threads >= 0 and prefetch >= 1; got {threads} and {prefetch}.")
    return _threaded(fn, items, threads, prefetch) if threads else _inline(fn, items)


def _inline(fn: Callable[[Item], Result], items: Iterable[Item]) -> Generator[Result, None, None]:
    yield from map(fn, items)


def _threaded(
    fn: Callable[[Item], Result], items: Iterable[Item], threads: int, prefetch: int
) -> Generator[Result, None, None]:
    source = iter(items)
    end: Exception | None = None  # why no more items come
    waiting: deque[Future[Result]] = deque()
    pool = ThreadPoolExecutor(threads, thread_name_prefix="vssl-loader")
    try:
        while True:
            while end is None and len(waiting) < prefetch:
                try:
                    item = next(source)
                except Exception as error:  # noqa: BLE001 — raised again in its turn
                    end = error
                else:
                    waiting.append(pool.submit(fn, item))
            if waiting:
                yield waiting.popleft().result()
            elif isinstance(end, StopIteration):
                return
            elif end is not None:
                raise end
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
