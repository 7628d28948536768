"""Which videos may be alike: those that share parts of frame hashes, found without comparing all pairs.

Locality-sensitive hashing by bands (Leskovec, Rajaraman and Ullman, Mining of Massive Datasets, 3.4): each
frame's 64 bits are cut into bands, and videos with an equal band meet in a bucket. The more frames there are,
the wider the bands, so that strangers seldom meet. Pairs that meet are compared by their whole hashes, at the
shift in time at which they agree best.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

__all__ = ["LEAST_OVERLAP", "candidates", "hash_distance"]

LEAST_OVERLAP = 0.8  # of the shorter video
_BANDS = {4: 200_000, 3: 5_000_000}  # so many bands up to so many frames; 2 above
_LARGE = 256  # videos in a bucket, above which it is divided by whole hashes
_MOST_BITS = 18.0  # of 63, mean over the frames; copies that were cut between two frames differ in 17


def candidates(hashes: Sequence[np.ndarray], *, num_left: int) -> Iterator[tuple[int, int]]:
    """Pairs (place, place) of videos that may be alike.

    Args:
        hashes: uint64 (T,) of each video.
        num_left: Pairs are of one of the first `num_left` videos and one of the others; 0 for all pairs.
    """
    met: set[tuple[int, int]] = set()
    for bucket in _buckets(hashes):
        members = bucket.tolist()
        for place, one in enumerate(members):
            if num_left and one >= num_left:
                break  # members ascend
            for other in members[place + 1 :]:
                if not num_left or other >= num_left:
                    met.add((one, other))
    for one, other in sorted(met):
        if hash_distance(hashes[one], hashes[other]) <= _MOST_BITS:
            yield one, other


def _buckets(hashes: Sequence[np.ndarray]) -> Iterator[np.ndarray]:
    """Ascending places of the videos of each bucket that has several."""
    places = np.repeat(np.arange(len(hashes)), [len(found) for found in hashes])
    whole = np.concatenate(hashes) if hashes else np.empty(0, np.uint64)
    places, whole = places[whole != 0], whole[whole != 0]
    bands = next((count for count, most in _BANDS.items() if len(whole) <= most), 2)
    for band in range(bands):
        width = 64 // bands
        key = (whole >> np.uint64(width * band)) & np.uint64((1 << width) - 1)
        for rows in _equal(key):
            members = np.unique(places[rows])
            if len(members) > _LARGE:
                yield from (np.unique(places[rows[part]]) for part in _equal(whole[rows]))
            elif len(members) > 1:
                yield members


def _equal(keys: np.ndarray) -> Iterator[np.ndarray]:
    """Rows of equal keys, where there are several."""
    order = np.argsort(keys, kind="stable")
    edges = np.flatnonzero(np.diff(keys[order])) + 1
    starts, ends = np.append(0, edges), np.append(edges, len(keys))
    several = ends - starts > 1
    for start, end in zip(starts[several].tolist(), ends[several].tolist(), strict=True):
        yield order[start:end]


def hash_distance(one: np.ndarray, other: np.ndarray) -> float:
    """Mean number of bits in which two videos' hashes (T,) differ, at the shift where that is least."""
    if len(one) > len(other):
        one, other = other, one
    if not len(one):
        return 64.0
    needed = max(1, int(np.ceil(LEAST_OVERLAP * len(one))))
    least = 64.0
    for shift in range(needed - len(one), len(other) - needed + 1):
        first, start = max(0, -shift), max(0, shift)
        count = min(len(one) - first, len(other) - start)
        differing = np.bitwise_count(one[first : first + count] ^ other[start : start + count])
        least = min(least, float(differing.mean()))
    return least
