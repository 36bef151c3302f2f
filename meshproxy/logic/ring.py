"""Consistent hashing: which server a key belongs to, and who comes next when it cannot be that.

Every server owns points on a ring of 64 bits; a key belongs to the owner of the next point
clockwise. So one server more or less moves only its own share of the keys. Places are made by
BLAKE2b and not by Python's hash: they are the same in every process and after every start.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from hashlib import blake2b
from struct import unpack

POINTS = 128
"""Points of a server of average weight: shares then differ by about 1/sqrt(128), or 9 %."""

MOST_POINTS = 16384
"""Points of all together; with more than 128 servers each gets fewer, so that a ring is
drawn in some 20 ms even for a thousand."""

SPACE = 2**64

_OWNER = 2**20 - 1
"""The low bits of a point say whose it is: one list to sort and to search."""


def place(key: bytes) -> int:
    """Where on the ring a key lies."""
    return int.from_bytes(blake2b(key, digest_size=8).digest(), "little")


class Ring:
    """The points of some servers, by name and weight. Who they are is the caller's to know."""

    __slots__ = ("_count", "_points")

    def __init__(self, names: Sequence[str], weights: Sequence[int]) -> None:
        self._count = len(names)
        each = min(POINTS, MOST_POINTS // max(1, self._count))
        mean = sum(weights) / max(1, self._count)
        drawn = [
            point & ~_OWNER | owner
            for owner, (name, weight) in enumerate(zip(names, weights, strict=True))
            for point in _points(name, max(1, round(each * weight / mean)))
        ]
        self._points = array("Q", sorted(drawn))

    def walk(self, place: int) -> Iterator[int]:
        """The index of each server once, in the order in which a key at `place` meets them."""
        points = self._points
        start = bisect_left(points, place)
        seen: set[int] = set()
        for step in range(start - len(points), start):  # below zero counts from the end
            owner = points[step] & _OWNER
            if owner not in seen:
                yield owner
                seen.add(owner)
                if len(seen) == self._count:
                    return


def _points(name: str, count: int) -> Iterator[int]:
    """The first `count` of a server's points; more of them never move those before."""
    for block in range(0, count, 8):
        digest = blake2b(f"{name} {block}".encode()).digest()
        yield from unpack("<8Q", digest)[: count - block]
