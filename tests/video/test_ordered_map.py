"""The threads of the loader: order, laziness, errors, early ends."""

from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Iterator

import pytest

from vssl_core.errors import OptionError
from vssl_core.video import ordered_map


def loader_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("vssl-loader")]


@pytest.mark.parametrize("threads", [0, 1, 4])
def test_results_come_in_the_order_of_the_items(threads: int) -> None:
    def work(item: int) -> int:
        time.sleep(0.003 * (item % 3))
        return item * item

    assert list(ordered_map(work, range(50), threads=threads, prefetch=8)) == [k * k for k in range(50)]
    assert loader_threads() == []


@pytest.mark.parametrize(("threads", "ahead"), [(0, 0), (2, 5)])
def test_items_are_drawn_only_as_far_ahead_as_needed(threads: int, ahead: int) -> None:
    drawn = []

    def items() -> Iterator[int]:
        for item in range(100):
            drawn.append(item)
            yield item

    results = ordered_map(lambda item: item, items(), threads=threads, prefetch=5)
    assert drawn == []
    for taken in range(1, 20):
        next(results)
        assert taken <= len(drawn) <= taken + ahead
    results.close()  # type: ignore[attr-defined]


def test_several_items_are_worked_on_at_once() -> None:
    meet = threading.Barrier(3, timeout=10)
    assert len(list(ordered_map(lambda _: meet.wait(), range(9), threads=3, prefetch=9))) == 9


@pytest.mark.parametrize("threads", [0, 3])
def test_an_exception_comes_in_its_turn_with_its_traceback(threads: int) -> None:
    def fails_at_five(item: int) -> int:
        if item == 5:
            raise ValueError("five")
        return item

    got = []

    def consume() -> None:
        for result in ordered_map(fails_at_five, range(100), threads=threads, prefetch=4):
            got.append(result)

    with pytest.raises(ValueError, match="five") as caught:
        consume()
    assert got == [0, 1, 2, 3, 4]
    assert "fails_at_five" in "".join(traceback.format_tb(caught.value.__traceback__))
    assert loader_threads() == []


@pytest.mark.parametrize("threads", [0, 3])
def test_results_before_an_exception_are_handed_on(threads: int) -> None:
    def items() -> Iterator[int]:
        yield from range(4)
        raise KeyError("items")

    results = ordered_map(lambda item: item, items(), threads=threads, prefetch=8)
    assert [next(results) for _ in range(4)] == [0, 1, 2, 3]
    with pytest.raises(KeyError, match="items"):
        next(results)
    assert loader_threads() == []


def test_an_early_end_drops_what_has_not_begun_and_does_not_hang() -> None:
    done = []

    def work(item: int) -> int:
        time.sleep(0.02)
        done.append(item)
        return item

    results = ordered_map(work, range(1000), threads=2, prefetch=50)
    assert next(results) == 0
    begin = time.monotonic()
    results.close()  # type: ignore[attr-defined]
    assert time.monotonic() - begin < 0.5
    assert len(done) < 10
    assert loader_threads() == []


def test_a_loop_left_early_cleans_up() -> None:
    for item in ordered_map(lambda item: item, range(1000), threads=2, prefetch=8):
        if item == 3:
            break
    deadline = time.monotonic() + 5
    while loader_threads() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert loader_threads() == []


def test_no_items() -> None:
    assert list(ordered_map(str, [], threads=2, prefetch=3)) == []


@pytest.mark.parametrize(("threads", "prefetch"), [(-1, 2), (2, 0)])
def test_bad_numbers(threads: int, prefetch: int) -> None:
    with pytest.raises(OptionError, match="prefetch >= 1"):
        ordered_map(str, [1], threads=threads, prefetch=prefetch)
